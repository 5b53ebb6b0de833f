package vectors

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/vectors/vectorstest"
)

// These sets have no manifest in a published format.

// fixture is a message with its data key.
type fixture struct {
	name               string
	message, plaintext []byte
	dataKey            []byte
	keyring            esdk.Keyring // instead of the data key
	suite              esdk.SuiteID
	context            esdk.EncryptionContext

	// refusal, if not nil, reports whether an error is the one that the message
	// must be rejected with.
	refusal func(error) bool
}

func (f *fixture) test() *messageTest {
	return &messageTest{
		ciphertext: func() ([]byte, error) { return f.message, nil },
		plaintext:  func() ([]byte, error) { return f.plaintext, nil },
		config:     esdk.Config{CommitmentPolicy: esdk.RequireEncryptAllowDecrypt},
		suite:      f.suite,
		context:    f.context,
	}
}

func (f *fixture) cmm(t testing.TB) esdk.CMM {
	if f.keyring != nil {
		return defaultCMM(t, f.keyring)
	}
	return defaultCMM(t, staticKeyring(f.dataKey))
}

func defaultCMM(t testing.TB, kr esdk.Keyring) esdk.CMM {
	t.Helper()
	cmm, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		t.Fatal(err)
	}
	return cmm
}

func (f *fixture) run(t *testing.T) Result {
	c := &Case{ID: f.name, KeyType: "data key", Negative: f.refusal != nil, test: f.test(),
		cmm: func() (esdk.CMM, error) { return f.cmm(t), nil }}
	r := c.Run(t.Context())
	switch {
	case r.Outcome != Passed:
		t.Errorf("%s: %v", f.name, r.Err)
	case f.refusal != nil && !f.refusal(r.Err):
		t.Errorf("%s: refused with: %v", f.name, r.Err)
	}
	return r
}

// countUnsupported checks the structure of a message whose key has no keyring,
// and counts it.
func countUnsupported(t *testing.T, s *Summary, keyType string, message []byte) {
	t.Helper()
	s.Add(Result{Outcome: Unsupported, KeyType: keyType})
	checkStructure(t, message, -1)
}

// checkStructure walks a message without its keys, and checks the length of the
// plaintext unless it's negative.
func checkStructure(t *testing.T, message []byte, length int) {
	t.Helper()
	h, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		t.Error(err)
		return
	}
	body, n := message[h.Length:], 0
	if h.FrameLength == 0 {
		n = int(binary.BigEndian.Uint64(body[format.IVLength:]))
		body = body[format.NonFramedOverhead+n:]
	} else {
		body, n = skipFrames(t, body, int(h.FrameLength))
	}
	if length >= 0 && n != length {
		t.Errorf("plaintext of %d bytes, want %d", n, length)
	}
	if h.Suite.Signed() {
		body = body[2+int(binary.BigEndian.Uint16(body)):]
	}
	if len(body) > 0 {
		t.Errorf("%d bytes beyond the message", len(body))
	}
}

func skipFrames(t *testing.T, body []byte, frameLength int) (rest []byte, n int) {
	t.Helper()
	sequence := uint32(1)
	for ; binary.BigEndian.Uint32(body) != format.EndFrame; sequence++ {
		if got := binary.BigEndian.Uint32(body); got != sequence {
			t.Fatalf("sequence number %d, want %d", got, sequence)
		}
		body = body[format.FrameOverhead+frameLength:]
		n += frameLength
	}
	if got := binary.BigEndian.Uint32(body[4:]); got != sequence {
		t.Fatalf("final sequence number %d, want %d", got, sequence)
	}
	final := int(binary.BigEndian.Uint32(body[8+format.IVLength:]))
	return body[format.FinalOverhead+final:], n + final
}

// runPython135 decrypts nothing, since all keys are in AWS KMS, but checks the
// length of each plaintext.
func runPython135(t *testing.T, dir string) Summary {
	const name = "decrypt_message.json"
	for _, c := range load(t, filepath.Join(dir, name), Options{}).Cases {
		message, err := c.Message()
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := c.test.(*messageTest).plaintext()
		if err != nil {
			t.Fatal(err)
		}
		checkStructure(t, message, len(plaintext))
		h, err := esdk.ParseHeader(bytes.NewReader(message))
		if err != nil || len(h.EncryptedDataKeys) != 1 || h.EncryptedDataKeys[0].ProviderID != "aws-kms" {
			t.Errorf("%s: %+v, %v", c.ID, h, err)
		}
	}
	return runManifest(name, Options{})(t, dir)
}

func runCommitmentKAT(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Comment         string
			Ciphertext      []byte
			Commitment      []byte
			ContentKey      []byte   `json:"content-encryption-key"`
			DataKey         []byte   `json:"decrypted-dek"`
			PlaintextFrames []string `json:"plaintext-frames"`
			Status          bool
		}
	}
	vectorstest.ReadJSON(t, &set, dir, "commitment-test-vectors.json")
	for _, c := range set.Tests {
		f := fixture{name: c.Comment, message: c.Ciphertext, dataKey: c.DataKey}
		f.plaintext = []byte(strings.Join(c.PlaintextFrames, ""))
		if !c.Status {
			f.refusal = vectorstest.Is(esdk.ErrCommitment)
		}
		s.Add(f.run(t))
		if c.Status {
			checkDerivation(t, c.Ciphertext, c.DataKey, c.Commitment, c.ContentKey)
		}
	}
	return s
}

// checkDerivation derives the keys of a message again. The content key isn't
// always known.
func checkDerivation(t *testing.T, message, dataKey, commitment, contentKey []byte) {
	t.Helper()
	h, err := format.ReadHeader(bytes.NewReader(message), format.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	derived, err := h.Suite.Derive(dataKey, h.MessageID)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(derived.Commitment, commitment) || contentKey != nil && !bytes.Equal(derived.Content, contentKey) {
		t.Errorf("derived commitment %x, want %x; or the content key is another", derived.Commitment, commitment)
	}
}

// The data keys of some sets are all zero, or count up from one.
func zeroKey(id SuiteID) []byte { return make([]byte, esdk.SuiteID(id).DataKeyLength()) }

func countingKey(id SuiteID) []byte {
	key := zeroKey(id)
	for i := range key {
		key[i] = byte(i + 1)
	}
	return key
}

func runPythonOracle(t *testing.T, dir string) (s Summary) {
	var tests []struct {
		KeyType               string  `json:"key-type"`
		Suite                 SuiteID `json:"algorithm-suite"`
		Ciphertext, Plaintext []byte
	}
	vectorstest.ReadJSON(t, &tests, dir, "decrypt_vectors.json")
	for _, c := range tests {
		f := fixture{name: c.KeyType, message: c.Ciphertext, plaintext: c.Plaintext, suite: esdk.SuiteID(c.Suite)}
		switch c.KeyType {
		case "null":
			f.dataKey = zeroKey(c.Suite)
		case "test_counting":
			f.dataKey = countingKey(c.Suite)
		default:
			countUnsupported(t, &s, c.KeyType, c.Ciphertext)
			continue
		}
		s.Add(f.run(t))
	}
	return s
}

// runCZeroKey also changes each byte of each message, as the C SDK's test does.
func runCZeroKey(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Name                  string
			Suite                 SuiteID `json:"algorithm-suite"`
			Ciphertext, Plaintext []byte
		}
	}
	vectorstest.ReadJSON(t, &set, dir, "vectors.json")
	for _, c := range set.Tests {
		f := fixture{name: c.Name, message: c.Ciphertext, plaintext: c.Plaintext, suite: esdk.SuiteID(c.Suite), dataKey: zeroKey(c.Suite)}
		s.Add(f.run(t))
		client, err := esdk.New(esdk.Config{CMM: f.cmm(t), CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Ciphertext {
			changed := bytes.Clone(c.Ciphertext)
			changed[i] ^= 1 << (i % 8)
			if _, _, err := client.Decrypt(t.Context(), changed, nil); err == nil {
				t.Errorf("%s: decrypts with byte %d changed", c.Name, i)
			}
		}
	}
	return s
}

// runNonFramed decrypts two unframed messages and compares each with its
// plaintext.
func runNonFramed(t *testing.T, dir string) (s Summary) {
	key, err := base64.StdEncoding.DecodeString("AAECAwQFBgcICRAREhMUFRYXGBkgISIjJCUmJygpMDE=")
	if err != nil {
		t.Fatal(err)
	}
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "aws-raw-vectors-persistant", Name: "aes-256", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for version, suite := range map[string]esdk.SuiteID{"v1": esdk.AES256GCMHKDFSHA256, "v2": esdk.AES256GCMHKDFSHA512Commit} {
		message := readFile(t, dir, fmt.Sprintf("%s_nonframed_aes256_%04x.bin", version, uint16(suite)))
		f := fixture{name: version, message: message, plaintext: readFile(t, dir, version+"_nonframed_plaintext_small.bin"), suite: suite, keyring: kr}
		s.Add(f.run(t))
	}
	return s
}

func readFile(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func runJSFixtures(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Name                  string
			Suite                 SuiteID `json:"algorithm-suite"`
			EDKs                  int
			Ciphertext, Plaintext []byte
			Status                bool
		}
	}
	vectorstest.ReadJSON(t, &set, dir, "vectors.json")
	refusals := map[string]func(error) bool{
		"frameSequenceOutOfOrder": vectorstest.IsFormatError,
		"invalidSignatureCiphertextAlgAes256GcmIv12Tag16HkdfSha384EcdsaP384": vectorstest.Is(esdk.ErrAuthentication),
	}
	for _, c := range set.Tests {
		f := fixture{name: c.Name, message: c.Ciphertext, plaintext: c.Plaintext, suite: esdk.SuiteID(c.Suite), dataKey: zeroKey(c.Suite)}
		if !c.Status {
			f.refusal = refusals[c.Name]
		}
		s.Add(f.run(t))
		if c.Status {
			checkDataKeyLimit(t, &f, c.EDKs)
		}
	}
	return s
}

// checkDataKeyLimit checks that a message is accepted under a limit that it
// just meets, and rejected under a lower one.
func checkDataKeyLimit(t *testing.T, f *fixture, dataKeys int) {
	t.Helper()
	for limit := max(1, dataKeys-1); limit <= dataKeys; limit++ {
		client, err := esdk.New(esdk.Config{CMM: f.cmm(t), CommitmentPolicy: esdk.RequireEncryptAllowDecrypt, MaxEncryptedDataKeys: limit})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = client.Decrypt(t.Context(), f.message, nil)
		if limit < dataKeys != errors.Is(err, esdk.ErrLimit) || limit == dataKeys && err != nil {
			t.Errorf("%s: with at most %d data keys of %d: %v", f.name, limit, dataKeys, err)
		}
	}
}

func runJSHierarchical(t *testing.T, dir string) (s Summary) {
	var set struct{ Tests []struct{ Ciphertext []byte } }
	vectorstest.ReadJSON(t, &set, dir, "vectors.json")
	for _, c := range set.Tests {
		countUnsupported(t, &s, "aws-kms-hierarchy", c.Ciphertext)
	}
	return s
}

func runPythonPerf(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Ciphertext, Plaintext string
			Key                   struct {
				Type       string
				ProviderID string `json:"provider-id"`
				ID         string `json:"key-id"`
				Material   string
			}
		}
	}
	vectorstest.ReadJSON(t, &set, dir, "vectors.json")
	for _, c := range set.Tests {
		k := Key{Type: "private", ID: c.Key.ID, Encoding: "base64", Material: quote(c.Key.Material)}
		d := KeyDescription{Type: "raw", ProviderID: c.Key.ProviderID, Padding: "oaep-mgf1", Hash: "sha256"}
		switch c.Key.Type {
		case "raw-aes":
			d.Algorithm = "aes"
		case "raw-rsa":
			d.Algorithm = "rsa"
		case "kms":
			d.Type = "aws-kms"
		default:
			d.Type = c.Key.Type
		}
		files := folder(dir)
		test := &messageTest{
			ciphertext: func() ([]byte, error) { return files.read(c.Ciphertext) },
			plaintext:  func() ([]byte, error) { return files.read(c.Plaintext) },
			suite:      esdk.AES256GCMHKDFSHA512CommitECDSAP384,
		}
		cs := &Case{ID: c.Ciphertext, KeyType: d.Type, test: test, cmm: func() (esdk.CMM, error) { return Keys{"": k}.CMM(&d, nil) }}
		r := cs.Run(t.Context())
		s.Add(r)
		checkResult(t, cs, r)
	}
	return s
}

func quote(text string) json.RawMessage {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return quoted
}
