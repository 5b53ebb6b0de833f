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
)

// RSAConfig configures [NewRSAKeyring].
type RSAConfig struct {
	// Namespace and Name stand in each message, and decryption needs the same.
	Namespace, Name string

	// Key is a private RSA key of the token, which allows to decrypt.
	Key KeyRef

	// PublicKey is its public half. If it is nil, the token is asked for it.
	PublicKey *rsa.PublicKey

	// Hash is the hash of OAEP and its MGF1: SHA-1, SHA-256, SHA-384 or SHA-512.
	// 0 means SHA-256. Not every token has all of them.
	Hash crypto.Hash

	// PKCS1v15 selects the padding of PKCS #1 v1.5 in place of OAEP. What
	// [esdk.RawRSAConfig] says of it holds here too. Whatever the token says of a
	// ciphertext, the keyring returns a data key, makes the same calls, and closes
	// the session: a wrong padding does not show. So a token that fails while it
	// decrypts, as with CKR_DEVICE_ERROR, shows only in a message that does not
	// open. The time that the token itself takes is its own.
	PKCS1v15 bool
}

type rsaKeyring struct {
	esdk.Keyring // encrypts, with the public key
	RSAConfig
	key *key
}

// NewRSAKeyring returns a keyring that wraps data keys with an RSA key of a token.
// It encrypts without the token, with the public key; the token decrypts. RSA does
// not bind the encryption context to the data key; the message does.
// [esdk.NewRawRSAKeyring] with a copy of the keys, or only the public one, reads
// and writes the same encrypted data keys.
//
// It has the token decrypt something once and now, so that a public key that is
// not of the private one, or a padding that the token does not have, is found out
// before a message depends on it.
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
		// With PKCS #1 v1.5, this is all that is known of any failure.
		return errors.New("the token does not decrypt what the public key encrypts")
	}
	return nil
}

// Wrap only adds to the raw keyring's that it asks ctx, as each call here does.
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
		return nil, fmt.Errorf("ciphertext has %d bytes, need %d", len(ciphertext), kr.PublicKey.Size())
	}
	err = kr.key.use(ctx, func(s *session, o object) error {
		// A token may leave a session behind a wrong padding in another state than
		// behind a right one, which the next call would show.
		s.spent = kr.PKCS1v15
		plaintext, err := s.decryptRSA(s.handle, o, kr.Hash, ciphertext)
		defer clear(plaintext[:cap(plaintext)])
		switch {
		case err != nil && !isVerdict(err):
			return err
		case kr.PKCS1v15:
			dataKey = implicitlyRejected(plaintext, err, length)
		case err != nil:
			// Which part of OAEP does not fit would make us an oracle, too (Manger).
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

// errOAEP stands for all that a token may say of a ciphertext.
var errOAEP = errors.New("wrong wrapping key, or a changed data key, or the token failed")

// implicitlyRejected returns the plaintext, or a random one if there is none, or one
// of another length: to say whether the padding is right would make us an oracle
// that decrypts for an attacker (Bleichenbacher). A wrong data key then does not
// open the message.
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
