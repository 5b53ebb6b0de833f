package branchkey

import (
	"testing"

	"esdk/internal/fipstest"
)

// TestFIPS140Only verifies the statements of docs/security.md on the
// hierarchical keyring.
func TestFIPS140Only(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	b := &branchKey{id: "branch key", secret: make([]byte, keyLength)}
	_, err := b.wrap(make([]byte, 32), nil)
	fipstest.WantRefused(t, "wrap", err)
	_, err = b.unwrap(make([]byte, overhead+32), nil)
	fipstest.WantRefused(t, "unwrap", err)
}
