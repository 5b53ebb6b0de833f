package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers are the packages below the command, each with the packages that it may
// import. The packages for test vectors also import the library's own, and
// base64text imports the package that recognizes messages.
var layers = map[string][]string{
	"cli":        nil,
	"calls":      nil,
	"atomicfile": {"cli"},
	"object":     {"cli", "atomicfile"},
	"parquet":    nil,
	"inventory":  {"cli", "parquet", "inventory", "inventory/inventorytest", "esdk/internal/fipstest"},
	"place":      {"cli", "atomicfile", "object", "inventory", "inventory/inventorytest"},
	"base64text": {"cli", "esdk/internal/inspect"},
	"batch":      {"calls", "cli", "atomicfile", "object", "place"},
	"audit":      {"calls", "cli", "object", "batch", "place", "base64text", "settings"},
	"awscli":     {"cli", "batch"},
	"keyspec":    {"calls", "cli", "atomicfile"},
	"settings":   {"calls", "cli", "keyspec"},
	"reencrypt":  {"cli", "place", "batch", "base64text", "keyspec", "settings"},
	"vectorgen": {"cli", "esdk/internal/format", "esdk/internal/kmsarn", "esdk/internal/stream", "esdk/internal/suite",
		"esdk/internal/vectors", "esdk/internal/vectors/vectorstest"},
	"vectorkeys": {"cli", "keyspec", "esdk/internal/vectors"},
}

// TestImportsPointOneWay checks that packages below the command import only
// packages below them.
func TestImportsPointOneWay(t *testing.T) {
	const internal = "esdk/cmd/esdk/internal/"
	dirs, err := os.ReadDir("internal")
	if err != nil || len(dirs) != len(layers) {
		t.Errorf("%d directories, %v; want %d", len(dirs), err, len(layers))
	}
	for dir, below := range layers {
		files, err := filepath.Glob(filepath.Join("internal", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if name, ok := strings.CutPrefix(path, internal); ok && !slices.Contains(below, name) {
					t.Errorf("%s imports %s", file, path)
				}
				if strings.HasPrefix(path, "esdk/internal/") && !slices.Contains(below, path) {
					t.Errorf("%s imports %s, which is the library's own", file, path)
				}
			}
		}
	}
}
