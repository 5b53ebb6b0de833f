package esdk

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
)

// RawRSAConfig configures [NewRawRSAKeyring].
type RawRSAConfig struct {
	// Namespace and Name are stored in each message, and decryption needs the
	// same ones. Each has 1 to 65,515 bytes, and the namespace must not start
	// with "aws-kms".
	Namespace, Name string

	// PublicKey encrypts and PrivateKey decrypts. One of them may be nil: a
	// keyring doesn't take the public key from the private one. Two keys that
	// aren't a pair are rejected. [ParsePEM] reads both.
	PublicKey  *rsa.PublicKey
	PrivateKey *rsa.PrivateKey

	// Hash is the hash of OAEP and its MGF1: SHA-1, SHA-256, SHA-384 or
	// SHA-512. 0 means SHA-256.
	Hash crypto.Hash

	// PKCS1v15 selects PKCS #1 v1.5 padding instead of OAEP, for messages and
	// readers that support nothing else. With this padding, a data key that
	// doesn't decrypt is noticed only when the message doesn't decrypt. If
	// several keys share one name, only the first is ever tried.
	PKCS1v15 bool
}

type rawRSAKeyring struct{ RawRSAConfig }

// NewRawRSAKeyring returns a keyring that wraps data keys with RSA. RSA doesn't
// bind the encryption context to the data key; the message does.
//
// Specification: [framework/raw-rsa-keyring.md].
//
// [framework/raw-rsa-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-rsa-keyring.md
func NewRawRSAKeyring(c RawRSAConfig) (Keyring, error) {
	if err := checkName(c.Namespace, c.Name); err != nil {
		return nil, err
	}
	if c.PublicKey == nil && c.PrivateKey == nil {
		return nil, errtext.Errorf("RSA keyring needs a public or a private key")
	}
	if k := c.PublicKey; k != nil && k.N == nil {
		return nil, errtext.Errorf("RSA keyring: public key without a modulus")
	}
	if k := c.PrivateKey; k != nil && (k.N == nil || k.D == nil) {
		return nil, errtext.Errorf("RSA keyring: private key without a modulus or exponent")
	}
	if c.PublicKey != nil && c.PrivateKey != nil && !c.PublicKey.Equal(&c.PrivateKey.PublicKey) {
		return nil, errtext.Errorf("RSA keyring: the public and the private key are not a pair")
	}
	switch c.Hash {
	case 0:
		if !c.PKCS1v15 {
			c.Hash = crypto.SHA256
		}
	case crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512:
		if c.PKCS1v15 {
			return nil, errtext.Errorf("RSA keyring: the padding is either PKCS1v15 or OAEP with a hash")
		}
	default:
		return nil, errtext.Errorf("RSA keyring: hash %v is not one of SHA-1, SHA-256, SHA-384 and SHA-512", c.Hash)
	}
	return &rawRSAKeyring{c}, nil
}

func (k *rawRSAKeyring) Wrap(_ context.Context, req *WrapRequest) (*WrapResult, error) {
	if k.PublicKey == nil {
		return nil, errtext.Errorf("RSA key %q has no public key, and cannot encrypt", k.Name)
	}
	return req.Wrap(func(dataKey, _ []byte) (EncryptedDataKey, error) {
		ciphertext, err := k.encrypt(dataKey)
		if err != nil {
			return EncryptedDataKey{}, errtext.Errorf("RSA key %q: %w", k.Name, err)
		}
		return EncryptedDataKey{k.Namespace, []byte(k.Name), ciphertext}, nil
	})
}

func (k *rawRSAKeyring) encrypt(dataKey []byte) ([]byte, error) {
	if k.PKCS1v15 {
		//lint:ignore SA1019 the format has this padding, and the user has asked for it
		return rsa.EncryptPKCS1v15(rand.Reader, k.PublicKey, dataKey)
	}
	return rsa.EncryptOAEP(k.Hash.New(), rand.Reader, k.PublicKey, dataKey, nil)
}

func (k *rawRSAKeyring) Unwrap(ctx context.Context, req *UnwrapRequest) ([]byte, error) {
	if k.PrivateKey == nil {
		return nil, &NoDataKeyError{[]error{datakey.CannotDecrypt(fmt.Sprintf("RSA key %q has no private key, and cannot decrypt", k.Name))}}
	}
	matches := func(edk *EncryptedDataKey) bool {
		return edk.ProviderID == k.Namespace && string(edk.ProviderInfo) == k.Name
	}
	return req.Unwrap(ctx, matches, func(edk *EncryptedDataKey, _ []byte) ([]byte, error) {
		dataKey, err := k.decrypt(edk.Ciphertext, req.Suite.DataKeyLength())
		if errors.Is(err, rsa.ErrDecryption) {
			err = errtext.Inauthentic(err)
		}
		if err != nil {
			return nil, errtext.Errorf("RSA key %q: %w", k.Name, err)
		}
		return dataKey, nil
	})
}

// decrypt fails with [rsa.ErrDecryption] or [ErrAuthentication] for a data key
// that isn't authentic: with OAEP for each of the reasons, and with PKCS #1
// v1.5 only for one that everyone with the public key can see.
func (k *rawRSAKeyring) decrypt(ciphertext []byte, length int) ([]byte, error) {
	// crypto/rsa also accepts a ciphertext without its leading zeros, which RFC
	// 8017 doesn't allow.
	if len(ciphertext) != k.PrivateKey.Size() {
		return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d", len(ciphertext), k.PrivateKey.Size()))
	}
	if !k.PKCS1v15 {
		return rsa.DecryptOAEP(k.Hash.New(), nil, k.PrivateKey, ciphertext, nil)
	}
	// Reporting whether the padding is right would make us a decryption oracle
	// (Bleichenbacher). Instead, wrong padding yields a random data key, in
	// constant time, which then doesn't open the message.
	dataKey := make([]byte, length)
	rand.Read(dataKey)
	//lint:ignore SA1019 the format has this padding, and the user has asked for it
	return dataKey, rsa.DecryptPKCS1v15SessionKey(nil, k.PrivateKey, ciphertext, dataKey)
}
