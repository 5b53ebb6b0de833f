package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rewritten rewrites a tree with one file and the packages a, a/b and x, and
// returns the file.
func rewritten(t *testing.T, name, text string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	r := &rewriter{dir: dir, from: "esdk", to: "example.org/esdk", version: "v0.1.0", files: []string{name},
		dirs: map[string]bool{".": true, "a": true, "a/b": true, "x": true}}
	err := r.rewrite()
	b, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(b), err
}

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ what, name, in, want string }{
		{"imports", "m/f.go", `package m

import (
	"bytes"

	"esdk"
	other "esdk/a"
	_ "esdk/a/b"
	"esdkother/a" // stays
	"example.com/z"
)
`, `package m

import (
	"bytes"

	"esdkother/a" // stays
	"example.com/z"
	"example.org/esdk"
	other "example.org/esdk/a"
	_ "example.org/esdk/a/b"
)
`},
		{"one import", "f.go", "package m\n\nimport \"esdk/a\"\n", "package m\n\nimport \"example.org/esdk/a\"\n"},
		{"strings", "f.go", `package m

var s = "esdk/keys/v1" + "esdk" + "in esdk/a" + ` + "`\nimport \"esdk/a\"\n`\n", `package m

var s = "esdk/keys/v1" + "esdk" + "in esdk/a" + ` + "`\nimport \"esdk/a\"\n`\n"},
		{"links", "f.go", `package m

// F is like [esdk/a.G], [*esdk/a.T] and [esdk.F], and writes esdk/keys.
func F(esdk []int, a int) int { return esdk[esdk[0]/a] }
`, `package m

// F is like [example.org/esdk/a.G], [*example.org/esdk/a.T] and [esdk.F], and writes esdk/keys.
func F(esdk []int, a int) int { return esdk[esdk[0]/a] }
`},
		{"go.mod", "go.mod", `module esdk/x

go 1.26.0

require (
	esdk v0.0.0-00010101000000-000000000000
	esdk/a v0.0.0-00010101000000-000000000000
	example.com/z v1.2.3 // indirect
)

require esdk/b v0.0.0

tool esdk/b/cmd/c

tool example.com/z/esdk/d
`, `module example.org/esdk/x

go 1.26.0

require (
	example.com/z v1.2.3 // indirect
	example.org/esdk v0.1.0
	example.org/esdk/a v0.1.0
)

require example.org/esdk/b v0.1.0

tool example.org/esdk/b/cmd/c

tool example.com/z/esdk/d
`},
		{"go.work", "go.work", `go 1.26.0

use ./a

// The reason.
replace (
	esdk v0.0.0 => ./
	example.com/z => ./z
	esdk/a v0.0.0 => ./a
)
`, `go 1.26.0

use ./a

// The reason.
replace (
	example.org/esdk v0.1.0 => ./
	example.com/z => ./z
	example.org/esdk/a v0.1.0 => ./a
)
`},
		{"documents", "README.md", `Import "esdk":

"esdk"
<!-- before publication -->
clone it
<!-- end -->
<!-- after publication
go get MODULE@VERSION
-->

` + "```go" + `
import "esdk"
import (
	k "esdk/a"
	"fmt"
)
a("esdk")
` + "```" + `
MODULE
`, `Import "esdk":

"esdk"
go get example.org/esdk@v0.1.0

` + "```go" + `
import "example.org/esdk"
import (
	k "example.org/esdk/a"
	"fmt"
)
a("esdk")
` + "```" + `
MODULE
`},
		{"other files", "x/f.txt", "import \"esdk/a\"\n", "import \"esdk/a\"\n"},
	} {
		got, err := rewritten(t, c.name, c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s", c.what, err, got)
		}
	}
}

func TestRewriteRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"f.go", "package m\n\nvar s = \"esdk/a\"\n", `f.go:3:9: the string "esdk/a" names a package`},
		{"f_test.go", "package m\n\nvar s = `esdk/a/`\n", "names a package"},
		{"f.go", "package m\n\nimport _ \"unsafe\"\n\n//go:linkname f esdk/a.f\nfunc f()\n", "f.go:5:1: //go:linkname f esdk/a.f names a package"},
		{"f.go", "package m\n\n//go:generate go run esdk/a -x\n", "names a package"},
		{"f.go", "package", "expected"},
		{"go.mod", "module esdk\n\nreplace example.com/a => ./a\n", "replace"},
		{"go.mod", "module other\n", "isn't below"},
		{"go.work", "go 1.26.0\n\nreplace esdk/a => ./a\n", "version"},
		{"README.md", "<!-- before publication -->\n", "no end"},
		{"README.md", "<!-- after publication\n", "no end"},
	} {
		got, err := rewritten(t, c.name, c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != c.in {
			t.Errorf("%s: %v\n%s", c.in, err, got)
		}
	}
}

func TestSums(t *testing.T) {
	r := &rewriter{from: "esdk", to: "example.org/esdk"}
	in := "example.com/a v1.0.0 h1:1\nexample.org/esdk v0.1.0 h1:old\nexample.org/esdk v0.1.0/go.mod h1:old\nexample.org/esdkother v1.0.0 h1:2\ngolang.org/x v1.0.0 h1:3\n"
	got := string(r.sums([]byte(in), []string{"example.org/esdk v0.2.0 h1:new\n", "example.org/esdk v0.2.0/go.mod h1:new\n"}))
	want := "example.com/a v1.0.0 h1:1\nexample.org/esdk v0.2.0 h1:new\nexample.org/esdk v0.2.0/go.mod h1:new\nexample.org/esdkother v1.0.0 h1:2\ngolang.org/x v1.0.0 h1:3\n"
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{
		"example.org/esdk": true, "example.org/owner/esdk-go": true, "example.org/esdk.git": true,
		"esdk": false, "": false, "example.org/esdk/": false, "example.org//esdk": false, "https://example.org/esdk": false,
		"example.org/esdk/v2": false, "gopkg.in/esdk.v1": false, "example.org/es dk": false, "../esdk": false,
		"example.org/esdk@v1": false, "/example.org/esdk": false,
	} {
		if err := checkPath(path); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"v0.1.0": true, "v1.2.3": true, "v0.1.0-rc.1": true,
		"0.1.0": false, "v0.1": false, "v1": false, "": false, "latest": false, "v2.0.0": false, "v10.0.0": false, "v01.0.0": false,
		"v1.0.0+meta": false, "v1.0.0+incompatible": false, "v0.0.0-20261130000000-0123456789ab": false,
	} {
		if err := checkVersion(version); (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
	for _, c := range []struct {
		last, version string
		ok            bool
	}{{"v0.1.0", "v0.1.1", true}, {"v0.1.0-rc.1", "v0.1.0", true}, {"v0.1.0", "v0.1.0", false}, {"v0.2.0", "v0.1.9", false}, {"v0.1.0", "v0.1.0-rc.1", false}} {
		if err := checkNext(c.last, c.version); (err == nil) != c.ok {
			t.Errorf("%s after %s: %v", c.version, c.last, err)
		}
	}
}

func TestMayBreak(t *testing.T) {
	for _, c := range []struct {
		last, version string
		allowed, ok   bool
	}{
		{"v0.1.0", "v0.2.0", true, true}, {"v0.1.0", "v0.2.0", false, false}, {"v0.1.0", "v0.1.1", true, false},
		{"v0.9.0", "v1.0.0", false, true}, {"v1.0.0", "v1.1.0", true, false},
	} {
		if err := mayBreak(c.last, c.version, c.allowed); (err == nil) != c.ok {
			t.Errorf("%s after %s, allowed %t: %v", c.version, c.last, c.allowed, err)
		}
	}
}

func TestHasSection(t *testing.T) {
	log := "# Changes\n\n## 0.10.0 (2026-12-01)\n\ntext 0.3.0\n\n## 0.2.0\n"
	for version, want := range map[string]bool{"v0.10.0": true, "v0.2.0": true, "v0.1.0": false, "v0.3.0": false, "v0.2.0-rc.1": false} {
		if hasSection(log, version) != want {
			t.Error(version)
		}
	}
}
