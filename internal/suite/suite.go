// Package suite holds the algorithm suites of the message format: their table,
// key derivation, key commitment and signatures.
//
// Specification: framework/algorithm-suites.md and
// framework/transitive-requirements.md.
package suite

import (
	"crypto"
	"crypto/elliptic"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
)

// A Suite is one row of the table of algorithm suites. All of them encrypt with
// AES-GCM, a 12-byte IV and a 16-byte tag. Suites are compared by pointer.
type Suite struct {
	ID   uint16
	Name string

	// KeyLength is the length in bytes of the data key, and of the content key
	// derived from it.
	KeyLength int

	// Commits says that the header commits to the data key. Such messages have
	// format version 2.
	Commits bool

	// SignatureLength is the length in bytes of the DER signatures that this
	// library writes; 0 if the suite doesn't sign. Signatures of any valid
	// length are read.
	SignatureLength int

	info  string         // the ID as bytes, for key derivation
	kdf   crypto.Hash    // 0: the data key is the content key
	curve elliptic.Curve // nil: unsigned
	hash  crypto.Hash    // of the signature

	hashes sync.Pool // of *hashes
}

var (
	p256 = elliptic.P256()
	p384 = elliptic.P384()
)

// All are the suites of the message format, ordered by ID. Other products share
// the registry of IDs; their suites aren't listed.
var All = withInfo([]*Suite{
	{ID: 0x0014, Name: "AES_128_GCM_IV12_TAG16", KeyLength: 16},
	{ID: 0x0046, Name: "AES_192_GCM_IV12_TAG16", KeyLength: 24},
	{ID: 0x0078, Name: "AES_256_GCM_IV12_TAG16", KeyLength: 32},
	{ID: 0x0114, Name: "AES_128_GCM_IV12_TAG16_HKDF_SHA256", KeyLength: 16, kdf: crypto.SHA256},
	{ID: 0x0146, Name: "AES_192_GCM_IV12_TAG16_HKDF_SHA256", KeyLength: 24, kdf: crypto.SHA256},
	{ID: 0x0178, Name: "AES_256_GCM_IV12_TAG16_HKDF_SHA256", KeyLength: 32, kdf: crypto.SHA256},
	{ID: 0x0214, Name: "AES_128_GCM_IV12_TAG16_HKDF_SHA256_ECDSA_P256", KeyLength: 16, kdf: crypto.SHA256,
		curve: p256, hash: crypto.SHA256, SignatureLength: 71},
	{ID: 0x0346, Name: "AES_192_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384", KeyLength: 24, kdf: crypto.SHA384,
		curve: p384, hash: crypto.SHA384, SignatureLength: 103},
	{ID: 0x0378, Name: "AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384", KeyLength: 32, kdf: crypto.SHA384,
		curve: p384, hash: crypto.SHA384, SignatureLength: 103},
	{ID: 0x0478, Name: "AES_256_GCM_HKDF_SHA512_COMMIT_KEY", KeyLength: 32, kdf: crypto.SHA512, Commits: true},
	{ID: 0x0578, Name: "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384", KeyLength: 32, kdf: crypto.SHA512, Commits: true,
		curve: p384, hash: crypto.SHA384, SignatureLength: 103},
})

func withInfo(suites []*Suite) []*Suite {
	for _, s := range suites {
		s.info = string(binary.BigEndian.AppendUint16(nil, s.ID))
	}
	return suites
}

// Lookup returns the suite with the ID, or nil.
func Lookup(id uint16) *Suite {
	for _, s := range All {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// Parse returns the suite with a name or a hexadecimal ID such as 0x0578 or
// 0578, or nil. It ignores case, and accepts names with or without IV12_TAG16.
func Parse(text string) *Suite {
	if id, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(text), "0x"), 16, 16); err == nil {
		return Lookup(uint16(id))
	}
	short := func(name string) string { return strings.Replace(strings.ToUpper(name), "_IV12_TAG16", "", 1) }
	for _, s := range All {
		if short(text) == short(s.Name) {
			return s
		}
	}
	return nil
}

// Signs reports whether messages end in a signature.
func (s *Suite) Signs() bool { return s.curve != nil }

// Derives reports whether a content key is derived for each message. If not,
// the data key itself encrypts.
func (s *Suite) Derives() bool { return s.kdf != 0 }

// Version returns the suite's version of the message format.
func (s *Suite) Version() byte {
	if s.Commits {
		return 2
	}
	return 1
}

// MessageIDLength returns the length in bytes of the message ID in the header.
func (s *Suite) MessageIDLength() int {
	if s.Commits {
		return 32
	}
	return 16
}
