package wycheproof

import (
	"encoding/base64"
	"testing"

	"esdk/internal/ecpoint"
	"esdk/internal/suite"
)

type ecdsaGroup struct {
	PublicKey struct{ Uncompressed hexBytes }
}

type ecdsaVector struct {
	vector
	Msg, Sig hexBytes
}

// TestECDSA verifies signatures the way messages are verified: with the
// compressed key from the encryption context. Strict DER is the only valid
// form; no vector is merely acceptable.
func TestECDSA(t *testing.T) {
	p384 := tally{"valid": 194, "invalid": 310, "not DER": 280}
	for _, test := range []struct {
		id    uint16
		files string
		want  tally
	}{
		{0x0214, "ecdsa_secp256r1_sha256", tally{"valid": 174, "invalid": 310, "not DER": 262}},
		{0x0346, "ecdsa_secp384r1_sha384", p384},
		{0x0378, "ecdsa_secp384r1_sha384", p384},
		{0x0578, "ecdsa_secp384r1_sha384", p384},
	} {
		s := suite.Lookup(test.id)
		t.Run(s.Name, func(t *testing.T) {
			got := make(tally)
			verify(t, s, test.files+"_test.json", func(v *ecdsaVector, verified bool) {
				if verified != v.valid() {
					t.Errorf("%d: verified: %t, %s", v.ID, verified, v.Comment)
				}
				got[v.Result]++
			})
			// r and s concatenated aren't a signature of the format, even if
			// valid.
			verify(t, s, test.files+"_p1363_test.json", func(v *ecdsaVector, verified bool) {
				if verified {
					t.Errorf("%d: verified without DER: %s", v.ID, v.Comment)
				}
				got["not DER"]++
			})
			got.require(t, test.want)
		})
	}
}

// verify calls f with each vector of a file, and whether the suite verified it.
func verify(t *testing.T, s *suite.Suite, file string, f func(v *ecdsaVector, verified bool)) {
	for _, g := range load[ecdsaGroup, ecdsaVector](t, file) {
		text := base64.StdEncoding.EncodeToString(ecpoint.Compress(g.fields.PublicKey.Uncompressed))
		key, err := s.DecodePublicKey(text)
		if err != nil || !s.FitsKey(key) {
			t.Fatalf("%s: key %s: %v", file, text, err)
		}
		for _, v := range g.Tests {
			h := s.NewDigest()
			h.Write(v.Msg)
			f(&v, s.Verify(key, h.Sum(nil), v.Sig))
		}
	}
}
