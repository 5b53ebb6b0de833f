package branchkey

import (
	"bytes"
	"testing"

	"esdk"
	"esdk/internal/faulttest"
)

// FuzzUnwrap: only the exact encrypted data key that was made unwraps.
func FuzzUnwrap(f *testing.F) {
	source := newSource()
	source.add("a")
	kr := newKeyring(f, KeyringConfig{Store: source, BranchKeyID: "a"})
	r, _ := wrap(f, kr)
	good := r.EncryptedDataKeys[0]
	f.Add(good.ProviderID, good.ProviderInfo, []byte{}, uint16(0))
	f.Add(good.ProviderID, good.ProviderInfo, []byte{1}, uint16(30))
	f.Add("aws-kms", []byte("b"), []byte{1, 2, 3}, uint16(90))
	f.Fuzz(func(t *testing.T, provider string, info, change []byte, at uint16) {
		edk := esdk.EncryptedDataKey{ProviderID: provider, ProviderInfo: info, Ciphertext: faulttest.Changed(good.Ciphertext, change, at)}
		same := provider == good.ProviderID && bytes.Equal(info, good.ProviderInfo) && bytes.Equal(edk.Ciphertext, good.Ciphertext)
		got, err := unwrap(kr, edk)
		if same != (err == nil) || same != bytes.Equal(got, r.DataKey) {
			t.Errorf("unwrap: %v, but the same is %v", err, same)
		}
	})
}

// FuzzParseUUID: an accepted UUID has one form.
func FuzzParseUUID(f *testing.F) {
	f.Add(formatUUID(newUUID()))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := parseUUID(s); err == nil && formatUUID(u) != s {
			t.Errorf("%q is read as %s", s, formatUUID(u))
		}
	})
}
