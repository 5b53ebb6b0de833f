package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestSimulator runs the simulator's commands from docs/keyrings.md with a
// FILE.
func TestSimulator(t *testing.T) {
	page, err := os.ReadFile("../../docs/keyrings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Without AWS (package `esdktest/kmssim`)\n")
	prose, block, _ := strings.Cut(section, "```sh\n")
	block, _, found := strings.Cut(block, "```\n")
	if !found || !strings.Contains(prose, "`go build -o bin/ ./esdktest/kmssim/cmd/kmssim`") {
		t.Fatalf("the section has no block, or does not tell how to build the command:\n%s", section)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "./esdktest/kmssim/cmd/kmssim")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script := filepath.Join(dir, "simulator.txt")
	text := "exec sh -eu block.sh\ncmp FILE COPY\n-- FILE --\na plaintext\n-- block.sh --\n" +
		"trap 'kill ${KMSSIM_PID:-} 2>/dev/null || :' EXIT\n" + block // it holds standard error, which is awaited
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Files: []string{script}, Setup: func(env *testscript.Env) error {
		env.Setenv("PATH", filepath.Join(dir, "bin")+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("HOME", env.WorkDir)
		return nil
	}})
}
