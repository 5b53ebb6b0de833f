// Package wycheproof runs the vectors of Project Wycheproof through the code
// that composes each primitive here: keyrings, bodies, key derivation and
// signatures, rather than the standard library under it.
//
// Each test requires the number of vectors that apply, so that none is left
// out in silence. Raising the version of the module may change those numbers.
package wycheproof

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"

	"esdk"
)

// hexBytes is hexadecimal in the vectors.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// A vector has the fields that all vectors share.
type vector struct {
	ID      int `json:"tcId"`
	Comment string
	Flags   []string
	Result  string // valid, acceptable or invalid
}

func (v *vector) valid() bool { return v.Result == "valid" }

// A group has vectors with some fields in common.
type group[F, V any] struct {
	fields F
	Tests  []V
}

func (g *group[F, V]) UnmarshalJSON(data []byte) error {
	tests := struct{ Tests *[]V }{&g.Tests}
	return errors.Join(json.Unmarshal(data, &g.fields), json.Unmarshal(data, &tests))
}

// load reads a file of vectors.
func load[F, V any](t *testing.T, name string) []group[F, V] {
	t.Helper()
	data := must[[]byte](t)(fs.ReadFile(wycheproof.TestVectors, name))
	var file struct {
		NumberOfTests int
		TestGroups    []group[F, V]
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	n := 0
	for _, g := range file.TestGroups {
		n += len(g.Tests)
	}
	if n == 0 || n != file.NumberOfTests {
		t.Fatalf("%s: read %d vectors of %d", name, n, file.NumberOfTests)
	}
	return file.TestGroups
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A tally counts vectors by outcome.
type tally map[string]int

// require fails unless the vectors are the ones that the test was written for.
func (got tally) require(t *testing.T, want tally) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(got)) {
		t.Logf("%5d %s", got[what], what)
	}
	if !maps.Equal(got, want) {
		t.Errorf("vectors: %v, want %v", got, want)
	}
}

const (
	namespace = "wycheproof"
	name      = "key"
)

// suiteFor returns a suite with data keys of the given length: 24, 32, or else
// 16 bytes.
func suiteFor(length int) esdk.SuiteID {
	switch length {
	case 24:
		return 0x0146
	case 32:
		return 0x0178
	}
	return 0x0114
}

// unwrap decrypts one data key with a keyring. It returns the error of this
// attempt.
func unwrap(t *testing.T, k esdk.Keyring, id esdk.SuiteID, edk esdk.EncryptedDataKey) ([]byte, error) {
	t.Helper()
	dataKey, err := k.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
	if err == nil {
		return dataKey, nil
	}
	var none *esdk.NoDataKeyError
	if !errors.As(err, &none) || len(none.Errors) != 1 || dataKey != nil {
		t.Fatalf("%x and %v, want the error of one attempt", dataKey, err)
	}
	return nil, none.Errors[0]
}

// isLengthError reports whether a data key was decrypted, but has the wrong
// length for the suite.
func isLengthError(err error, length int) bool {
	return err != nil && strings.Contains(err.Error(), fmt.Sprintf("data key has %d bytes, suite", length))
}
