package vectors

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

// TestOwn runs the vectors that the official SDKs wrote for this repository.
func TestOwn(t *testing.T) {
	for name, passed := range map[string]int{"python.json": 257, "java.json": 257, "javascript.json": 103} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := runManifest(name, Options{})(t, vectorstest.Own(t))
			t.Logf("%+v", s)
			if s.Passed != passed || s.Total() != passed {
				t.Errorf("got %+v, want %d passed", s, passed)
			}
		})
	}
}

// TestOwnEnds checks that each message is rejected with an extra or missing
// byte.
func TestOwnEnds(t *testing.T) {
	for _, c := range load(t, filepath.Join(vectorstest.Own(t), "python.json"), Options{}).Cases {
		if c.Negative || c.KeyType == "raw-ecdh" { // slow, and ends like the others
			continue
		}
		cmm, err := c.cmm()
		if err != nil {
			t.Fatal(err)
		}
		message, err := c.Message()
		if err != nil {
			t.Fatal(err)
		}
		m := *c.test.(*messageTest)
		m.ciphertext = func() ([]byte, error) { return append(message[:len(message):len(message)], 0), nil }
		if refusal, err := m.refused(t.Context(), cmm); !vectorstest.IsFormatError(refusal) || vectorstest.IsTruncation(refusal) {
			t.Errorf("%s with a byte more: %v, %v", c.ID, refusal, err)
		}
		m.ciphertext = func() ([]byte, error) { return message[:len(message)-1], nil }
		if refusal, err := m.refused(t.Context(), cmm); !vectorstest.IsTruncation(refusal) {
			t.Errorf("%s with a byte less: %v, %v", c.ID, refusal, err)
		}
	}
}

// TestECDHRecipient decrypts as the recipient of a static key agreement too;
// the manifests are run as the sender.
func TestECDHRecipient(t *testing.T) {
	for name, want := range map[string]int{"python.json": 33, "java.json": 33} {
		if got := runAsRecipient(t, filepath.Join(vectorstest.Own(t), name)); got != want {
			t.Errorf("%s: %d cases, want %d", name, got, want)
		}
	}
	t.Run("official", func(t *testing.T) {
		path := filepath.Join(vectorstest.Dir(t), "dafny-4.1.0-v5", "decrypt-manifest.json")
		if got := runAsRecipient(t, path); got != 16 {
			t.Errorf("%d cases, want 16", got)
		}
	})
}

// runAsRecipient returns the number of cases.
func runAsRecipient(t *testing.T, path string) (n int) {
	t.Helper()
	d, err := ReadDocument(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{Document: d}
	if l.keys, _, err = l.ReadKeys(""); err != nil {
		t.Fatal(err)
	}
	for id, test := range l.Tests {
		var s ScenarioTest
		if err := json.Unmarshal(test, &s); err != nil {
			t.Fatal(err)
		}
		d := s.Scenario.Key
		if d.Type != "raw-ecdh" || d.Schema != "static" {
			continue
		}
		n++
		own, peer := l.keys[d.Recipient], l.keys[d.Sender]
		kr, err := staticECDH(own.Recipient(), peer.Sender())
		if err != nil {
			t.Fatal(err)
		}
		m := l.newMessageTest(s.Scenario.Ciphertext, s.Scenario.Result)
		if err := m.opens(t.Context(), defaultCMM(t, kr)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	return n
}

// TestRequiredContext checks that messages with a required context are rejected
// without it, and with another.
func TestRequiredContext(t *testing.T) {
	paths := map[string]int{
		filepath.Join(vectorstest.Own(t), "python.json"): 11,
		filepath.Join(vectorstest.Own(t), "java.json"):   11,
	}
	for path, want := range paths {
		if got := checkRequiredContext(t, path); got != want {
			t.Errorf("%s: %d cases, want %d", path, got, want)
		}
	}
	t.Run("official", func(t *testing.T) {
		path := filepath.Join(vectorstest.Dir(t), "dafny-4.1.0-v5", "decrypt-manifest.json")
		if got := checkRequiredContext(t, path); got != 28 {
			t.Errorf("%d cases, want 28", got)
		}
	})
}

// checkRequiredContext returns the number of cases.
func checkRequiredContext(t *testing.T, path string) (n int) {
	t.Helper()
	for _, c := range load(t, path, Options{}).Cases {
		if c.KeyType != "required-encryption-context-cmm" {
			continue
		}
		n++
		cmm, err := c.cmm()
		if err != nil {
			t.Fatal(err)
		}
		m := *c.test.(*messageTest)
		given := m.reproduced
		m.reproduced = nil
		if refusal, err := m.refused(t.Context(), cmm); !errors.Is(refusal, esdk.ErrEncryptionContext) {
			t.Errorf("%s without context: %v, %v", c.ID, refusal, err)
		}
		m.reproduced = esdk.EncryptionContext{}
		for k, v := range given {
			m.reproduced[k] = v + "?"
		}
		// RSA doesn't bind the data key to the context, but the header does.
		refusal, err := m.refused(t.Context(), cmm)
		if !errors.Is(refusal, esdk.ErrEncryptionContext) && !errors.Is(refusal, esdk.ErrNoDataKey) &&
			!errors.Is(refusal, esdk.ErrAuthentication) && !errors.Is(refusal, esdk.ErrCommitment) {
			t.Errorf("%s with another context: %v, %v", c.ID, refusal, err)
		}
	}
	return n
}

// TestMaterialsControls checks that the negative cases succeed with the context
// that their data keys are bound to: only the context makes them fail.
func TestMaterialsControls(t *testing.T) {
	for _, set := range []string{"mpl-decrypt-go", "mpl-decrypt-py"} {
		dir := filepath.Join(vectorstest.Dir(t), set)
		text, err := folder(dir).read("keys.json")
		if err != nil {
			t.Fatal(err)
		}
		ks, err := ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range load(t, filepath.Join(dir, "manifest.json"), Options{}).Cases {
			if c.Negative && c.KeyType != "static-material-keyring" {
				n++
				checkControl(t, ks, c)
			}
		}
		if n != 49 {
			t.Errorf("%s: %d cases, want 49", set, n)
		}
	}
}

func checkControl(t *testing.T, ks Keys, c *Case) {
	t.Helper()
	m := *c.test.(*materialsTest)
	m.ReproducedContext = esdk.EncryptionContext{"a": "a", "b": "b"}
	d := m.Key
	if d.Underlying != nil {
		// It may require a key that the true context doesn't have.
		d = d.Underlying
	}
	cmm, err := ks.CMM(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmm.DecryptionMaterials(t.Context(), m.request()); err != nil {
		t.Errorf("%s: %v", c.ID, err)
	}
}

// The manifests also have suites of other products, which this package doesn't
// support.
func TestForeignSuite(t *testing.T) {
	for _, kind := range []string{"positive-keyring", "negative-keyring"} {
		for suite, want := range map[string]Outcome{"6700": Unsupported, "6701": Unsupported, "0478": Failed} {
			text := `{"manifest": {"type": "awses-mpl-decrypt", "version": 4}, "keys": "file://keys.json", "tests": {"a": {"type": "` + kind +
				`", "algorithmSuiteId": "` + suite + `", "keyDescription": ` + vectorstest.MasterKey + `, "encryptedDataKeys": [], "result": {"plaintextDataKey": "AAAA"}}}}`
			if kind == "negative-keyring" && want == Failed {
				want = Passed // rejected, as it must be
			}
			dir := vectorstest.WriteFiles(t, map[string]string{"keys.json": vectorstest.Keys, "manifest.json": text})
			m := load(t, filepath.Join(dir, "manifest.json"), Options{})
			if r := m.Cases[0].Run(t.Context()); r.Outcome != want {
				t.Errorf("%s of suite %s: %s, %v", kind, suite, r.Outcome, r.Err)
			}
		}
	}
}
