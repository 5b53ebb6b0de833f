package esdktest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"esdk"
	"esdk/esdktest"
)

func newMyKeyring() (esdk.Keyring, error) {
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "2026-11", Key: make([]byte, 32)})
}

func ExampleTestKeyring() {
	// In a test file of your package, this function is a test:
	_ = func(t *testing.T) {
		kr, err := newMyKeyring()
		if err != nil {
			t.Fatal(err)
		}
		esdktest.TestKeyring(t, kr)
	}
}

func ExampleTestCMM() {
	// In a test file of your package, this function is a test:
	_ = func(t *testing.T) {
		kr, err := newMyKeyring()
		if err != nil {
			t.Fatal(err)
		}
		cmm, err := esdk.NewDefaultCMM(kr) // stands for a CMM of your own
		if err != nil {
			t.Fatal(err)
		}
		esdktest.TestCMM(t, cmm)
	}
}

// One keyring encrypts with a public RSA key, and another decrypts. RSA can't
// bind the data key to its encryption context.
func ExampleKeyringTest() {
	// In a test file of your package, this function is a test:
	_ = func(t *testing.T) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		encrypt, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "my-app", Name: "2026-11", PublicKey: &key.PublicKey})
		if err != nil {
			t.Fatal(err)
		}
		decrypt, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "my-app", Name: "2026-11", PrivateKey: key})
		if err != nil {
			t.Fatal(err)
		}
		esdktest.KeyringTest{Encrypt: encrypt, Decrypt: decrypt, NoContext: true}.Run(t)
	}
}
