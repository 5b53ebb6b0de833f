package wycheproof

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/stream"
)

type gcmVector struct {
	vector
	Key, IV, AAD, Msg, CT, Tag hexBytes
}

// sealed returns the ciphertext followed by its tag, as in the format.
func (v *gcmVector) sealed() []byte { return slices.Concat(v.CT, v.Tag) }

// gcmVectors returns the vectors with an IV and a tag of the format's length.
func gcmVectors(t *testing.T) (vectors []gcmVector) {
	type lengths struct{ IVSize, TagSize int }
	for _, g := range load[lengths, gcmVector](t, "aes_gcm_test.json") {
		if g.fields == (lengths{8 * format.IVLength, 8 * format.TagLength}) {
			vectors = append(vectors, g.Tests...)
		}
	}
	return vectors
}

// TestAESGCMKeyring decrypts each vector without AAD with the raw AES keyring.
// The keyring's AAD is a serialized encryption context, and no vector's AAD is
// one. A plaintext that is no data key of any suite is refused for its length,
// which shows that it was decrypted.
func TestAESGCMKeyring(t *testing.T) {
	got := make(tally)
	for _, v := range gcmVectors(t) {
		if len(v.AAD) > 0 {
			got["with AAD"]++
			continue
		}
		id := suiteFor(len(v.Msg))
		what := v.Result
		switch dataKey, err := unwrapAES(t, &v, id); {
		case !v.valid():
			if err == nil || !strings.HasSuffix(err.Error(), "wrong wrapping key or encryption context") {
				t.Errorf("%d: %x, %v; want an error of the tag: %s", v.ID, dataKey, err, v.Comment)
			}
		case len(v.Msg) == id.DataKeyLength():
			what += " data key"
			if err != nil || !bytes.Equal(dataKey, v.Msg) {
				t.Errorf("%d: %x, %v; want %x", v.ID, dataKey, err, v.Msg)
			}
		default:
			what += " of another length"
			if !isLengthError(err, len(v.Msg)) {
				t.Errorf("%d: %x, %v; want an error of the length, %d", v.ID, dataKey, err, len(v.Msg))
			}
		}
		got[what]++
	}
	got.require(t, tally{"valid data key": 13, "valid of another length": 51, "invalid": 81, "with AAD": 52})
}

func unwrapAES(t *testing.T, v *gcmVector, id esdk.SuiteID) ([]byte, error) {
	k := must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: namespace, Name: name, Key: v.Key}))
	info := binary.BigEndian.AppendUint32([]byte(name), 8*format.TagLength)
	info = binary.BigEndian.AppendUint32(info, format.IVLength)
	return unwrap(t, k, id, esdk.EncryptedDataKey{
		ProviderID:   namespace,
		ProviderInfo: append(info, v.IV...),
		Ciphertext:   v.sealed(),
	})
}

// gcm is the cipher of a vector. It replaces the format's AAD by the vector's,
// and checks the former.
type gcm struct {
	cipher.AEAD
	t    *testing.T
	aad  []byte
	want []byte
}

func (c *gcm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	if !bytes.Equal(aad, c.want) {
		c.t.Errorf("AAD %q, want %q", aad, c.want)
	}
	return c.AEAD.Open(dst, nonce, sealed, c.aad)
}

// TestAESGCMBody opens each kind of frame, both in memory and as a stream. The
// IV, ciphertext and tag are the vector's, and its AAD replaces the format's.
func TestAESGCMBody(t *testing.T) {
	got := make(tally)
	for _, v := range gcmVectors(t) {
		bodies := map[format.Kind][]byte{
			format.Single: slices.Concat(v.IV, binary.BigEndian.AppendUint64(nil, uint64(len(v.CT))), v.sealed()),
			format.Final: slices.Concat([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1}, v.IV,
				binary.BigEndian.AppendUint32(nil, uint32(len(v.CT))), v.sealed()),
			// Cut short after the tested frame.
			format.Regular: slices.Concat([]byte{0, 0, 0, 1}, v.IV, v.sealed()),
		}
		if len(v.CT) == 0 {
			delete(bodies, format.Regular) // never empty
		}
		for kind, body := range bodies {
			checkBody(t, &v, kind, body)
			got[v.Result+" "+string(kind)]++
		}
	}
	got.require(t, tally{
		"valid " + string(format.Single): 116, "invalid " + string(format.Single): 81,
		"valid " + string(format.Final): 116, "invalid " + string(format.Final): 81,
		"valid " + string(format.Regular): 112, "invalid " + string(format.Regular): 81,
	})
}

func checkBody(t *testing.T, v *gcmVector, kind format.Kind, body []byte) {
	id := []byte("message id")
	aead := must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(v.Key))))
	aad := format.NewBodyAAD(id, kind).Frame(1, uint64(len(v.CT)))
	source := stream.Source{Params: stream.Params{AEAD: &gcm{aead, t, v.AAD, aad}, MessageID: id}}
	if kind != format.Single {
		source.FrameLength = uint32(max(1, len(v.CT)))
	}
	var want error
	plaintext := v.Msg
	switch {
	case !v.valid():
		want, plaintext = stream.ErrAuthentication, nil
	case kind == format.Regular:
		want = io.ErrUnexpectedEOF
	}
	released, err := io.ReadAll(stream.NewReader(bytes.NewReader(body), source))
	if !errors.Is(err, want) || !bytes.Equal(released, plaintext) {
		t.Errorf("%d: %s: stream: %x, %v; want %x, %v", v.ID, kind, released, err, plaintext, want)
	}
	if want != nil {
		plaintext = nil // all or nothing
	}
	opened, err := stream.Open(nil, body, source)
	if !errors.Is(err, want) || !bytes.Equal(opened, plaintext) {
		t.Errorf("%d: %s: in memory: %x, %v; want %x, %v", v.ID, kind, opened, err, plaintext, want)
	}
}
