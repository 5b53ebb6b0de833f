package esdk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/internal/suite"
)

func TestRoundTrip(t *testing.T) {
	for _, s := range suite.All {
		for _, frame := range []uint32{1, 16, 4096, 1 << 20} {
			client := newClient(t, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), FrameLength: frame})
			for _, size := range []int{0, 1, 15, 16, 17, 32, 4095, 4096, 4097, 8192, 300_000} {
				if frame == 1 && size > 5000 {
					continue
				}
				t.Run(fmt.Sprintf("%04x/%d/%d", s.ID, frame, size), func(t *testing.T) {
					roundTrip(t, client, pattern(size))
				})
			}
		}
	}
}

func roundTrip(t *testing.T, client *esdk.Client, plaintext []byte) {
	ec := esdk.EncryptionContext{"Stage": "test", "who": "ünïcödé \U0001F600"}
	message := encrypt(t, client, plaintext, ec)
	var streamed bytes.Buffer
	w := must[*esdk.Writer](t)(client.NewWriter(t.Context(), &streamed, ec))
	if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(plaintext))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if streamed.Len() != len(message) {
		t.Errorf("stream wrote %d bytes, one-shot %d", streamed.Len(), len(message))
	}
	for _, m := range [][]byte{message, streamed.Bytes()} {
		wantDecrypts(t, client, m, ec, plaintext)
		r := must[*esdk.Reader](t)(client.NewReader(t.Context(), iotest.HalfReader(bytes.NewReader(m)), ec))
		if got, err := io.ReadAll(iotest.HalfReader(r)); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("stream: %d bytes, %v", len(got), err)
		}
	}
}

// Unframed bodies are only ever read.
func TestNonFramed(t *testing.T) {
	for _, s := range suite.All {
		for _, size := range []int{0, 1, 16, 5000, 300_000} {
			t.Run(fmt.Sprintf("%04x/%d", s.ID, size), func(t *testing.T) {
				f := newForger(t, s, 0, sampleContext)
				plaintext := pattern(size)
				message := f.message(t, f.nonFramed(plaintext))
				wantDecrypts(t, reader(t), message, sampleContext, plaintext)
				h := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
				if h.FrameLength != 0 {
					t.Errorf("frame length %d, want 0", h.FrameLength)
				}
			})
		}
	}
}

// If a plaintext fills its frames, the Python SDK ends the message with an
// empty final frame, and the others with a full one.
func TestEmptyFinalFrame(t *testing.T) {
	for _, s := range suite.All {
		f := newForger(t, s, 8, sampleContext)
		plaintext := pattern(16)
		wantDecrypts(t, reader(t), f.message(t, f.regular(1, plaintext[:8]), f.regular(2, plaintext[8:]), f.final(3, nil)), nil, plaintext)
		wantDecrypts(t, reader(t), f.message(t, f.regular(1, plaintext[:8]), f.final(2, plaintext[8:])), nil, plaintext)
	}
}

func TestHeaderOfMessage(t *testing.T) {
	ec := esdk.EncryptionContext{"tenant": "17", "stage": "test"}
	cmm := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(defaultCMM(t), "tenant"))
	c := newClient(t, esdk.Config{CMM: cmm, FrameLength: 100})
	message, encrypted, err := c.Encrypt(t.Context(), nil, ec)
	if err != nil {
		t.Fatal(err)
	}
	_, decrypted, err := c.Decrypt(t.Context(), message, ec)
	if err != nil {
		t.Fatal(err)
	}
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, ec))
	r := must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(message), ec))
	for name, h := range map[string]*esdk.Header{"Encrypt": encrypted, "Decrypt": decrypted, "Writer": w.Header(), "Reader": r.Header()} {
		if h.Version != 2 || h.Suite != esdk.AES256GCMHKDFSHA512CommitECDSAP384 || h.FrameLength != 100 ||
			len(h.MessageID) != 32 || len(h.EncryptedDataKeys) != 1 || h.EncryptedDataKeys[0].ProviderID != "test" {
			t.Errorf("%s: header %+v", name, h)
		}
		if h.EncryptionContext["tenant"] != "17" || h.EncryptionContext["stage"] != "test" || h.EncryptionContext["aws-crypto-public-key"] == "" {
			t.Errorf("%s: context %v", name, h.EncryptionContext)
		}
		if len(h.RequiredContextKeys) != 1 || h.RequiredContextKeys[0] != "tenant" {
			t.Errorf("%s: required keys %q", name, h.RequiredContextKeys)
		}
	}
	if encrypted.Length != decrypted.Length || !bytes.Equal(encrypted.MessageID, decrypted.MessageID) {
		t.Errorf("encrypted %+v, decrypted %+v", encrypted, decrypted)
	}
}

// This test takes apart each field by hand, in the order of the specification.
// A reader with the same mistake as the writer wouldn't notice it.
func TestMessageLayout(t *testing.T) {
	for _, s := range suite.All {
		for _, streamed := range []bool{false, true} {
			c := newClient(t, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), Keyring: keptKeyring(t)})
			write := encrypt
			if streamed {
				write = encryptStream
			}
			// 4096 is the default; the last frame is full.
			checkLayout(t, s, write(t, c, pattern(3*4096), sampleContext), 4096, 4096, 4096)
			checkLayout(t, s, write(t, c, pattern(4097), sampleContext), 4096, 1)
			checkLayout(t, s, write(t, c, nil, sampleContext), 0)
		}
	}
}

// checkLayout checks a message with frames of these lengths.
func checkLayout(t *testing.T, s *suite.Suite, message []byte, frames ...int) {
	t.Helper()
	rest := message
	take := func(n int) []byte {
		t.Helper()
		if len(rest) < n {
			t.Fatalf("%04x: %d bytes are left, want %d", s.ID, len(rest), n)
		}
		field := rest[:n]
		rest = rest[n:]
		return field
	}
	want := func(what string, field ...byte) {
		t.Helper()
		if got := take(len(field)); !bytes.Equal(got, field) {
			t.Errorf("%04x: %s is %x, want %x", s.ID, what, got, field)
		}
	}
	variable := func() []byte { return take(int(binary.BigEndian.Uint16(take(2)))) }

	if s.Commits {
		want("version", 2)
	} else {
		want("version and type", 1, 0x80)
	}
	want("suite", byte(s.ID>>8), byte(s.ID))
	if s.Commits {
		take(32)
	} else {
		take(16)
	}
	if s.Signs() {
		if ec := variable(); !bytes.HasPrefix(ec, []byte("\x00\x02\x00\x15aws-crypto-public-key\x00")) || !bytes.HasSuffix(ec, []byte("\x00\x01k\x00\x01v")) {
			t.Errorf("%04x: context is %q", s.ID, ec)
		}
	} else if ec := variable(); string(ec) != "\x00\x01\x00\x01k\x00\x01v" {
		t.Errorf("%04x: context is %q", s.ID, ec)
	}
	want("count of data keys", 0, 2)
	for _, provider := range []string{"test", "raw-ecdh"} {
		if got := variable(); string(got) != provider {
			t.Errorf("%04x: provider is %q, want %q", s.ID, got, provider)
		}
		variable()
		variable()
	}
	want("content type", 2)
	if !s.Commits {
		want("reserved field and IV length", 0, 0, 0, 0, 12)
	}
	want("frame length", 0, 0, 16, 0)
	if s.Commits {
		take(32 + 16)
	} else {
		want("IV", make([]byte, 12)...)
		take(16)
	}
	for i, n := range frames {
		sequence := []byte{0, 0, 0, byte(i + 1)}
		if last := i == len(frames)-1; last {
			want("end", 0xff, 0xff, 0xff, 0xff)
			want("sequence number", sequence...)
			want("IV", append(make([]byte, 8), sequence...)...)
			want("length", 0, 0, byte(n>>8), byte(n))
		} else {
			want("sequence number", sequence...)
			want("IV", append(make([]byte, 8), sequence...)...)
		}
		take(n + 16)
	}
	if s.Signs() {
		want("length of the signature", 0, byte(s.SignatureLength))
		take(s.SignatureLength)
	}
	if len(rest) > 0 {
		t.Errorf("%04x: %d bytes more", s.ID, len(rest))
	}
}
