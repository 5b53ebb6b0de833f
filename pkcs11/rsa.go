package pkcs11

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"

	"esdk"
	"esdk/internal/errtext"
)

// RSAConfig configures [NewRSAKeyring].
type RSAConfig struct {
	// Namespace and Name are part of each message. Decryption needs the same.
	Namespace, Name string

	// Key is a private RSA key of the token that permits decryption.
	Key KeyRef

	// PublicKey is the public key of Key. If it is nil, it is read from the
	// token.
	PublicKey *rsa.PublicKey

	// Hash is the hash of OAEP and its MGF1: SHA-1, SHA-256, SHA-384 or
	// SHA-512. 0 means SHA-256. Not every token supports all of them.
	Hash crypto.Hash

	// PKCS1v15 selects the padding of PKCS #1 v1.5 instead of OAEP; the
	// warnings of [esdk.RawRSAConfig] apply. For any answer of the token to a
	// ciphertext, the keyring returns a data key, makes the same calls, and
	// closes the session, so that nothing reveals a wrong padding. So the
	// failure of a token during decryption, such as CKR_DEVICE_ERROR, only
	// shows in a message that doesn't open. The keyring can't hide the time
	// that the token itself takes.
	PKCS1v15 bool
}

type rsaKeyring struct {
	esdk.Keyring // encrypts, with the public key
	RSAConfig
	key *key
}

// NewRSAKeyring returns a keyring that wraps data keys with an RSA key of a
// token. It encrypts with the public key, without the token; the token
// decrypts. RSA does not bind the encryption context to the data key; the
// message does. It is interchangeable with [esdk.NewRawRSAKeyring] with a copy
// of the keys, or of the public key only.
//
// NewRSAKeyring tries the key once with a decryption by the token. So it finds
// a public key that doesn't belong to the private key, or a padding that the
// token doesn't support, before a message depends on them.
func NewRSAKeyring(ctx context.Context, t *Token, c RSAConfig) (esdk.Keyring, error) {
	if err := checkName(c.Namespace, c.Name); err != nil {
		return nil, err
	}
	k, err := newKey(ctx, t, privateKey, typeRSA, c.Key)
	if err != nil {
		return nil, err
	}
	if c.PublicKey == nil {
		public, err := k.public(ctx)
		if err != nil {
			return nil, fmt.Errorf("pkcs11: %w", err)
		}
		c.PublicKey = public.(*rsa.PublicKey)
	}
	if n := c.PublicKey.N; n == nil || n.Sign() <= 0 {
		return nil, errors.New("pkcs11: RSA keyring: the public key has no modulus")
	}
	raw, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
		Namespace: c.Namespace, Name: c.Name, PublicKey: c.PublicKey, Hash: c.Hash, PKCS1v15: c.PKCS1v15,
	})
	if err != nil {
		return nil, err
	}
	if c.Hash == 0 && !c.PKCS1v15 {
		c.Hash = crypto.SHA256
	}
	kr := &rsaKeyring{raw, c, k}
	if err := kr.selfTest(ctx); err != nil {
		return nil, fmt.Errorf("pkcs11: RSA key %q cannot be used: %w", c.Name, err)
	}
	return kr, nil
}

// selfTest decrypts a data key that belongs to no message.
func (kr *rsaKeyring) selfTest(ctx context.Context) error {
	const suite = esdk.AES256GCM
	r, err := kr.Wrap(ctx, &esdk.WrapRequest{Suite: suite})
	if err != nil {
		return err
	}
	defer clear(r.DataKey)
	dataKey, err := kr.decrypt(ctx, r.EncryptedDataKeys[0].Ciphertext, suite.DataKeyLength())
	if err != nil {
		return err
	}
	defer clear(dataKey)
	if subtle.ConstantTimeCompare(dataKey, r.DataKey) != 1 {
		// With PKCS #1 v1.5, nothing more is known about any failure.
		return errors.New("the token does not decrypt what the public key encrypts")
	}
	return nil
}

// Wrap checks ctx, like every call in this package, and calls the raw keyring.
func (kr *rsaKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return kr.Keyring.Wrap(ctx, req)
}

func (kr *rsaKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool {
		return edk.ProviderID == kr.Namespace && string(edk.ProviderInfo) == kr.Name
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, _ []byte) ([]byte, error) {
		dataKey, err := kr.decrypt(ctx, edk.Ciphertext, req.Suite.DataKeyLength())
		if err != nil {
			return nil, fmt.Errorf("RSA key %q: %w", kr.Name, err)
		}
		return dataKey, nil
	})
}

func (kr *rsaKeyring) decrypt(ctx context.Context, ciphertext []byte, length int) (dataKey []byte, err error) {
	if len(ciphertext) != kr.PublicKey.Size() {
		return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d", len(ciphertext), kr.PublicKey.Size()))
	}
	err = kr.key.use(ctx, func(s *session, o object) error {
		// After a wrong padding, a token may leave a session in a different
		// state than after a right one, and the next call would show it.
		s.spent = kr.PKCS1v15
		plaintext, err := s.decryptRSA(s.handle, o, kr.Hash, ciphertext)
		defer clear(plaintext[:cap(plaintext)])
		switch {
		case err != nil && !isVerdict(err):
			return err
		case kr.PKCS1v15:
			dataKey = implicitlyRejected(plaintext, err, length)
		case err != nil:
			// Revealing which part of OAEP failed would create an oracle, too
			// (Manger).
			return errOAEP
		default:
			dataKey = moved(plaintext)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dataKey, nil
}

// errOAEP replaces every answer of a token to a ciphertext.
var errOAEP = errtext.Inauthentic(errors.New("wrong wrapping key, or a changed data key, or the token failed"))

// implicitlyRejected returns the plaintext, or random bytes if there is none or
// its length is wrong. Revealing whether the padding is right would create an
// oracle that decrypts for an attacker (Bleichenbacher). A wrong data key then
// doesn't open the message.
func implicitlyRejected(plaintext []byte, err error, length int) []byte {
	dataKey := make([]byte, length)
	rand.Read(dataKey)
	candidate := make([]byte, length)
	good := subtle.ConstantTimeEq(int32(copy(candidate, plaintext)), int32(length)) &
		subtle.ConstantTimeEq(int32(len(plaintext)), int32(length))
	if err != nil {
		good = 0
	}
	subtle.ConstantTimeCopy(good, dataKey, candidate)
	clear(candidate)
	return dataKey
}
