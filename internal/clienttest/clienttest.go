// Package clienttest provides clients, keyrings and CMMs for the tests of
// packages that are used through a client.
package clienttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"esdk"
)

// Must returns a constructor's result.
func Must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Keyring returns a raw AES keyring. It has the same key each time.
func Keyring(t testing.TB) esdk.Keyring {
	t.Helper()
	return Must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "test", Name: "key", Key: make([]byte, 32)}))
}

// PolicyFor returns a policy under which a suite both encrypts and decrypts.
func PolicyFor(id esdk.SuiteID) esdk.CommitmentPolicy {
	if id.Commits() {
		return esdk.RequireEncryptRequireDecrypt
	}
	return esdk.ForbidEncryptAllowDecrypt
}

// New returns a client, with [Keyring] unless the configuration has another.
func New(t testing.TB, c esdk.Config) *esdk.Client {
	t.Helper()
	if c.Keyring == nil && c.CMM == nil {
		c.Keyring = Keyring(t)
	}
	return Must[*esdk.Client](t)(esdk.New(c))
}

// Pattern returns n bytes.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*131 + i>>8*7)
	}
	return b
}

// Encrypt returns the message of a plaintext.
func Encrypt(t testing.TB, c *esdk.Client, plaintext []byte, ec esdk.EncryptionContext) []byte {
	t.Helper()
	message, _, err := c.Encrypt(t.Context(), plaintext, ec)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// EncryptStream returns the message of a plaintext of undeclared length.
func EncryptStream(t testing.TB, c *esdk.Client, plaintext []byte, ec esdk.EncryptionContext) []byte {
	t.Helper()
	var message bytes.Buffer
	w := Must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, ec))
	if _, err := w.Write(plaintext); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return message.Bytes()
}

// DecryptStream returns the plaintext that a Reader released, and its error.
func DecryptStream(t testing.TB, c *esdk.Client, src io.Reader, ec esdk.EncryptionContext) ([]byte, error) {
	r, err := c.NewReader(t.Context(), src, ec)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// WantDecrypts checks that a message decrypts, at once and as a stream.
func WantDecrypts(t testing.TB, c *esdk.Client, message []byte, ec esdk.EncryptionContext, want []byte) {
	t.Helper()
	if got, _, err := c.Decrypt(t.Context(), message, ec); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Decrypt: %d bytes, %v; want %d bytes", len(got), err, len(want))
	}
	if got, err := DecryptStream(t, c, bytes.NewReader(message), ec); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Reader: %d bytes, %v; want %d bytes", len(got), err, len(want))
	}
}

// WantRefused checks that a message fails with an error, at once and as a
// stream.
func WantRefused(t testing.TB, c *esdk.Client, message []byte, ec esdk.EncryptionContext, want error) {
	t.Helper()
	got, header, err := c.Decrypt(t.Context(), message, ec)
	if !errors.Is(err, want) || got != nil || header != nil {
		t.Errorf("Decrypt: %d bytes, header %v, %v; want %v", len(got), header, err, want)
	}
	if _, err := DecryptStream(t, c, bytes.NewReader(message), ec); !errors.Is(err, want) {
		t.Errorf("Reader: %v; want %v", err, want)
	}
}

// KeyringFuncs is a keyring made of two functions. A nil one fails with
// [ErrNotAsked].
type KeyringFuncs struct {
	OnWrap   func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error)
	OnUnwrap func(context.Context, *esdk.UnwrapRequest) ([]byte, error)
}

// ErrNotAsked is the error of a keyring that should not have been called.
var ErrNotAsked = errors.New("this keyring should not have been asked")

// Wrap implements [esdk.Keyring].
func (k KeyringFuncs) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if k.OnWrap == nil {
		return nil, ErrNotAsked
	}
	return k.OnWrap(ctx, req)
}

// Unwrap implements [esdk.Keyring].
func (k KeyringFuncs) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	if k.OnUnwrap == nil {
		return nil, ErrNotAsked
	}
	return k.OnUnwrap(ctx, req)
}

// A ChangingCMM changes the materials of another CMM.
type ChangingCMM struct {
	esdk.CMM
	OnEncryption func(*esdk.EncryptionMaterials)
	OnDecryption func(*esdk.DecryptionMaterials)
}

// EncryptionMaterials implements [esdk.CMM].
func (c ChangingCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	m, err := c.CMM.EncryptionMaterials(ctx, req)
	if err == nil && c.OnEncryption != nil {
		c.OnEncryption(m)
	}
	return m, err
}

// DecryptionMaterials implements [esdk.CMM].
func (c ChangingCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	m, err := c.CMM.DecryptionMaterials(ctx, req)
	if err == nil && c.OnDecryption != nil {
		c.OnDecryption(m)
	}
	return m, err
}

// DefaultCMM returns the default CMM of [Keyring].
func DefaultCMM(t testing.TB) esdk.CMM {
	return Must[esdk.CMM](t)(esdk.NewDefaultCMM(Keyring(t)))
}
