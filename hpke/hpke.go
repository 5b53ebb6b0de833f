// Package hpke protects data keys with a public key, even against attackers
// that record messages now and will have a quantum computer later.
//
//	key, err := hpke.GenerateKey()
//	secret, err := hpke.MarshalPrivateKey(key)            // keep it: PEM for ParsePrivateKey
//	public, err := hpke.MarshalPublicKey(key.PublicKey()) // hand it out: PEM for ParsePublicKey
//
//	to, err := hpke.NewKeyring(hpke.Config{Name: "archive", PublicKey: key.PublicKey()})
//	message, err := esdk.Encrypt(ctx, to, plaintext, nil)
//
//	from, err := hpke.NewKeyring(hpke.Config{Name: "archive", PrivateKey: key})
//	plaintext, err := esdk.Decrypt(ctx, from, message, nil)
//
// The package uses HPKE (RFC 9180) from [crypto/hpke] with the hybrid of
// ML-KEM-768 and X25519: a data key is safe as long as one of the two is. Keys
// have the types of crypto/hpke, so hardware can hold them.
//
// The official SDKs don't support such encrypted data keys and skip them. If a
// multi-keyring also has AWS KMS keys, every SDK can open the message with one
// of them. Each wrapping key of a message opens it: next to an RSA or ECDH key,
// this keyring doesn't protect against a quantum computer.
//
// The format is our own: see docs/format.md. An encrypted data key takes about
// 1.2 KiB of the message.
package hpke

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/errtext"
)

// ProviderID is the provider ID of the keyring's encrypted data keys.
const ProviderID = "esdk-hpke"

// This is the HPKE suite of version 1 of the format. HKDF accepts an info of
// any length. For SHAKE, crypto/hpke truncates the length to 16 bits, which is
// too few for a provider info and an encryption context.
var (
	kem  = hpke.MLKEM768X25519()
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

const (
	pointLength = 32                 // public key of X25519
	encLength   = 1088 + pointLength // ciphertext of ML-KEM-768 before it
	tagLength   = 16
)

// Config configures [NewKeyring].
type Config struct {
	// Name is stored in each message, and decryption needs the same one. It has
	// 1 to 65,518 bytes.
	Name string

	// PublicKey encrypts and PrivateKey decrypts. One of them may be nil: a
	// keyring doesn't take the public key from the private one. Both must be
	// ML-KEM-768 with X25519 and safe for concurrent use, as this package's
	// keys are. If both are set, they must be a pair.
	PublicKey  hpke.PublicKey
	PrivateKey hpke.PrivateKey
}

type keyring struct {
	Config
	info *datakey.HPKEInfo // in all of its encrypted data keys
}

// NewKeyring returns a keyring that wraps each data key with HPKE, to the owner
// of the private key. It binds the data key to its algorithm suite, its
// encryption context, and the name and the public key of the wrapping key. It
// doesn't prove the sender's identity: anyone with the public key can encrypt.
//
// To decrypt, the keyring skips this provider's data keys for other public
// keys. All other mismatches are among the errors of the
// [*esdk.NoDataKeyError]: malformed data keys, later versions of the format,
// another name.
//
// The keyring is safe for concurrent use.
func NewKeyring(c Config) (esdk.Keyring, error) {
	if c.Name == "" || len(c.Name) > datakey.MaxHPKEName {
		return nil, fmt.Errorf("hpke: keyring needs a key name of 1 to %d bytes", datakey.MaxHPKEName)
	}
	public, err := c.publicBytes()
	if err != nil {
		return nil, fmt.Errorf("hpke: %w", err)
	}
	info := &datakey.HPKEInfo{Fingerprint: fingerprint(public), Name: c.Name}
	return &keyring{c, info}, nil
}

// publicBytes returns the public key of a usable configuration.
func (c *Config) publicBytes() (public []byte, err error) {
	if c.PublicKey == nil && c.PrivateKey == nil {
		return nil, errors.New("keyring needs a public or a private key")
	}
	if c.PublicKey != nil {
		if public, err = publicBytes(c.PublicKey); err != nil {
			return nil, err
		}
	}
	if c.PrivateKey == nil {
		return public, nil
	}
	own, err := publicBytesOf(c.PrivateKey)
	if err == nil && public != nil && !bytes.Equal(own, public) {
		// The keyring couldn't decrypt its own messages, which would show too
		// late.
		err = errors.New("keyring: the public key is not the private key's")
	}
	return own, err
}

func (k *keyring) Wrap(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if k.PublicKey == nil {
		return nil, fmt.Errorf("hpke: key %q has no public key, and cannot encrypt", k.Name)
	}
	return req.Wrap(func(dataKey, aad []byte) (esdk.EncryptedDataKey, error) {
		ciphertext, err := hpke.Seal(k.PublicKey, kdf, aead, k.bound(req.Suite, aad), dataKey)
		if err != nil {
			err = fmt.Errorf("hpke: key %q: %w", k.Name, err)
		}
		return esdk.EncryptedDataKey{ProviderID: ProviderID, ProviderInfo: k.info.Bytes(), Ciphertext: ciphertext}, err
	})
}

func (k *keyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	if k.PrivateKey == nil {
		return nil, &esdk.NoDataKeyError{Errors: []error{datakey.CannotDecrypt(fmt.Sprintf("HPKE key %q has no private key, and cannot decrypt", k.Name))}}
	}
	matches := func(edk *esdk.EncryptedDataKey) bool {
		if edk.ProviderID != ProviderID {
			return false
		}
		info, err := datakey.ParseHPKE(edk.ProviderInfo)
		return err != nil || bytes.Equal(info.Fingerprint, k.info.Fingerprint) // else it's for another key
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, aad []byte) ([]byte, error) {
		return k.unwrap(edk, req.Suite, aad)
	})
}

func (k *keyring) unwrap(edk *esdk.EncryptedDataKey, suite esdk.SuiteID, aad []byte) ([]byte, error) {
	info, err := datakey.ParseHPKE(edk.ProviderInfo)
	if err != nil {
		return nil, errtext.Inauthentic(err)
	}
	if info.Name != k.Name {
		return nil, errtext.Inauthentic(fmt.Errorf("the message has the key under another name than %q", k.Name))
	}
	if want := encLength + suite.DataKeyLength() + tagLength; len(edk.Ciphertext) != want {
		return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", len(edk.Ciphertext), want, suite))
	}
	r, err := hpke.NewRecipient(edk.Ciphertext[:encLength], k.PrivateKey, kdf, aead, k.bound(suite, aad))
	if err != nil {
		err = fmt.Errorf("HPKE key %q: %w", k.Name, err)
		if isLowOrder(edk.Ciphertext[encLength-pointLength : encLength]) {
			err = errtext.Inauthentic(err)
		}
		return nil, err
	}
	dataKey, err := r.Open(nil, edk.Ciphertext[encLength:])
	if err != nil {
		return nil, errtext.Inauthentic(fmt.Errorf("HPKE key %q: wrong encryption context or suite, or a changed data key", k.Name))
	}
	return dataKey, nil
}

// isLowOrder reports whether a point of X25519 has no secret with any key.
// Another error of a private key may be a failure of its hardware.
func isLowOrder(point []byte) bool {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return false
	}
	public, err := ecdh.X25519().NewPublicKey(point)
	if err == nil {
		_, err = key.ECDH(public)
	}
	return err != nil
}

// label keeps data keys sealed here from being opened as anything else that is
// sealed to the same key.
const label = "esdk-hpke data key"

// bound returns the info of HPKE: everything that a data key is bound to. Only
// the last part has no length prefix.
func (k *keyring) bound(suite esdk.SuiteID, serializedContext []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte(label), uint16(suite))
	info := k.info.Bytes()
	b = binary.BigEndian.AppendUint16(b, uint16(len(info)))
	return slices.Concat(b, info, serializedContext)
}
