package esdktest_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/esdktest"
)

// ok returns a constructor's result.
func ok[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func rawAES(t testing.TB, name string, length int) esdk.Keyring {
	key := make([]byte, length)
	rand.Read(key)
	return ok[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "esdk", Name: name, Key: key}))
}

func TestRawAESKeyring(t *testing.T) {
	for _, length := range []int{16, 24, 32} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			esdktest.TestKeyring(t, rawAES(t, "key", length))
		})
	}
}

func TestRawRSAKeyring(t *testing.T) {
	key := ok[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	for _, c := range []esdk.RawRSAConfig{
		{PKCS1v15: true},
		{Hash: crypto.SHA1},
		{Hash: crypto.SHA256},
		{Hash: crypto.SHA384},
		{Hash: crypto.SHA512},
	} {
		name := "PKCS1v15"
		if !c.PKCS1v15 {
			name = "OAEP-" + c.Hash.String()
		}
		t.Run(name, func(t *testing.T) {
			c.Namespace, c.Name = "esdk", "rsa"
			encrypt, decrypt := c, c
			encrypt.PublicKey, decrypt.PrivateKey = &key.PublicKey, key
			esdktest.KeyringTest{
				Encrypt:     ok[esdk.Keyring](t)(esdk.NewRawRSAKeyring(encrypt)),
				Decrypt:     ok[esdk.Keyring](t)(esdk.NewRawRSAKeyring(decrypt)),
				NoContext:   true,
				NoIntegrity: c.PKCS1v15,
			}.Run(t)
		})
	}
}

func TestRawECDHKeyring(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		alice := ok[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
		bob := ok[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
		fromAlice := ok[esdk.Keyring](t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: alice, Peer: bob.PublicKey()}))
		fromBob := ok[esdk.Keyring](t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: bob, Peer: alice.PublicKey()}))
		toBob := ok[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(bob.PublicKey()))
		discovery := ok[esdk.Keyring](t)(esdk.NewRawECDHDiscoveryKeyring(bob))
		for _, c := range []struct {
			name             string
			encrypt, decrypt esdk.Keyring
		}{
			{"static", fromAlice, fromBob},
			{"own", fromAlice, fromAlice},
			{"ephemeral", toBob, discovery},
			{"discovery", fromAlice, discovery},
		} {
			t.Run(fmt.Sprintf("%v/%s", curve, c.name), func(t *testing.T) {
				test := esdktest.KeyringTest{Encrypt: c.encrypt, Decrypt: c.decrypt, ProviderIDs: []string{"raw-ecdh"}}
				if curve != ecdh.P256() {
					// These are slow with the race detector, so test one suite
					// of each length.
					test.Suites = []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES192GCM, esdk.AES128GCM}
				}
				test.Run(t)
			})
		}
	}
}

func TestMultiKeyring(t *testing.T) {
	a, b, c := rawAES(t, "a", 32), rawAES(t, "b", 16), rawAES(t, "c", 24)
	multi := func(generator esdk.Keyring, children ...esdk.Keyring) esdk.Keyring {
		return ok[esdk.Keyring](t)(esdk.NewMultiKeyring(generator, children...))
	}
	t.Run("generator", func(t *testing.T) {
		kr := multi(a)
		esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, NoWrap: true}.Run(t)
	})
	t.Run("generator and children", func(t *testing.T) {
		kr := multi(a, b, multi(nil, c))
		esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, NoWrap: true}.Run(t)
	})
	t.Run("children", func(t *testing.T) {
		kr := multi(nil, a, b)
		esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, NoGenerate: true}.Run(t)
	})
}

func TestDefaultCMM(t *testing.T) {
	cmm := ok[esdk.CMM](t)(esdk.NewDefaultCMM(rawAES(t, "key", 32)))
	esdktest.TestCMM(t, cmm)
}

func TestRequiredContextCMM(t *testing.T) {
	inner := ok[esdk.CMM](t)(esdk.NewDefaultCMM(rawAES(t, "key", 32)))
	cmm := ok[esdk.CMM](t)(esdk.NewRequiredContextCMM(inner, "tenant", "Ünïcode"))
	for name, ec := range map[string]esdk.EncryptionContext{
		"some required": {"tenant": "17", "Ünïcode": "", "stage": "test"},
		"all required":  {"tenant": "17", "Ünïcode": strings.Repeat("long ", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			esdktest.CMMTest{Encrypt: cmm, Decrypt: cmm, EncryptionContext: ec}.Run(t)
		})
	}
	// The other side may have another CMM if it reproduces the context.
	t.Run("default decrypts", func(t *testing.T) {
		esdktest.CMMTest{Encrypt: cmm, Decrypt: inner, EncryptionContext: esdk.EncryptionContext{"tenant": "17", "Ünïcode": "ja"}}.Run(t)
	})
}

func TestCachingCMM(t *testing.T) {
	cmm := ok[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: rawAES(t, "key", 32), MaxAge: time.Hour}))
	esdktest.TestCMM(t, cmm)
}
