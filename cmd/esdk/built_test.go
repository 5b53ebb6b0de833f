package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"esdk/cmd/esdk/internal/object"
)

// build builds the command as users have it. The test binary may include the
// race detector, which multiplies the memory.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "esdk-test-")
	if err != nil {
		return "", err
	}
	buildFolder = dir
	linked, err = exec.Command("go", "build", "-tags", buildTags(), "-ldflags=-dumpdep", "-o", filepath.Join(dir, "esdk"), ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %s", err, linked[max(0, len(linked)-2000):])
	}
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "measure"), "./testdata/measure").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %s", err, out)
	}
	return filepath.Join(dir, "esdk"), nil
})

// linked is the linker's list of what the built command needs, and why. A line
// has two symbols: the first one refers to the second one.
var linked []byte

// buildTags returns the build tags of the test itself, and the one of releases.
func buildTags() string {
	if slices.Contains(object.Schemes(), "gs") {
		return "grpcnotrace,full"
	}
	return "grpcnotrace"
}

// command prepares a run of the command in a directory with an AES key.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, pattern(32), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary, args...)
	c.Dir = dir
	c.Stderr = new(bytes.Buffer)
	return c
}

func checkStatus(t *testing.T, c *exec.Cmd, err error, want int) {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != want {
		t.Fatalf("%v: exit status %d, want %d; stderr: %s", c.Args[1:], got, want, c.Stderr)
	}
	if strings.Contains(fmt.Sprint(c.Stderr), "goroutine ") {
		t.Fatalf("panic: %s", c.Stderr)
	}
}

// runCommand runs the command and checks its exit status.
func runCommand(t *testing.T, dir string, status int, args ...string) {
	t.Helper()
	c := command(t, dir, args...)
	checkStatus(t, c, c.Run(), status)
}

func writeFile(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
