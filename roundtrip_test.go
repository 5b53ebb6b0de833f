package esdk_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/internal/suite"
)

func testKeyring(t testing.TB) esdk.Keyring {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring("test", "key", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// policyFor returns a policy under which a suite both encrypts and decrypts.
func policyFor(s *suite.Suite) esdk.CommitmentPolicy {
	if s.Commits {
		return esdk.RequireEncryptRequireDecrypt
	}
	return esdk.ForbidEncryptAllowDecrypt
}

func newClient(t testing.TB, c esdk.Config) *esdk.Client {
	t.Helper()
	if c.Keyring == nil && c.CMM == nil {
		c.Keyring = testKeyring(t)
	}
	client, err := esdk.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*131 + i>>8*7)
	}
	return b
}

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
	message, _, err := client.Encrypt(t.Context(), plaintext, ec)
	if err != nil {
		t.Fatal(err)
	}
	var streamed bytes.Buffer
	w, err := client.NewWriter(t.Context(), &streamed, ec)
	if err != nil {
		t.Fatal(err)
	}
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
		if got, _, err := client.Decrypt(t.Context(), m, ec); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("one-shot: %d bytes, %v", len(got), err)
		}
		r, err := client.NewReader(t.Context(), iotest.HalfReader(bytes.NewReader(m)), ec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(iotest.HalfReader(r)); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("stream: %d bytes, %v", len(got), err)
		}
	}
}
