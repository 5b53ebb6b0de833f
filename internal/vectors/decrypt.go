package vectors

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"esdk"
)

// A MasterKeysTest is a test of awses-decrypt, versions 1 to 4. It lists master
// keys, one of which must decrypt.
type MasterKeysTest struct {
	Description string                 `json:"description,omitempty"`
	Ciphertext  string                 `json:"ciphertext"`
	Plaintext   string                 `json:"plaintext,omitempty"` // in version 1; later versions have a result
	Result      *MasterKeysResult      `json:"result,omitempty"`
	MasterKeys  []KeyDescription       `json:"master-keys"`
	Method      string                 `json:"decryption-method,omitempty"`
	CMM         string                 `json:"cmm,omitempty"`
	Context     esdk.EncryptionContext `json:"encryption-context,omitzero"`
}

// A MasterKeysResult has either an output or an error.
type MasterKeysResult struct {
	Output *MasterKeysOutput `json:"output,omitempty"`
	Error  json.RawMessage   `json:"error,omitempty"`
}

// A MasterKeysOutput names the file with the plaintext.
type MasterKeysOutput struct {
	Plaintext string `json:"plaintext"`
}

// UnsignedOnly is the only named decryption method.
const UnsignedOnly = "streaming-unsigned-only"

func (l *loader) parseMasterKeys(text json.RawMessage) (*Case, error) {
	var t MasterKeysTest
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, err
	}
	plaintext, negative, err := t.outcome()
	if err != nil {
		return nil, err
	}
	if len(t.MasterKeys) == 0 {
		return nil, errors.New("no master keys")
	}
	d, err := t.KeyDescription()
	if err != nil {
		return nil, err
	}
	m := l.newMessageTest(t.Ciphertext, plaintext)
	m.context, m.reproduced = t.Context, t.Context
	switch t.Method {
	case "":
	case UnsignedOnly:
		m.config.Release = esdk.RejectSigned
	default:
		return nil, fmt.Errorf("decryption method %q is not supported", t.Method)
	}
	c := l.newCase(d, m)
	c.KeyType = t.MasterKeys[0].Type
	c.Description = cmp.Or(t.Description, "master key "+t.MasterKeys[0].Key)
	c.Negative = negative
	return c, nil
}

// outcome returns the file with the plaintext, unless the test is negative.
func (t *MasterKeysTest) outcome() (plaintext string, negative bool, err error) {
	r := t.Result
	switch {
	case r == nil && t.Plaintext != "":
		return t.Plaintext, false, nil
	case r != nil && t.Plaintext == "" && r.Output != nil && r.Error == nil:
		return r.Output.Plaintext, false, nil
	case r != nil && t.Plaintext == "" && r.Output == nil && r.Error != nil:
		return "", true, nil
	}
	return "", false, errors.New("need exactly one of a plaintext, a result with one, and a result with an error")
}

// KeyDescription returns the equivalent in version 5: a multi-keyring.
func (t *MasterKeysTest) KeyDescription() (*KeyDescription, error) {
	d := &KeyDescription{Type: "multi-keyring", Children: t.MasterKeys}
	switch t.CMM {
	case "", "Default":
		return d, nil
	case "RequiredEncryptionContext":
		// The manifest doesn't say which keys are required. Reproducing and
		// requiring all of them is always right.
		required := &KeyDescription{Type: "required-encryption-context-cmm", Underlying: d}
		for k := range t.Context {
			required.RequiredKeys = append(required.RequiredKeys, k)
		}
		return required, nil
	}
	return nil, fmt.Errorf("CMM %q is not supported", t.CMM)
}

// A ScenarioTest is a test of awses-decrypt, version 5.
type ScenarioTest struct {
	Scenario DecryptionScenario `json:"decryption-scenario"`
}

// A DecryptionScenario names a message, the key that decrypts it and the
// plaintext.
type DecryptionScenario struct {
	Type              string                 `json:"type"`
	Description       string                 `json:"description"`
	ErrorDescription  string                 `json:"errorDescription,omitempty"`
	Ciphertext        string                 `json:"ciphertext"`
	Result            string                 `json:"result,omitempty"` // the file with the plaintext
	Suite             SuiteID                `json:"algorithmSuiteId"`
	FrameLength       uint32                 `json:"frame-size,omitempty"`
	Key               *KeyDescription        `json:"decryptKeyDescription"`
	ReproducedContext esdk.EncryptionContext `json:"reproduced-encryption-context"`

	// Context is the encryption context given to encryption, if it's known. The
	// published format doesn't have it.
	Context esdk.EncryptionContext `json:"encryptionContext,omitzero"`
}

// These are the types of tests in version 5.
const (
	Positive = "positive-esdk"
	Negative = "negative-esdk"
)

func (l *loader) parseScenario(text json.RawMessage) (*Case, error) {
	var t ScenarioTest
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, err
	}
	s := &t.Scenario
	if s.Key == nil {
		return nil, errors.New("no key description")
	}
	m := l.newMessageTest(s.Ciphertext, s.Result)
	m.suite = esdk.SuiteID(s.Suite)
	m.context, m.reproduced = s.Context, s.ReproducedContext
	c := l.newCase(s.Key, m)
	c.Description = s.Description
	switch s.Type {
	case Positive:
	case Negative:
		c.Negative = true
		c.Description = joinDescription(s.Description, s.ErrorDescription)
	default:
		return nil, fmt.Errorf("test of type %q is not supported", s.Type)
	}
	return c, nil
}

func joinDescription(description, errorDescription string) string {
	if description == "" || errorDescription == "" {
		return description + errorDescription
	}
	return description + ": " + errorDescription
}

func (l *loader) newMessageTest(ciphertext, plaintext string) *messageTest {
	return &messageTest{
		ciphertext: func() ([]byte, error) { return l.files.readURI(ciphertext) },
		plaintext:  func() ([]byte, error) { return l.files.readURI(plaintext) },
		config:     l.config(),
	}
}

// config allows all suites: most vectors use suites that don't commit.
func (l *loader) config() esdk.Config {
	return esdk.Config{
		CommitmentPolicy: esdk.RequireEncryptAllowDecrypt,
		RecoverNET400:    l.options.RecoverNET400,
		Concurrency:      l.options.Concurrency,
	}
}

func (l *loader) newCase(d *KeyDescription, t test) *Case {
	return &Case{
		KeyType: d.Type,
		cmm:     func() (esdk.CMM, error) { return l.keys.CMM(d, l.options.Keyring) },
		test:    t,
	}
}

// A SuiteID is a suite's ID, in hexadecimal in manifests.
type SuiteID esdk.SuiteID

func (id SuiteID) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04x", uint16(id)), nil }

func (id *SuiteID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 16)
	if err != nil {
		return fmt.Errorf("algorithm suite %q", text)
	}
	*id = SuiteID(n)
	return nil
}
