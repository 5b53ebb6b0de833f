package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBrokenLinks(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("docs/a.md", "# A title: it's `code` (1)\n\n## Twice\n\n## Twice\n\n```\n## In a fence\n```\n\n## [Linked](b.md) text\n")
	for _, c := range []struct{ text, want string }{
		{"[a](docs/a.md)", ""},
		{"[a](docs/a.md#a-title-its-code-1)", ""},
		{"[a](docs/a.md#twice) and [b](docs/a.md#twice-1)", ""},
		{"[a](docs/a.md#linked-text)", ""},
		{"[a](docs)", ""},
		{"# Here\n\n[a](#here)", ""},
		{"[a](https://example.com/none#x)", ""},
		{"`[a](none)`", ""},
		{"```\n[a](none)\n```", ""},
		{"[a](none.md)", "README.md:1: none.md leads nowhere"},
		{"![a](docs/none.svg)", "README.md:1: docs/none.svg leads nowhere"},
		{"text\n[a](docs/a.md), [b](docs/a.md#none)", "README.md:2: docs/a.md#none leads nowhere"},
		{"[a](docs/a.md#twice-2)", "README.md:1: docs/a.md#twice-2 leads nowhere"},
		{"[a](docs/a.md#in-a-fence)", "README.md:1: docs/a.md#in-a-fence leads nowhere"},
		{"[a](#there)", "README.md:1: #there leads nowhere"},
		{"[a](docs#a)", "README.md:1: docs#a leads nowhere"},
	} {
		write("README.md", c.text+"\n")
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		got, err := brokenLinks(dir, "README.md")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", c.text, got, err, want)
		}
	}

	write("README.md", "[a](docs/a.md#none)\n")
	write("docs/a.md", "[b](../README.md#none)\n")
	err := run(io.Discard, dir, 0, false, false)
	if err == nil || !strings.Contains(err.Error(), "README.md:1: docs/a.md#none") || !strings.Contains(err.Error(), "docs/a.md:1: ../README.md#none") {
		t.Errorf("run returns %v, want both broken links", err)
	}
}
