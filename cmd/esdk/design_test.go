package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"esdk"
)

// layers are the packages below the command, each with the packages that it may
// import. A path that begins with a slash is the library's own.
var layers = map[string][]string{
	"cli":        nil,
	"calls":      {"cli"},
	"atomicfile": {"cli"},
	"object":     {"cli", "atomicfile"},
	"parquet":    nil,
	"inventory":  {"cli", "parquet", "inventory", "inventory/inventorytest", "/internal/fipstest"},
	"place":      {"cli", "atomicfile", "object", "inventory", "inventory/inventorytest"},
	"base64text": {"cli", "/internal/inspect"},
	"batch":      {"calls", "cli", "atomicfile", "object", "place"},
	"audit":      {"calls", "cli", "object", "batch", "place", "base64text", "settings"},
	"awscli":     {"cli", "batch"},
	"keyspec":    {"calls", "cli", "atomicfile", "/internal/kmsarn"},
	"settings":   {"calls", "cli", "keyspec"},
	"reencrypt":  {"cli", "place", "batch", "base64text", "keyspec", "settings"},
	"vectorgen": {"cli", "/internal/format", "/internal/kmsarn", "/internal/stream", "/internal/suite",
		"/internal/vectors", "/internal/vectors/vectorstest"},
	"vectorkeys": {"cli", "keyspec", "/internal/vectors"},
}

// TestImportsPointOneWay checks that packages below the command import only
// packages below them.
func TestImportsPointOneWay(t *testing.T) {
	library := reflect.TypeFor[esdk.Config]().PkgPath()
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
				own, _ := strings.CutPrefix(path, library)
				if name, ok := strings.CutPrefix(own, "/cmd/esdk/internal/"); ok && !slices.Contains(below, name) {
					t.Errorf("%s imports %s", file, path)
				}
				if strings.HasPrefix(own, "/internal/") && !slices.Contains(below, own) {
					t.Errorf("%s imports %s, which is the library's own", file, path)
				}
			}
		}
	}
}
