package vectors

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

// describe parses a description, in which ' stands for ".
func describe(t testing.TB, text string) *KeyDescription {
	t.Helper()
	d := new(KeyDescription)
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "'", `"`)), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCMM encrypts a message under one description and decrypts it under
// another, both with the original descriptions and with written and parsed
// ones.
func TestCMM(t *testing.T) {
	ks, err := ReadKeys(filepath.Join(vectorstest.Own(t), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	const aes = `{'type': 'raw', 'key': 'aes-128', 'provider-id': 'p', 'encryption-algorithm': 'aes'}`
	rsa := func(kind string) string {
		return `{'type': 'raw', 'key': 'rsa-2048-` + kind + `', 'provider-id': 'p', 'encryption-algorithm': 'rsa', 'padding-algorithm': 'oaep-mgf1', 'padding-hash': 'sha384'}`
	}
	ecdh := func(schema string) string {
		return `{'type': 'raw-ecdh', 'schema': '` + schema + `', 'sender': 'ecc-384-private', 'recipient': 'ecc-384-private', 'recipient-public-key': 'recipient-material-public-key'}`
	}
	required := func(underlying string) string {
		return `{'type': 'required-encryption-context-cmm', 'requiredEncryptionContextKeys': ['tenant'], 'underlying': ` + underlying + `}`
	}
	multi := `{'type': 'multi-keyring', 'generator': ` + aes + `, 'childKeyrings': [` + rsa("public") + `, ` + ecdh("ephemeral") + `]}`
	for _, c := range []struct{ encrypt, decrypt, wrong string }{
		{aes, aes, strings.Replace(aes, "128", "192", 1)},
		{rsa("public"), rsa("private"), rsa("public")},
		{rsa("private"), rsa("private"), strings.Replace(rsa("private"), "384", "512", 1)},
		{ecdh("static"), ecdh("static"), strings.ReplaceAll(ecdh("static"), "384", "256")},
		{ecdh("static"), ecdh("discovery"), ecdh("ephemeral")},
		{ecdh("ephemeral"), ecdh("discovery"), ecdh("static")},
		{multi, aes, strings.Replace(aes, "'p'", "'q'", 1)},
		{multi, rsa("private"), rsa("public")},
		{multi, ecdh("discovery"), ecdh("static")},
		{required(multi), required(rsa("private")), rsa("private")},
	} {
		reproduced := esdk.EncryptionContext{"tenant": "17"}
		message, err := encryptWith(t, ks, c.encrypt, reproduced)
		if err != nil {
			t.Errorf("%s: %v", c.encrypt, err)
			continue
		}
		if err := decryptWith(t, ks, c.decrypt, message, reproduced); err != nil {
			t.Errorf("%s\nto %s: %v", c.encrypt, c.decrypt, err)
		}
		if err := decryptWith(t, ks, c.wrong, message, nil); !errors.Is(err, esdk.ErrNoDataKey) && !errors.Is(err, esdk.ErrAuthentication) {
			t.Errorf("%s\nto %s: %v, want a refusal", c.encrypt, c.wrong, err)
		}
	}
	if _, err := encryptWith(t, ks, ecdh("discovery"), nil); err == nil {
		t.Error("discovery encrypts")
	}
	if _, err := ks.CMM(describe(t, `{'type': 'aws-kms', 'key': 'k'}`), nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v, want %v", err, ErrUnsupported)
	}
}

func clientWith(t testing.TB, ks Keys, description string) *esdk.Client {
	t.Helper()
	written, err := json.Marshal(describe(t, description))
	if err != nil {
		t.Fatal(err)
	}
	cmm, err := ks.CMM(describe(t, string(written)), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := esdk.New(esdk.Config{CMM: cmm})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encryptWith(t testing.TB, ks Keys, description string, ec esdk.EncryptionContext) ([]byte, error) {
	t.Helper()
	message, _, err := clientWith(t, ks, description).Encrypt(t.Context(), []byte("text"), ec)
	return message, err
}

func decryptWith(t testing.TB, ks Keys, description string, message []byte, ec esdk.EncryptionContext) error {
	t.Helper()
	plaintext, _, err := clientWith(t, ks, description).Decrypt(t.Context(), message, ec)
	if err == nil && string(plaintext) != "text" {
		err = errors.New("another plaintext came out")
	}
	return err
}

func TestReadKeys(t *testing.T) {
	dir := vectorstest.WriteFiles(t, map[string]string{"keys.json": vectorstest.Keys, "broken.json": "{"})
	if ks, err := ReadKeys(filepath.Join(dir, "keys.json")); err != nil || ks["aes"].Type != "symmetric" {
		t.Errorf("%+v, %v", ks, err)
	}
	for _, name := range []string{"broken.json", "none.json"} {
		if _, err := ReadKeys(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want one that names %s", err, name)
		}
	}
}
