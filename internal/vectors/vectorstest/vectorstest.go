// Package vectorstest helps tests that read and write test vectors.
package vectorstest

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"esdk"
)

// Dir returns the directory with the official vectors, which aren't part of
// this repository: ESDK_VECTORS, or else ../shared/vectors, relative to the
// root of the repository. Without it the test is skipped, or fails if
// ESDK_REQUIRE_VECTORS is set.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ESDK_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "shared", "vectors")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(Repository(t), dir)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	const text = "the official test vectors were NOT run: there is no folder %s. Set ESDK_VECTORS to a copy of them."
	if os.Getenv("ESDK_REQUIRE_VECTORS") != "" {
		t.Fatalf(text, dir)
	}
	t.Skipf(text+" Set ESDK_REQUIRE_VECTORS to have this fail.", dir)
	return ""
}

// Own returns the directory with the vectors that the official SDKs wrote for
// this repository.
func Own(t testing.TB) string {
	t.Helper()
	return filepath.Join(Repository(t), "testdata", "official")
}

// Repository returns the closest parent directory that has the license. More
// than one has a go.mod.
func Repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "LICENSE")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no LICENSE above the test")
		}
		dir = parent
	}
}

// Keys is a keys manifest with one key.
const Keys = `{"manifest": {"type": "keys", "version": 3}, "keys": {
	"aes": {"type": "symmetric", "encoding": "base64", "material": "AAAAAAAAAAAAAAAAAAAAAA=="}}}`

// MasterKey describes the key in [Keys].
const MasterKey = `{"type": "raw", "encryption-algorithm": "aes", "provider-id": "namespace", "key": "aes"}`

// WriteFiles makes a directory with files.
func WriteFiles(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ReadJSON reads a file into v.
func ReadJSON(t testing.TB, v any, path ...string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Is returns a function that reports whether an error is the target.
func Is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// IsFormatError reports whether an error says that a message is malformed.
func IsFormatError(err error) bool {
	var malformed *esdk.FormatError
	return errors.As(err, &malformed)
}

// IsTruncation reports whether an error says that a message ends too early.
func IsTruncation(err error) bool { return IsFormatError(err) && errors.Is(err, io.ErrUnexpectedEOF) }
