package hpke

import (
	"crypto/hpke"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
)

// The types of PEM blocks. PKCS #8 has no settled object identifier for these
// keys, so that the types are our own.
const (
	privateType = "ESDK HPKE PRIVATE KEY"
	publicType  = "ESDK HPKE PUBLIC KEY"
)

var errNotHybrid = errors.New("hpke: the key is not of ML-KEM-768 with X25519")

// GenerateKey returns a new private key.
func GenerateKey() (hpke.PrivateKey, error) { return kem.GenerateKey() }

// MarshalPrivateKey returns a private key in PEM, for its owner alone. It fails
// if the key is held by hardware.
func MarshalPrivateKey(key hpke.PrivateKey) ([]byte, error) {
	if key == nil || key.KEM().ID() != kem.ID() {
		return nil, errNotHybrid
	}
	seed, err := key.Bytes() // which is the key's own memory
	if err != nil {
		return nil, fmt.Errorf("hpke: %w", err)
	}
	return marshal(privateType, seed), nil
}

// MarshalPublicKey returns a public key in PEM, of about 1.7 KB.
func MarshalPublicKey(key hpke.PublicKey) ([]byte, error) {
	if key == nil || key.KEM().ID() != kem.ID() {
		return nil, errNotHybrid
	}
	return marshal(publicType, key.Bytes()), nil
}

// marshal puts the KEM's id before a key, so that a later KEM is told apart.
func marshal(kind string, key []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(key)), kem.ID())
	b = append(b, key...)
	defer clear(b)
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
}

// ParsePrivateKey reads the private key that stands in PEM. There may be text
// and blocks of other types around it, but no second private key.
func ParsePrivateKey(data []byte) (hpke.PrivateKey, error) {
	return parse(data, privateType, kem.NewPrivateKey)
}

// ParsePublicKey reads the public key that stands in PEM, as [ParsePrivateKey]
// does the private one. It does not take it out of a private key.
func ParsePublicKey(data []byte) (hpke.PublicKey, error) {
	return parse(data, publicType, kem.NewPublicKey)
}

func parse[K any](data []byte, kind string, read func([]byte) (K, error)) (key K, err error) {
	b, err := onlyBlock(data, kind)
	if err == nil {
		defer clear(b)
		key, err = parseBlock(b, read)
	}
	if err != nil {
		return key, fmt.Errorf("hpke: reading an %s from PEM: %w", kind, err)
	}
	return key, nil
}

// onlyBlock returns what the block of a type holds.
func onlyBlock(data []byte, kind string) ([]byte, error) {
	var found *pem.Block
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != kind {
			clear(block.Bytes) // which may be the private key of the public one
			continue
		}
		if found != nil {
			clear(block.Bytes)
			clear(found.Bytes)
			return nil, errors.New("there are several")
		}
		found = block
	}
	if found == nil {
		return nil, errors.New("none there")
	}
	if len(found.Headers) > 0 { // such as those of encrypted keys
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
