package branchkey

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/kdf"
)

// A wrapped data key is
//
//	salt[16] ‖ iv[12] ‖ version[16] ‖ AES-256-GCM(data key) ‖ tag[16]
//
// Specification: framework/aws-kms/aws-kms-hierarchical-keyring.md#ciphertext.
const (
	saltLength    = 16
	ivLength      = 12
	versionLength = 16
	tagLength     = 16
	overhead      = saltLength + ivLength + versionLength + tagLength
)

// A branchKey is the form of a [Key] in a cache. Its secret is cleared once the
// branchKey is unreachable.
type branchKey struct {
	id      string
	version [versionLength]byte
	secret  []byte
	cacheID string // the id that it was fetched for
}

// newBranchKey copies and clears the secret of a key. The key must match the id
// and, unless it is empty, the version.
func newBranchKey(k *Key, id, version string) (*branchKey, error) {
	defer clear(k.Secret)
	u, err := parseUUID(k.Version)
	switch {
	case err != nil:
		err = fmt.Errorf("version %q: %w", k.Version, err)
	case k.ID != id || version != "" && k.Version != version:
		err = fmt.Errorf("the store returned another one, %v", k)
	case len(k.Secret) != keyLength:
		err = fmt.Errorf("the store returned a key of %d bytes, need %d", len(k.Secret), keyLength)
	case datakey.IsZero(k.Secret): // for instance, a Source returns the same Key twice
		err = errors.New("the store returned a key of zeros")
	}
	if err != nil {
		return nil, fmt.Errorf("branch key %q: %w", id, err)
	}
	b := &branchKey{id: id, version: u, secret: bytes.Clone(k.Secret)}
	runtime.AddCleanup(b, func(secret []byte) { clear(secret) }, b.secret)
	return b, nil
}

// wrap encrypts a data key under a key derived for it alone. ec is the
// serialized encryption context.
//
// Specification:
// framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-wrapping.
func (b *branchKey) wrap(dataKey, ec []byte) ([]byte, error) {
	out := make([]byte, saltLength+ivLength, overhead+len(dataKey))
	rand.Read(out)
	aead, err := b.aead(out[:saltLength])
	if err != nil {
		return nil, err
	}
	iv := out[saltLength:]
	out = append(out, b.version[:]...)
	return aead.Seal(out, iv, dataKey, b.aad(ec)), nil
}

// unwrap is the inverse of wrap. The ciphertext must be longer than the
// overhead.
//
// Specification:
// framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-unwrapping.
func (b *branchKey) unwrap(ciphertext, ec []byte) ([]byte, error) {
	salt, rest := ciphertext[:saltLength], ciphertext[saltLength:]
	aead, err := b.aead(salt)
	if err != nil {
		return nil, err
	}
	dataKey, err := aead.Open(nil, rest[:ivLength], rest[ivLength+versionLength:], b.aad(ec))
	if err != nil {
		return nil, errtext.Inauthentic(errors.New("wrong branch key or encryption context"))
	}
	return dataKey, nil
}

// versionOf returns the version that wrapped a ciphertext.
func versionOf(ciphertext []byte) string {
	return formatUUID([versionLength]byte(ciphertext[saltLength+ivLength:]))
}

// aad returns the data that is authenticated along with a data key.
//
// Specification:
// framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-wrapping-and-unwrapping-aad.
func (b *branchKey) aad(ec []byte) []byte {
	aad := append([]byte(providerID), b.id...)
	aad = append(aad, b.version[:]...)
	return append(aad, ec...)
}

func (b *branchKey) aead(salt []byte) (cipher.AEAD, error) {
	key := deriveKey(b.secret, salt)
	runtime.KeepAlive(b)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// deriveKey derives the key for one data key. The provider id is also its
// label.
func deriveKey(secret, salt []byte) []byte {
	input := kdf.FixedInput([]byte(providerID), salt, keyLength)
	return kdf.Counter(sha256.New, secret, input, keyLength)
}
