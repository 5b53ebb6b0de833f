package branchkey

import (
	"bytes"
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFIPS140Only holds what docs/security.md says of the hierarchical keyring, in
// a process of its own.
func TestFIPS140Only(t *testing.T) {
	if !fips140.Enforced() {
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestFIPS140Only$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFIPS140Only")) {
			t.Errorf("with GODEBUG=fips140=only: %v\n%s", err, out)
		}
		return
	}
	b := &branchKey{id: "branch key", secret: make([]byte, keyLength)}
	_, wrapErr := b.wrap(make([]byte, 32), nil)
	_, unwrapErr := b.unwrap(make([]byte, overhead+32), nil)
	for what, err := range map[string]error{"wrap": wrapErr, "unwrap": unwrapErr} {
		if err == nil || !strings.Contains(err.Error(), "not allowed in FIPS 140-only mode") {
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
}
