package vectors

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"errors"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/stream"
	"esdk/internal/vectors/vectorstest"
)

// TestCommitment checks that each forged commitment is rejected, and that only
// the commitment is wrong: everything else in the message opens.
func TestCommitment(t *testing.T) {
	var set struct {
		WrappingKeys []struct {
			Namespace string `json:"provider-id"`
			Name      string `json:"key-id"`
			Material  []byte
		} `json:"wrapping-keys"`
		Tests []struct {
			ID, Description, Outcome string
			Suite                    SuiteID `json:"algorithmSuiteId"`
			DataKey                  []byte  `json:"data-key"`
			Plaintext, Message       []byte
		}
	}
	vectorstest.ReadJSON(t, &set, vectorstest.Repository(t), "testdata", "commitment", "commitment.json")
	outcomes := map[string]int{}
	for _, c := range set.Tests {
		outcomes[c.Outcome]++
		f := fixture{name: c.ID, message: c.Message, plaintext: c.Plaintext, dataKey: c.DataKey, suite: esdk.SuiteID(c.Suite)}
		if c.Outcome == "commitment" {
			f.refusal = vectorstest.Is(esdk.ErrCommitment)
		}
		f.run(t)
		plaintext, err := openWithoutCommitment(c.Message, c.DataKey)
		if err != nil || !bytes.Equal(plaintext, c.Plaintext) {
			t.Errorf("%s: does not test the commitment alone: %v", c.ID, err)
		}
		for _, w := range set.WrappingKeys {
			kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: w.Namespace, Name: w.Name, Key: w.Material})
			if err != nil {
				t.Fatal(err)
			}
			_, err = esdk.Decrypt(t.Context(), kr, c.Message, nil)
			if f.refusal == nil && err != nil || f.refusal != nil && !f.refusal(err) {
				t.Errorf("%s: with the key %q: %v", c.ID, w.Name, err)
			}
		}
	}
	if outcomes["plaintext"] != 6 || outcomes["commitment"] != 40 || len(outcomes) != 2 {
		t.Errorf("outcomes are %v, want 6 and 40", outcomes)
	}
}

// openWithoutCommitment acts like an SDK without commitment: it verifies the
// header tag, the frames and the signature.
func openWithoutCommitment(message, dataKey []byte) ([]byte, error) {
	h, err := format.ReadHeader(bytes.NewReader(message), format.Limits{})
	if err != nil {
		return nil, err
	}
	keys, err := h.Suite.Derive(dataKey, h.MessageID)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(keys.Content)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if _, err := aead.Open(nil, h.IV, h.Tag, h.Raw); err != nil {
		return nil, err
	}
	source := stream.Source{Params: stream.Params{AEAD: aead, MessageID: h.MessageID, FrameLength: h.FrameLength}}
	if h.Suite.Signs() {
		public, err := h.Suite.DecodePublicKey(h.Context["aws-crypto-public-key"])
		if err != nil {
			return nil, err
		}
		verifySignature(&source, h, public)
	}
	return stream.Open(nil, message[h.Size():], source)
}

func verifySignature(s *stream.Source, h *format.Header, public *ecdsa.PublicKey) {
	digest := h.Suite.NewDigest()
	digest.Write(h.Append(nil))
	s.Digest = digest
	s.Verify = func(signature []byte) error {
		if !h.Suite.Verify(public, digest.Sum(nil), signature) {
			return errors.New("signature is not valid")
		}
		return nil
	}
}
