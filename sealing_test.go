package esdk_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ciphers are the functions that call an AEAD, in the packages that a message's
// content key passes through, and their purpose. Adding one needs a reason why
// it uses no IV twice.
var ciphers = map[string]string{
	"internal/stream/sealer.go: sealer.seal":      "regular frames",
	"internal/stream/sealer.go: sealer.final":     "the final frame",
	"internal/stream/opener.go: opener.openFrame": "frames",
	"internal/format/header.go: Header.Seal":      "the header's tag, with IV 0, which is no frame's number",
	"decrypt.go: verifyHeader":                    "the header's tag",
	"rawaes.go: rawAESKeyring.Wrap":               "a data key, under a wrapping key",
	"rawaes.go: rawAESKeyring.Unwrap":             "a data key, under a wrapping key",
}

// sealers are the functions that begin a body with a content key.
var sealers = map[string]string{
	"encrypt.go: Client.AppendEncrypt": "Seal",
	"encrypt.go: Client.newWriter":     "NewWriter",
}

// TestWhoSeals reads the source to check that one type seals frames and numbers
// them. Any other code that seals or numbers frames could use an IV twice.
func TestWhoSeals(t *testing.T) {
	foundCiphers, foundBodies := map[string]string{}, map[string]string{}
	for _, dir := range []string{".", "internal/stream", "internal/format", "internal/suite"} {
		for _, path := range goFiles(t, dir) {
			for where, body := range functionsOf(t, path) {
				ast.Inspect(body, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.CallExpr:
						f, ok := n.Fun.(*ast.SelectorExpr)
						if !ok {
							break
						}
						// Only an AEAD's methods have four arguments here.
						if (f.Sel.Name == "Seal" || f.Sel.Name == "Open") && len(n.Args) == 4 {
							foundCiphers[where] = ciphers[where]
						}
						if x, ok := f.X.(*ast.Ident); ok && x.Name == "stream" && (f.Sel.Name == "Seal" || f.Sel.Name == "NewWriter") {
							if foundBodies[where] != "" {
								t.Errorf("%s begins two bodies", where)
							}
							foundBodies[where] = f.Sel.Name
						}
					case *ast.SelectorExpr:
						file := filepath.Base(path)
						own := file == "sealer.go" || file == "opener.go" || strings.HasSuffix(where, "encryptor.init")
						if dir == "internal/stream" && n.Sel.Name == "aead" && !own || isParamsAEAD(n) && !own {
							t.Errorf("%s uses the AEAD", where)
						}
					case *ast.AssignStmt:
						for _, left := range n.Lhs {
							checkNumbering(t, path, where, left)
						}
					case *ast.IncDecStmt:
						checkNumbering(t, path, where, n.X)
					}
					return true
				})
			}
		}
	}
	if !maps.Equal(foundCiphers, ciphers) {
		t.Errorf("%q call an AEAD, want %q", slices.Sorted(maps.Keys(foundCiphers)), slices.Sorted(maps.Keys(ciphers)))
	}
	if !maps.Equal(foundBodies, sealers) {
		t.Errorf("%q begin a body, want %q", foundBodies, sealers)
	}
}

// isParamsAEAD reports whether an expression takes the AEAD out of params.
func isParamsAEAD(s *ast.SelectorExpr) bool {
	x, ok := s.X.(*ast.Ident)
	return s.Sel.Name == "AEAD" && !(ok && x.Name == "cipher")
}

// checkNumbering rejects code that assigns a number or makes a run outside of
// the sealer.
func checkNumbering(t *testing.T, path, where string, left ast.Expr) {
	t.Helper()
	s, ok := left.(*ast.SelectorExpr)
	if !ok || filepath.ToSlash(path) == "internal/stream/sealer.go" || filepath.Dir(filepath.ToSlash(path)) != "internal/stream" {
		return
	}
	x, _ := s.X.(*ast.SelectorExpr)
	if s.Sel.Name == "numbered" || s.Sel.Name == "run" || x != nil && x.Sel.Name == "run" {
		t.Errorf("%s numbers frames", where)
	}
}

// functionsOf returns the bodies of a file's functions by file, type and name.
func functionsOf(t *testing.T, path string) map[string]*ast.BlockStmt {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*ast.BlockStmt{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			name = fmt.Sprintf("%s.%s", receiver, name)
		}
		found[fmt.Sprintf("%s: %s", filepath.ToSlash(path), name)] = f.Body
	}
	return found
}
