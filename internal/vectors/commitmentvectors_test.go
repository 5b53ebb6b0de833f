package vectors_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/suite"
	"esdk/internal/vectors/vectorstest"
)

var update = flag.Bool("update", false, "write testdata/commitment anew")

// TestCommitmentVectors makes the test vectors for key commitment again and
// compares them with the file in testdata/commitment. They are messages with a
// forged commitment; everything else in them opens under their data key. An
// implementation that doesn't check the commitment decrypts them.
//
// The vectors are the same each time: all randomness in a message comes from a
// fixed seed, and the signatures are deterministic (RFC 6979).
func TestCommitmentVectors(t *testing.T) {
	made, err := makeVectors()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(vectorstest.Repository(t), "testdata", "commitment", "commitment.json")
	if *update {
		if err := os.WriteFile(path, made, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, kept) {
		t.Errorf("%s is not what this test makes: run it with -update", path)
	}
}

const seed = "esdk: test vectors for key commitment, 1"

// manifest is the content of the file.
type manifest struct {
	Manifest     manifestType  `json:"manifest"`
	WrappingKeys []wrappingKey `json:"wrapping-keys"`
	Tests        []vector      `json:"tests"`
}

type manifestType struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
}

// wrappingKey is an AES key. Each message has its data key under all of them.
type wrappingKey struct {
	Namespace string `json:"provider-id"`
	Name      string `json:"key-id"`
	Material  []byte `json:"material"`
}

type vector struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	Suite       string `json:"algorithmSuiteId"`
	Outcome     string `json:"outcome"` // plaintext, or commitment if it must be rejected for that
	DataKey     []byte `json:"data-key"`
	Plaintext   []byte `json:"plaintext"`
	Message     []byte `json:"message"`
}

func makeVectors() ([]byte, error) {
	m := manifest{Manifest: manifestType{"esdk-commitment", 1}}
	for _, name := range []string{"first", "second", "third"} {
		m.WrappingKeys = append(m.WrappingKeys, wrappingKey{"commitment-vectors", name, random("wrapping key "+name, 32)})
	}
	for _, s := range []*suite.Suite{suite.Lookup(0x0478), suite.Lookup(0x0578)} {
		for _, f := range forgeries {
			v, err := newVector(s, f, m.WrappingKeys)
			if err != nil {
				return nil, fmt.Errorf("%04x %s: %w", s.ID, f.name, err)
			}
			m.Tests = append(m.Tests, *v)
		}
	}
	var file bytes.Buffer
	e := json.NewEncoder(&file)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(m)
	return file.Bytes(), err
}

// random returns bytes that depend only on the seed and a label.
func random(label string, n int) []byte {
	b, err := hkdf.Key(sha256.New, []byte(seed), nil, label, n)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return b
}

const frameLength = 64

func newVector(s *suite.Suite, f forgery, wrapping []wrappingKey) (*vector, error) {
	id := fmt.Sprintf("%04x-%s", s.ID, f.name)
	m := &message{
		suite:     s,
		id:        random(id+" message id", s.MessageIDLength()),
		dataKey:   random(id+" data key", s.KeyLength),
		plaintext: random(id+" plaintext", f.plaintext),
		wrapping:  wrapping,
		label:     id,
	}
	keys, err := s.Derive(m.dataKey, m.id)
	if err != nil {
		return nil, err
	}
	commitment, err := f.forge(m, keys.Commitment)
	if err != nil {
		return nil, err
	}
	text, err := m.encrypt(keys.Content, commitment)
	if err != nil {
		return nil, err
	}
	v := &vector{ID: id, Description: f.description, Suite: fmt.Sprintf("%04x", s.ID), Outcome: "commitment",
		DataKey: m.dataKey, Plaintext: m.plaintext, Message: text}
	if string(commitment) == string(keys.Commitment) {
		v.Outcome = "plaintext"
	}
	return v, nil
}

// message is a message to make.
type message struct {
	suite                  *suite.Suite
	id, dataKey, plaintext []byte
	wrapping               []wrappingKey
	label                  string // for random
}

// encrypt makes the message according to the specification, except for the
// commitment.
func (m *message) encrypt(contentKey, commitment []byte) ([]byte, error) {
	ec := map[string]string{"purpose": "commitment", "Case": m.label}
	var signer *ecdsa.PrivateKey
	if m.suite.Signs() {
		var err error
		if signer, err = m.signingKey(); err != nil {
			return nil, err
		}
		if ec["aws-crypto-public-key"], err = m.suite.EncodePublicKey(&signer.PublicKey); err != nil {
			return nil, err
		}
	}
	h := &format.Header{Suite: m.suite, MessageID: m.id, Context: ec, FrameLength: frameLength,
		Commitment: commitment, IV: make([]byte, format.IVLength)}
	var err error
	if h.DataKeys, err = m.wrap(ec); err != nil {
		return nil, err
	}
	if err := h.Build(); err != nil {
		return nil, err
	}
	aead, err := newGCM(contentKey)
	if err != nil {
		return nil, err
	}
	h.Tag = aead.Seal(nil, h.IV, nil, h.Raw)
	b, err := stream.Seal(h.Append(nil), m.plaintext, &stream.Params{AEAD: aead, MessageID: m.id, FrameLength: frameLength})
	if err != nil || signer == nil {
		return b, err
	}
	return m.sign(b, signer)
}

// signingKey makes a key pair from the seed.
func (m *message) signingKey() (*ecdsa.PrivateKey, error) {
	scalar := random(m.label+" signing key", 48)
	scalar[0] &= 0x7f // below the order of P-384
	return ecdsa.ParseRawPrivateKey(elliptic.P384(), scalar)
}

func (m *message) sign(b []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	digest := m.suite.NewDigest()
	digest.Write(b)
	// Without a source of randomness, the signature is deterministic.
	signature, err := key.Sign(nil, digest.Sum(nil), crypto.SHA384)
	if err != nil {
		return nil, err
	}
	return format.AppendFooter(b, signature), nil
}

// wrap encrypts the data key as a raw AES keyring does, except for the IVs.
func (m *message) wrap(ec esdk.EncryptionContext) ([]format.DataKey, error) {
	aad, err := ec.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	var keys []format.DataKey
	for _, w := range m.wrapping {
		aead, err := newGCM(w.Material)
		if err != nil {
			return nil, err
		}
		iv := random(m.label+" IV "+w.Name, format.IVLength)
		info := binary.BigEndian.AppendUint32([]byte(w.Name), format.TagLength*8)
		info = binary.BigEndian.AppendUint32(info, format.IVLength)
		keys = append(keys, format.DataKey{
			ProviderID:   w.Namespace,
			ProviderInfo: append(info, iv...),
			Ciphertext:   aead.Seal(nil, iv, m.dataKey, aad),
		})
	}
	return keys, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
