// Package vectorstest finds the official test vectors for tests.
package vectorstest

import (
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the folder with the official vectors, which are not part of this
// repository: ESDK_VECTORS, or else ../shared/vectors, relative to the root of the
// repository. Without it the test is skipped, or fails if ESDK_REQUIRE_VECTORS is set.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ESDK_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "shared", "vectors")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(repository(t), dir)
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

// repository returns the folder above the test's own that has the license. More than
// one has a go.mod.
func repository(t testing.TB) string {
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
