package wycheproof

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"esdk"
)

type rsaGroup struct {
	KeySize       int
	SHA, MGFSHA   string
	PrivateKeyPEM string
}

type rsaVector struct {
	vector
	Msg, CT, Label hexBytes
}

// key reads the private key.
func (g *rsaGroup) key(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	return must[*rsa.PrivateKey](t)(esdk.ParsePEM[*rsa.PrivateKey]([]byte(g.PrivateKeyPEM)))
}

// oaepHashes are the hashes of the format. MGF1 always has the same hash.
var oaepHashes = map[string]crypto.Hash{
	"SHA-1": crypto.SHA1, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512,
}

// TestRSAOAEP decrypts each vector that uses one hash of the format for
// everything with the raw RSA keyring. A vector with a label fails, since the
// keyring's label is empty. A plaintext that is no data key of any suite is
// refused for its length, which shows that it was decrypted.
func TestRSAOAEP(t *testing.T) {
	got := make(tally)
	for _, file := range []string{
		"rsa_oaep_2048_sha1_mgf1sha1", "rsa_oaep_2048_sha256_mgf1sha256",
		"rsa_oaep_2048_sha384_mgf1sha384", "rsa_oaep_2048_sha512_mgf1sha512",
		"rsa_oaep_3072_sha256_mgf1sha256", "rsa_oaep_3072_sha512_mgf1sha512",
		"rsa_oaep_4096_sha256_mgf1sha256", "rsa_oaep_4096_sha512_mgf1sha512",
		"rsa_oaep_misc",
	} {
		for _, g := range load[rsaGroup, rsaVector](t, file+"_test.json") {
			hash, ok := oaepHashes[g.fields.SHA]
			if !ok || g.fields.SHA != g.fields.MGFSHA {
				got["with other hashes"] += len(g.Tests)
				continue
			}
			k := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
				Namespace: namespace, Name: name, PrivateKey: g.fields.key(t), Hash: hash,
			}))
			for _, v := range g.Tests {
				got[v.Result+checkOAEP(t, file, k, &v)]++
			}
		}
	}
	got.require(t, tally{
		"valid data key": 8, "valid of another length": 135, "invalid": 150,
		"valid with label": 70, "acceptable with label": 3, "with other hashes": 312,
	})
}

func checkOAEP(t *testing.T, file string, k esdk.Keyring, v *rsaVector) string {
	id := suiteFor(len(v.Msg))
	dataKey, err := unwrapRSA(t, k, id, v.CT)
	switch {
	case len(v.Label) > 0 || !v.valid():
		if !errors.Is(err, esdk.ErrAuthentication) {
			t.Errorf("%s: %d: %x, %v; want %v: %s", file, v.ID, dataKey, err, esdk.ErrAuthentication, v.Comment)
		}
		if len(v.Label) > 0 {
			return " with label"
		}
		return ""
	case len(v.Msg) == id.DataKeyLength():
		if err != nil || !bytes.Equal(dataKey, v.Msg) {
			t.Errorf("%s: %d: %x, %v; want %x", file, v.ID, dataKey, err, v.Msg)
		}
		return " data key"
	}
	if !isLengthError(err, len(v.Msg)) {
		t.Errorf("%s: %d: %x, %v; want an error of the length, %d", file, v.ID, dataKey, err, len(v.Msg))
	}
	return " of another length"
}

func unwrapRSA(t *testing.T, k esdk.Keyring, id esdk.SuiteID, ciphertext []byte) ([]byte, error) {
	t.Helper()
	return unwrap(t, k, id, esdk.EncryptedDataKey{ProviderID: namespace, ProviderInfo: []byte(name), Ciphertext: ciphertext})
}

// TestRSAPKCS1 decrypts vectors of PKCS #1 v1.5 with the raw RSA keyring. It
// must not distinguish a plaintext that is no data key from a wrong padding:
// both give a random key, a different one each time. Only a ciphertext that
// isn't a number below the modulus may fail, since this reveals nothing about
// the padding.
func TestRSAPKCS1(t *testing.T) {
	got := make(tally)
	for _, file := range []string{"rsa_pkcs1_2048", "rsa_pkcs1_3072", "rsa_pkcs1_4096"} {
		for _, g := range load[rsaGroup, rsaVector](t, file+"_test.json") {
			k := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
				Namespace: namespace, Name: name, PrivateKey: g.fields.key(t), PKCS1v15: true,
			}))
			for _, v := range g.Tests {
				outcome, want := unwrapPKCS1(t, k, &v), random
				switch {
				case v.valid() && len(v.Msg) == suiteFor(len(v.Msg)).DataKeyLength():
					want = decrypted
				case len(v.Flags) > 0 && v.Flags[len(v.Flags)-1] == "InvalidCiphertextFormat":
					want = refused
				}
				if outcome != want {
					t.Errorf("%s: %d: %s, want %s: %s", file, v.ID, outcome, want, v.Comment)
				}
				got[v.Result+": "+outcome]++
			}
		}
	}
	got.require(t, tally{"valid: decrypted": 4, "valid: random key": 120, "invalid: random key": 59, "invalid: refused": 18})
}

// These are the possible outcomes of a ciphertext of PKCS #1 v1.5.
const (
	decrypted = "decrypted"
	random    = "random key"
	refused   = "refused"
)

func unwrapPKCS1(t *testing.T, k esdk.Keyring, v *rsaVector) string {
	t.Helper()
	id := suiteFor(len(v.Msg))
	first, err := unwrapRSA(t, k, id, v.CT)
	if err != nil {
		if strings.Contains(err.Error(), "padding") {
			t.Errorf("%d: tells of the padding: %v", v.ID, err)
		}
		return refused
	}
	second, err := unwrapRSA(t, k, id, v.CT)
	switch {
	case err != nil || len(first) != id.DataKeyLength() || len(second) != len(first):
		return "neither"
	case bytes.Equal(first, v.Msg) && bytes.Equal(second, v.Msg):
		return decrypted
	case bytes.Equal(first, second):
		return "the same key each time"
	}
	return random
}
