package awskms

import (
	"context"
	"fmt"

	"esdk"
	"esdk/internal/kmsarn"
)

// unwrap tries the encrypted data keys of a provider that are of keys that match. It
// looks at nothing of the other providers, which may be of any form. That one of its
// own does not name a key by ARN fails the whole call, as the specification has it.
func unwrap(
	ctx context.Context, req *esdk.UnwrapRequest, provider string, matches func(arn kmsarn.ARN) bool,
	decrypt func(arn kmsarn.ARN, edk *esdk.EncryptedDataKey, serializedContext []byte) ([]byte, error),
) ([]byte, error) {
	arns := make(map[*esdk.EncryptedDataKey]kmsarn.ARN)
	for i := range req.EncryptedDataKeys {
		edk := &req.EncryptedDataKeys[i]
		if edk.ProviderID != provider {
			continue
		}
		arn, err := kmsarn.ParseKey(string(edk.ProviderInfo))
		if err != nil {
			return nil, &esdk.NoDataKeyError{Errors: []error{fmt.Errorf("encrypted data key %d (%s): %w", i+1, provider, err)}}
		}
		arns[edk] = arn
	}
	ours := func(edk *esdk.EncryptedDataKey) bool {
		arn, ok := arns[edk]
		return ok && matches(arn)
	}
	return req.Unwrap(ctx, ours, func(edk *esdk.EncryptedDataKey, serializedContext []byte) ([]byte, error) {
		return decrypt(arns[edk], edk, serializedContext)
	})
}

// wrap is [esdk.WrapRequest.Wrap], and puts the package before an error.
func wrap(req *esdk.WrapRequest, encrypt func(dataKey, serializedContext []byte) (esdk.EncryptedDataKey, error)) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, serializedContext []byte) (esdk.EncryptedDataKey, error) {
		edk, err := encrypt(dataKey, serializedContext)
		if err != nil {
			err = fmt.Errorf("awskms: %w", err)
		}
		return edk, err
	})
}
