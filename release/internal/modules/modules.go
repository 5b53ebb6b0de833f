// Package modules lists the modules of this repository, and makes their tags,
// zip files and lines of go.sum.
package modules

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// Versioned lists the directories of the published modules, each after its
// dependencies.
var Versioned = []string{".", "cmd/esdk", "lake", "otel"}

// Path returns the path of the module in a directory, where root is the path of
// the root module.
func Path(root, dir string) string { return path.Join(root, dir) }

// Tag returns the tag under which the go command finds a version of the module
// in a directory.
func Tag(dir, version string) string {
	if dir == "." {
		return version
	}
	return dir + "/" + version
}

// Zip returns the zip file of a module as the go command makes it, from a
// revision or tree of a git repository.
func Zip(repository, revision string, m module.Version, dir string) ([]byte, error) {
	if dir == "." {
		dir = ""
	}
	var b bytes.Buffer
	if err := zip.CreateFromVCS(&b, m, repository, revision, dir); err != nil {
		return nil, fmt.Errorf("%s: %w", m, err)
	}
	return b.Bytes(), nil
}

// Sums returns the two lines of go.sum for a module: the hashes of its zip file
// and of its go.mod file.
func Sums(m module.Version, zipped, mod []byte) ([]string, error) {
	f, err := os.CreateTemp("", "module-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(zipped)
	if err := f.Close(); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	all, err := dirhash.HashZip(f.Name(), dirhash.Hash1)
	if err != nil {
		return nil, err
	}
	open := func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mod)), nil }
	only, err := dirhash.Hash1([]string{"go.mod"}, open)
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("%s %s %s\n", m.Path, m.Version, all),
		fmt.Sprintf("%s %s/go.mod %s\n", m.Path, m.Version, only),
	}, nil
}
