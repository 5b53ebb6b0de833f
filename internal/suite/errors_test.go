package suite

import (
	"crypto/ecdsa"
	"math/big"
	"testing"
)

// A public key that isn't a point on its curve causes an error, and so does an
// invalid signature. Neither comes from this package.
func TestSignErrors(t *testing.T) {
	for _, s := range signers() {
		//lint:ignore SA1019 the current way to make a key refuses this one
		key := &ecdsa.PublicKey{Curve: s.curve, X: big.NewInt(1), Y: big.NewInt(1)}
		if text, err := s.EncodePublicKey(key); err == nil {
			t.Errorf("%s: a point that is not on the curve is %q", s.Name, text)
		}
		for _, der := range []string{"", "0", "not a signature"} {
			if got, err := s.negate([]byte(der)); err == nil {
				t.Errorf("%s: %q becomes %x", s.Name, der, got)
			}
		}
	}
}
