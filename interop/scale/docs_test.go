// Package scale runs the examples of docs/scale.md.
package scale

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const docs = "../../docs"

// TestDocs verifies that the page shows the current files.
func TestDocs(t *testing.T) {
	page := read(t, "scale.md")
	shown := regexp.MustCompile("(?s)\n\\[scale/([^]]+)\\]\\([^)]*\\):\n\n```[a-z]*\n(.*?)```\n").FindAllStringSubmatch(page, -1)
	if len(shown) != 2 {
		t.Errorf("the page shows %d files, want 2", len(shown))
	}
	for _, s := range shown {
		if read(t, filepath.Join("scale", s[1])) != s[2] {
			t.Errorf("the page shows another %s", s[1])
		}
	}
	files, err := filepath.Glob(filepath.Join(docs, "scale", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); !strings.Contains(page, "(scale/"+name+")") && !strings.HasSuffix(name, ".dockerignore") {
			t.Errorf("the page does not link %s", name)
		}
	}
}

// TestScriptLength limits the script to a length that can be read in one go.
func TestScriptLength(t *testing.T) {
	_, code, _ := strings.Cut(strings.TrimPrefix(read(t, "scale/rotate.py"), `"""`), `"""`)
	lines := 0
	for line := range strings.Lines(code) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	if lines > 40 {
		t.Errorf("rotate.py has %d lines, want 40 at most", lines)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAWS sends the files for AWS to an emulator, as requests of the official
// SDK.
func TestAWS(t *testing.T) {
	url, python := needs(t, "ESDK_MOTO_URL"), needs(t, "ESDK_MOTO_PYTHON")
	if out, err := exec.Command(python, "aws.py", url).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
