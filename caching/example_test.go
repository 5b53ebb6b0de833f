package caching_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"esdk"
	"esdk/caching"
)

func newKeyring() esdk.Keyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "2026-11", Key: make([]byte, 32)}) // stands for random bytes
	if err != nil {
		log.Fatal(err)
	}
	return kr
}

// Ten messages share a data key, and so a call to the key service.
func ExampleNewCMM() {
	ctx := context.Background()
	cmm, err := caching.NewCMM(caching.Config{
		Keyring:     newKeyring(),
		MaxAge:      time.Minute,
		MaxMessages: 10,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{CMM: cmm})
	if err != nil {
		log.Fatal(err)
	}
	dataKeys := make(map[string]bool)
	for range 100 {
		_, header, err := client.Encrypt(ctx, []byte("my secret"), nil)
		if err != nil {
			log.Fatal(err)
		}
		dataKeys[string(header.EncryptedDataKeys[0].Ciphertext)] = true
	}
	fmt.Println("100 messages,", len(dataKeys), "data keys")
	// Output: 100 messages, 10 data keys
}

// Streams share a data key if their length is known.
func ExampleNewCMM_stream() {
	ctx := context.Background()
	cache, err := caching.NewLRU(100)
	if err != nil {
		log.Fatal(err)
	}
	cmm, err := caching.NewCMM(caching.Config{
		Keyring:  newKeyring(),
		Cache:    cache,
		MaxAge:   time.Minute,
		MaxBytes: 1 << 30,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{CMM: cmm})
	if err != nil {
		log.Fatal(err)
	}
	for _, text := range []string{"a file", "another file", "and another"} {
		w, err := client.NewSizedWriter(ctx, io.Discard, int64(len(text)), nil)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			log.Fatal(err)
		}
		if err := w.Close(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(cache.Stats().Misses, "data key")
	// Output: 1 data key
}

// A cache for two data keys drops the one that was not used for the longest
// time.
func ExampleNewLRU() {
	ctx := context.Background()
	cache, err := caching.NewLRU(2)
	if err != nil {
		log.Fatal(err)
	}
	cmm, err := caching.NewCMM(caching.Config{Keyring: newKeyring(), Cache: cache, MaxAge: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{CMM: cmm})
	if err != nil {
		log.Fatal(err)
	}
	for _, tenant := range []string{"17", "18", "17", "19", "17"} {
		if _, _, err := client.Encrypt(ctx, []byte("my secret"), esdk.EncryptionContext{"tenant": tenant}); err != nil {
			log.Fatal(err)
		}
	}
	stats := cache.Stats()
	fmt.Println(stats.Misses, "misses,", stats.Hits, "hits,", stats.Evictions, "eviction")
	// Output: 3 misses, 2 hits, 1 eviction
}

// Caching CMMs of several tenants use one cache and share no entries. Stats
// counts the operations.
func ExampleNewStormTracking() {
	ctx := context.Background()
	cache, err := caching.NewStormTracking(caching.StormTrackingConfig{Capacity: 100})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 { // tenants
		cmm, err := caching.NewCMM(caching.Config{Keyring: newKeyring(), Cache: cache, MaxAge: time.Minute})
		if err != nil {
			log.Fatal(err)
		}
		client, err := esdk.New(esdk.Config{CMM: cmm})
		if err != nil {
			log.Fatal(err)
		}
		for range 5 {
			if _, _, err := client.Encrypt(ctx, []byte("my secret"), nil); err != nil {
				log.Fatal(err)
			}
		}
	}
	stats := cache.Stats()
	fmt.Println(stats.Misses, "misses,", stats.Hits, "hits,", stats.Entries, "entries")
	// Output: 3 misses, 12 hits, 3 entries
}
