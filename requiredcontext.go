package esdk

import (
	"context"
	"slices"
	"strings"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

type requiredContextCMM struct {
	underlying CMM
	keys       []string
}

// NewRequiredContextCMM returns a CMM that keeps some pairs of the encryption
// context out of the message, which stays bound to them. To decrypt, the caller
// must know them. For encryption, the context must have all of the keys. For
// decryption, the context must reproduce all of them. Otherwise the CMM fails
// with [ErrEncryptionContext].
//
// The C and JavaScript SDKs, aws-encryption-cli, the Java SDK before version 3
// and the Python SDK before version 4 can't read such messages.
//
// Specification: [framework/required-encryption-context-cmm.md].
//
// [framework/required-encryption-context-cmm.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/required-encryption-context-cmm.md
func NewRequiredContextCMM(underlying CMM, keys ...string) (CMM, error) {
	if isnil.Value(underlying) {
		return nil, errtext.Errorf("required-context CMM needs an underlying CMM")
	}
	if len(keys) == 0 {
		return nil, errtext.Errorf("required-context CMM needs a key")
	}
	for _, k := range keys {
		if strings.HasPrefix(k, reservedPrefix) {
			return nil, contextError("key %q is reserved and cannot be required", k)
		}
	}
	return &requiredContextCMM{underlying, slices.Clone(keys)}, nil
}

func (c *requiredContextCMM) EncryptionMaterials(ctx context.Context, req *EncryptionRequest) (*EncryptionMaterials, error) {
	if err := c.check(req.EncryptionContext, "required key %q is missing"); err != nil {
		return nil, err
	}
	inner := *req
	inner.RequiredContextKeys = slices.Compact(slices.Sorted(slices.Values(slices.Concat(req.RequiredContextKeys, c.keys))))
	m, err := encryptionMaterials(ctx, c.underlying, &inner)
	if err != nil {
		return nil, err
	}
	for _, k := range c.keys {
		if !slices.Contains(m.RequiredContextKeys, k) {
			clear(m.DataKey)
			return nil, contextError("underlying CMM does not require key %q", k)
		}
	}
	return m, nil
}

func (c *requiredContextCMM) DecryptionMaterials(ctx context.Context, req *DecryptionRequest) (*DecryptionMaterials, error) {
	if err := c.check(req.ReproducedContext, "required key %q was not given"); err != nil {
		return nil, err
	}
	m, err := decryptionMaterials(ctx, c.underlying, req)
	if err != nil {
		return nil, err
	}
	if err := c.check(m.EncryptionContext, "underlying CMM lost key %q"); err != nil {
		clear(m.DataKey)
		return nil, err
	}
	return m, nil
}

func (c *requiredContextCMM) check(ec EncryptionContext, text string) error {
	for _, k := range c.keys {
		if _, ok := ec[k]; !ok {
			return contextError(text, k)
		}
	}
	return nil
}
