// Package keyservice protects data keys with key services that bind no encryption
// context: HashiCorp Vault, Google Cloud KMS, Azure Key Vault, or any other that
// encrypts and decrypts a few bytes.
//
// The services are reached through the drivers of the Go CDK,
// gocloud.dev/secrets, of which each is an import of its own:
//
//	import _ "gocloud.dev/secrets/hashivault" // or gcpkms, azurekeyvault, localsecrets
//
//	k, err := secrets.OpenKeeper(ctx, "hashivault://orders")
//	kr, err := keyservice.NewKeyring(k, "orders")
//
// This package does not import the CDK, which brings twenty modules with it: any
// [Service] will do.
//
// Only this library reads what the keyring wraps. The official SDKs pass over it,
// so that their keyrings can stand beside it in a multi-keyring.
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
	"esdk/internal/isnil"
)

// A Service encrypts and decrypts a few bytes under a key that it keeps. It is
// what *secrets.Keeper of gocloud.dev/secrets is. It must be safe for concurrent
// use, and must not keep or change the slices that it is given. Nor may it keep the
// plaintext that it returns, which the keyring clears.
type Service interface {
	Encrypt(ctx context.Context, plaintext []byte) (ciphertext []byte, err error)
	Decrypt(ctx context.Context, ciphertext []byte) (plaintext []byte, err error)
}

// What docs/format.md says of the encrypted data keys.
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
// key-encryption key, which the service encrypts; the encryption context is bound
// to the data key. To encrypt a message takes one call of the service, and to
// decrypt it one for each data key that has the keyring's name, until one opens:
// [esdk/caching.NewCMM] makes them fewer.
//
// The name stands in each message, and tells a keyring which data keys are its
// own: decryption needs the same one. It is not empty, and has at most 65,534
// bytes. It need not be the service's name of the key, so that the key can move.
//
// A nil Service, or a nil pointer, is an error, and so are answers of the service that
// are empty. Errors of the service are within reach of [errors.Is] and [errors.As]. The
// context is passed on to the service, which may not heed it. The keyring is safe
// for concurrent use.
//
// The format is ours: docs/format.md. The provider ID is "esdk-keeper".
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
	aead, err := newGCM(kek) // before the call, which may cost
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

// unwrap asks the service only once all lengths are right.
func (k *keyring) unwrap(ctx context.Context, suite esdk.SuiteID, edk *esdk.EncryptedDataKey, ec []byte) ([]byte, error) {
	if len(edk.ProviderInfo) == 0 {
		return nil, errors.New("provider info is empty")
	}
	if v := edk.ProviderInfo[0]; v != version {
		return nil, fmt.Errorf("format has version %d, only %d is known", v, version)
	}
	head, sealed, err := cut(edk.Ciphertext, suite.DataKeyLength()+tagLength)
	if err != nil {
		return nil, err
	}
	kek, err := k.service.Decrypt(ctx, bytes.Clone(head[2:])) // lest the request be changed
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
		return nil, errors.New("wrong key or encryption context")
	}
	return dataKey, nil
}

// cut splits a ciphertext into what the service made, with its length before it,
// and the data key, which has a known length.
func cut(ciphertext []byte, sealedLength int) (head, sealed []byte, err error) {
	if len(ciphertext) < 2 {
		return nil, nil, errors.New("ciphertext is cut short")
	}
	n := 2 + int(binary.BigEndian.Uint16(ciphertext))
	if n == 2 || len(ciphertext) != n+sealedLength {
		return nil, nil, fmt.Errorf("ciphertext has %d bytes, which are not those of its parts", len(ciphertext))
	}
	return ciphertext[:n], ciphertext[n:], nil
}

// additionalData has all that the data key is bound to. The service's ciphertext
// is in it, since a service may read several as the same.
func (k *keyring) additionalData(head []byte, suite esdk.SuiteID, ec []byte) []byte {
	b := prefixed([]byte(providerID), k.info)
	b = append(b, head...)
	b = binary.BigEndian.AppendUint16(b, uint16(suite))
	return append(b, ec...)
}

// prefixed appends bytes behind their length.
func prefixed(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	return append(b, field...)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block) // fails under GODEBUG=fips140=only, since the IV is ours
}
