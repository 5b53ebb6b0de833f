package pkcs11

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/format"
)

// AESConfig configures [NewAESKeyring].
type AESConfig struct {
	// Namespace and Name are part of each message. Decryption needs the same.
	Namespace, Name string

	// Key is a secret AES key of the token that permits encryption, decryption,
	// or both.
	Key KeyRef

	// TokenIV means that the token generates the IVs and accepts none, as
	// CloudHSM and tokens in FIPS mode do. The token gets an IV of zeros, and
	// must replace it by its own (CK_GCM_PARAMS). Encryption fails if it
	// doesn't.
	TokenIV bool
}

type aesKeyring struct {
	namespace, name string
	key             *key
	tokenIV         bool
}

// NewAESKeyring returns a keyring that wraps data keys with AES-GCM under a key
// of a token. It is interchangeable with [esdk.NewRawAESKeyring] with a copy of
// the key.
//
// Each wrap uses a random IV, so one key should not wrap more than 2^32 data
// keys (NIST SP 800-38D).
func NewAESKeyring(ctx context.Context, t *Token, c AESConfig) (esdk.Keyring, error) {
	if err := checkName(c.Namespace, c.Name); err != nil {
		return nil, err
	}
	k, err := newKey(ctx, t, secretKey, typeAES, c.Key)
	if err != nil {
		return nil, err
	}
	return &aesKeyring{c.Namespace, c.Name, k, c.TokenIV}, nil
}

func (kr *aesKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, aad []byte) (esdk.EncryptedDataKey, error) {
		iv, ciphertext, err := kr.encrypt(ctx, aad, dataKey)
		if err != nil {
			err = fmt.Errorf("pkcs11: %w", err)
		}
		return esdk.EncryptedDataKey{
			ProviderID:   kr.namespace,
			ProviderInfo: append(datakey.AESPrefix(kr.name), iv...),
			Ciphertext:   ciphertext,
		}, err
	})
}

// encrypt also returns the IV that the token reports: some tokens generate
// their own even if they are given one.
func (kr *aesKeyring) encrypt(ctx context.Context, aad, dataKey []byte) (iv, ciphertext []byte, err error) {
	err = kr.key.use(ctx, func(s *session, o object) error {
		given := make([]byte, format.IVLength)
		if !kr.tokenIV {
			rand.Read(given)
		}
		if iv, ciphertext, err = s.encryptGCM(s.handle, o, given, aad, dataKey); err != nil {
			return err
		}
		switch {
		case kr.tokenIV && bytes.Equal(iv, given):
			// A second message with this IV would reveal the hash key.
			return errors.New("the token made no IV of its own")
		case len(iv) != format.IVLength:
			return fmt.Errorf("the token made an IV of %d bytes, the format has %d", len(iv), format.IVLength)
		case len(ciphertext) != len(dataKey)+format.TagLength:
			return fmt.Errorf("the token returned %d bytes for %d, and a tag of %d", len(ciphertext), len(dataKey), format.TagLength)
		}
		return nil
	})
	return iv, ciphertext, err
}

func (kr *aesKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool {
		return edk.ProviderID == kr.namespace && datakey.IsAES(edk.ProviderInfo, kr.name)
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, aad []byte) ([]byte, error) {
		iv, err := datakey.CutAES(edk.ProviderInfo, kr.name)
		if err != nil {
			return nil, err
		}
		// A ciphertext of the wrong length can't be a data key of the suite, so
		// spare the token the call.
		if got, want := len(edk.Ciphertext), req.Suite.DataKeyLength()+format.TagLength; got != want {
			return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", got, want, req.Suite))
		}
		return kr.decrypt(ctx, iv, aad, edk.Ciphertext)
	})
}

func (kr *aesKeyring) decrypt(ctx context.Context, iv, aad, ciphertext []byte) (dataKey []byte, err error) {
	err = kr.key.use(ctx, func(s *session, o object) error {
		plaintext, err := s.decryptGCM(s.handle, o, iv, aad, ciphertext)
		dataKey = moved(plaintext)
		return err
	})
	if err != nil {
		// Tokens report a wrong tag with various codes.
		verdict := isVerdict(err)
		err = fmt.Errorf("AES key %q: wrong wrapping key or encryption context, or the token failed: %w", kr.name, err)
		if verdict {
			err = errtext.Inauthentic(err)
		}
		return nil, err
	}
	return dataKey, nil
}
