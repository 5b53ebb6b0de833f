package stream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"esdk/internal/modeltest"
	"esdk/internal/stream"
	"esdk/internal/vectors"
	"esdk/internal/vectors/vectorstest"
)

// Messages of other SDKs are short. With short batches, they are opened like
// long ones, by several workers.
func TestVectorsInShortBatches(t *testing.T) {
	if testing.Short() {
		t.Skip("what is written here is read by other tests, too")
	}
	own := map[string]int{"python.json": 257, "java.json": 257, "javascript.json": 103}
	workers := []int{1, 8}
	if modeltest.Race {
		workers = []int{8} // a single worker has no races, and RSA keys take long
	}
	for name, passed := range own {
		inShortBatches(t, filepath.Join("..", "..", "testdata", "official", name), passed, workers...)
	}
	if modeltest.Race {
		return
	}
	t.Run("official", func(t *testing.T) {
		dir := vectorstest.Dir(t)
		for name, passed := range map[string]int{
			"net-4.0.1-v4/manifest.json":                        49,
			"dafny-4.1.0-v5/decrypt-manifest.json":              143,
			"python-1.3.0-legacy/manifests/ciphertext.manifest": 450,
			"mpl-decrypt-go/manifest.json":                      184,
		} {
			inShortBatches(t, filepath.Join(dir, filepath.FromSlash(name)), passed, 2)
		}
	})
}

// inShortBatches runs a manifest. The given number of cases pass and none
// fails.
func inShortBatches(t *testing.T, path string, passed int, workers ...int) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	stream.SetBatch(1000)
	defer stream.SetBatch(stream.DefaultBatch)
	for _, workers := range workers {
		t.Run(fmt.Sprintf("%s,workers=%d", filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), workers), func(t *testing.T) {
			m, err := vectors.Load(path, vectors.Options{Concurrency: workers})
			if err != nil {
				t.Fatal(err)
			}
			var sum vectors.Summary
			for _, c := range m.Cases {
				r := c.Run(t.Context())
				sum.Add(r)
				if r.Outcome == vectors.Failed {
					t.Errorf("%s: %v", c.ID, r.Err)
				}
			}
			if sum.Passed != passed {
				t.Errorf("got %+v, want %d passed", sum, passed)
			}
		})
	}
}
