package esdk_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"runtime"
	"strings"
	"testing"

	"esdk"
)

// Concurrency 0 means all cores: with several, more than the calling goroutine
// does the work.
func TestDefaultConcurrency(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	before := runtime.NumGoroutine()
	for cores, several := range map[int]bool{0: true, 1: false, 4: true} {
		waitForGoroutines(t, before) // goroutines of the last round
		most := 0
		sink := writerFunc(func(p []byte) (int, error) {
			most = max(most, runtime.NumGoroutine())
			return len(p), nil
		})
		client := newClient(t, esdk.Config{Suite: unsigned, Concurrency: cores})
		w := must[*esdk.Writer](t)(client.NewWriter(t.Context(), sink, nil))
		if _, err := w.ReadFrom(io.LimitReader(zeros{}, 3*mib)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if (most > before) != several {
			t.Errorf("Concurrency %d: %d goroutines, of which %d were there before", cores, most, before)
		}
	}
}

// A modulus that is too short for the hash fails when the data key is wrapped,
// at the latest, and the error names the key.
func TestRSAKeyTooShortForHash(t *testing.T) {
	key := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024))
	kr, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "test", Name: "short", PublicKey: &key.PublicKey, Hash: crypto.SHA512})
	if err != nil {
		return // rejected even earlier
	}
	r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: unsigned, EncryptionContext: sampleContext})
	if err == nil || r != nil || !strings.Contains(err.Error(), `RSA key "short"`) {
		t.Errorf("%v, %v", r, err)
	}
}
