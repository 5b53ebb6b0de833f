// Package vectors reads and runs test vectors of the AWS Encryption SDK:
// messages of other implementations, with the keys that decrypt them and the
// expected results.
//
// It reads awses-decrypt manifests of versions 1 to 5, awses-mpl-decrypt
// manifests of version 4 with keys of versions 1 to 3, and the older ciphertext
// manifest, which contains its keys. If implementations deviate from the
// published formats
// (github.com/awslabs/aws-crypto-tools-test-vector-framework), the package
// follows the implementations.
//
// A manifest isn't trusted: it may be malformed, and can't name files outside
// of its own directory.
package vectors

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"esdk"
	"esdk/internal/errtext"
)

// Options say how to load a manifest. The zero value has the defaults.
type Options struct {
	// Keys is the path of a keys manifest that replaces the one named by the
	// manifest. It may be anywhere.
	Keys string

	// RecoverNET400 decrypts with [esdk.Config.RecoverNET400].
	RecoverNET400 bool

	// Concurrency is the field of [esdk.Config].
	Concurrency int

	// Keyring, if set, makes the keyrings that this package doesn't support,
	// when cases run.
	Keyring KeyringFunc
}

// These are errors of a [KeyringFunc]. Test for them with [errors.Is].
var (
	ErrUnsupported = errors.New("not supported")

	// ErrInconclusive says that decryption failed for a reason outside of the
	// message, such as the network.
	ErrInconclusive = errors.New("inconclusive")
)

// A Manifest is a list of cases.
type Manifest struct {
	Type    string // such as awses-decrypt
	Version int    // 0 for the ciphertext manifest, which has none

	// Cases are ordered by ID.
	Cases []*Case
}

// A Document is a manifest of any type as JSON.
type Document struct {
	Manifest struct {
		Type    string
		Version int
	}
	Keys  string
	Tests map[string]json.RawMessage

	// Plaintexts are the sizes of the plaintexts, in manifests for encryption.
	Plaintexts map[string]int

	// The ciphertext manifest has these instead of keys and tests.
	TestKeys  legacyKeys   `json:"test_keys"`
	TestCases []legacyCase `json:"test_cases"`

	files folder
}

// ReadDocument reads a manifest, but not yet its tests and its keys.
func ReadDocument(path string) (*Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", errtext.Bare(err))
	}
	d := &Document{files: folderOf(path)}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", path, errtext.Bare(err))
	}
	return d, nil
}

// ReadKeys reads the keys manifest at a path or, if the path is empty, the one
// that the document names. It also returns its text.
func (d *Document) ReadKeys(path string) (ks Keys, text []byte, err error) {
	switch {
	case path != "":
		text, err = os.ReadFile(path)
	case d.Keys != "":
		text, err = d.files.readURI(d.Keys)
	default:
		err = errors.New("manifest names no keys")
	}
	if err == nil {
		ks, err = ParseKeys(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", errtext.Bare(err))
	}
	return ks, text, nil
}

// Load reads a manifest and its keys, but not yet the messages. It rejects a
// manifest as a whole or not at all.
func Load(path string, o Options) (*Manifest, error) {
	d, err := ReadDocument(path)
	if err != nil {
		return nil, err
	}
	cases, err := (&loader{Document: d, options: o}).load()
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", path, errtext.Bare(err))
	}
	slices.SortStableFunc(cases, func(a, b *Case) int { return cmp.Compare(a.ID, b.ID) })
	return &Manifest{Type: d.Manifest.Type, Version: d.Manifest.Version, Cases: cases}, nil
}

// loader turns the tests of one document into cases.
type loader struct {
	*Document
	options Options
	keys    Keys

	// provenance says by ID which messages don't follow the specification.
	provenance map[string]string
}

func (l *loader) load() ([]*Case, error) {
	var parse func(*loader, json.RawMessage) (*Case, error)
	switch v := l.Manifest.Version; {
	case l.Manifest.Type == "ciphertext" && v == 0:
		return l.loadLegacy()
	case l.Manifest.Type == "awses-decrypt" && 1 <= v && v <= 4:
		parse = (*loader).parseMasterKeys
	case l.Manifest.Type == "awses-decrypt" && v == 5:
		parse = (*loader).parseScenario
	case l.Manifest.Type == "awses-mpl-decrypt" && v == 4:
		parse = (*loader).parseMaterials
	default:
		return nil, fmt.Errorf("manifest of type %q, version %d, is not supported", l.Manifest.Type, v)
	}
	var err error
	if l.keys, _, err = l.ReadKeys(l.options.Keys); err != nil {
		return nil, err
	}
	if err := l.loadProvenance(); err != nil {
		return nil, err
	}
	var cases []*Case
	for id, test := range l.Tests {
		c, err := parse(l, test)
		if err != nil {
			return nil, fmt.Errorf("test %q: %w", id, errtext.Bare(err))
		}
		c.ID = id
		if err := l.applyProvenance(c); err != nil {
			return nil, fmt.Errorf("test %q: %w", id, errtext.Bare(err))
		}
		cases = append(cases, c)
	}
	return cases, nil
}

// Version 4.0.0 of the .NET SDK wrote messages that no conforming SDK reads,
// though their manifest states a plaintext. A file beside it may mark them with
// these words.
const (
	provenanceFile = "expected.json"
	conforming     = "conforming"
	onlyNET400     = "net-v4.0.0-only"
)

func (l *loader) loadProvenance() error {
	text, err := l.files.read(provenanceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.provenance)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", provenanceFile, errtext.Bare(err))
	}
	return nil
}

func (l *loader) applyProvenance(c *Case) error {
	switch origin := l.provenance[c.ID]; origin {
	case "", conforming:
	case onlyNET400:
		c.Negative = c.Negative || !l.options.RecoverNET400
	default:
		return fmt.Errorf("%s says %q", provenanceFile, origin)
	}
	return nil
}

// A Case is one test vector.
type Case struct {
	ID          string
	Description string // the manifest's description, or else the message's origin

	// KeyType is the type of the key description, such as raw or multi-keyring.
	KeyType string

	// Negative says that decryption must fail.
	Negative bool

	// cmm makes the CMM that decrypts, or fails with an *UnsupportedError.
	cmm  func() (esdk.CMM, error)
	test test
}

// Message returns the message of the case, or nil if its manifest has no
// messages.
func (c *Case) Message() ([]byte, error) {
	if t, ok := c.test.(*messageTest); ok {
		return t.ciphertext()
	}
	return nil, nil
}
