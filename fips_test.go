package esdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/suite"
)

// TestFIPS140Only holds the table in docs/security.md. Since the mode is that of a
// process, the test runs itself in one of its own.
func TestFIPS140Only(t *testing.T) {
	if !fips140.Enforced() {
		runEnforced(t)
		return
	}
	t.Run("messages", testOnlyMessages)
	t.Run("streams", testOnlyStreams)
	t.Run("keyrings", testOnlyKeyrings)
	t.Run("derivation and signatures", testOnlySuites)
}

func runEnforced(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), must[string](t)(os.Executable()), "-test.run=^TestFIPS140Only$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || bytes.Count(out, []byte("    --- PASS: TestFIPS140Only/")) != 4 {
		t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
	}
}

// wantNotAllowed wants the error of a primitive that the mode does not allow, and
// nothing but that.
func wantNotAllowed(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "not allowed in FIPS 140-only mode") {
		t.Errorf("%s: %v, want it refused", what, err)
	}
	if errors.Is(err, esdk.ErrAuthentication) || errors.Is(err, esdk.ErrCommitment) {
		t.Errorf("%s: %v, as if the message was wrong", what, err)
	}
}

func oaepKeyring(t *testing.T, bits int, c esdk.RawRSAConfig) esdk.Keyring {
	t.Helper()
	fips140.WithoutEnforcement(func() { c.PrivateKey = must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, bits)) })
	c.Namespace, c.Name, c.PublicKey = "test", "key", &c.PrivateKey.PublicKey
	return must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(c))
}

// No suite's messages can be made or read, unless the calls are exempt.
func testOnlyMessages(t *testing.T) {
	keyring := oaepKeyring(t, 2048, esdk.RawRSAConfig{})
	for _, s := range suite.All {
		client := newClient(t, esdk.Config{Keyring: keyring, Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s)})
		_, _, err := client.Encrypt(t.Context(), pattern(100), nil)
		wantNotAllowed(t, s.Name+": Encrypt", err)

		var message []byte
		fips140.WithoutEnforcement(func() { message, _, err = client.Encrypt(t.Context(), pattern(100), nil) })
		if err != nil {
			t.Fatalf("%s: exempt: %v", s.Name, err)
		}
		_, _, err = client.Decrypt(t.Context(), message, nil)
		wantNotAllowed(t, s.Name+": Decrypt", err)

		var got []byte
		fips140.WithoutEnforcement(func() { got, _, err = client.Decrypt(t.Context(), message, nil) })
		if err != nil || !bytes.Equal(got, pattern(100)) {
			t.Errorf("%s: exempt: %x, %v", s.Name, got, err)
		}
	}
}

// A stream is refused when it is made; only that need be exempt.
func testOnlyStreams(t *testing.T) {
	client := newClient(t, esdk.Config{Keyring: oaepKeyring(t, 2048, esdk.RawRSAConfig{}), FrameLength: 64})
	_, err := client.NewWriter(t.Context(), io.Discard, nil)
	wantNotAllowed(t, "NewWriter", err)

	var message, got bytes.Buffer
	var w *esdk.Writer
	fips140.WithoutEnforcement(func() { w, err = client.NewWriter(t.Context(), &message, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pattern(1000)); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}

	_, err = client.NewReader(t.Context(), bytes.NewReader(message.Bytes()), nil)
	wantNotAllowed(t, "NewReader", err)
	var r *esdk.Reader
	fips140.WithoutEnforcement(func() { r, err = client.NewReader(t.Context(), &message, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), pattern(1000)) {
		t.Errorf("read %d bytes, %v", got.Len(), err)
	}
}

func testOnlyKeyrings(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		_, err := esdk.NewRawAESKeyring("test", "key", make([]byte, n))
		wantNotAllowed(t, "AES", err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		for _, bits := range []int{2048, 3072} {
			checkOnlyKeyring(t, hash.String(), oaepKeyring(t, bits, esdk.RawRSAConfig{Hash: hash}), true)
		}
	}
	checkOnlyKeyring(t, "OAEP with SHA-1", oaepKeyring(t, 2048, esdk.RawRSAConfig{Hash: crypto.SHA1}), false)
	checkOnlyKeyring(t, "PKCS #1 v1.5", oaepKeyring(t, 2048, esdk.RawRSAConfig{PKCS1v15: true}), false)
	checkOnlyKeyring(t, "RSA of 1024 bits", oaepKeyring(t, 1024, esdk.RawRSAConfig{}), false)
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		key := must[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
		checkOnlyKeyring(t, "ECDH", must[esdk.Keyring](t)(esdk.NewRawECDHKeyring(key, key.PublicKey())), false)
	}
}

// checkOnlyKeyring has a keyring wrap and unwrap a data key, both of which either
// work or are refused.
func checkOnlyKeyring(t *testing.T, what string, k esdk.Keyring, works bool) {
	t.Helper()
	const id = esdk.SuiteID(0x0578)
	wrap := &esdk.WrapRequest{Suite: id, DataKey: pattern(32)}
	wrapped, err := k.Wrap(t.Context(), wrap)
	if !works {
		wantNotAllowed(t, what+": Wrap", err)
		fips140.WithoutEnforcement(func() { wrapped, err = k.Wrap(context.Background(), wrap) })
	}
	if err != nil {
		t.Fatalf("%s: Wrap: %v", what, err)
	}
	dataKey, err := k.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: wrapped.EncryptedDataKeys})
	if !works {
		wantNotAllowed(t, what+": Unwrap", err)
	} else if err != nil || !bytes.Equal(dataKey, wrap.DataKey) {
		t.Errorf("%s: Unwrap: %x, %v", what, dataKey, err)
	}
}

func testOnlySuites(t *testing.T) {
	for _, s := range suite.All {
		if _, err := s.Derive(make([]byte, s.KeyLength), make([]byte, s.MessageIDLength())); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if !s.Signs() {
			continue
		}
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := s.NewDigest().Sum(nil)
		signature, err := s.Sign(key, digest)
		if err != nil || !s.Verify(&key.PublicKey, digest, signature) {
			t.Errorf("%s: signature: %v", s.Name, err)
		}
	}
}
