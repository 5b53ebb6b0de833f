// Package hpke holds a keyring that protects data keys with a public key against
// those, too, who record messages now and will have a quantum computer later.
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
// It is HPKE (RFC 9180) of [crypto/hpke], with ML-KEM-768 and X25519 together: a
// data key is safe as long as one of the two is. Keys have the types of that
// package, so that they may be held by hardware.
//
// No official SDK knows such encrypted data keys; they pass over them. If a
// multi-keyring has keys of AWS KMS too, every SDK can open the message with those.
// Each key that a message is for opens it: beside one of RSA or ECDH, this keyring
// protects nothing from a quantum computer.
//
// The format is ours: docs/format.md. An encrypted data key takes about 1.2 KiB
// of the message.
package hpke

import (
	"bytes"
	"context"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"esdk"
	"esdk/internal/datakey"
)

// ProviderID is the provider ID of the keyring's encrypted data keys.
const ProviderID = "esdk-hpke"

// The suite of HPKE, which version 1 of the format fixes. HKDF takes an info of
// any length; crypto/hpke cuts the length that it gives SHAKE to 16 bits, which
// is too few for a provider info and an encryption context.
var (
	kem  = hpke.MLKEM768X25519()
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

const (
	encLength = 1088 + 32 // ciphertext of ML-KEM-768, public key of X25519
	tagLength = 16
)

// Config configures [NewKeyring].
type Config struct {
	// Name stands in each message, and decryption needs the same one. It is not
	// empty, and has at most 65,518 bytes.
	Name string

	// PublicKey encrypts, PrivateKey decrypts. One of them may be nil: a keyring
	// does not take the public key out of the private one. Both must be of
	// ML-KEM-768 with X25519 and safe for concurrent use, as those of this package
	// are, and of one pair.
	PublicKey  hpke.PublicKey
	PrivateKey hpke.PrivateKey
}

type keyring struct {
	Config
	info *datakey.HPKEInfo // of all of its encrypted data keys
}

// NewKeyring returns a keyring that wraps each data key, with HPKE, to the owner
// of the private key. It binds the data key to its algorithm suite, its
// encryption context, and the name and the public key of the wrapping key. It
// does not tell who encrypted: anybody can who has the public key.
//
// Of encrypted data keys of this provider, those of other public keys are passed
// over. What else does not fit is among the errors of the [*esdk.NoDataKeyError]:
// malformed ones, later versions of the format, another name.
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

// publicBytes returns the public key of a configuration whose keys can be used.
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
		// It would encrypt what it cannot decrypt, which is found out too late.
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
		return nil, &esdk.NoDataKeyError{Errors: []error{fmt.Errorf("HPKE key %q has no private key, and cannot decrypt", k.Name)}}
	}
	matches := func(edk *esdk.EncryptedDataKey) bool {
		if edk.ProviderID != ProviderID {
			return false
		}
		info, err := datakey.ParseHPKE(edk.ProviderInfo)
		return err != nil || bytes.Equal(info.Fingerprint, k.info.Fingerprint) // else it is for somebody else
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, aad []byte) ([]byte, error) {
		return k.unwrap(edk, req.Suite, aad)
	})
}

func (k *keyring) unwrap(edk *esdk.EncryptedDataKey, suite esdk.SuiteID, aad []byte) ([]byte, error) {
	info, err := datakey.ParseHPKE(edk.ProviderInfo)
	if err != nil {
		return nil, err
	}
	if info.Name != k.Name {
		return nil, fmt.Errorf("the message has the key under another name than %q", k.Name)
	}
	if want := encLength + suite.DataKeyLength() + tagLength; len(edk.Ciphertext) != want {
		return nil, fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", len(edk.Ciphertext), want, suite)
	}
	r, err := hpke.NewRecipient(edk.Ciphertext[:encLength], k.PrivateKey, kdf, aead, k.bound(suite, aad))
	if err != nil {
		return nil, fmt.Errorf("HPKE key %q: %w", k.Name, err)
	}
	dataKey, err := r.Open(nil, edk.Ciphertext[encLength:])
	if err != nil {
		return nil, fmt.Errorf("HPKE key %q: wrong encryption context or suite, or a changed data key", k.Name)
	}
	return dataKey, nil
}

// label keeps what is sealed here from being opened as anything else that is
// sealed to the same key.
const label = "esdk-hpke data key"

// bound returns the info of HPKE: all that a data key is bound to. Only its last
// part has no length before it.
func (k *keyring) bound(suite esdk.SuiteID, serializedContext []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte(label), uint16(suite))
	info := k.info.Bytes()
	b = binary.BigEndian.AppendUint16(b, uint16(len(info)))
	return slices.Concat(b, info, serializedContext)
}
