package pkcs11

import (
	"context"
	"fmt"

	"esdk"
	"esdk/internal/datakey"
)

// What the keyrings share: the parts of Wrap and Unwrap that do not depend on
// how a key encrypts.

// checkName refuses a namespace or name that a raw keyring may not use.
func checkName(namespace, name string) error {
	if err := datakey.CheckName(namespace, name); err != nil {
		return fmt.Errorf("pkcs11: %w", err)
	}
	return nil
}

// wrapOne wraps the data key of a request, or a new one.
func wrapOne(req *esdk.WrapRequest, encrypt func(dataKey []byte) (esdk.EncryptedDataKey, error)) (*esdk.WrapResult, error) {
	dataKey, generated, err := datakey.ToWrap(req.Suite, req.DataKey)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	edk, err := encrypt(dataKey)
	if err != nil {
		clear(generated)
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	return &esdk.WrapResult{DataKey: generated, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}}, nil
}

// moved returns a secret in an array of its own length, and clears the array that
// it was in, which may be longer and hold more of it.
func moved(secret []byte) []byte {
	b := make([]byte, len(secret))
	copy(b, secret)
	clear(secret[:cap(secret)])
	return b
}

// unwrapFirst tries the encrypted data keys that match, in their order.
func unwrapFirst(ctx context.Context, req *esdk.UnwrapRequest, matches func(*esdk.EncryptedDataKey) bool, decrypt func(*esdk.EncryptedDataKey) ([]byte, error)) ([]byte, error) {
	length := req.Suite.DataKeyLength()
	if length == 0 {
		return nil, fmt.Errorf("pkcs11: unknown algorithm suite %v", req.Suite)
	}
	failed := new(esdk.NoDataKeyError)
	for i := range req.EncryptedDataKeys {
		edk := &req.EncryptedDataKeys[i]
		if !matches(edk) {
			continue
		}
		dataKey, err := decrypt(edk)
		if err == nil && len(dataKey) != length {
			clear(dataKey)
			err = fmt.Errorf("data key has %d bytes, suite %v takes %d", len(dataKey), req.Suite, length)
		}
		if err == nil {
			return dataKey, nil
		}
		failed.Errors = append(failed.Errors, fmt.Errorf("encrypted data key %d (%s): %w", i+1, edk.ProviderID, err))
		// The token need not work on what nobody waits for.
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}
