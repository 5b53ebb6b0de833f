package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestUpToDate makes the vectors anew: the file is what this program writes.
func TestUpToDate(t *testing.T) {
	var made bytes.Buffer
	if err := write(&made); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "..", "testdata", "commitment", "commitment.json")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Bytes(), kept) {
		t.Errorf("%s is not what gencommitment writes; run it again", path)
	}
}
