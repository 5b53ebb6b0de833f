package esdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"testing"

	"esdk"
	"esdk/internal/fipstest"
	"esdk/internal/suite"
)

// TestFIPS140Only checks the table in docs/security.md, with the tests of the
// same name in awskms and branchkey.
func TestFIPS140Only(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	t.Run("messages", testOnlyMessages)
	t.Run("streams", testOnlyStreams)
	t.Run("keyrings", testOnlyKeyrings)
	t.Run("derivation and signatures", testOnlySuites)
}

func oaepKeyring(t *testing.T, bits int, c esdk.RawRSAConfig) esdk.Keyring {
	t.Helper()
	fips140.WithoutEnforcement(func() { c.PrivateKey = must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, bits)) })
	c.Namespace, c.Name, c.PublicKey = "test", "key", &c.PrivateKey.PublicKey
	return must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(c))
}

// Messages of every suite fail to encrypt and decrypt, unless the calls are
// exempt.
func testOnlyMessages(t *testing.T) {
	keyring := oaepKeyring(t, 2048, esdk.RawRSAConfig{})
	for _, s := range suite.All {
		client := newClient(t, esdk.Config{Keyring: keyring, Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s)})
		_, _, err := client.Encrypt(t.Context(), pattern(100), nil)
		fipstest.WantRefused(t, s.Name+": Encrypt", err)

		var message []byte
		fips140.WithoutEnforcement(func() { message, _, err = client.Encrypt(t.Context(), pattern(100), nil) })
		if err != nil {
			t.Fatalf("%s: exempt: %v", s.Name, err)
		}
		_, _, err = client.Decrypt(t.Context(), message, nil)
		fipstest.WantRefused(t, s.Name+": Decrypt", err)

		var got []byte
		fips140.WithoutEnforcement(func() { got, _, err = client.Decrypt(t.Context(), message, nil) })
		if err != nil || !bytes.Equal(got, pattern(100)) {
			t.Errorf("%s: exempt: %x, %v", s.Name, got, err)
		}
	}
}

// A stream fails when it's created; only that call must be exempt.
func testOnlyStreams(t *testing.T) {
	client := newClient(t, esdk.Config{Keyring: oaepKeyring(t, 2048, esdk.RawRSAConfig{}), FrameLength: 64})
	_, err := client.NewWriter(t.Context(), io.Discard, nil)
	fipstest.WantRefused(t, "NewWriter", err)

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
	fipstest.WantRefused(t, "NewReader", err)
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
		_, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "test", Name: "key", Key: make([]byte, n)})
		fipstest.WantRefused(t, "AES", err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		for _, bits := range []int{2048, 3072} {
			checkOnlyKeyring(t, hash.String(), oaepKeyring(t, bits, esdk.RawRSAConfig{Hash: hash}), true)
		}
	}
	checkOnlyKeyring(t, "OAEP with SHA-1", oaepKeyring(t, 2048, esdk.RawRSAConfig{Hash: crypto.SHA1}), false)
	checkOnlyKeyring(t, "PKCS #1 v1.5", oaepKeyring(t, 2048, esdk.RawRSAConfig{PKCS1v15: true}), false)
	for _, bits := range []int{1024, 2049} {
		checkOnlyKeyring(t, fmt.Sprintf("RSA of %d bits", bits), oaepKeyring(t, bits, esdk.RawRSAConfig{}), false)
	}
	public := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)).PublicKey
	public.E = 3
	smallExponent := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "test", Name: "key", PublicKey: &public}))
	_, err := smallExponent.Wrap(t.Context(), &esdk.WrapRequest{Suite: 0x0578})
	fipstest.WantRefused(t, "exponent 3: Wrap", err)
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		key := must[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
		checkOnlyKeyring(t, "ECDH", must[esdk.Keyring](t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: key, Peer: key.PublicKey()})), false)
	}
}

// checkOnlyKeyring wraps and unwraps a data key with a keyring, and checks that
// both calls work or both fail.
func checkOnlyKeyring(t *testing.T, what string, k esdk.Keyring, works bool) {
	t.Helper()
	const id = esdk.SuiteID(0x0578)
	wrap := &esdk.WrapRequest{Suite: id, DataKey: pattern(32)}
	wrapped, err := k.Wrap(t.Context(), wrap)
	if !works {
		fipstest.WantRefused(t, what+": Wrap", err)
		fips140.WithoutEnforcement(func() { wrapped, err = k.Wrap(context.Background(), wrap) })
	}
	if err != nil {
		t.Fatalf("%s: Wrap: %v", what, err)
	}
	dataKey, err := k.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: wrapped.EncryptedDataKeys})
	if !works {
		fipstest.WantRefused(t, what+": Unwrap", err)
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
