package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// newModule returns a tester for a module with one file.
func newModule(t *testing.T, file, text string) *tester {
	t.Helper()
	module := t.TempDir()
	name := filepath.Join(module, file)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tester{module: module}
}

func TestReadProfile(t *testing.T) {
	tester := newModule(t, "p/a.go", "one\ntwo\n\tthree {\nfour")
	r := &result{Package: "p"}
	if err := tester.readProfile(r, "mode: set\nesdk/p/a.go:1.2,2.3 4 1\nesdk/p/a.go:3.8,4.1 2 0\n"); err != nil {
		t.Fatal(err)
	}
	if r.Statements != 6 || r.Covered != 4 || !reflect.DeepEqual(r.Found, []located{at("p/a.go", "COVER", "three {", 3)}) {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"esdk/p/a.go", "esdk/p/a.go:1.2,2.3 4 x", "esdk/p/a.go:9.1,9.2 1 0", "esdk/p/b.go:1.1,1.2 1 0"} {
		if err := tester.readProfile(new(result), bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestReadMutants(t *testing.T) {
	tester := newModule(t, "a.go", "one\ntwo\n")
	r := &result{Package: "."}
	err := tester.readMutants(r, []byte(`{"files": [{"file_name": "a.go", "mutations": [
		{"type": "M", "status": "LIVED", "line": 2, "column": 3}, {"type": "M", "status": "KILLED", "line": 1, "column": 1},
		{"type": "M", "status": "KILLED", "line": 1, "column": 2}, {"type": "M", "status": "TIMED OUT", "line": 1, "column": 3},
		{"type": "M", "status": "NOT COVERED", "line": 1, "column": 1}, {"type": "M", "status": "NOT VIABLE", "line": 1, "column": 1}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Killed != 2 || r.TimedOut != 1 || r.Lived != 1 || !reflect.DeepEqual(r.Found, []located{at("a.go", "M", "two", 2)}) ||
		!reflect.DeepEqual(r.Slow, []located{at("a.go", "M", "one", 1)}) {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{`{`, `{"files": [{"file_name": "a.go", "mutations": [{"type": "M", "status": "RUNNABLE", "line": 1}]}]}`} {
		if err := tester.readMutants(new(result), []byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestShim(t *testing.T) {
	got := coverageArgs([]string{"test", "-cover", "-coverprofile", "f", "./..."})
	if want := []string{"test", "-count=1", "-cover", "-coverprofile", "f", "."}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := coverageArgs([]string{"test", "-coverprofile", "f", "./hpke/..."}); got[len(got)-1] != "./hpke/..." {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		status int
		out    string
		want   int
	}{
		{0, "ok", 0}, {1, "--- FAIL", 1}, {1, "FAIL\tesdk/hpke [build failed]\n", 2}, {0, "[build failed]", 0},
	} {
		if got := testStatus(c.status, []byte(c.out)); got != c.want {
			t.Errorf("%d, %q: %d, want %d", c.status, c.out, got, c.want)
		}
	}
}
