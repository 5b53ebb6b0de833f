package pkcs11

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/format"
)

// AESConfig configures [NewAESKeyring].
type AESConfig struct {
	// Namespace and Name stand in each message, and decryption needs the same.
	Namespace, Name string

	// Key is a secret AES key of the token, which allows to encrypt, to decrypt,
	// or both.
	Key KeyRef

	// TokenIV says that the token makes the IVs, and takes none, as CloudHSM and
	// tokens in FIPS mode do: it is given zeros, and must put its own in their place
	// (CK_GCM_PARAMS). One that does not is refused.
	TokenIV bool
}

type aesKeyring struct {
	namespace, name string
	key             *key
	tokenIV         bool
}

// NewAESKeyring returns a keyring that wraps data keys with AES-GCM under a key of
// a token. [esdk.NewRawAESKeyring] with a copy of the key reads and writes the
// same encrypted data keys.
//
// Each wrap draws a random IV, so that one key should not wrap more than 2^32
// data keys (NIST SP 800-38D).
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

// encrypt returns the IV that was used, which is what the token says: some make
// their own though they are given one.
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
			// A second message with this IV would give the key's hash key away.
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
		// The token need not be asked about what cannot be a data key of the suite.
		if got, want := len(edk.Ciphertext), req.Suite.DataKeyLength()+format.TagLength; got != want {
			return nil, fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", got, want, req.Suite)
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
		// Tokens have various names for a tag that does not fit.
		return nil, fmt.Errorf("AES key %q: wrong wrapping key or encryption context, or the token failed: %w", kr.name, err)
	}
	return dataKey, nil
}
