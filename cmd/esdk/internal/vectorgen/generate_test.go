package vectorgen

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/vectors"
	"esdk/internal/vectors/vectorstest"
)

// generated is a directory with the results of a plan.
type generated struct {
	*testing.T
	dir string
	*Generated
}

func generate(t *testing.T, p *Plan) *generated {
	t.Helper()
	dir := t.TempDir()
	g, err := p.Generate(t.Context(), Client{"test", "1"}, creator(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return &generated{t, dir, g}
}

// creator creates files in a directory. It rejects duplicates and unexpected
// names.
func creator(t testing.TB, dir string) func(string, []byte) error {
	t.Helper()
	for _, sub := range []string{"plaintexts", "ciphertexts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string, content []byte) error {
		folder, file := path.Split(name)
		fixed := slices.Contains([]string{"keys.json", "manifest.json", "negative-manifest.json", "encrypt-manifest.json"}, name)
		if !fs.ValidPath(name) || !fixed && (folder != "plaintexts/" && folder != "ciphertexts/" || file == "") {
			t.Errorf("writes %q", name)
		}
		f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.Write(content)
		return err
	}
}

func (g *generated) cases(manifest string) []*vectors.Case {
	g.Helper()
	m, err := vectors.Load(filepath.Join(g.dir, manifest), vectors.Options{})
	if err != nil {
		g.Fatal(err)
	}
	return m.Cases
}

// run runs a manifest, all of whose cases must pass, and returns the errors of
// refused messages.
func (g *generated) run(manifest string) map[string]error {
	g.Helper()
	refusals := map[string]error{}
	for _, c := range g.cases(manifest) {
		r := c.Run(g.Context())
		if r.Outcome != vectors.Passed {
			g.Errorf("%s: %s: %v", c.ID, r.Outcome, r.Err)
		}
		if c.Negative {
			refusals[c.ID] = r.Err
		}
	}
	return refusals
}

// newPlan returns a plan without a keyring for branch keys. The tests of the
// command have their messages.
func newPlan(t testing.TB, o vectors.Options, kms ...string) *Plan {
	t.Helper()
	p, err := NewPlan(o, kms...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOwnPlan decrypts the plan's good messages, each suite with each kind of
// keyring.
func TestOwnPlan(t *testing.T) {
	g := generate(t, newPlan(t, vectors.Options{}))
	if g.Positive != 22*11 || !maps.Equal(g.Unsupported, map[string]int{"aws-kms-hierarchy": 11}) {
		t.Errorf("%+v", g.Generated)
	}
	g.run("manifest.json")
	types := map[string]int{}
	for _, c := range g.cases("manifest.json") {
		types[c.KeyType]++
	}
	want := map[string]int{"raw": 10 * 11, "raw-ecdh": 10 * 11, "multi-keyring": 11, "required-encryption-context-cmm": 11}
	if !maps.Equal(types, want) {
		t.Errorf("types of keys %v, want %v", types, want)
	}
}

// planRefusals are the errors of the plan's negative messages, by their names
// after the suite.
var planRefusals = map[string]func(error) bool{
	"last-byte-flipped":        vectorstest.Is(esdk.ErrAuthentication),
	"truncated":                vectorstest.IsTruncation,
	"truncated-between-frames": vectorstest.IsTruncation,
	"header-byte-flipped": func(err error) bool {
		return vectorstest.Is(esdk.ErrAuthentication)(err) || vectorstest.Is(esdk.ErrCommitment)(err)
	},
	"header-tag-flipped":       vectorstest.Is(esdk.ErrAuthentication),
	"frame-tag-flipped":        vectorstest.Is(esdk.ErrAuthentication),
	"frame-flipped":            vectorstest.Is(esdk.ErrAuthentication),
	"provider-info-changed":    vectorstest.Is(esdk.ErrNoDataKey),
	"commitment-forged":        vectorstest.Is(esdk.ErrCommitment),
	"signature-flipped":        vectorstest.Is(esdk.ErrAuthentication),
	"signature-removed":        vectorstest.IsTruncation,
	"half-signed":              vectorstest.Is(esdk.ErrEncryptionContext),
	"wrong-key":                vectorstest.Is(esdk.ErrNoDataKey),
	"wrong-provider-id":        vectorstest.Is(esdk.ErrNoDataKey),
	"wrong-padding":            vectorstest.Is(esdk.ErrNoDataKey),
	"public-key":               vectorstest.Is(esdk.ErrNoDataKey),
	"wrong-context":            vectorstest.Is(esdk.ErrEncryptionContext),
	"wrong-required-context":   vectorstest.Is(esdk.ErrNoDataKey),
	"missing-required-context": vectorstest.Is(esdk.ErrEncryptionContext),
}

// TestOwnPlanNegatives: each negative message is refused because of its change,
// and for no other reason.
func TestOwnPlanNegatives(t *testing.T) {
	p := newPlan(t, vectors.Options{})
	p.keep("negative")
	g := generate(t, p)
	seen := map[string]int{}
	for id, err := range g.run("negative-manifest.json") {
		_, name, _ := strings.Cut(id, "-negative-")
		seen[name]++
		if refused := planRefusals[name]; refused == nil || !refused(err) {
			t.Errorf("%s: refused with: %v", id, err)
		}
	}
	some := map[string]int{"commitment-forged": 2, "half-signed": 1, "signature-flipped": 4, "signature-removed": 4}
	for name := range planRefusals {
		want := len(esdk.Suites())
		if n, ok := some[name]; ok {
			want = n
		}
		if seen[name] != want {
			t.Errorf("%d messages %s, want %d", seen[name], name, want)
		}
	}
}

// TestForged: forged messages decrypt if nothing in them was changed, so that
// changed ones are refused only because of the change.
func TestForged(t *testing.T) {
	p := newPlan(t, vectors.Options{})
	p.keep("commitment-forged")
	for _, s := range p.scenarios {
		s.tamper = func(ctx context.Context, e *encryption) ([]variant, error) {
			m, err := e.materials(ctx, e.suite)
			if err != nil {
				return nil, err
			}
			message, err := e.forge(m, func(*format.Header) {})
			return []variant{{message: message}}, err
		}
	}
	g := generate(t, p)
	if g.Positive != 2 {
		t.Errorf("%+v, want 2 positive", g.Generated)
	}
	g.run("manifest.json")
}

// keep removes all scenarios from a plan except those with a text in their IDs.
func (p *Plan) keep(text string) {
	p.scenarios = slices.DeleteFunc(p.scenarios, func(s *scenario) bool { return !strings.Contains(s.id, text) })
}

// TestOwnEncryptManifest carries out the manifest that the plan wrote of
// itself.
func TestOwnEncryptManifest(t *testing.T) {
	own := newPlan(t, vectors.Options{})
	own.keep("0578") // the other suites are alike
	first := generate(t, own)
	p, err := LoadPlan(filepath.Join(first.dir, "encrypt-manifest.json"), vectors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second := generate(t, p)
	empty := 0
	for _, c := range first.cases("manifest.json") {
		if strings.Contains(c.Description, " 0 bytes") {
			empty++
		}
	}
	if second.Positive != first.Positive-empty || empty == 0 || second.Negative != 0 || len(second.Unsupported) != 0 {
		t.Errorf("%+v, want all of %+v but the empty ones", second.Generated, first.Generated)
	}
	second.run("manifest.json")
	if keys := readText(t, first.dir, keysFile); keys != readText(t, second.dir, keysFile) {
		t.Error("the keys are others")
	}
}

func readText(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// generationManifest returns a manifest whose tests encrypt 10 bytes under the
// key in vectorstest.Keys, with more fields of the scenario and of the test.
func generationManifest(kind string, version int, tests ...string) string {
	const head = `{"manifest": {"type": %q, "version": %d}, "keys": "file://keys.json", "plaintexts": {"tiny": 10}, "tests": {%s}}`
	for i, test := range tests {
		tests[i] = fmt.Sprintf("%q: %s", string(rune('a'+i)), test)
	}
	return fmt.Sprintf(head, kind, version, strings.Join(tests, ","))
}

func masterKeyScenario(more string) string {
	return `{"plaintext": "tiny", "algorithm": "0478", "encryption-context": {"key1": "val1"}, "master-keys": [` + vectorstest.MasterKey + `]` + more + `}`
}

func generationTestText(scenario, more string) string {
	return `{"encryption-scenario": ` + masterKeyScenario(scenario) + more + `}`
}

func loadPlan(t testing.TB, text string) (*Plan, error) {
	t.Helper()
	dir := vectorstest.WriteFiles(t, map[string]string{"keys.json": vectorstest.Keys, "manifest.json": text})
	return LoadPlan(filepath.Join(dir, "manifest.json"), vectors.Options{})
}

// TestGenerateMasterKeys carries out tests with master keys, of each version.
func TestGenerateMasterKeys(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		want     Generated
		refusal  func(error) bool // of all negative tests
	}{
		"version 1": {manifest: generationManifest("awses-encrypt", 1, masterKeyScenario("")), want: Generated{Positive: 1}},
		"version 2": {manifest: generationManifest("awses-encrypt", 2, masterKeyScenario(`, "frame-size": 3`)), want: Generated{Positive: 1}},
		"no frames": {manifest: generationManifest("awses-encrypt", 2, masterKeyScenario(`, "frame-size": 0`), masterKeyScenario("")),
			want: Generated{Positive: 1, Unsupported: map[string]int{unframed: 1}}},
		"other keyring": {manifest: generationManifest("awses-encrypt", 2, masterKeyScenario(`, "master-keys": [{"type": "aws-kms"}]`), masterKeyScenario("")),
			want: Generated{Positive: 1, Unsupported: map[string]int{"aws-kms": 1}}},
		"two keys": {manifest: generationManifest("awses-encrypt", 2, masterKeyScenario(`, "master-keys": [`+vectorstest.MasterKey+`,`+vectorstest.MasterKey+`]`)),
			want: Generated{Positive: 1}},
		"required": {manifest: generationManifest("awses-decrypt-generate", 4, generationTestText(`, "cmm": "RequiredEncryptionContext"`, "")),
			want: Generated{Positive: 1}},
		"other decryption key": {manifest: generationManifest("awses-decrypt-generate", 2,
			generationTestText("", `, "result": {"error": {}}, "decryption-master-keys": [{"type": "raw", "encryption-algorithm": "aes", "provider-id": "other", "key": "aes"}]`)),
			want: Generated{Negative: 1}, refusal: vectorstest.Is(esdk.ErrNoDataKey)},
		"stream": {manifest: generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "decryption-method": "streaming-unsigned-only"`)),
			want: Generated{Positive: 1}},
		"signed stream": {manifest: generationManifest("awses-decrypt-generate", 2, generationTestText(`, "algorithm": "0378"`,
			`, "decryption-method": "streaming-unsigned-only", "result": {"error": {"error-description": "signed"}}`)),
			want: Generated{Negative: 1}, refusal: vectorstest.Is(esdk.ErrSigned)},
		"half-sign": {manifest: generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": "half-sign"`)),
			want: Generated{Negative: 1}, refusal: vectorstest.Is(esdk.ErrEncryptionContext)},
		"provider info": {manifest: generationManifest("awses-decrypt-generate", 1, generationTestText("", `, "tampering": {"change-edk-provider-info": ["x", "y"]}`)),
			want: Generated{Negative: 2}, refusal: vectorstest.Is(esdk.ErrNoDataKey)},
		"truncate": {manifest: generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": "truncate"`)),
			want: Generated{Negative: tinyMessage - 1}, refusal: vectorstest.IsTruncation},
		"mutate": {manifest: generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": "mutate"`)),
			want: Generated{Negative: 8 * tinyMessage}},
	} {
		p, err := loadPlan(t, c.manifest)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g := generate(t, p)
		if g.Positive != c.want.Positive || g.Negative != c.want.Negative || !maps.Equal(g.Unsupported, c.want.Unsupported) {
			t.Errorf("%s: %+v, want %+v", name, g.Generated, c.want)
		}
		if g.Positive > 0 {
			g.run("manifest.json")
		}
		if g.Negative > 0 {
			for id, err := range g.run("negative-manifest.json") {
				if c.refusal != nil && !c.refusal(err) {
					t.Errorf("%s: %s: refused with: %v", name, id, err)
				}
			}
		}
	}
}

// A message encrypted with a public key is decrypted with the private key of
// the same key ID. Without one, there's no message, since no reader could open
// it.
func TestGeneratePublicKey(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, publicErr := x509.MarshalPKIXPublicKey(&private.PublicKey)
	privateDER, privateErr := x509.MarshalPKCS8PrivateKey(private)
	if publicErr != nil || privateErr != nil {
		t.Fatal(publicErr, privateErr)
	}
	text := func(kind string, der []byte) string {
		b, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
		return string(b)
	}
	public := `"rsa-public": {"encrypt": true, "decrypt": false, "algorithm": "rsa", "type": "public", "bits": 2048, "encoding": "pem", "key-id": "rsa", "material": ` +
		text("PUBLIC KEY", publicDER) + `}`
	both := public + `, "z-private": {"encrypt": true, "decrypt": true, "algorithm": "rsa", "type": "private", "bits": 2048, "encoding": "pem", "key-id": "rsa", "material": ` +
		text("PRIVATE KEY", privateDER) + `}`
	manifest := generationManifest("awses-encrypt", 2, masterKeyScenario(
		`, "master-keys": [{"type": "raw", "encryption-algorithm": "rsa", "provider-id": "namespace", "key": "rsa-public", "padding-algorithm": "pkcs1"}]`))
	for _, c := range []struct {
		keys string
		want Generated
	}{{both, Generated{Positive: 1}}, {public, Generated{Unsupported: map[string]int{encryptOnly: 1}}}} {
		dir := vectorstest.WriteFiles(t, map[string]string{"keys.json": `{"manifest": {"type": "keys", "version": 3}, "keys": {` + c.keys + `}}`, "manifest.json": manifest})
		p, err := LoadPlan(filepath.Join(dir, "manifest.json"), vectors.Options{})
		if err != nil {
			t.Fatal(err)
		}
		g := generate(t, p)
		if g.Positive != c.want.Positive || g.Negative != 0 || !maps.Equal(g.Unsupported, c.want.Unsupported) {
			t.Errorf("%+v, want %+v", g.Generated, c.want)
		}
		if g.Positive > 0 {
			g.run("manifest.json")
		}
	}
}

// tinyMessage is the length of a message of masterKeyScenario, in bytes.
const tinyMessage = 242

// TestGenerateFails: an impossible plan reports which test is wrong.
func TestGenerateFails(t *testing.T) {
	for name, manifest := range map[string]string{
		"no such key":       generationManifest("awses-encrypt", 2, masterKeyScenario(`, "master-keys": [{"type": "raw", "encryption-algorithm": "aes", "provider-id": "n", "key": "none"}]`)),
		"unknown suite":     generationManifest("awses-encrypt", 2, masterKeyScenario(`, "algorithm": "9999"`)),
		"reserved context":  generationManifest("awses-encrypt", 2, masterKeyScenario(`, "encryption-context": {"aws-crypto-public-key": "x"}`)),
		"half-sign signed":  generationManifest("awses-decrypt-generate", 2, generationTestText(`, "algorithm": "0578"`, `, "tampering": "half-sign"`)),
		"half-sign context": generationManifest("awses-decrypt-generate", 4, generationTestText(`, "cmm": "RequiredEncryptionContext"`, `, "tampering": "half-sign"`)),
		"mutate long": generationManifest("awses-decrypt-generate", 2, generationTestText(
			`, "encryption-context": {"key": "`+strings.Repeat("x", maxExhaustive)+`"}`, `, "tampering": "mutate"`)),
		"AES key for RSA": generationManifest("awses-encrypt", 2, masterKeyScenario(`, "master-keys": [{"type": "raw", "encryption-algorithm": "rsa", "provider-id": "n", "key": "aes"}]`)),
	} {
		p, err := loadPlan(t, manifest)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g, err := p.Generate(t.Context(), Client{}, creator(t, t.TempDir()))
		if err == nil || !strings.Contains(err.Error(), `test "a"`) {
			t.Errorf("%s: %+v, %v, want an error of the test", name, g, err)
		}
	}
}

// TestGenerateErrors: an error of create stops Generate.
func TestGenerateErrors(t *testing.T) {
	p, err := loadPlan(t, generationManifest("awses-encrypt", 2, masterKeyScenario("")))
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk is full")
	for _, file := range []string{"plaintexts/tiny", "ciphertexts/a", "keys.json", "manifest.json"} {
		_, err := p.Generate(t.Context(), Client{}, func(name string, _ []byte) error {
			if name == file {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) {
			t.Errorf("%s: %v, want %v", file, err, full)
		}
	}
}

func TestBrokenPlans(t *testing.T) {
	v5 := func(fields string) string {
		return generationManifest("awses-encrypt", 5, `{"encryption-scenario": {"type": "positive-esdk", "plaintext": "tiny", "algorithmSuiteId": "0478",
			"encryptKeyDescription": `+vectorstest.MasterKey+`, "decryptKeyDescription": `+vectorstest.MasterKey+fields+`}}`)
	}
	if p, err := loadPlan(t, v5("")); err != nil || len(p.scenarios) != 1 {
		t.Fatalf("%v", err)
	}
	one := generationManifest("awses-encrypt", 2, masterKeyScenario(""))
	for name, text := range map[string]string{
		"empty":               "",
		"decrypt manifest":    `{"manifest": {"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json"}`,
		"other version":       strings.Replace(one, `"version": 2`, `"version": 6`, 1),
		"keys elsewhere":      strings.Replace(one, "file://keys", "file://../keys", 1),
		"id with folder":      strings.Replace(one, `"a":`, `"../a":`, 1),
		"id of the folder":    strings.Replace(one, `"a":`, `".":`, 1),
		"id with backslash":   strings.Replace(one, `"a":`, `"b\\a":`, 1),
		"id with NUL":         strings.Replace(one, `"a":`, `"a\u0000":`, 1),
		"id empty":            strings.Replace(one, `"a":`, `"":`, 1),
		"plaintext missing":   strings.Replace(one, `"tiny": 10`, `"other": 10`, 1),
		"plaintext elsewhere": strings.ReplaceAll(one, `"tiny"`, `"../tiny"`),
		"plaintext negative":  strings.Replace(one, `"tiny": 10`, `"tiny": -1`, 1),
		"plaintext too long":  strings.Replace(one, `"tiny": 10`, `"tiny": 1073741825`, 1),
		"plaintexts too long": strings.Replace(one, `"tiny": 10`, `"tiny": 600000000, "other": 600000000`, 1),
		"plaintext overflow":  strings.Replace(one, `"tiny": 10`, `"tiny": 9223372036854775807, "other": 9223372036854775807`, 1),
		"frames too long":     generationManifest("awses-encrypt", 2, masterKeyScenario(`, "frame-size": 4294967296`)),
		"frames negative":     generationManifest("awses-encrypt", 2, masterKeyScenario(`, "frame-size": -1`)),
		"no master keys":      generationManifest("awses-encrypt", 2, masterKeyScenario(`, "master-keys": []`)),
		"other CMM":           generationManifest("awses-encrypt", 2, masterKeyScenario(`, "cmm": "Other"`)),
		"test null":           generationManifest("awses-encrypt", 2, `null`),
		"test null 5":         generationManifest("awses-encrypt", 5, `null`),
		"generate null":       generationManifest("awses-decrypt-generate", 2, `null`),
		"negative":            v5(`, "type": "negative-esdk"`),
		"no decryption key":   v5(`, "decryptKeyDescription": null`),
		"tampering text":      generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": "other"`)),
		"tampering empty":     generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": {}`)),
		"tampering field":     generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": {"other": ["x"]}`)),
		"tampering list":      generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": ["truncate"]`)),
		"tampering nothing":   generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": {"change-edk-provider-info": []}`)),
		"method":              generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "decryption-method": "other"`)),
		"result empty":        generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "result": {}`)),
		"result output":       generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "result": {"output": {"plaintext": "x"}}`)),
	} {
		if p, err := loadPlan(t, text); err == nil {
			t.Errorf("%s: loaded %d scenarios", name, len(p.scenarios))
		}
	}
	if _, err := LoadPlan(filepath.Join(t.TempDir(), "none"), vectors.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no manifest: %v", err)
	}
}

// FuzzLoadPlan: every manifest is refused or carried out, and files are created
// only in their directories.
func FuzzLoadPlan(f *testing.F) {
	f.Add(generationManifest("awses-encrypt", 2, masterKeyScenario("")), vectorstest.Keys)
	f.Add(generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": {"change-edk-provider-info": ["x"]}`)), vectorstest.Keys)
	f.Add(generationManifest("awses-decrypt-generate", 2, generationTestText("", `, "tampering": "half-sign"`)), vectorstest.Keys)
	f.Add(generationManifest("awses-encrypt", 5, `{"encryption-scenario": {"type": "positive-esdk", "plaintext": "tiny", "algorithmSuiteId": "0478",
		"encryptKeyDescription": `+vectorstest.MasterKey+`, "decryptKeyDescription": `+vectorstest.MasterKey+`}}`), vectorstest.Keys)
	f.Fuzz(func(t *testing.T, manifest, keys string) {
		dir := vectorstest.WriteFiles(t, map[string]string{"manifest.json": manifest, "keys.json": keys})
		p, err := LoadPlan(filepath.Join(dir, "manifest.json"), vectors.Options{})
		if err != nil {
			return
		}
		for _, size := range p.plaintexts {
			if size > 1<<20 {
				return // takes too long
			}
		}
		g, err := p.Generate(t.Context(), Client{"test", "1"}, creator(t, t.TempDir()))
		if err == nil && g.Positive+g.Negative+len(g.Unsupported) == 0 && len(p.scenarios) > 0 {
			t.Errorf("nothing came of %d scenarios", len(p.scenarios))
		}
	})
}
