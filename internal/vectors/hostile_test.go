package vectors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

func TestBrokenManifests(t *testing.T) {
	const ok = `"ciphertext": "file://c", "plaintext": "file://p"`
	v5 := func(scenario string) string {
		return `{"manifest": {"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": {"a": {"decryption-scenario": ` + scenario + `}}}`
	}
	mpl := func(test string) string {
		return `{"manifest": {"type": "awses-mpl-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a": ` + test + `}}`
	}
	for name, text := range map[string]string{
		"empty":               "",
		"not JSON":            "{",
		"null":                "null",
		"list":                "[]",
		"deep":                strings.Repeat("[", 1<<20),
		"no type":             `{}`,
		"other type":          `{"manifest": {"type": "awses-encrypt", "version": 1}}`,
		"version 0":           `{"manifest": {"type": "awses-decrypt", "version": 0}}`,
		"version 6":           `{"manifest": {"type": "awses-decrypt", "version": 6}}`,
		"version text":        `{"manifest": {"type": "awses-decrypt", "version": "4"}}`,
		"no keys":             `{"manifest": {"type": "awses-decrypt", "version": 4}}`,
		"keys elsewhere":      strings.Replace(v4(ok), "file://keys", "file://../keys", 1),
		"keys not local":      strings.Replace(v4(ok), "file://keys.json", "https://example.com/keys.json", 1),
		"keys not keys":       strings.Replace(v4(ok), "keys.json", "manifest.json", 1),
		"keys missing":        strings.Replace(v4(ok), "keys.json", "none.json", 1),
		"test null":           `{"manifest": {"type": "awses-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a": null}}`,
		"test list":           `{"manifest": {"type": "awses-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a": []}}`,
		"no result":           v4(`"ciphertext": "file://c"`),
		"two results":         v4(ok + `, "result": {"output": {"plaintext": "file://p"}}`),
		"output and error":    v4(`"ciphertext": "file://c", "result": {"output": {"plaintext": "file://p"}, "error": {}}`),
		"no master keys":      v4(ok + `, "master-keys": []`),
		"unknown CMM":         v4(ok + `, "cmm": "Other"`),
		"unknown method":      v4(ok + `, "decryption-method": "other"`),
		"no scenario":         v5(`null`),
		"no key description":  v5(`{"type": "positive-esdk", "ciphertext": "file://c", "result": "file://p"}`),
		"unknown scenario":    v5(`{"type": "other", "decryptKeyDescription": {"type": "raw"}}`),
		"suite not hex":       v5(`{"type": "positive-esdk", "algorithmSuiteId": "x", "decryptKeyDescription": {"type": "raw"}}`),
		"suite too long":      v5(`{"type": "positive-esdk", "algorithmSuiteId": "10578", "decryptKeyDescription": {"type": "raw"}}`),
		"materials no key":    mpl(`{"type": "negative-keyring"}`),
		"materials no result": mpl(`{"type": "positive-keyring", "keyDescription": {"type": "raw"}}`),
		"materials type":      mpl(`{"type": "other", "keyDescription": {"type": "raw"}}`),
		"filter not object":   v5(`{"type": "positive-esdk", "decryptKeyDescription": {"type": "aws-kms-mrk-aware-discovery", "aws-kms-discovery-filter": "aws"}}`),
		"accounts not texts":  v5(`{"type": "positive-esdk", "decryptKeyDescription": {"type": "aws-kms-mrk-aware-discovery", "aws-kms-discovery-filter": {"account-ids": [1]}}}`),
		"region not text":     v5(`{"type": "positive-esdk", "decryptKeyDescription": {"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": []}}`),
		"materials base64":    mpl(`{"type": "negative-keyring", "keyDescription": {"type": "raw"}, "encryptedDataKeys": [{"ciphertext": "!"}]}`),
		"legacy no keys":      `{"manifest": {"type": "ciphertext"}, "test_cases": [{}]}`,
	} {
		path := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"keys.json": vectorstest.Keys, "manifest.json": text}), "manifest.json")
		if m, err := Load(path, Options{}); err == nil {
			t.Errorf("%s: loaded %d cases", name, len(m.Cases))
		}
	}
}

// TestBrokenKeys has descriptions and keys that aren't checked until a case
// runs.
func TestBrokenKeys(t *testing.T) {
	keysText := `{"manifest": {"type": "keys", "version": 1}, "keys": {
		"null": null,
		"number": {"type": "symmetric", "encoding": "base64", "material": 5},
		"hex": {"type": "symmetric", "encoding": "hex", "material": "00"},
		"short": {"type": "symmetric", "encoding": "base64", "material": ["AAAA"]},
		"rsa": {"type": "private", "encoding": "pem", "material": "-----BEGIN"},
		"rsa?": {"type": "other", "material": ""},
		"ecc": {"type": "ecc-private", "sender-material": "?", "recipient-material": "?", "recipient-material-public-key": "AAAA"}}}`
	for _, description := range []string{
		`{"type": ""}`,
		`{"type": "raw", "key": "none"}`,
		`{"type": "raw", "encryption-algorithm": "other", "key": "hex"}`,
		`{"type": "raw", "encryption-algorithm": "aes", "provider-id": "p", "key": "null"}`,
		`{"type": "raw", "encryption-algorithm": "aes", "provider-id": "p", "key": "number"}`,
		`{"type": "raw", "encryption-algorithm": "aes", "provider-id": "p", "key": "hex"}`,
		`{"type": "raw", "encryption-algorithm": "aes", "provider-id": "p", "key": "short"}`,
		`{"type": "raw", "encryption-algorithm": "rsa", "provider-id": "p", "key": "rsa", "padding-algorithm": "pkcs1"}`,
		`{"type": "raw", "encryption-algorithm": "rsa", "provider-id": "p", "key": "rsa?", "padding-algorithm": "pkcs1"}`,
		`{"type": "raw-ecdh", "schema": "static", "sender": "ecc", "recipient": "ecc", "recipient-public-key": "recipient-material-public-key"}`,
		`{"type": "raw-ecdh", "schema": "discovery", "recipient": "ecc", "recipient-public-key": "recipient-material-public-key"}`,
		`{"type": "raw-ecdh", "schema": "other", "recipient": "ecc", "recipient-public-key": "recipient-material-public-key"}`,
		`{"type": "raw-ecdh", "schema": "static", "recipient": "ecc", "recipient-public-key": "material"}`,
		`{"type": "raw-ecdh", "schema": "static", "recipient": "none"}`,
		`{"type": "multi-keyring"}`,
		`{"type": "multi-keyring", "childKeyrings": [null]}`,
		`{"type": "required-encryption-context-cmm", "requiredEncryptionContextKeys": ["a"]}`,
		`{"type": "required-encryption-context-cmm", "underlying": {"type": "multi-keyring"}}`,
		`{"type": "static-material-keyring", "key": "none"}`,
	} {
		manifest := `{"manifest": {"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": {"a":
			{"decryption-scenario": {"type": "negative-esdk", "decryptKeyDescription": ` + description + `}}}}`
		path := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"keys.json": keysText, "manifest.json": manifest}), "manifest.json")
		if r := load(t, path, Options{}).Cases[0].Run(t.Context()); r.Outcome != Failed || r.Err == nil {
			t.Errorf("%s\ngot %s: %v", description, r.Outcome, r.Err)
		}
	}
}

func TestBrokenKeysManifest(t *testing.T) {
	for _, entry := range []string{
		`{"type": "static-branch-key", "branchKey": "!"}`,
		`{"type": "static-branch-key", "branchKey": 5}`,
		`{"type": "static-branch-key", "branchKeyVersion": {}}`,
		`{"type": "aws-kms", "key-id": ["arn"]}`,
		`{"type": "aws-kms-ecdh", "sender-material-public-key": "!"}`,
	} {
		if ks, err := ParseKeys([]byte(`{"manifest": {"type": "keys", "version": 2}, "keys": {"a": ` + entry + `}}`)); err == nil {
			t.Errorf("%s: read as %+v", entry, ks)
		}
	}
}

// useAll is a hook that looks up everything in a description.
func useAll(d *KeyDescription, ks Keys) (esdk.Keyring, error) {
	_, keyErr := ks.Get(d.Key)
	sender, recipient, err := ks.Parties(d)
	if err != nil {
		return nil, errors.Join(keyErr, err)
	}
	if _, err := recipient.PublicKey(); err != nil {
		return nil, err
	}
	if sender != nil {
		if _, err := sender.PublicKey(); err != nil {
			return nil, err
		}
	}
	return nil, ErrUnsupported
}

// TestBrokenDescriptions: a hook's lookup fails unless everything is there.
func TestBrokenDescriptions(t *testing.T) {
	for description, want := range map[string]Outcome{
		`{"type": "x", "schema": "discovery", "recipient": "pair", "recipient-public-key": "recipient-material-public-key"}`: Unsupported,
		`{"type": "x"}`:                Failed,
		`{"type": "x", "key": "none"}`: Failed,
		`{"type": "x", "schema": "other", "recipient": "pair", "recipient-public-key": "recipient-material-public-key"}`:                                 Failed,
		`{"type": "x", "schema": "discovery", "recipient": "kms", "recipient-public-key": "recipient-material-public-key"}`:                              Failed,
		`{"type": "x", "schema": "discovery", "recipient": "pair", "recipient-public-key": "material"}`:                                                  Failed,
		`{"type": "x", "schema": "static", "sender": "none", "recipient": "pair", "recipient-public-key": "recipient-material"}`:                         Failed,
		`{"type": "x", "schema": "static", "sender": "pair", "recipient": "pair", "recipient-public-key": "recipient-material"}`:                         Failed,
		strings.Repeat(`{"type": "multi-keyring", "childKeyrings": [`, 3000) + `{"type": "x"}` + strings.Repeat(`]}`, 3000):                              Failed,
		strings.Repeat(`{"type": "multi-keyring", "generator": `, 3000) + `{"type": "multi-keyring", "childKeyrings": [{}]}` + strings.Repeat(`}`, 3000): Failed,
	} {
		if r := runWithHook(t, "negative-esdk", description, useAll); r.Outcome != want || r.Err == nil {
			t.Errorf("%.200s\ngot %s: %v", description, r.Outcome, r.Err)
		}
	}
}

// TestFolder: no name leads out of the directory.
func TestFolder(t *testing.T) {
	dir := vectorstest.WriteFiles(t, map[string]string{"inside": "x", "outside": "secret"})
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "file"), []byte("ok"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := folder(sub)
	if b, err := files.readURI("file://file"); err != nil || string(b) != "ok" {
		t.Errorf("%q, %v", b, err)
	}
	uris := []string{
		"", "file", "file:file", "file://", "file://.", "file:///", "file://../outside", "file://x/../../outside",
		"file://" + filepath.ToSlash(filepath.Join(dir, "outside")), "https://example.com/file", "file://none",
	}
	if err := os.Symlink(filepath.Join("..", "outside"), filepath.Join(sub, "link")); err == nil {
		uris = append(uris, "file://link")
	}
	for _, uri := range uris {
		if b, err := files.readURI(uri); err == nil {
			t.Errorf("%q: read %q", uri, b)
		}
	}
}

// FuzzLoad checks that every manifest is either rejected or run: each case has
// a result.
func FuzzLoad(f *testing.F) {
	f.Add(v4(`"ciphertext": "file://message", "plaintext": "file://plaintext"`), vectorstest.Keys)
	f.Add(`{"manifest": {"type": "awses-mpl-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a":
		{"type": "positive-keyring", "algorithmSuiteId": "0014", "keyDescription": {"type": "static-material-keyring", "key": "aes"},
		"result": {"plaintextDataKey": "AQ=="}}}}`, vectorstest.Keys)
	f.Add(`{"manifest": {"type": "ciphertext"}, "test_keys": {"RSA": {"2048": {"key": ["-----BEGIN"]}}}, "test_cases": [{"algorithm": "0014",
		"master_keys": [{"provider_id": "p", "decryptable": true, "encryption_algorithm": "RSA", "key_bits": 2048}]}]}`, "")
	for _, description := range []string{
		`{"type": "aws-kms-hierarchy", "key": "branch"}`,
		`{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "r", "aws-kms-discovery-filter": {"partition": "aws", "account-ids": ["1"]}}`,
		`{"type": "aws-kms-ecdh", "schema": "static", "sender": "pair", "recipient": "pair", "recipient-public-key": "recipient-material-public-key"}`,
	} {
		f.Add(`{"manifest": {"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": {"a": {"decryption-scenario":
			{"type": "positive-esdk", "ciphertext": "file://message", "result": "file://plaintext", "decryptKeyDescription": `+description+`}}}}`, hookKeys)
	}
	f.Add(`{"manifest": {"type": "ciphertext"}, "test_cases": [{"master_keys": [{"provider_id": "aws-kms", "decryptable": true, "key_id": "arn:aws:kms:r:1:alias/a"}]}]}`, "")
	message := testMessage(f, "text", 0)
	f.Fuzz(func(t *testing.T, manifest, keys string) {
		dir := vectorstest.WriteFiles(t, map[string]string{"manifest.json": manifest, "keys.json": keys, "message": message, "plaintext": "text"})
		m, err := Load(filepath.Join(dir, "manifest.json"), Options{Keyring: useAll})
		if err != nil {
			return
		}
		var s Summary
		for _, c := range m.Cases {
			s.Add(c.Run(t.Context()))
		}
		if s.Total() != len(m.Cases) {
			t.Errorf("%d cases, but %+v", len(m.Cases), s)
		}
	})
}
