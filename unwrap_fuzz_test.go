package esdk_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"errors"
	"testing"

	"esdk"
	"esdk/internal/faulttest"
)

// FuzzUnwrap: of all encrypted data keys for a raw key, only the original one
// unwraps.
func FuzzUnwrap(f *testing.F) {
	key := rsaKey()
	p256, p521 := ecdhKey(f, ecdh.P256()), ecdhKey(f, ecdh.P521())
	keyrings := []esdk.Keyring{
		aesKeyring(f, "test", "aes", bytes.Repeat([]byte{1}, 16)),
		rsaKeyring(f, esdk.RawRSAConfig{Hash: crypto.SHA1, PublicKey: &key.PublicKey, PrivateKey: key}),
		rsaKeyring(f, esdk.RawRSAConfig{Hash: crypto.SHA512, PublicKey: &key.PublicKey, PrivateKey: key}),
		ecdhKeyring(f, p256, p256.PublicKey()),
		ecdhKeyring(f, p521, ecdhKey(f, ecdh.P521()).PublicKey()),
	}
	const suite = esdk.AES256GCMHKDFSHA512Commit
	var made []*esdk.WrapResult
	for i, kr := range keyrings {
		made = append(made, wrap(f, kr, suite))
		f.Add(uint8(i), "", []byte{}, []byte{}, uint16(0))
		f.Add(uint8(i), "", []byte{1}, []byte{}, uint16(2))
		f.Add(uint8(i), "", []byte{0, 1, 0, 0, 0, 1}, []byte{}, uint16(60))
		f.Add(uint8(i), "raw-ecdh", []byte{}, []byte{0, 0, 3}, uint16(20))
	}
	f.Fuzz(func(t *testing.T, which uint8, provider string, info, ciphertext []byte, at uint16) {
		kr, made := keyrings[int(which)%len(keyrings)], made[int(which)%len(keyrings)]
		good := made.EncryptedDataKeys[0]
		edk := esdk.EncryptedDataKey{
			ProviderID:   good.ProviderID,
			ProviderInfo: faulttest.Changed(good.ProviderInfo, info, at),
			Ciphertext:   faulttest.Changed(good.Ciphertext, ciphertext, at),
		}
		if provider != "" {
			edk.ProviderID = provider
		}
		ecdhKeys := good.ProviderID == "raw-ecdh" && edk.ProviderID == "aws-kms-ecdh" // which have one format
		same := (edk.ProviderID == good.ProviderID || ecdhKeys) && bytes.Equal(edk.ProviderInfo, good.ProviderInfo) && bytes.Equal(edk.Ciphertext, good.Ciphertext)
		got, err := unwrap(t, kr, suite, edk)
		if same != (err == nil) || same != bytes.Equal(got, made.DataKey) {
			t.Errorf("unwrap: %v, but that it is the same is %t", err, same)
		}
		if err != nil && !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("error of no class: %v", err)
		}
	})
}
