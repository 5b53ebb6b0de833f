package awskms

import (
	"context"
	"fmt"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/kmsarn"
)

// What the keyrings share with each other: the parts of Wrap and Unwrap that do
// not depend on how a key encrypts.

// checkWrap checks a request to wrap. It finds an encryption context that is not
// valid UTF-8, which the AWS SDK would change rather than refuse.
func checkWrap(req *esdk.WrapRequest) (serializedContext []byte, err error) {
	if err := datakey.Check(req.Suite, req.DataKey); err != nil {
		return nil, fmt.Errorf("awskms: %w", err)
	}
	return req.EncryptionContext.AppendBinary(nil)
}

func checkUnwrap(req *esdk.UnwrapRequest) (serializedContext []byte, err error) {
	if req.Suite.DataKeyLength() == 0 {
		return nil, fmt.Errorf("awskms: unknown algorithm suite %v", req.Suite)
	}
	return req.EncryptionContext.AppendBinary(nil)
}

// wrapOne wraps the data key of a request, or a new one.
func wrapOne(req *esdk.WrapRequest, encrypt func(dataKey []byte) (esdk.EncryptedDataKey, error)) (*esdk.WrapResult, error) {
	dataKey, generated, err := datakey.ToWrap(req.Suite, req.DataKey)
	if err != nil {
		return nil, fmt.Errorf("awskms: %w", err)
	}
	edk, err := encrypt(dataKey)
	if err != nil {
		clear(generated)
		return nil, fmt.Errorf("awskms: %w", err)
	}
	return &esdk.WrapResult{DataKey: generated, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}}, nil
}

// A candidate is an encrypted data key of a keyring's provider.
type candidate struct {
	*esdk.EncryptedDataKey
	index int
	arn   kmsarn.ARN // the key that encrypted it
}

// candidates checks a request and returns its encrypted data keys of a provider.
// It looks at nothing of the others, which may be of any form. That one is not of
// the ARN of a key fails the whole call, as the specification has it.
func candidates(req *esdk.UnwrapRequest, provider string) (all []candidate, serializedContext []byte, err error) {
	if serializedContext, err = checkUnwrap(req); err != nil {
		return nil, nil, err
	}
	for i := range req.EncryptedDataKeys {
		c := candidate{EncryptedDataKey: &req.EncryptedDataKeys[i], index: i}
		if c.ProviderID != provider {
			continue
		}
		if c.arn, err = kmsarn.ParseKey(string(c.ProviderInfo)); err != nil {
			return nil, nil, &esdk.NoDataKeyError{Errors: []error{c.failed(err)}}
		}
		all = append(all, c)
	}
	return all, serializedContext, nil
}

func (c *candidate) failed(err error) error {
	return fmt.Errorf("encrypted data key %d (%s): %w", c.index+1, c.ProviderID, err)
}

// An attempt is a candidate and a way to decrypt it.
type attempt struct {
	candidate
	decrypt func() ([]byte, error)
}

// unwrapFirst makes the attempts, one at a time, until one succeeds.
func unwrapFirst(ctx context.Context, attempts []attempt) ([]byte, error) {
	failed := new(esdk.NoDataKeyError)
	for _, a := range attempts {
		dataKey, err := a.decrypt()
		if err == nil {
			return dataKey, nil
		}
		failed.Errors = append(failed.Errors, a.failed(err))
		// There is no use in another request whose answer nobody waits for.
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}
