// Package vectorgen writes test vectors of the AWS Encryption SDK for other
// implementations. Package [vectors] reads and runs them.
//
// A [Plan] comes from this package itself, or from a manifest: awses-encrypt of
// versions 1 to 5, or awses-decrypt-generate of versions 1 to 4.
//
// Manifests aren't trusted: no name in one leads out of the output directory.
package vectorgen

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/vectors"
)

// A Plan describes messages to encrypt and the tests of them.
type Plan struct {
	scenarios  []*scenario
	plaintexts map[string]int // sizes in bytes, by name
	keys       vectors.Keys
	keysText   []byte // the keys manifest
	more       vectors.KeyringFunc

	// version is the version of the decrypt manifests.
	version int

	// own means that the plan isn't from a manifest, so Generate writes one.
	own bool
}

// A scenario describes how to make a message, or several by tampering.
type scenario struct {
	id          string
	encrypt     *vectors.KeyDescription
	suite       esdk.SuiteID
	frameLength uint32 // 0: a body without frames, which the library can't write
	plaintext   string // its name
	context     esdk.EncryptionContext
	decrypt     []decryption

	// tamper, if set, makes the messages. Otherwise the message is intact,
	// though it must be refused if refusal isn't empty.
	tamper  tampering
	refusal string
}

// A decryption is a way to decrypt the messages of a scenario: a test without
// its files, either of version 5 or with master keys.
type decryption struct {
	suffix string // of the ID

	// Exactly one is set.
	scenario   *vectors.DecryptionScenario
	masterKeys *vectors.MasterKeysTest
}

// complete returns the test with the files of a message. If refusal isn't
// empty, the message must be refused for that reason.
func (d *decryption) complete(ciphertext, plaintext, refusal string) any {
	if d.scenario != nil {
		s := *d.scenario
		s.Type, s.Ciphertext, s.Result = vectors.Positive, ciphertext, plaintext
		if refusal != "" {
			s.Type, s.Result, s.ErrorDescription = vectors.Negative, "", refusal
		}
		return vectors.ScenarioTest{Scenario: s}
	}
	t := *d.masterKeys
	t.Ciphertext, t.Result = ciphertext, &vectors.MasterKeysResult{Output: &vectors.MasterKeysOutput{Plaintext: plaintext}}
	if refusal != "" {
		text, _ := json.Marshal(map[string]string{"error-description": refusal}) // can't fail for strings
		t.Result = &vectors.MasterKeysResult{Error: text}
	}
	return t
}

const (
	// defaultFrameLength is for scenarios without a frame length. It's fixed
	// here, so that the vectors of a manifest don't depend on the library's
	// default.
	defaultFrameLength = 4096

	// maxPlaintexts limits the bytes of all plaintexts, which are in memory.
	maxPlaintexts = 1 << 30
)

func (s *scenario) setFrameLength(n *uint32) {
	s.frameLength = defaultFrameLength
	if n != nil {
		s.frameLength = *n
	}
}

// LoadPlan reads an awses-encrypt or awses-decrypt-generate manifest and its
// keys.
func LoadPlan(path string, o vectors.Options) (*Plan, error) {
	d, err := vectors.ReadDocument(path)
	if err != nil {
		return nil, err
	}
	p, err := planOf(d, o)
	if err != nil {
		return nil, cli.Errorf("vectors: %s: %w", path, err)
	}
	return p, nil
}

func planOf(d *vectors.Document, o vectors.Options) (*Plan, error) {
	var parse func(json.RawMessage) (*scenario, error)
	// Tests with master keys are all written in the last version that has them,
	// since only that one has all fields.
	p := &Plan{plaintexts: d.Plaintexts, more: o.Keyring, version: 4}
	switch v := d.Manifest.Version; {
	case d.Manifest.Type == "awses-encrypt" && 1 <= v && v <= 4:
		parse = parseMasterKeysEncryption
	case d.Manifest.Type == "awses-encrypt" && v == 5:
		parse, p.version = parseEncryption, 5
	case d.Manifest.Type == "awses-decrypt-generate" && 1 <= v && v <= 4:
		parse = parseGeneration
	default:
		return nil, fmt.Errorf("manifest of type %q, version %d, does not say what to encrypt", d.Manifest.Type, v)
	}
	var err error
	if p.keys, p.keysText, err = d.ReadKeys(o.Keys); err != nil {
		return nil, err
	}
	if err := p.checkPlaintexts(); err != nil {
		return nil, err
	}
	for id, test := range d.Tests {
		s, err := parse(test)
		if err == nil {
			s.id, err = id, checkFileName(id)
		}
		if err == nil {
			p.useDecrypting(s)
			err = p.checkPlaintext(s.plaintext)
		}
		if err != nil {
			return nil, cli.Errorf("test %q: %w", id, err)
		}
		p.scenarios = append(p.scenarios, s)
	}
	slices.SortFunc(p.scenarios, func(a, b *scenario) int { return cmp.Compare(a.id, b.id) })
	return p, nil
}

// useDecrypting replaces a scenario's keys by keys that can decrypt. A manifest
// may encrypt with a public key whose private key is another entry with the
// same key ID. If none of the keys can decrypt, none is left, unless the
// message must be refused: then the keys are part of the test.
func (p *Plan) useDecrypting(s *scenario) {
	for _, d := range s.decrypt {
		t := d.masterKeys
		if t == nil {
			continue
		}
		var decrypting []vectors.KeyDescription
		for _, k := range t.MasterKeys {
			if k.Key == "" || p.decrypts(&k) {
				decrypting = append(decrypting, k)
			}
		}
		if len(decrypting) > 0 || s.isGood() {
			t.MasterKeys = decrypting
		}
	}
}

// isGood reports whether the message must decrypt.
func (s *scenario) isGood() bool { return s.refusal == "" && s.tamper == nil }

// decrypts reports whether a key can decrypt, or replaces it by another entry
// with the same ID that can.
func (p *Plan) decrypts(d *vectors.KeyDescription) bool {
	k, err := p.keys.Get(d.Key)
	if err != nil || k.Decrypt || !k.Encrypt {
		// A missing key is reported when it's used. A key without both
		// attributes can do both.
		return true
	}
	for _, name := range slices.Sorted(maps.Keys(p.keys)) {
		if other, err := p.keys.Get(name); err == nil && other.Decrypt && other.ID == k.ID {
			d.Key = name
			return true
		}
	}
	return false
}

func (p *Plan) checkPlaintexts() error {
	total := 0
	for name, size := range p.plaintexts {
		if err := checkFileName(name); err != nil {
			return err
		}
		if size < 0 || size > maxPlaintexts-total {
			return fmt.Errorf("plaintext %q: %d bytes; at most %d are possible, of all plaintexts together", name, size, maxPlaintexts)
		}
		total += size
	}
	return nil
}

func (p *Plan) checkPlaintext(name string) error {
	if _, ok := p.plaintexts[name]; !ok {
		return fmt.Errorf("no plaintext %q in the manifest", name)
	}
	return nil
}

// A Client is the program that made test vectors.
type Client struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Generated counts the results of a plan: tests of messages that must decrypt,
// tests of messages that must be refused, and scenarios without messages. A
// scenario has none if its keys or messages without frames aren't supported, or
// if no key in the manifest can decrypt.
type Generated struct {
	Positive    int            `json:"positive"`
	Negative    int            `json:"negative"`
	Unsupported map[string]int `json:"unsupported"` // by the type of key
}

// Counts use these in place of a type of key, for messages without frames and
// for keys that only encrypt.
const (
	unframed    = "frame-size 0"
	encryptOnly = "keys that only encrypt"
)

// Generate carries out a plan. It passes each file to create exactly once.
// Names have slashes, and no directories but those listed here:
//
//   - keys.json has the keys.
//   - manifest.json and negative-manifest.json have the tests, if there are
//     any. The official readers of version 5 refuse a manifest with a
//     negative test.
//   - encrypt-manifest.json has the plan, if it wasn't read from a manifest.
//   - plaintexts and ciphertexts have the files named in the tests.
//
// The plaintexts are random.
func (p *Plan) Generate(ctx context.Context, c Client, create func(name string, content []byte) error) (*Generated, error) {
	g := &generator{
		Plan: p, client: c, create: create,
		plaintexts: map[string][]byte{}, positive: map[string]any{}, negative: map[string]any{}, unsupported: map[string]int{},
	}
	for _, s := range p.scenarios {
		if err := g.add(ctx, s); err != nil {
			return nil, cli.Errorf("vectors: test %q: %w", s.id, err)
		}
	}
	if err := g.writeManifests(); err != nil {
		return nil, cli.Errorf("vectors: %w", err)
	}
	return &Generated{len(g.positive), len(g.negative), g.unsupported}, nil
}

type generator struct {
	*Plan
	client             Client
	create             func(string, []byte) error
	plaintexts         map[string][]byte // the ones written so far
	positive, negative map[string]any    // tests by ID
	unsupported        map[string]int
}

// add makes the messages of a scenario and their tests.
func (g *generator) add(ctx context.Context, s *scenario) error {
	switch {
	case s.frameLength == 0:
		g.unsupported[unframed]++
		return nil
	case s.isNeverDecrypted():
		g.unsupported[encryptOnly]++
		return nil
	}
	cmm, err := g.keys.CMM(s.encrypt, g.more)
	var unsupported *vectors.UnsupportedError
	if errors.As(err, &unsupported) {
		g.unsupported[unsupported.KeyType]++
		return nil
	}
	if err != nil {
		return err
	}
	e := &encryption{scenario: s, cmm: cmm}
	if e.data, err = g.plaintext(s.plaintext); err != nil {
		return err
	}
	variants, err := e.variants(ctx)
	if err != nil {
		return err
	}
	for _, v := range variants {
		if err := g.addTests(s, v); err != nil {
			return err
		}
	}
	return nil
}

// isNeverDecrypted reports whether a message must decrypt but no key can do it.
func (s *scenario) isNeverDecrypted() bool {
	return s.isGood() && slices.ContainsFunc(s.decrypt, func(d decryption) bool {
		return d.masterKeys != nil && len(d.masterKeys.MasterKeys) == 0
	})
}

func (g *generator) addTests(s *scenario, v variant) error {
	ciphertext := "ciphertexts/" + s.id + v.suffix
	if err := g.create(ciphertext, v.message); err != nil {
		return err
	}
	tests := g.positive
	if v.refusal != "" {
		tests = g.negative
	}
	for _, d := range s.decrypt {
		id := s.id + d.suffix + v.suffix
		if g.positive[id] != nil || g.negative[id] != nil {
			return fmt.Errorf("there are two tests of the name %q", id)
		}
		tests[id] = d.complete("file://"+ciphertext, "file://plaintexts/"+s.plaintext, v.refusal)
	}
	return nil
}

// plaintext returns a plaintext by name, and writes it on first use.
func (g *generator) plaintext(name string) ([]byte, error) {
	if b, ok := g.plaintexts[name]; ok {
		return b, nil
	}
	b := randomBytes(g.Plan.plaintexts[name])
	g.plaintexts[name] = b
	return b, g.create("plaintexts/"+name, b)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// An encryption is a scenario with its materials and plaintext.
type encryption struct {
	*scenario
	cmm  esdk.CMM
	data []byte // the plaintext
}

func (e *encryption) variants(ctx context.Context) ([]variant, error) {
	if e.tamper != nil {
		return e.tamper(ctx, e)
	}
	message, err := e.encrypt(ctx, e.cmm)
	return []variant{{message: message, refusal: e.refusal}}, err
}

func (e *encryption) encrypt(ctx context.Context, cmm esdk.CMM) ([]byte, error) {
	c := esdk.Config{CMM: cmm, Suite: e.suite, FrameLength: e.frameLength}
	if !e.suite.Commits() {
		c.CommitmentPolicy = esdk.ForbidEncryptAllowDecrypt
	}
	client, err := esdk.New(c)
	if err != nil {
		return nil, err
	}
	message, _, err := client.Encrypt(ctx, e.data, e.context)
	return message, err
}

// manifest is a manifest to write.
type manifest struct {
	Manifest   manifestType   `json:"manifest"`
	Client     Client         `json:"client"`
	Keys       string         `json:"keys"`
	Plaintexts map[string]int `json:"plaintexts,omitempty"`
	Tests      map[string]any `json:"tests"`
}

type manifestType struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
}

const keysFile = "keys.json"

func (g *generator) writeManifests() error {
	if len(g.positive)+len(g.negative) == 0 {
		return nil
	}
	if err := g.create(keysFile, g.keysText); err != nil {
		return err
	}
	decrypt := manifestType{"awses-decrypt", g.version}
	for name, tests := range map[string]map[string]any{"manifest.json": g.positive, "negative-manifest.json": g.negative} {
		if err := g.writeManifest(name, manifest{Manifest: decrypt, Tests: tests}); err != nil {
			return err
		}
	}
	if !g.own {
		return nil
	}
	m := manifest{Manifest: manifestType{"awses-encrypt", 5}, Plaintexts: map[string]int{}, Tests: map[string]any{}}
	for _, s := range g.scenarios {
		g.addEncryptTests(&m, s)
	}
	return g.writeManifest("encrypt-manifest.json", m)
}

// writeManifest writes a manifest unless it has no tests.
func (g *generator) writeManifest(name string, m manifest) error {
	if len(m.Tests) == 0 {
		return nil
	}
	m.Client, m.Keys = g.client, "file://"+keysFile
	text, err := marshal(m)
	if err != nil {
		return err
	}
	return g.create(name, text)
}

// addEncryptTests adds the positive tests of a scenario. The official readers
// refuse a manifest with an empty plaintext.
func (g *generator) addEncryptTests(m *manifest, s *scenario) {
	size := g.Plan.plaintexts[s.plaintext]
	for _, d := range s.decrypt {
		test, id := d.scenario, s.id+d.suffix
		if test == nil || size == 0 || g.positive[id] == nil {
			continue
		}
		m.Plaintexts[s.plaintext] = size
		m.Tests[id] = encryptTest{encryptionScenario{
			Type: vectors.Positive, Plaintext: s.plaintext, Description: test.Description, Suite: test.Suite, FrameLength: &s.frameLength,
			EncryptKey: s.encrypt, DecryptKey: test.Key, Context: test.Context, ReproducedContext: test.ReproducedContext,
		}}
	}
}

func marshal(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}
