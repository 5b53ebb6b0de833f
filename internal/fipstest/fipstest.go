// Package fipstest runs tests under GODEBUG=fips140=only, which applies to a
// whole process.
package fipstest

import (
	"bytes"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"esdk"
)

// Enforced reports whether the mode is on. If it's off, Enforced runs the
// calling test again in a process with the mode, and fails the test if it fails
// there.
func Enforced(t *testing.T) bool {
	t.Helper()
	if fips140.Enforced() {
		return true
	}
	if testing.Short() {
		t.Skip("a process of its own takes long")
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\n--- PASS: "+t.Name())) {
		t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
	}
	return false
}

// WantRefused checks for the error of a primitive that the mode doesn't allow,
// as opposed to an error that blames the message.
func WantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "not allowed in FIPS 140-only mode") {
		t.Errorf("%s: %v, want it refused", what, err)
	}
	if errors.Is(err, esdk.ErrAuthentication) || errors.Is(err, esdk.ErrCommitment) {
		t.Errorf("%s: %v, as if the message was wrong", what, err)
	}
}
