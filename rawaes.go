package esdk

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/format"
)

// RawAESConfig configures [NewRawAESKeyring].
type RawAESConfig struct {
	// Namespace and Name are stored in each message, and decryption needs the
	// same ones. Each has 1 to 65,515 bytes, and the namespace must not start
	// with "aws-kms".
	Namespace, Name string

	// Key has 16, 24 or 32 bytes. The keyring does not keep the slice.
	Key []byte
}

type rawAESKeyring struct {
	namespace, name string
	aead            cipher.AEAD
	infoPrefix      []byte // the provider info without the IV
}

// NewRawAESKeyring returns a keyring that wraps data keys with AES-GCM.
//
// Each wrap draws a random IV, so one key should not wrap more than 2^32 data
// keys (NIST SP 800-38D).
//
// Specification: [framework/raw-aes-keyring.md].
//
// [framework/raw-aes-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-aes-keyring.md
func NewRawAESKeyring(c RawAESConfig) (Keyring, error) {
	if err := checkName(c.Namespace, c.Name); err != nil {
		return nil, err
	}
	aead, err := newGCM(c.Key)
	if _, wrongSize := errors.AsType[aes.KeySizeError](err); wrongSize {
		return nil, errtext.Errorf("AES wrapping key must have 16, 24 or 32 bytes")
	} else if err != nil {
		return nil, err
	}
	return &rawAESKeyring{c.Namespace, c.Name, aead, datakey.AESPrefix(c.Name)}, nil
}

// newGCM fails for a key of a wrong length, and under GODEBUG=fips140=only,
// which allows only IVs that the standard library draws.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errtext.Errorf("%w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, errtext.Errorf("%w", err)
	}
	return aead, nil
}

func (k *rawAESKeyring) Wrap(_ context.Context, req *WrapRequest) (*WrapResult, error) {
	return req.Wrap(func(dataKey, aad []byte) (EncryptedDataKey, error) {
		length := len(k.infoPrefix) + format.IVLength
		info := make([]byte, length, length+len(dataKey)+format.TagLength)
		iv := info[copy(info, k.infoPrefix):]
		rand.Read(iv)
		return EncryptedDataKey{
			ProviderID:   k.namespace,
			ProviderInfo: slices.Clip(info),
			Ciphertext:   k.aead.Seal(info, iv, dataKey, aad)[length:],
		}, nil
	})
}

func (k *rawAESKeyring) Unwrap(ctx context.Context, req *UnwrapRequest) ([]byte, error) {
	matches := func(edk *EncryptedDataKey) bool {
		return edk.ProviderID == k.namespace && datakey.IsAES(edk.ProviderInfo, k.name)
	}
	return req.Unwrap(ctx, matches, func(edk *EncryptedDataKey, aad []byte) ([]byte, error) {
		iv, err := datakey.CutAES(edk.ProviderInfo, k.name)
		if err != nil {
			return nil, err
		}
		dataKey, err := k.aead.Open(nil, iv, edk.Ciphertext, aad)
		if err != nil {
			return nil, errtext.Inauthentic(fmt.Errorf("AES key %q: wrong wrapping key or encryption context", k.name))
		}
		return dataKey, nil
	})
}
