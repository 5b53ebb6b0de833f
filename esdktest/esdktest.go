// Package esdktest checks the contract of a keyring or CMM: the demands in the
// comments of [esdk.Keyring] and [esdk.CMM] and in the specification of the AWS
// Encryption SDK. Run it in a test of your own implementation:
//
//	func TestMyKeyring(t *testing.T) {
//		esdktest.TestKeyring(t, newMyKeyring())
//	}
//
// Each rule is a subtest, so go test -run 'TestMyKeyring/corrupted' shows a
// single rule. Run the tests with -race too: with it, the checks of concurrent
// use and of slices that must not be kept find more. A keyring that calls a
// service calls it a few hundred times.
//
// [KeyringTest] and [CMMTest] are for implementations with limits. For
// instance, one keyring only encrypts and another only decrypts, or a keyring
// can't bind a data key to its encryption context.
//
// Properties that can't be seen from outside aren't checked: that keys are
// random, that they are cleared, and that comparisons take constant time.
package esdktest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"esdk"
)

// allSuites are the suites of the message format. The latest come first.
var allSuites = func() []esdk.SuiteID {
	ids := esdk.Suites()
	slices.Reverse(ids)
	return ids
}()

// policyFor returns a policy under which a suite both encrypts and decrypts.
func policyFor(id esdk.SuiteID) esdk.CommitmentPolicy {
	if id.Commits() {
		return esdk.RequireEncryptRequireDecrypt
	}
	return esdk.ForbidEncryptAllowDecrypt
}

func allows(p esdk.CommitmentPolicy, id esdk.SuiteID) bool {
	return id.Commits() != (p == esdk.ForbidEncryptAllowDecrypt)
}

// sampleContext has keys whose order differs between bytes, UTF-16 and locales.
// A keyring that serializes them must get the order right.
func sampleContext() esdk.EncryptionContext {
	return esdk.EncryptionContext{"purpose": "conformance", "Stage": "test", "\uffff": "BMP", "\U0001F600": "not"}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func cloneDataKeys(edks []esdk.EncryptedDataKey) []esdk.EncryptedDataKey {
	c := make([]esdk.EncryptedDataKey, len(edks))
	for i, k := range edks {
		c[i] = esdk.EncryptedDataKey{
			ProviderID:   k.ProviderID,
			ProviderInfo: bytes.Clone(k.ProviderInfo),
			Ciphertext:   bytes.Clone(k.Ciphertext),
		}
	}
	return c
}

// scribble overwrites slices that the caller owns, as a caller may.
func scribble(edks []esdk.EncryptedDataKey) {
	for i := range edks {
		fill(edks[i].ProviderInfo)
		fill(edks[i].Ciphertext)
		edks[i] = esdk.EncryptedDataKey{ProviderID: "scribbled"}
	}
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xA5
	}
}

// checkDataKeys checks the properties of every list of encrypted data keys, so
// that the message is readable and the data key hidden.
func checkDataKeys(t testing.TB, edks []esdk.EncryptedDataKey, dataKey []byte) {
	t.Helper()
	if len(edks) == 0 {
		t.Error("there is no encrypted data key")
	}
	for _, k := range edks {
		if k.ProviderID == "" || strings.ToValidUTF8(k.ProviderID, "") != k.ProviderID {
			t.Errorf("provider id %q is empty or not valid UTF-8", k.ProviderID)
		}
		if max(len(k.ProviderID), len(k.ProviderInfo), len(k.Ciphertext)) > 0xFFFF {
			t.Errorf("encrypted data key of %q has a field of more than 65,535 bytes", k.ProviderID)
		}
		if len(dataKey) > 0 && (bytes.Contains(k.Ciphertext, dataKey) || bytes.Contains(k.ProviderInfo, dataKey)) {
			t.Errorf("encrypted data key of %q has the data key in the clear", k.ProviderID)
		}
	}
}

// leaks reports whether a text shows the start of a key, in a form of package
// fmt's verbs or of the usual encodings.
func leaks(text string, key []byte) bool {
	start := key[:min(9, len(key))] // 9 bytes are whole groups of Base64
	forms := []string{
		string(start),
		hex.EncodeToString(start),
		strings.ToUpper(hex.EncodeToString(start)),
		base64.StdEncoding.EncodeToString(start),
		base64.URLEncoding.EncodeToString(start),
		strings.Trim(fmt.Sprintf("%v", start), "[]"),
		strings.Trim(fmt.Sprintf("%q", start), `"`),
	}
	for _, f := range forms {
		if f != "" && strings.Contains(text, f) {
			return true
		}
	}
	return false
}

// concurrently runs a function in several goroutines and reports one error.
func concurrently(t testing.TB, f func() error) {
	t.Helper()
	const goroutines, rounds = 8, 3
	failed := make(chan error, goroutines)
	for range goroutines {
		go func() {
			var err error
			for range rounds {
				err = errors.Join(err, f())
			}
			failed <- err
		}()
	}
	var first error
	for range goroutines {
		if err := <-failed; first == nil {
			first = err
		}
	}
	if first != nil {
		t.Errorf("in concurrent use: %v", first)
	}
}

// checkMessages encrypts with one client and decrypts with another, at once and
// as a stream.
func checkMessages(t testing.TB, encrypt, decrypt esdk.Config, ec esdk.EncryptionContext) {
	t.Helper()
	plaintext := []byte("a plaintext of more than one frame")
	encrypt.FrameLength = 16
	writer, err := esdk.New(encrypt)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := esdk.New(decrypt)
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := writer.Encrypt(t.Context(), plaintext, ec)
	if err != nil {
		t.Fatalf("%v: Encrypt: %v", encrypt.Suite, err)
	}
	if got, _, err := reader.Decrypt(t.Context(), message, ec); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%v: Decrypt: %q, %v", encrypt.Suite, got, err)
	}
	streamed, err := encryptStream(t.Context(), writer, plaintext, ec)
	if err != nil {
		t.Fatalf("%v: Writer: %v", encrypt.Suite, err)
	}
	r, err := reader.NewReader(t.Context(), bytes.NewReader(streamed), ec)
	if err != nil {
		t.Fatalf("%v: NewReader: %v", encrypt.Suite, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%v: Reader: %q, %v", encrypt.Suite, got, err)
	}
}

func encryptStream(ctx context.Context, c *esdk.Client, plaintext []byte, ec esdk.EncryptionContext) ([]byte, error) {
	var message bytes.Buffer
	w, err := c.NewWriter(ctx, &message, ec)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plaintext); err != nil {
		return nil, err
	}
	err = w.Close()
	return message.Bytes(), err
}

// checkCancelled checks the outcome of a call whose context was already
// cancelled: a call that doesn't wait for anything may still succeed.
func checkCancelled(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%s with a cancelled context fails with %q, which does not match context.Canceled", what, err)
	}
	if errors.Is(err, esdk.ErrAuthentication) {
		t.Errorf("%s with a cancelled context fails with %q, which blames the message (ErrAuthentication)", what, err)
	}
}

func cancelled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
