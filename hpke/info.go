package hpke

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// The provider info is the version of the format, the fingerprint of the public
// key, and the name of the key.
const (
	version           = 1
	fingerprintLength = 16
	maxName           = 0xFFFF - 1 - fingerprintLength
)

func appendInfo(b, fingerprint []byte, name string) []byte {
	b = append(append(b, version), fingerprint...)
	return append(b, name...)
}

func parseInfo(info []byte) (fingerprint []byte, name string, err error) {
	switch {
	case len(info) == 0:
		return nil, "", errors.New("provider info is empty")
	case info[0] != version:
		return nil, "", fmt.Errorf("version %d of the format is not known, only %d", info[0], version)
	case len(info) <= 1+fingerprintLength:
		return nil, "", fmt.Errorf("provider info has %d bytes, need more than %d", len(info), 1+fingerprintLength)
	}
	return info[1 : 1+fingerprintLength], string(info[1+fingerprintLength:]), nil
}

// ParseProviderInfo returns what an encrypted data key of [ProviderID] says of
// its wrapping key: the name, which can be any bytes, and the [Fingerprint] of
// the public key. Nothing of it is authenticated until the data key is unwrapped.
func ParseProviderInfo(info []byte) (name, fingerprint string, err error) {
	id, name, err := parseInfo(info)
	if err != nil {
		return "", "", fmt.Errorf("hpke: %w", err)
	}
	return name, hex.EncodeToString(id), nil
}

// Fingerprint tells public keys apart: it returns the first 16 bytes of the
// SHA-256 of a key in hexadecimal.
func Fingerprint(key hpke.PublicKey) string { return hex.EncodeToString(fingerprint(key.Bytes())) }

func fingerprint(public []byte) []byte {
	sum := sha256.Sum256(public)
	return sum[:fingerprintLength]
}
