package esdk_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"esdk"
)

// module is the path of this module.
var module = reflect.TypeFor[esdk.Config]().PkgPath()

// TestImportDirection enforces the rule in docs/design.md: cmd may import
// everything, the root package, internal, caching and keyservice import only
// the standard library and each other, and no package imports cmd.
func TestImportDirection(t *testing.T) {
	for _, dir := range packages(t) {
		for path, imports := range importsOf(t, dir) {
			for _, imported := range imports {
				// Paths in the standard library have no dot in their first
				// element, and this module may have none either.
				inside := imported == module || strings.HasPrefix(imported, module+"/")
				first, _, _ := strings.Cut(imported, "/")
				switch {
				case strings.HasPrefix(imported, module+"/cmd/") && !strings.HasPrefix(dir, "cmd"):
					t.Errorf("%s imports %s, a command", path, imported)
				case isCore(dir) && !inside && strings.Contains(first, "."):
					t.Errorf("%s imports %s, which is not of the standard library", path, imported)
				case dir == "." && inside && !strings.HasPrefix(imported, module+"/internal/"):
					t.Errorf("%s imports %s, which is above it", path, imported)
				case slices.Contains(layers, dir) && inside && !slices.Contains(layers, strings.TrimPrefix(imported, module+"/")):
					t.Errorf("%s imports %s, which is above it", path, imported)
				}
			}
		}
	}
}

// layers are the packages below the root package, which don't import it.
var layers = []string{"internal/errtext", "internal/ecpoint", "internal/suite", "internal/format", "internal/stream", "internal/inspect", "internal/kdf", "internal/keyagreement"}

func isCore(dir string) bool {
	if strings.HasPrefix(dir, "internal/") {
		return !strings.HasSuffix(dir, "test") // test helpers
	}
	return slices.Contains([]string{".", "caching", "esdktest", "hpke", "keyservice"}, dir)
}

// packages returns the directories of this module that hold Go files.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || isModule(path)) {
			return filepath.SkipDir
		}
		if files := goFiles(t, path); len(files) > 0 {
			dirs = append(dirs, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil || !slices.Contains(dirs, ".") || !slices.Contains(dirs, "internal/stream") {
		t.Fatalf("packages: %q, %v", dirs, err)
	}
	return dirs
}

// isModule reports whether a directory is the root of its own module.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// goFiles returns the files of a package, without its tests.
func goFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

// TestUserCodeIsChecked: a CMM, keyring or cache may be the user's, and may
// return nothing. So each is called in one place, which checks the result.
func TestUserCodeIsChecked(t *testing.T) {
	checkCallers(t, ".", map[string]string{
		"EncryptionMaterials": "encryptionMaterials", "DecryptionMaterials": "decryptionMaterials",
		"Wrap": "wrap", "Unwrap": "unwrap",
	})
	checkCallers(t, "caching", map[string]string{
		"EncryptionMaterials": "encryptionMaterials", "DecryptionMaterials": "decryptionMaterials", "Load": "load",
	})
}

// checkCallers checks that one function calls each of the named methods.
func checkCallers(t *testing.T, dir string, callers map[string]string) {
	t.Helper()
	seen := make(map[string]bool)
	for path, fn := range functions(t, dir) {
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || callers[method.Sel.Name] == "" {
				return true
			}
			// A request's own methods are ours.
			if of, ok := method.X.(*ast.Ident); ok && of.Name == "req" {
				return true
			}
			seen[method.Sel.Name] = true
			if fn.Name.Name != callers[method.Sel.Name] {
				t.Errorf("%s: %s calls %s without a check", path, fn.Name.Name, method.Sel.Name)
			}
			return true
		})
	}
	if len(seen) != len(callers) {
		t.Errorf("%s: only %v are called", dir, seen)
	}
}

// functions iterates over the functions and methods of a package, each with the
// path of its file.
func functions(t *testing.T, dir string) iter.Seq2[string, *ast.FuncDecl] {
	t.Helper()
	return func(yield func(string, *ast.FuncDecl) bool) {
		for _, path := range goFiles(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && !yield(path, fn) {
					return
				}
			}
		}
	}
}

// TestErrorsHaveOnePrefix: only package errtext puts the module's name before
// an error text, so that no error has it twice.
func TestErrorsHaveOnePrefix(t *testing.T) {
	for _, dir := range packages(t) {
		if dir == "internal/errtext" {
			continue
		}
		for _, path := range goFiles(t, dir) {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && strings.HasPrefix(s.Value, `"esdk: `) {
					t.Errorf("%s: %s", path, s.Value)
				}
				return true
			})
		}
	}
}

// TestKeyringsHaveExamples holds the promise of docs/keyrings.md: an example
// makes each keyring and cache, and tests run it unless it needs a token.
func TestKeyringsHaveExamples(t *testing.T) {
	const need = 20
	made := 0
	for _, dir := range packages(t) {
		if strings.HasPrefix(dir, "internal/") {
			continue
		}
		called := calledInExample(t, dir)
		for _, fn := range functions(t, dir) {
			if fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "New") || !makesKeyringOrCache(fn) {
				continue
			}
			made++
			if !called[fn.Name.Name] {
				t.Errorf("%s: no example that tests run calls %s", dir, fn.Name.Name)
			}
		}
	}
	if made < need {
		t.Errorf("found only %d functions", made)
	}
}

func makesKeyringOrCache(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil {
		return false
	}
	result := fn.Type.Results.List[0].Type
	if of, ok := result.(*ast.SelectorExpr); ok {
		result = of.Sel
	}
	name, ok := result.(*ast.Ident)
	return ok && (name.Name == "Keyring" || name.Name == "Cache")
}

// calledInExample returns the names of functions that the examples of a package
// call. Examples of pkcs11 are only compiled.
func calledInExample(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "example_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, example := range doc.Examples(f) {
			if example.Output == "" && dir != "pkcs11" {
				continue
			}
			ast.Inspect(example.Code, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if fn, ok := call.Fun.(*ast.SelectorExpr); ok {
						called[fn.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	return called
}

func importsOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	imports := make(map[string][]string)
	for _, path := range goFiles(t, dir) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports[path] = append(imports[path], imported)
		}
	}
	return imports
}

// maxExported is the maximum number of identifiers that the root package
// exports, not counting methods and fields. A small API is a promise too.
const maxExported = 64

func TestExportedIdentifiers(t *testing.T) {
	var names []string
	for _, path := range goFiles(t, ".") {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			for _, e := range exportedOf(d) {
				if !e.documented {
					t.Errorf("%s: %s has no comment", path, e.name)
				}
				if !e.method {
					names = append(names, e.name)
				}
			}
		}
	}
	t.Logf("the root package exports %d identifiers", len(names))
	if len(names) > maxExported {
		t.Errorf("the root package exports %d identifiers, at most %d are allowed: %q", len(names), maxExported, names)
	}
}

type exported struct {
	name               string
	documented, method bool
}

// exportedOf returns the exported names of a declaration. A constant or
// variable is documented by its own comment or by its group's. A field or a
// method of an interface is covered by the comment of its type.
func exportedOf(d ast.Decl) (all []exported) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
			// Package errors defines these two.
			known := d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "Unwrap")
			all = append(all, exported{d.Name.Name, d.Doc != nil || known, d.Recv != nil})
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					all = append(all, exported{s.Name.Name, s.Doc != nil || d.Doc != nil, false})
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() {
						all = append(all, exported{n.Name, s.Doc != nil || d.Doc != nil || s.Comment != nil, false})
					}
				}
			}
		}
	}
	return all
}

func exportedReceiver(r *ast.FieldList) bool {
	typ := r.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}
