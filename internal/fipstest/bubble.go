package fipstest

import (
	"crypto/fips140"
	"math/rand/v2"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
)

// Bubble calls [Randomness] and then [synctest.Test].
func Bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	Randomness(t)
	synctest.Test(t, f)
}

// Randomness makes crypto/rand work in the bubbles of a test. In FIPS mode,
// it's seeded with clock jitter, from time to time and when two goroutines need
// it at once. A bubble's clock has no jitter, and the process would end with
// "failed to obtain initial entropy". Module v1.0.0 asks the system instead.
func Randomness(t *testing.T) {
	t.Helper()
	if fips140.Enabled() && fips140.Version() != "v1.0.0" {
		cryptotest.SetGlobalRandom(t, rand.Uint64())
	}
}
