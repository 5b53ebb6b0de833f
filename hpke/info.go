package hpke

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"esdk/internal/datakey"
)

// ParseProviderInfo parses the provider info of an encrypted data key of
// [ProviderID]. It returns the wrapping key's name, which can be any bytes, and
// the [Fingerprint] of its public key. Neither is authenticated until the data
// key is unwrapped.
func ParseProviderInfo(info []byte) (name, fingerprint string, err error) {
	i, err := datakey.ParseHPKE(info)
	if err != nil {
		return "", "", fmt.Errorf("hpke: %w", err)
	}
	return i.Name, hex.EncodeToString(i.Fingerprint), nil
}

// Fingerprint returns the first 16 bytes of the SHA-256 of a public key, as 32
// hexadecimal digits, to tell keys apart.
func Fingerprint(key hpke.PublicKey) string { return hex.EncodeToString(fingerprint(key.Bytes())) }

func fingerprint(public []byte) []byte {
	sum := sha256.Sum256(public)
	return sum[:datakey.FingerprintLength]
}
