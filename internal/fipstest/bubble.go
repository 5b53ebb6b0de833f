package fipstest

import (
	"crypto/fips140"
	"math/rand/v2"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Bubble is [synctest.Test] after [Randomness].
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	Randomness(t)
	synctest.Test(t, f)
}

// Randomness makes crypto/rand work in the bubbles of a test. In the FIPS mode it
// is seeded, from time to time and when two goroutines need it at once, with the
// jitter of the clock; that of a bubble has none, and the process would end with
// "failed to obtain initial entropy". Module v1.0.0 asks the system instead.
func Randomness(t *testing.T) {
	t.Helper()
	if fips140.Enabled() && fips140.Version() != "v1.0.0" {
		cryptotest.SetGlobalRandom(t, rand.Uint64())
	}
}
