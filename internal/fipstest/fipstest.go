// Package fipstest has tests run under GODEBUG=fips140=only, which is the mode of a
// process.
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

// Enforced reports whether the mode is on. If not, it runs the test that calls it
// again, in a process with the mode, and has it fail if it does there.
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

// WantRefused wants the error of a primitive that the mode does not allow, and not
// one that blames the message.
func WantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "not allowed in FIPS 140-only mode") {
		t.Errorf("%s: %v, want it refused", what, err)
	}
	if errors.Is(err, esdk.ErrAuthentication) || errors.Is(err, esdk.ErrCommitment) {
		t.Errorf("%s: %v, as if the message was wrong", what, err)
	}
}
