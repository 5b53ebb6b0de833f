package branchkey

import (
	"fmt"
	"testing"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/caching"
)

func BenchmarkFileGet(b *testing.B) {
	k := newKMS(b)
	storage := newFile(b)
	id := ok[string](b)(k.newStore(b, storage).CreateKey(b.Context(), "", nil))
	for b.Loop() {
		ok[*Item](b)(storage.Get(b.Context(), id, activeType, true))
	}
}

// BenchmarkList lists 100,000 branch keys in a file.
func BenchmarkList(b *testing.B) {
	const branchKeys = 100_000
	k, storage := newKMS(b), newFile(b)
	s := k.newStore(b, storage)
	for first := 0; first < branchKeys; first += 1000 {
		var puts []Put
		for i := range 1000 {
			attributes := newAttributes(k.arn, time.Now(), customContext)
			attributes[versionAttribute] = versionPrefix + formatUUID(newUUID())
			puts = append(puts, Put{Item: &Item{ID: fmt.Sprintf("tenant-%06d", first+i), Type: activeType, Enc: make([]byte, 200), Attributes: attributes}})
		}
		must(b, storage.Write(b.Context(), puts...))
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "") {
			must(b, err)
			n++
		}
		if n != branchKeys {
			b.Fatalf("%d entries", n)
		}
	}
}

// BenchmarkRekey re-keys a branch key of 1,000 versions in a file.
func BenchmarkRekey(b *testing.B) {
	k, storage := newKMS(b), newFile(b)
	s := k.newStore(b, storage)
	id := ok[string](b)(s.CreateKey(b.Context(), "key", customContext))
	for range 999 {
		must(b, s.VersionKey(b.Context(), id))
	}
	both := k.with(b, storage, func(c *Config) { c.KMS.Former = []string{k.another()} })
	to := []string{both.config.KMS.Former[0], k.arn}
	k.Reset()
	n := 0
	for b.Loop() {
		if changed := ok[int](b)(both.RekeyBranchKey(b.Context(), id, to[n%2])); changed != 1002 {
			b.Fatalf("re-keyed %d items", changed)
		}
		n++
	}
	b.ReportMetric(float64(len(k.Requests()))/float64(b.N), "KMS-calls/op")
}

func BenchmarkKeyring(b *testing.B) {
	source := newSource()
	source.add("a")
	kr := newKeyring(b, KeyringConfig{Store: source, BranchKeyID: "a"})
	r, _ := wrap(b, kr)
	b.Run("Wrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ok[*esdk.WrapResult](b)(kr.Wrap(b.Context(), wrapRequest))
		}
	})
	b.Run("Unwrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ok[[]byte](b)(unwrap(kr, r.EncryptedDataKeys...))
		}
	})
}

// BenchmarkMessages encrypts messages of 1 KiB with a KMS that takes 5 ms to
// answer: with a call per message, with a caching CMM, and with branch keys.
func BenchmarkMessages(b *testing.B) {
	k := newKMS(b)
	store := k.newStore(b, newFile(b))
	id := ok[string](b)(store.CreateKey(b.Context(), "", nil))
	direct := ok[esdk.Keyring](b)(awskms.NewKeyring(awskms.Config{Clients: k.clients()}, k.arn))
	caching := ok[esdk.CMM](b)(caching.NewCMM(caching.Config{Keyring: direct, MaxAge: time.Minute, MaxMessages: 1000}))
	k.SetLatency(5 * time.Millisecond)
	for name, config := range map[string]esdk.Config{
		"call for each": {Keyring: direct},
		"caching CMM":   {CMM: caching},
		"branch key":    {Keyring: newKeyring(b, KeyringConfig{Store: store, BranchKeyID: id, TTL: time.Minute})},
	} {
		config.Suite = esdk.AES256GCMHKDFSHA512Commit
		client := ok[*esdk.Client](b)(esdk.New(config))
		plaintext := make([]byte, 1024)
		b.Run(name, func(b *testing.B) {
			k.Reset()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := client.Encrypt(b.Context(), plaintext, nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
			calls := 0
			for _, n := range k.Counts() {
				calls += n
			}
			b.ReportMetric(float64(calls)/float64(b.N), "KMS-calls/op")
		})
	}
}
