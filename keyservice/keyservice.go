// Package keyservice protects data keys with key services that bind no
// encryption context: HashiCorp Vault, Google Cloud KMS, Azure Key Vault, or
// any other service that encrypts and decrypts a few bytes.
//
// The drivers of the Go CDK connect to the services: see [gocloud.dev/secrets].
// Each driver has its own import:
//
//	import _ "gocloud.dev/secrets/hashivault" // or gcpkms, azurekeyvault, localsecrets
//
//	k, err := secrets.OpenKeeper(ctx, "hashivault://orders")
//	kr, err := keyservice.NewKeyring(k, "orders")
//	message, err := esdk.Encrypt(ctx, kr, plaintext, nil)
//
// This package doesn't import the CDK, which depends on twenty modules: any
// [Service] works.
//
// Only this library reads the data keys that the keyring wraps. The official
// SDKs skip them, so their keyrings can stand beside it in a multi-keyring.
package keyservice

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// A Service encrypts and decrypts a few bytes under a key that it keeps. A
// *secrets.Keeper of gocloud.dev/secrets is one. It must be safe for concurrent
// use, and must not keep or change its arguments. It must not keep the
// plaintext that it returns, which the keyring clears.
//
// An error of Decrypt that matches [esdk.ErrAuthentication] says that the
// ciphertext isn't authentic. Any other error counts as a failure of the
// service.
type Service interface {
	Encrypt(ctx context.Context, plaintext []byte) (ciphertext []byte, err error)
	Decrypt(ctx context.Context, ciphertext []byte) (plaintext []byte, err error)
}

// docs/format.md defines these constants of the encrypted data keys.
const (
	providerID    = datakey.KeyService
	version       = 1
	kekLength     = 32
	tagLength     = 16
	maxCiphertext = math.MaxUint16
)

// zeroIV serves every wrap, since no key-encryption key is used twice.
var zeroIV [12]byte

type keyring struct {
	service Service
	name    string
	info    []byte // the provider info
}

// NewKeyring returns a keyring that wraps each data key under a fresh
// key-encryption key, which the service encrypts. The encryption context is
// bound to the data key. Encrypting a message takes one call to the service.
// Decrypting takes one call for each data key with the keyring's name, until
// one opens. [esdk/caching.NewCMM] reduces the calls.
//
// The name is stored in each message, and a keyring recognizes its own data
// keys by it: decryption needs the same name. It has 1 to 65,534 bytes. It
// needn't be the service's name for the key, so the key can move.
//
// A nil Service or nil pointer is an error, and so is an empty answer of the
// service. [errors.Is] and [errors.As] reach the errors of the service. The
// context is passed to the service, which may ignore it. The keyring is safe
// for concurrent use.
//
// The format is our own: see docs/format.md. The provider ID is "esdk-keeper".
func NewKeyring(s Service, name string) (esdk.Keyring, error) {
	switch {
	case isnil.Value(s):
		return nil, errors.New("keyservice: NewKeyring needs a Service")
	case name == "":
		return nil, errors.New("keyservice: NewKeyring needs a name for the key")
	case len(name) >= math.MaxUint16:
		return nil, fmt.Errorf("keyservice: name of the key has %d bytes, at most %d are allowed", len(name), math.MaxUint16-1)
	}
	return &keyring{s, name, append([]byte{version}, name...)}, nil
}

// Wrap implements [esdk.Keyring].
func (k *keyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, ec []byte) (esdk.EncryptedDataKey, error) {
		ciphertext, err := k.wrap(ctx, req.Suite, dataKey, ec)
		if err != nil {
			err = fmt.Errorf("keyservice: key %q: %w", k.name, err)
		}
		return esdk.EncryptedDataKey{ProviderID: providerID, ProviderInfo: bytes.Clone(k.info), Ciphertext: ciphertext}, err
	})
}

func (k *keyring) wrap(ctx context.Context, suite esdk.SuiteID, dataKey, ec []byte) ([]byte, error) {
	kek := make([]byte, kekLength)
	rand.Read(kek)
	defer clear(kek)
	aead, err := newGCM(kek) // before the call, which may cost money
	if err != nil {
		return nil, err
	}
	wrapped, err := k.service.Encrypt(ctx, kek)
	if err != nil {
		return nil, err
	}
	if most := maxCiphertext - 2 - len(dataKey) - tagLength; len(wrapped) == 0 || len(wrapped) > most {
		return nil, fmt.Errorf("the service's ciphertext has %d bytes, need 1 to %d", len(wrapped), most)
	}
	head := prefixed(nil, wrapped)
	return aead.Seal(head, zeroIV[:], dataKey, k.additionalData(head, suite, ec)), nil
}

// Unwrap implements [esdk.Keyring].
func (k *keyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool {
		return edk.ProviderID == providerID && (len(edk.ProviderInfo) == 0 || string(edk.ProviderInfo[1:]) == k.name)
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, ec []byte) ([]byte, error) {
		dataKey, err := k.unwrap(ctx, req.Suite, edk, ec)
		if err != nil {
			err = fmt.Errorf("key %q: %w", k.name, err)
		}
		return dataKey, err
	})
}

// unwrap asks the service only if all lengths are right.
func (k *keyring) unwrap(ctx context.Context, suite esdk.SuiteID, edk *esdk.EncryptedDataKey, ec []byte) ([]byte, error) {
	if len(edk.ProviderInfo) == 0 {
		return nil, errtext.Inauthentic(errors.New("provider info is empty"))
	}
	if v := edk.ProviderInfo[0]; v != version {
		return nil, errtext.Inauthentic(fmt.Errorf("format has version %d, only %d is known", v, version))
	}
	head, sealed, err := cut(edk.Ciphertext, suite.DataKeyLength()+tagLength)
	if err != nil {
		return nil, err
	}
	kek, err := k.service.Decrypt(ctx, bytes.Clone(head[2:])) // a copy keeps the request unchanged
	defer clear(kek)
	if err != nil {
		return nil, err
	}
	if len(kek) != kekLength {
		return nil, fmt.Errorf("the service returned a key of %d bytes, need %d", len(kek), kekLength)
	}
	aead, err := newGCM(kek)
	if err != nil {
		return nil, err
	}
	dataKey, err := aead.Open(nil, zeroIV[:], sealed, k.additionalData(head, suite, ec))
	if err != nil {
		return nil, errtext.Inauthentic(errors.New("wrong key or encryption context"))
	}
	return dataKey, nil
}

// cut splits a ciphertext into the service's part, with its length prefix, and
// the data key, which has a known length.
func cut(ciphertext []byte, sealedLength int) (head, sealed []byte, err error) {
	if len(ciphertext) < 2 {
		return nil, nil, errtext.Inauthentic(errors.New("ciphertext is cut short"))
	}
	n := 2 + int(binary.BigEndian.Uint16(ciphertext))
	if n == 2 || len(ciphertext) != n+sealedLength {
		return nil, nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, which does not match its parts", len(ciphertext)))
	}
	return ciphertext[:n], ciphertext[n:], nil
}

// additionalData returns everything that the data key is bound to. It includes
// the service's ciphertext, since a service may read several ciphertexts as the
// same.
func (k *keyring) additionalData(head []byte, suite esdk.SuiteID, ec []byte) []byte {
	b := prefixed([]byte(providerID), k.info)
	b = append(b, head...)
	b = binary.BigEndian.AppendUint16(b, uint16(suite))
	return append(b, ec...)
}

// prefixed appends a field with its length prefix.
func prefixed(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	return append(b, field...)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block) // fails under GODEBUG=fips140=only, since we choose the IV
}
