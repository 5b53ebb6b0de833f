package vectorgen

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/vectors"
)

// Manifests of messages to encrypt: awses-encrypt, which in version 5 also has
// the keys for decryption, and awses-decrypt-generate, which also describes
// tampering.

// encryptTest is a test of awses-encrypt version 5.
type encryptTest struct {
	Scenario encryptionScenario `json:"encryption-scenario"`
}

type encryptionScenario struct {
	Type              string                  `json:"type"`
	Plaintext         string                  `json:"plaintext"`
	Description       string                  `json:"description"`
	Suite             vectors.SuiteID         `json:"algorithmSuiteId"`
	FrameLength       *uint32                 `json:"frame-size,omitempty"`
	EncryptKey        *vectors.KeyDescription `json:"encryptKeyDescription"`
	DecryptKey        *vectors.KeyDescription `json:"decryptKeyDescription"`
	Context           esdk.EncryptionContext  `json:"encryption-context"`
	ReproducedContext esdk.EncryptionContext  `json:"reproduced-encryption-context"`
}

func parseEncryption(text json.RawMessage) (*scenario, error) {
	var t encryptTest
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, err
	}
	e := &t.Scenario
	if e.Type != vectors.Positive {
		return nil, fmt.Errorf("test of type %q is not supported", e.Type)
	}
	if e.EncryptKey == nil || e.DecryptKey == nil {
		return nil, errors.New("need a key description to encrypt and one to decrypt")
	}
	s := &scenario{
		suite:     esdk.SuiteID(e.Suite),
		plaintext: e.Plaintext,
		context:   e.Context,
		encrypt:   e.EncryptKey,
	}
	s.setFrameLength(e.FrameLength)
	d := &vectors.DecryptionScenario{
		Description: e.Description, Suite: e.Suite, FrameLength: s.frameLength, Key: e.DecryptKey,
		Context: withoutNil(e.Context), ReproducedContext: withoutNil(e.ReproducedContext),
	}
	// The default of the SDKs' own runner.
	if e.ReproducedContext == nil {
		d.ReproducedContext = d.Context
	}
	s.decrypt = []decryption{{scenario: d}}
	return s, nil
}

// withoutNil makes JSON of a nil context an empty object instead of null.
func withoutNil(ec esdk.EncryptionContext) esdk.EncryptionContext {
	if ec == nil {
		return esdk.EncryptionContext{}
	}
	return ec
}

// masterKeysEncryption is a test of awses-encrypt up to version 4.
type masterKeysEncryption struct {
	Plaintext   string
	Suite       vectors.SuiteID          `json:"algorithm"`
	FrameLength *uint32                  `json:"frame-size"`
	Context     esdk.EncryptionContext   `json:"encryption-context"`
	MasterKeys  []vectors.KeyDescription `json:"master-keys"`
	CMM         string                   `json:"cmm"`
}

func parseMasterKeysEncryption(text json.RawMessage) (*scenario, error) {
	var e masterKeysEncryption
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, err
	}
	return e.scenario()
}

// scenario returns a scenario in which the first master key generates the data
// key.
func (e *masterKeysEncryption) scenario() (*scenario, error) {
	if len(e.MasterKeys) == 0 {
		return nil, errors.New("no master keys")
	}
	t := &vectors.MasterKeysTest{MasterKeys: e.MasterKeys, CMM: cmp.Or(e.CMM, "Default"), Context: withoutNil(e.Context)}
	d, err := t.KeyDescription()
	if err != nil {
		return nil, err
	}
	keyring := d
	if d.Underlying != nil {
		keyring = d.Underlying
	}
	keyring.Generator, keyring.Children = &e.MasterKeys[0], e.MasterKeys[1:]
	s := &scenario{suite: esdk.SuiteID(e.Suite), plaintext: e.Plaintext, context: e.Context, encrypt: d}
	s.setFrameLength(e.FrameLength)
	s.decrypt = []decryption{{masterKeys: t}}
	return s, nil
}

// generationTest is a test of awses-decrypt-generate.
type generationTest struct {
	Scenario   *masterKeysEncryption    `json:"encryption-scenario"`
	Tampering  json.RawMessage          // a string, or an object with one field
	Method     string                   `json:"decryption-method"`
	MasterKeys []vectors.KeyDescription `json:"decryption-master-keys"`
	Result     *struct {
		Output json.RawMessage
		Error  *struct {
			Description string `json:"error-description"`
		}
	}
}

func parseGeneration(text json.RawMessage) (*scenario, error) {
	var g generationTest
	if err := json.Unmarshal(text, &g); err != nil {
		return nil, err
	}
	if g.Scenario == nil {
		return nil, errors.New("no encryption scenario")
	}
	s, err := g.Scenario.scenario()
	if err != nil {
		return nil, err
	}
	if s.tamper, err = parseTampering(g.Tampering); err != nil {
		return nil, err
	}
	t := s.decrypt[0].masterKeys
	if len(g.MasterKeys) > 0 {
		t.MasterKeys = g.MasterKeys
	}
	if t.Method = g.Method; t.Method != "" && t.Method != vectors.UnsignedOnly {
		return nil, fmt.Errorf("decryption method %q is not supported", t.Method)
	}
	switch r := g.Result; {
	case r == nil:
	case r.Error == nil || r.Output != nil:
		return nil, errors.New("a result must be an error: the output is the plaintext")
	default:
		s.refusal = cmp.Or(r.Error.Description, "decryption must fail")
	}
	return s, nil
}

// parseTampering parses the change to make to a message. It returns nil for
// none.
func parseTampering(text json.RawMessage) (tampering, error) {
	var kind string
	switch err := json.Unmarshal(text, &kind); {
	case len(text) == 0, err == nil && string(text) == "null":
		return nil, nil
	case err == nil && tamperings[kind] != nil:
		return tamperings[kind], nil
	case err == nil:
		return nil, fmt.Errorf("tampering %q is not supported", kind)
	}
	var values map[string][]string
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, cli.Errorf("tampering: %w", err)
	}
	infos := values["change-edk-provider-info"]
	if len(values) != 1 || len(infos) == 0 {
		return nil, fmt.Errorf("tampering %s is not supported", text)
	}
	return changeProviderInfo(infos...), nil
}

// checkFileName returns an error unless a name from a manifest is a plain file
// name, without a directory.
func checkFileName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "/\\:\x00") {
		return fmt.Errorf("%q is not the name of a file", name)
	}
	return nil
}
