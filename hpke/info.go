package hpke

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"esdk/internal/datakey"
)

// ParseProviderInfo returns what an encrypted data key of [ProviderID] says of
// its wrapping key: the name, which can be any bytes, and the [Fingerprint] of
// the public key. Nothing of it is authenticated until the data key is unwrapped.
func ParseProviderInfo(info []byte) (name, fingerprint string, err error) {
	i, err := datakey.ParseHPKE(info)
	if err != nil {
		return "", "", fmt.Errorf("hpke: %w", err)
	}
	return i.Name, hex.EncodeToString(i.Fingerprint), nil
}

// Fingerprint tells public keys apart: it returns the first 16 bytes of the
// SHA-256 of a key, as 32 hexadecimal digits.
func Fingerprint(key hpke.PublicKey) string { return hex.EncodeToString(fingerprint(key.Bytes())) }

func fingerprint(public []byte) []byte {
	sum := sha256.Sum256(public)
	return sum[:datakey.FingerprintLength]
}
