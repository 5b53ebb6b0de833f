package vectorgen

import (
	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/vectors"
)

// A planTampering is a change of a valid message. The test has all of the
// message's keys.
type planTampering struct {
	name   string
	only   func(esdk.SuiteID) bool // nil for all suites
	tamper tampering
}

func halfSignable(s esdk.SuiteID) bool { return s == esdk.AES256GCMHKDFSHA512Commit }

// planTamperings doesn't append a byte to a message: the Python SDK takes it
// for the next item in a stream, and ignores it.
var planTamperings = []planTampering{
	{"last-byte-flipped", nil, one("the last byte is changed", func(_ *encryption, message []byte) ([]byte, error) {
		return flipped(message, len(message)-1, 1), nil
	})},
	{"truncated", nil, one("the last byte is missing", func(_ *encryption, message []byte) ([]byte, error) {
		return message[:len(message)-1], nil
	})},
	{"truncated-between-frames", nil, one("all after the first frame is missing", upTo(func(l *layout) int { return l.firstFrame }))},
	{"header-byte-flipped", nil, one("a byte of the message id is changed", at(func(*layout) int { return messageIDByte }))},
	{"header-tag-flipped", nil, one("the last byte of the header's tag is changed", at(func(l *layout) int { return l.header - 1 }))},
	{"frame-tag-flipped", nil, one("the last byte of the first frame's tag is changed", at(func(l *layout) int { return l.firstFrame - 1 }))},
	{"frame-flipped", nil, one("a byte of the first frame is changed", at(func(l *layout) int { return l.firstFrame - 20 }))},
	{"provider-info-changed", nil, changeProviderInfo("another key")},
	{"commitment-forged", esdk.SuiteID.Commits, forgeCommitment},
	{"signature-flipped", esdk.SuiteID.Signed, one("a byte of the signature is changed", at(func(l *layout) int { return l.body + 20 }))},
	{"signature-removed", esdk.SuiteID.Signed, one("the signature is missing", upTo(func(l *layout) int { return l.body }))},
	{"half-signed", halfSignable, halfSign},
}

// messageIDByte is the index of a byte of the message ID, in both versions of
// the header.
const messageIDByte = 6

// negatives adds messages that must be refused.
func (p *planner) negatives(s esdk.SuiteID) error {
	name, err := p.aes(256)
	if err != nil {
		return err
	}
	key := aesDescription(name)
	for _, t := range planTamperings {
		if t.only == nil || t.only(s) {
			m := p.negative(s, t.name, key, key, nil)
			m.tamper = t.tamper
		}
	}
	return p.wrongKeys(s, key)
}

// tamperedContext has a key that can be required.
var tamperedContext = esdk.EncryptionContext{"purpose": "vectors", "tenant": "42"}

// negative adds a message and a test that it's refused.
func (p *planner) negative(s esdk.SuiteID, name string, encrypt, decrypt *vectors.KeyDescription, reproduced esdk.EncryptionContext) *scenario {
	m := p.message(s, "negative-"+name, encrypt, tamperedShape, tamperedContext)
	p.decryption(m, "", decrypt, reproduced, "message to be refused: "+name)
	return m
}

// wrongKeys adds valid messages with wrong keys or contexts for decryption.
func (p *planner) wrongKeys(s esdk.SuiteID, key *vectors.KeyDescription) error {
	other, err := p.aes(128)
	if err != nil {
		return err
	}
	renamed := *key
	renamed.ProviderID += "-other"
	private, public, err := p.rsa()
	if err != nil {
		return err
	}
	required := &vectors.KeyDescription{Type: "required-encryption-context-cmm", Underlying: key, RequiredKeys: []string{"tenant"}}
	rsa := func(key, hash string) *vectors.KeyDescription { return rsaDescription(key, "oaep-mgf1", hash) }
	for _, c := range []struct {
		name, refusal    string
		encrypt, decrypt *vectors.KeyDescription
		reproduced       esdk.EncryptionContext
	}{
		{"wrong-key", "the key is another", key, aesDescription(other), nil},
		{"wrong-provider-id", "the provider id is another", key, &renamed, nil},
		{"wrong-padding", "the padding of the key is another", rsa(public, "sha256"), rsa(private, "sha1"), nil},
		{"public-key", "the key cannot decrypt", rsa(public, "sha256"), rsa(public, "sha256"), nil},
		{"wrong-context", "the reproduced context is not that of the message", key, key, esdk.EncryptionContext{"tenant": "43"}},
		{"wrong-required-context", "the required context is not that of the message", required, required, esdk.EncryptionContext{"tenant": "43"}},
		{"missing-required-context", "the required context is not reproduced", required, required, nil},
	} {
		m := p.negative(s, c.name, c.encrypt, c.decrypt, c.reproduced)
		m.refusal = c.refusal
	}
	return nil
}

// checkNames checks that all IDs, which contain names of keys, are file names.
func (p *planner) checkNames() error {
	for _, s := range p.scenarios {
		if err := checkFileName(s.id); err != nil {
			return cli.Errorf("name of a key: %w", err)
		}
	}
	return nil
}
