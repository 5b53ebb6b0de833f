package hpke_test

import (
	"bytes"
	"crypto/fips140"
	"testing"

	"esdk"
	"esdk/hpke"
	"esdk/internal/fipstest"
)

// TestFIPS140Only checks the table in docs/security.md.
func TestFIPS140Only(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	key, err := hpke.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	kr := newKeyring(t, "key", key)
	if fips140.Version() == "v1.0.0" { // in which HPKE gives AES-GCM its IV from outside
		_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: 0x0578})
		fipstest.WantRefused(t, "Wrap", err)
		return
	}
	dataKey, edk := wrap(t, kr)
	if got, err := unwrap(t, kr, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("Unwrap: %v", err)
	}
	if b := must[[]byte](t)(hpke.MarshalPrivateKey(key)); len(b) == 0 {
		t.Error("no PEM")
	}
}
