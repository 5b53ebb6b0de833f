package datakey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"esdk/internal/errtext"
)

// This file has the provider infos that more than one package reads.

const (
	aesTagLength = 16
	aesIVLength  = 12
)

// aesLengths follow the name of a raw AES key: the length of the tag in bits,
// and of the IV in bytes.
const aesLengths = "\x00\x00\x00\x80\x00\x00\x00\x0c"

// AESPrefix returns the provider info of a raw AES key without the IV at its
// end.
//
// Specification: framework/raw-aes-keyring.md#key-provider-information.
func AESPrefix(name string) []byte { return []byte(name + aesLengths) }

// IsAES reports whether a provider info may belong to the key with the name. It
// compares the length too, since one key's name may be a prefix of another's.
func IsAES(info []byte, name string) bool {
	return len(info) == len(name)+len(aesLengths)+aesIVLength && string(info[:len(name)]) == name
}

// CutAES returns the IV in a provider info of the key with the name. Its error
// matches ErrAuthentication.
func CutAES(info []byte, name string) (iv []byte, err error) {
	if !IsAES(info, name) || string(info[len(name):len(name)+len(aesLengths)]) != aesLengths {
		return nil, errtext.Inauthentic(errors.New("provider info has another length of tag or IV"))
	}
	return info[len(name)+len(aesLengths):], nil
}

// An HPKEInfo is the provider info of package hpke: the version of the format,
// the fingerprint of the public key, and the name of the key.
type HPKEInfo struct {
	Fingerprint []byte
	Name        string
}

const (
	hpkeVersion = 1

	// FingerprintLength is the length of package hpke's fingerprints in bytes.
	FingerprintLength = 16

	// MaxHPKEName is the maximum length of package hpke's key names in bytes.
	MaxHPKEName = 0xFFFF - 1 - FingerprintLength
)

// Bytes returns the provider info.
func (i *HPKEInfo) Bytes() []byte {
	b := append([]byte{hpkeVersion}, i.Fingerprint...)
	return append(b, i.Name...)
}

// ParseHPKE is the inverse of [HPKEInfo.Bytes].
func ParseHPKE(info []byte) (*HPKEInfo, error) {
	switch {
	case len(info) == 0:
		return nil, errors.New("provider info is empty")
	case info[0] != hpkeVersion:
		return nil, fmt.Errorf("version %d of the format is not known, only %d", info[0], hpkeVersion)
	case len(info) <= 1+FingerprintLength:
		return nil, fmt.Errorf("provider info has %d bytes, need more than %d", len(info), 1+FingerprintLength)
	}
	return &HPKEInfo{info[1 : 1+FingerprintLength], string(info[1+FingerprintLength:])}, nil
}

// These are the provider IDs of this module. Others are raw keys' namespaces.
const (
	HPKE       = "esdk-hpke"
	KeyService = "esdk-keeper"
	RawECDH    = "raw-ecdh"
	KMSECDH    = "aws-kms-ecdh"
)

// Name returns the name of a wrapping key from its provider info. It may be any
// bytes.
func Name(provider string, info []byte) string {
	switch {
	case provider == HPKE:
		if i, err := ParseHPKE(info); err == nil {
			return i.Name
		}
	case provider == KeyService && len(info) > 0:
		return string(info[1:]) // after the version of its format
	case provider == RawECDH || provider == KMSECDH:
		if recipient := ecdhRecipient(info); recipient != nil {
			return fmt.Sprintf("%x", recipient)
		}
	case strings.HasPrefix(provider, "aws-kms"):
	default:
		if n := len(info) - len(aesLengths) - aesIVLength; n > 0 && string(info[n:n+len(aesLengths)]) == aesLengths {
			return string(info[:n])
		}
	}
	return string(info)
}

// ecdhRecipient returns the recipient's compressed public key. The provider
// info has a version and two public keys with length prefixes.
//
// Specification: framework/raw-ecdh-keyring.md#key-provider-information.
func ecdhRecipient(info []byte) []byte {
	if len(info) < 5 {
		return nil
	}
	n, rest := binary.BigEndian.Uint32(info[1:]), info[5:]
	if uint64(n) > uint64(len(rest)) {
		return nil
	}
	return rest[:n]
}
