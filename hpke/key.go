package hpke

import (
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// These are the types of PEM blocks. PKCS #8 has no settled object identifier
// for these keys, so the types are our own.
const (
	privateType = "ESDK HPKE PRIVATE KEY"
	publicType  = "ESDK HPKE PUBLIC KEY"
)

const seedLength = 32 // of a private key, in bytes

var (
	errNotHybrid  = errors.New("the key is not of ML-KEM-768 with X25519")
	errIncomplete = errors.New("the key lacks a part")
)

// publicBytes returns the bytes of a usable public key. Zero values of the
// standard library's types, and types that embed an interface, may lack a part
// of a key.
func publicBytes(key hpke.PublicKey) (b []byte, err error) {
	defer incomplete(&b, &err)
	if key.KEM().ID() != kem.ID() {
		return nil, errNotHybrid
	}
	b = key.Bytes()
	if _, err := kem.NewPublicKey(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errIncomplete, err)
	}
	return b, nil
}

// publicBytesOf returns the public half of a private key.
func publicBytesOf(key hpke.PrivateKey) (b []byte, err error) {
	defer incomplete(&b, &err)
	if key.KEM().ID() != kem.ID() {
		return nil, errNotHybrid
	}
	return publicBytes(key.PublicKey())
}

// seedOf returns the seed of a private key, which is the key's own memory.
func seedOf(key hpke.PrivateKey) (seed []byte, err error) {
	defer incomplete(&seed, &err)
	if key.KEM().ID() != kem.ID() {
		return nil, errNotHybrid
	}
	seed, err = key.Bytes()
	if err == nil && len(seed) != seedLength {
		return nil, errIncomplete
	}
	return seed, err
}

// incomplete turns the panic of an incomplete key into an error.
func incomplete(b *[]byte, err *error) {
	if recover() != nil {
		*b, *err = nil, errIncomplete
	}
}

// GenerateKey returns a new private key.
func GenerateKey() (hpke.PrivateKey, error) { return kem.GenerateKey() }

// MarshalPrivateKey returns a private key in PEM, for its owner alone. It fails
// if hardware holds the key.
func MarshalPrivateKey(key hpke.PrivateKey) ([]byte, error) {
	seed, err := seedOf(key)
	if err != nil {
		return nil, fmt.Errorf("hpke: %w", err)
	}
	return marshal(privateType, seed), nil
}

// MarshalPublicKey returns a public key in PEM, about 1.7 KB.
func MarshalPublicKey(key hpke.PublicKey) ([]byte, error) {
	b, err := publicBytes(key)
	if err != nil {
		return nil, fmt.Errorf("hpke: %w", err)
	}
	return marshal(publicType, b), nil
}

// marshal prefixes a key with the KEM's ID, to distinguish later KEMs.
func marshal(kind string, key []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(key)), kem.ID())
	b = append(b, key...)
	defer clear(b)
	return appendPEM(make([]byte, 0, pemLength(kind, len(b))), kind, b)
}

// These are the parts of PEM. Each line has 64 characters.
const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----\n"
	pemLine  = 48 // bytes in a line
)

// pemLength returns the number of bytes that appendPEM appends for n bytes.
func pemLength(kind string, n int) int {
	lines := n/pemLine + 1 // no key fills its last line
	return len(pemBegin) + len(pemEnd) + 2*len(kind) + 2*len(pemTail) + base64.StdEncoding.EncodedLen(n) + lines
}

// appendPEM does the same as [pem.Encode], which leaves parts of a key in
// buffers that it grows and doesn't clear.
func appendPEM(text []byte, kind string, b []byte) []byte {
	text = append(append(append(text, pemBegin...), kind...), pemTail...)
	for line := range slices.Chunk(b, pemLine) {
		text = append(base64.StdEncoding.AppendEncode(text, line), '\n')
	}
	return append(append(append(text, pemEnd...), kind...), pemTail...)
}

// ParsePrivateKey parses the private key in PEM data. Text and blocks of other
// types may surround it, but not a second private key.
func ParsePrivateKey(data []byte) (hpke.PrivateKey, error) {
	return parse(data, privateType, kem.NewPrivateKey)
}

// ParsePublicKey parses the public key in PEM data, as [ParsePrivateKey] does
// the private one. It doesn't take it from a private key.
func ParsePublicKey(data []byte) (hpke.PublicKey, error) {
	return parse(data, publicType, kem.NewPublicKey)
}

func parse[K any](data []byte, kind string, read func([]byte) (K, error)) (key K, err error) {
	b, err := onlyBlock(data, kind)
	if err == nil {
		defer clear(b[:cap(b)])
		key, err = parseBlock(b, read)
	}
	if err != nil {
		return key, fmt.Errorf("hpke: reading an %s from PEM: %w", kind, err)
	}
	return key, nil
}

// onlyBlock returns the content of the only block of a type.
func onlyBlock(data []byte, kind string) ([]byte, error) {
	var found *pem.Block
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != kind {
			clear(block.Bytes) // may hold the private key of this public one
			continue
		}
		if found != nil {
			clear(block.Bytes)
			clear(found.Bytes)
			return nil, errors.New("several found")
		}
		found = block
	}
	if found == nil {
		return nil, errors.New("none found")
	}
	if len(found.Headers) > 0 { // such as an encrypted key's
		clear(found.Bytes)
		return nil, errors.New("its PEM block has headers")
	}
	return found.Bytes, nil
}

func parseBlock[K any](b []byte, read func([]byte) (K, error)) (none K, err error) {
	if len(b) < 2 {
		return none, errors.New("it is too short")
	}
	if id := binary.BigEndian.Uint16(b); id != kem.ID() {
		return none, fmt.Errorf("it is of KEM %#04x, not of %#04x, ML-KEM-768 with X25519", id, kem.ID())
	}
	return read(b[2:])
}
