package vectorgen

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"esdk/internal/vectors"
	"esdk/internal/vectors/vectorstest"
)

// parseGenerated reads the keys that a plan writes.
func (p *Plan) parseGenerated(t testing.TB) vectors.Keys {
	t.Helper()
	ks, err := vectors.ParseKeys(p.keysText)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

// TestPlanNewKeys: each plan makes keys of its own.
func TestPlanNewKeys(t *testing.T) {
	first, second := newPlan(t, vectors.Options{}).parseGenerated(t), newPlan(t, vectors.Options{}).parseGenerated(t)
	if len(first) != 9 {
		t.Errorf("%d keys, want 9", len(first))
	}
	for name, k := range first {
		other := second[name]
		if string(k.Material)+k.SenderMaterial+string(k.BranchKey) == string(other.Material)+other.SenderMaterial+string(other.BranchKey) {
			t.Errorf("%s is the same twice", name)
		}
	}
}

// TestPlanGivenKeys: given keys are used, missing kinds are made, and given
// keys are written unchanged.
func TestPlanGivenKeys(t *testing.T) {
	own := filepath.Join(vectorstest.Own(t), "keys.json")
	given, err := vectors.ReadKeys(own)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlan(t, vectors.Options{Keys: own})
	ks := p.parseGenerated(t)
	if len(ks) != len(given)+1 || ks["static-branch-key-1"].BranchKey == nil {
		t.Errorf("%d keys, want those given and a branch key", len(ks))
	}
	p.keep("0478-raw-")
	for _, s := range p.scenarios {
		if name := s.encrypt.Key + s.encrypt.Recipient; given[name].Type == "" {
			t.Errorf("%s: uses %q, which was not given", s.id, name)
		}
	}
	g := generate(t, p)
	g.run("manifest.json")
	var before, after struct{ Keys map[string]any }
	vectorstest.ReadJSON(t, &before, own)
	vectorstest.ReadJSON(t, &after, g.dir, keysFile)
	for name, k := range before.Keys {
		if text(t, after.Keys[name]) != text(t, k) {
			t.Errorf("%s was changed", name)
		}
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPlanOddKeys: unusable keys are left alone, and their names aren't used
// again.
func TestPlanOddKeys(t *testing.T) {
	path := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"keys.json": `{"manifest": {"type": "keys", "version": 3}, "keys": {
		"aes-128": {"type": "symmetric", "encoding": "base64", "material": "AAAA", "unknown": 7},
		"rsa-2048-private": {"type": "private", "encoding": "pem", "material": "-----BEGIN"},
		"ecc-256-private": {"type": "ecc-private", "sender-material-public-key": "AAAA"},
		"static-branch-key-1": {"type": "static-branch-key", "branchKey": "AAAA"},
		"null": null}}`}), "keys.json")
	p := newPlan(t, vectors.Options{Keys: path})
	if ks := p.parseGenerated(t); len(ks) != 5+9 || ks["aes-128-new"].Bits != 128 || string(ks["aes-128"].Material) != `"AAAA"` {
		t.Errorf("%+v", ks)
	}
	if !strings.Contains(string(p.keysText), `"unknown": 7`) {
		t.Errorf("%s", p.keysText)
	}
	p.keep("0478-raw-")
	generate(t, p).run("manifest.json")
}

// TestPlanBrokenKeys: a keys manifest is refused if it's unreadable, or if its
// names can't be file names.
func TestPlanBrokenKeys(t *testing.T) {
	for name, text := range map[string]string{
		"empty":    "",
		"no keys":  `{"manifest": {"type": "awses-decrypt", "version": 5}}`,
		"KMS name": `{"manifest": {"type": "keys", "version": 3}, "keys": {"../x": {"type": "aws-kms", "key-id": "arn", "encrypt": true, "decrypt": true}}}`,
	} {
		path := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"keys.json": text}), "keys.json")
		if _, err := NewPlan(vectors.Options{Keys: path}); err == nil {
			t.Errorf("%s: planned", name)
		}
	}
	if _, err := NewPlan(vectors.Options{Keys: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("planned with keys that are not there")
	}
}
