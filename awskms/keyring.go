package awskms

import (
	"context"
	"fmt"

	"esdk"
	"esdk/internal/errtext"
	"esdk/internal/kmsarn"
)

// unwrap tries the provider's encrypted data keys whose ARNs match. It ignores
// data keys of other providers, which may have any form. If a data key of this
// provider doesn't name a key by its ARN, the whole call fails, as the
// specification requires.
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
			err = errtext.Inauthentic(fmt.Errorf("encrypted data key %d (%s): %w", i+1, provider, err))
			return nil, &esdk.NoDataKeyError{Errors: []error{err}}
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

// wrap is [esdk.WrapRequest.Wrap], with the package name in errors.
func wrap(req *esdk.WrapRequest, encrypt func(dataKey, serializedContext []byte) (esdk.EncryptedDataKey, error)) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, serializedContext []byte) (esdk.EncryptedDataKey, error) {
		edk, err := encrypt(dataKey, serializedContext)
		if err != nil {
			err = fmt.Errorf("awskms: %w", err)
		}
		return edk, err
	})
}
