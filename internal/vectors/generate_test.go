package vectors

import (
	"os"
	"path/filepath"
	"testing"
)

// generate carries out a plan, and returns the folder with what came of it.
func generate(t testing.TB, p *Plan) (string, *Generated) {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"plaintexts", "ciphertexts"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g, err := p.Generate(t.Context(), Client{"test", "1"}, func(name string, content []byte) error {
		f, err := os.OpenFile(filepath.Join(dir, filepath.FromSlash(name)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := f.Write(content); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, g
}

// runAll runs a manifest, all of whose cases are to pass.
func runAll(t testing.TB, o Options, path ...string) (s Summary) {
	t.Helper()
	for _, c := range load(t, filepath.Join(path...), o).Cases {
		r := c.Run(t.Context())
		if s.Add(r); r.Outcome == Failed {
			t.Errorf("%s: %v", c.ID, r.Err)
		}
	}
	return s
}

func TestOwnPlan(t *testing.T) {
	p, err := NewPlan(Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir, g := generate(t, p)
	t.Logf("%+v", g)
	t.Logf("%+v", runAll(t, Options{}, dir, "manifest.json"))
	t.Logf("%+v", runAll(t, Options{}, dir, "negative-manifest.json"))
}
