package esdk_test

import (
	"testing"

	"esdk"
	"esdk/internal/modeltest"
)

// A short message takes hardly more allocations than the calls that the format
// forces. Those include new hash states, which the library reuses.
func TestAllocations(t *testing.T) {
	ec := esdk.EncryptionContext{"purpose": "test"}
	client := newClient(t, esdk.Config{Suite: unsigned, Concurrency: 1})
	plaintext := pattern(kib)
	message := encrypt(t, client, plaintext, ec)
	out := make([]byte, 0, 2*kib)
	for _, c := range []struct {
		name   string
		forced func()
		more   float64
		run    func() error
	}{
		{"Encrypt", limitSmallEncrypt(t), 1, func() error { return second(client.Encrypt(t.Context(), plaintext, ec)) }},
		{"AppendEncrypt", limitSmallEncrypt(t), 0, func() error { return second(client.AppendEncrypt(t.Context(), out, plaintext, ec)) }},
		{"Decrypt", limitSmallDecrypt(t), 4, func() error { return second(client.Decrypt(t.Context(), message, nil)) }},
		{"AppendDecrypt", limitSmallDecrypt(t), 3, func() error { return second(client.AppendDecrypt(t.Context(), out, message, nil)) }},
	} {
		if modeltest.Race {
			c.more += 6 // the race detector drops some of the hash states
		}
		forced, n := testing.AllocsPerRun(500, c.forced), testing.AllocsPerRun(500, func() { mustDo(t, c.run()) })
		if n > forced+c.more {
			t.Errorf("%s: %v allocations, the forced calls have %v", c.name, n, forced)
		}
	}
}
