package keyspec

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// Each kind has help, and each example of a configuration is valid.
func TestKinds(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var names, prefixes []string
	for _, k := range kinds() {
		if len(k.forms) == 0 || k.help == "" || (k.name == "") != (k.configured == nil) {
			t.Errorf("%q: %d forms, help %q", k.name, len(k.forms), k.help)
		}
		for _, f := range k.forms {
			if !strings.HasPrefix(f.usage, f.prefix) || !strings.Contains(k.help, f.prefix) {
				t.Errorf("the help of %s does not have its form %s", f.prefix, f.usage)
			}
			if !regexp.MustCompile("(?m)^\\| (`[^`]*`, )*`" + regexp.QuoteMeta(f.prefix)).Match(page) {
				t.Errorf("no table of docs/cli.md has the form %s", f.usage)
			}
			prefixes = append(prefixes, f.prefix)
		}
		if k.name != "" {
			names = append(names, k.name)
		}
		if k.example != "" && !strings.Contains(k.example, `type = "`+k.name+`"`) {
			t.Errorf("the example of %s is one of another kind", k.name)
		}
	}
	for _, all := range [][]string{names, prefixes} {
		if slices.Sort(all); len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("twice in %q", all)
		}
	}

	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(ConfigHelp()), 0o600); err != nil {
		t.Fatal(err)
	}
	ks := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected))
	ks.ConfigFile = file
	c, _, err := ks.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`(?m)^  \[keys\.`).FindAllString(ConfigHelp(), -1)
	if len(c.Keys) != len(examples) || len(c.Keys) < 10 {
		t.Errorf("%d keys of %d examples", len(c.Keys), len(examples))
	}
	for name, k := range c.Keys {
		i := slices.IndexFunc(kinds(), func(other kind) bool { return other.name == k.Type })
		if i < 0 {
			t.Errorf("%s: unknown type %q", name, k.Type)
			continue
		}
		if err := kinds()[i].check(&k, c.Fields[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No field of any kind may be empty.
func TestEmptyFields(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range kinds() {
		for _, empty := range append(slices.Clone(kind.needed), kind.optional...) {
			var text strings.Builder
			text.WriteString("[keys.k]\ntype = \"" + kind.name + "\"\n")
			for _, field := range append(slices.Clone(kind.needed), kind.optional...) {
				value := "x"
				if field == empty {
					value = ""
				}
				if value = strconv.Quote(value); field == "accounts" || field == "former" {
					value = "[" + value + "]"
				}
				text.WriteString(field + " = " + value + "\n")
			}
			ks := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected))
			ks.ConfigFile = filepath.Join(dir, "config.toml")
			if err := os.WriteFile(ks.ConfigFile, []byte(text.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ks.Parse(t.Context(), "@k", false)
			if err == nil || cli.ExitStatus(err) != cli.ExitUsage || cli.Message(err) != "-k @k: "+empty+" is empty" {
				t.Errorf("type %s, empty %s: %v", kind.name, empty, err)
			}
		}
	}
}
