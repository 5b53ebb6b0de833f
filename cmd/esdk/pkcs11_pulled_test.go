//go:build (pkcs11 || full) && linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// TestPKCS11TokenPulled removes a token while the command works on a tree.
// Finished results are complete, the rest is unchanged, and another run
// completes it after the token is back.
func TestPKCS11TokenPulled(t *testing.T) {
	for _, verb := range []string{"encrypt", "decrypt", "reencrypt"} {
		t.Run(verb, func(t *testing.T) { testTokenPulled(t, verb) })
	}
}

func testTokenPulled(t *testing.T, verb string) {
	dir := t.TempDir()
	h := newHardware(t, dir)
	store := os.Getenv("ESDK_PKCS11_STORE")
	if store == "" || !strings.Contains(h.module, "softhsm") {
		t.Skip("NOT RUN: only SoftHSM is known to fail when what it keeps its keys in goes away")
	}
	makeMany(t, dir)
	writeFile(t, dir, "new", newKey)
	in := readTree(t, filepath.Join(dir, "in"))
	token := h.uri("aes", "&namespace=corp&name=backup&pin-source=file:"+filepath.Join(dir, "pin"))
	const old, fresh = "aes:corp/backup@aes.key", "aes:n/new@new"
	run := func(args ...string) (stderr string, err error) {
		c := exec.Command("esdk", args...)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	check := func(args ...string) {
		t.Helper()
		if out, err := run(args...); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	if verb != "encrypt" {
		check("encrypt", "-q", "-r", "-k", token, "-o", "messages", "in")
	}

	// middle is a file in the middle of the work, and again are the arguments
	// for completing the rest later.
	var middle string
	var args, again []string
	switch verb {
	case "encrypt":
		middle = "out/f0200.encrypted"
		args = []string{"encrypt", "-r", "-k", token, "-o", "out", "in"}
		again = append(args, "--no-clobber")
	case "decrypt":
		middle = "out/f0200"
		args = []string{"decrypt", "-r", "-k", token, "-o", "out", "messages"}
		again = append(args, "--no-clobber")
	case "reencrypt":
		middle = "messages/f0200.encrypted"
		args = []string{"reencrypt", "-r", "--from-key", token, "-k", fresh, "--in-place", "messages"}
		again = append(args, "--from-key", fresh)
	}
	c := exec.Command("esdk", args...)
	c.Dir = dir
	stderr := new(bytes.Buffer)
	c.Stderr = stderr
	before, _ := os.Stat(filepath.Join(dir, middle))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 60_000 {
		if now, err := os.Stat(filepath.Join(dir, middle)); err == nil && !os.SameFile(before, now) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := os.Rename(store, store+".away"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := c.Wait()
	took := time.Since(start)
	if err := os.Rename(store+".away", store); err != nil {
		t.Fatal(err)
	}
	failed := strings.Count(stderr.String(), `of token "`+h.token+`": no such token`)
	done := manyFiles - failed
	t.Logf("%d files were done, and %d failed within %v of losing the token", done, failed, took)
	checkStatus(t, c, err, cli.ExitSomeFailed)
	if want := fmt.Sprintf("%d of %d inputs failed", failed, manyFiles); done == 0 || !strings.Contains(stderr.String(), want) {
		t.Errorf("stderr does not say %q: %s", want, stderr)
	}

	out := filepath.Dir(middle)
	results := readTree(t, filepath.Join(dir, out))
	switch verb {
	case "encrypt":
		check("verify", "-q", "-r", "-k", old, out)
	case "decrypt":
		checkSame(t, in, results, done)
	case "reencrypt":
		done = manyFiles // all messages are there, under either key
		check("verify", "-q", "-r", "-k", old, "-k", fresh, out)
	}
	if len(results) != done {
		t.Errorf("%d results, want %d", len(results), done)
	}

	report, err := run(again...)
	if want := fmt.Sprintf("(%d)", done); err != nil || verb != "reencrypt" && !strings.Contains(report, want) {
		t.Errorf("with the token back: %v: %s", err, report)
	}
	if verb != "decrypt" {
		check("decrypt", "-q", "-r", "-k", old, "-k", fresh, "-o", "back", out)
		out = "back"
	}
	checkSame(t, in, readTree(t, filepath.Join(dir, out)), manyFiles)
}
