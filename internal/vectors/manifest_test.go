package vectors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

// testMessage returns a message encrypted under the key in vectorstest.Keys.
func testMessage(t testing.TB, plaintext string, id esdk.SuiteID) string {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "namespace", Name: "aes", Key: make([]byte, 16)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := esdk.New(esdk.Config{Keyring: kr, Suite: id})
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := c.Encrypt(t.Context(), []byte(plaintext), nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// v4 returns a manifest with one test, which has the given extra fields.
func v4(fields string) string {
	const test = `"master-keys": [` + vectorstest.MasterKey + `]`
	return fmt.Sprintf(`{"manifest": {"type": "awses-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a": {%s, %s}}}`, test, fields)
}

// TestOutcomes covers features that no official set has: expected errors,
// streams that must not be signed, and failing cases.
func TestOutcomes(t *testing.T) {
	signed := testMessage(t, "text", esdk.AES256GCMHKDFSHA512CommitECDSAP384)
	files := map[string]string{
		"keys.json": vectorstest.Keys,
		"plaintext": "text",
		"signed":    signed,
		"unsigned":  testMessage(t, "text", esdk.AES256GCMHKDFSHA512Commit),
		"cut":       signed[:len(signed)-1],
	}
	for _, c := range []struct {
		fields  string
		outcome Outcome
		err     error // nil: any
	}{
		{`"ciphertext": "file://signed", "result": {"output": {"plaintext": "file://plaintext"}}`, Passed, nil},
		{`"ciphertext": "file://unsigned", "plaintext": "file://plaintext"`, Passed, nil},
		{`"ciphertext": "file://cut", "result": {"error": {"error-description": "cut"}}`, Passed, nil},
		{`"ciphertext": "file://signed", "result": {"error": {"error-description": "?"}}`, Failed, nil},
		{`"ciphertext": "file://cut", "plaintext": "file://plaintext"`, Failed, nil},
		{`"ciphertext": "file://signed", "plaintext": "file://keys.json"`, Failed, nil},
		{`"ciphertext": "file://missing", "result": {"error": {}}`, Failed, os.ErrNotExist},
		{`"ciphertext": "file://signed", "plaintext": "file://missing"`, Failed, os.ErrNotExist},
		{`"ciphertext": "file://unsigned", "plaintext": "file://plaintext", "decryption-method": "streaming-unsigned-only"`, Passed, nil},
		{`"ciphertext": "file://signed", "result": {"error": {}}, "decryption-method": "streaming-unsigned-only"`, Passed, esdk.ErrSigned},
		{`"ciphertext": "file://signed", "plaintext": "file://plaintext", "encryption-context": {"a": "b"}`, Failed, esdk.ErrNoDataKey},
		{`"ciphertext": "file://signed", "plaintext": "file://plaintext", "master-keys": [{"type": "new"}]`, Unsupported, ErrUnsupported},
	} {
		files["manifest.json"] = v4(c.fields)
		m := load(t, filepath.Join(vectorstest.WriteFiles(t, files), "manifest.json"), Options{})
		r := m.Cases[0].Run(t.Context())
		if r.Outcome != c.outcome || c.err != nil && !errors.Is(r.Err, c.err) {
			t.Errorf("%s\ngot %s: %v, want %s: %v", c.fields, r.Outcome, r.Err, c.outcome, c.err)
		}
	}
}

func TestOtherKeys(t *testing.T) {
	dir := vectorstest.WriteFiles(t, map[string]string{
		"manifest.json": strings.Replace(v4(`"ciphertext": "file://message", "plaintext": "file://plaintext"`), "file://keys.json", "", 1),
		"message":       testMessage(t, "text", 0),
		"plaintext":     "text",
	})
	path := filepath.Join(dir, "manifest.json")
	if _, err := Load(path, Options{}); err == nil {
		t.Error("loaded without keys")
	}
	elsewhere := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"k.json": vectorstest.Keys}), "k.json")
	m := load(t, path, Options{Keys: elsewhere})
	if r := m.Cases[0].Run(t.Context()); r.Outcome != Passed {
		t.Error(r.Err)
	}
}

func TestSummary(t *testing.T) {
	var s Summary
	for _, r := range []Result{{Outcome: Passed}, {Outcome: Failed}, {Outcome: Unsupported, KeyType: "a"},
		{Outcome: Unsupported, KeyType: "a"}, {Outcome: Unsupported, KeyType: "b"}} {
		s.Add(r)
	}
	if s.Passed != 1 || s.Failed != 1 || s.Unsupported != 3 || s.Total() != 5 || s.UnsupportedTypes["a"] != 2 {
		t.Errorf("%+v", s)
	}
}
