package wycheproof

import (
	"bytes"
	"testing"

	"esdk/internal/suite"
)

// TestHKDF tests the derivation of suites with each hash, below the level of
// salt and infos, which the format fixes and no vector has.
func TestHKDF(t *testing.T) {
	type hkdfVector struct {
		vector
		IKM, Salt, Info, OKM hexBytes
		Size                 int
	}
	got := make(tally)
	for file, id := range map[string]uint16{
		"hkdf_sha256_test.json": 0x0178,
		"hkdf_sha384_test.json": 0x0378,
		"hkdf_sha512_test.json": 0x0578, // derives a commitment too
	} {
		s := suite.Lookup(id)
		for _, g := range load[struct{}, hkdfVector](t, file) {
			for _, v := range g.Tests {
				info := string(v.Info)
				keys, err := s.HKDF(v.IKM, v.Salt, v.Size, info, info)
				switch {
				case !v.valid():
					if err == nil {
						t.Errorf("%s %d: derived, %s", file, v.ID, v.Comment)
					}
				case err != nil || !bytes.Equal(keys.Content, v.OKM):
					t.Errorf("%s %d: %v, %v; want %x", file, v.ID, keys, err, v.OKM)
				case s.Commits && !samePrefix(keys.Commitment, v.OKM):
					t.Errorf("%s %d: commitment %x, want %x", file, v.ID, keys.Commitment, v.OKM)
				}
				got[v.Result]++
			}
		}
	}
	got.require(t, tally{"valid": 243, "invalid": 9})
}

// samePrefix compares HKDF's outputs of different lengths.
func samePrefix(a, b []byte) bool {
	n := min(len(a), len(b))
	return n > 0 && bytes.Equal(a[:n], b[:n])
}
