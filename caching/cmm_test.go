package caching_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/internal/faulttest"
	"esdk/internal/fipstest"
	"esdk/internal/suite"
)

// meter counts the calls to a keyring.
type meter struct {
	esdk.Keyring
	wraps, unwraps atomic.Int64
	takes          time.Duration
}

func newMeter(t testing.TB) *meter { return &meter{Keyring: testKeyring(t)} }

func (m *meter) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	m.wraps.Add(1)
	time.Sleep(m.takes)
	return m.Keyring.Wrap(ctx, req)
}

func (m *meter) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	m.unwraps.Add(1)
	time.Sleep(m.takes)
	return m.Keyring.Unwrap(ctx, req)
}

func (m *meter) check(t *testing.T, wraps, unwraps int64) {
	t.Helper()
	if w, u := m.wraps.Load(), m.unwraps.Load(); w != wraps || u != unwraps {
		t.Errorf("%d wraps and %d unwraps, want %d and %d", w, u, wraps, unwraps)
	}
}

func cachingClient(t testing.TB, c caching.Config, config esdk.Config) *esdk.Client {
	t.Helper()
	if c.MaxAge == 0 {
		c.MaxAge = time.Hour
	}
	config.CMM = must[esdk.CMM](t)(caching.NewCMM(c))
	return newClient(t, config)
}

func TestCachingReusesDataKeys(t *testing.T) {
	m := newMeter(t)
	c := cachingClient(t, caching.Config{Keyring: m}, esdk.Config{})
	ec := esdk.EncryptionContext{"a": "b"}
	ids := make(map[string]bool)
	for i := range 20 {
		plaintext := pattern(i * 1000)
		message, h, err := c.Encrypt(t.Context(), plaintext, ec)
		if err != nil {
			t.Fatal(err)
		}
		ids[string(h.MessageID)] = true
		// The second time checks that the data key wasn't cleared for the
		// others.
		wantDecrypts(t, c, message, ec, plaintext)
		wantDecrypts(t, c, message, ec, plaintext)
		// A client without a cache decrypts it too.
		wantDecrypts(t, newClient(t, esdk.Config{}), message, ec, plaintext)
	}
	m.check(t, 1, 1)
	if len(ids) != 20 {
		t.Errorf("%d message ids for 20 messages", len(ids))
	}
}

func TestCachingLimits(t *testing.T) {
	for _, test := range []struct {
		name   string
		config caching.Config
		size   int
		n      int
		wraps  int64
	}{
		{"messages", caching.Config{MaxMessages: 10}, 1, 95, 10},
		{"one message", caching.Config{MaxMessages: 1}, 1, 20, 20},
		{"bytes", caching.Config{MaxBytes: 1000}, 100, 95, 10},
		{"bytes of which some are left", caching.Config{MaxBytes: 1099}, 100, 95, 10},
		{"more bytes than may be", caching.Config{MaxBytes: 99}, 100, 5, 5},
		{"empty messages take no bytes", caching.Config{MaxBytes: 1}, 0, 50, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMeter(t)
			test.config.Keyring = m
			c := cachingClient(t, test.config, esdk.Config{})
			for range test.n {
				if _, _, err := c.Encrypt(t.Context(), pattern(test.size), nil); err != nil {
					t.Fatal(err)
				}
			}
			m.check(t, test.wraps, 0)
		})
	}
}

// TestCachingLimitsAreOwn: a CMM enforces its own limits even for an entry that
// a CMM with higher limits made and has used.
func TestCachingLimitsAreOwn(t *testing.T) {
	for name, config := range map[string]caching.Config{
		"messages": {MaxMessages: 3},
		"bytes":    {MaxBytes: 30},
	} {
		t.Run(name, func(t *testing.T) {
			m, cache := newMeter(t), newCache(t, 100)
			counts := make(map[string]int)
			use := func(c *esdk.Client) int {
				_, h, err := c.Encrypt(t.Context(), pattern(10), nil)
				if err != nil {
					t.Fatal(err)
				}
				key := string(h.EncryptedDataKeys[0].Ciphertext)
				counts[key]++
				return counts[key]
			}
			lax := cachingClient(t, caching.Config{Keyring: m, Cache: cache, Partition: "p"}, esdk.Config{})
			config.Keyring, config.Cache, config.Partition = m, cache, "p"
			strict := cachingClient(t, config, esdk.Config{})
			for _, want := range []int{1, 2} {
				if n := use(lax); n != want {
					t.Errorf("lax: message %d, want %d", n, want)
				}
			}
			for _, want := range []int{3, 1, 2} { // shares the entry while it may
				if n := use(strict); n != want {
					t.Errorf("strict: message %d, want %d", n, want)
				}
			}
			for want := 3; want < 20; want++ { // the strict one doesn't limit the lax one
				if n := use(lax); n != want {
					t.Errorf("lax: message %d, want %d", n, want)
				}
			}
			if n := use(strict); n != 1 {
				t.Errorf("strict: message %d, want 1", n)
			}
			m.check(t, 3, 0)
		})
	}
}

// TestCachingBytesDoNotOverflow: the sum of the lengths overflows an int64.
func TestCachingBytesDoNotOverflow(t *testing.T) {
	m := newMeter(t)
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: m, MaxAge: time.Hour}))
	for i, c := range []struct{ length, wraps int64 }{
		{math.MaxInt64, 1}, {0, 1}, {1, 2}, {math.MaxInt64 - 1, 2}, {0, 2}, {1, 3}, {math.MaxInt64, 4},
	} {
		must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{PlaintextLength: c.length}))
		if n := m.wraps.Load(); n != c.wraps {
			t.Errorf("request %d: %d wraps, want %d", i, n, c.wraps)
		}
	}
}

// TestCachingServesFetcher: the CMM that fetched an entry uses it, though CMMs
// with higher limits wait for it and would use it up.
func TestCachingServesFetcher(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m, cache := newMeter(t), newCache(t, 100)
		m.takes = time.Second
		config := caching.Config{Keyring: m, Cache: cache, Partition: "p", MaxAge: time.Hour}
		lax := must[esdk.CMM](t)(caching.NewCMM(config))
		config.MaxMessages = 1
		strict := must[esdk.CMM](t)(caching.NewCMM(config))
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				must[*esdk.EncryptionMaterials](t)(strict.EncryptionMaterials(t.Context(), new(esdk.EncryptionRequest)))
			})
			synctest.Wait() // it fetches
			for range 20 {
				all.Go(func() {
					must[*esdk.EncryptionMaterials](t)(lax.EncryptionMaterials(t.Context(), new(esdk.EncryptionRequest)))
				})
			}
			all.Wait()
		}
		m.check(t, 20, 0)
	})
}

// TestCachingLimitsConcurrent counts the messages and bytes under each data
// key.
func TestCachingLimitsConcurrent(t *testing.T) {
	const limit, goroutines, each, size = 7, 50, 40, 10
	m := newMeter(t)
	c := cachingClient(t, caching.Config{Keyring: m, MaxMessages: limit, MaxBytes: limit * size}, esdk.Config{
		Suite: esdk.AES256GCMHKDFSHA512Commit,
	})
	var mu sync.Mutex
	messages := make(map[string]int)
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				_, h, err := c.Encrypt(t.Context(), pattern(size), nil)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				messages[string(h.EncryptedDataKeys[0].Ciphertext)]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range messages {
		total += n
		if n > limit {
			t.Errorf("%d messages under one data key, at most %d are allowed", n, limit)
		}
	}
	if total != goroutines*each {
		t.Errorf("%d messages", total)
	}
}

func TestCachingAge(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m := newMeter(t)
		cache := newCache(t, 100)
		long := cachingClient(t, caching.Config{Keyring: m, Cache: cache, MaxAge: time.Hour, Partition: "p"}, esdk.Config{})
		short := cachingClient(t, caching.Config{Keyring: m, Cache: cache, MaxAge: time.Minute, Partition: "p"}, esdk.Config{})
		message := encrypt(t, long, pattern(10), nil)
		wantDecrypts(t, long, message, nil, pattern(10))
		time.Sleep(59 * time.Second)
		encrypt(t, short, pattern(10), nil) // shares the entry
		wantDecrypts(t, short, message, nil, pattern(10))
		m.check(t, 1, 1)
		time.Sleep(2 * time.Second)
		encrypt(t, long, pattern(10), nil)
		m.check(t, 1, 1)
		encrypt(t, short, pattern(10), nil) // too old for this one
		wantDecrypts(t, short, message, nil, pattern(10))
		m.check(t, 2, 2)
		time.Sleep(time.Hour)
		encrypt(t, long, pattern(10), nil)
		m.check(t, 3, 2)
	})
}

// clockedKeyring takes a varying time, and records when each data key was
// requested.
type clockedKeyring struct {
	esdk.Keyring
	mu   sync.Mutex
	made map[string]time.Time
}

func (k *clockedKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	start := time.Now()
	time.Sleep(time.Second * rand.N[time.Duration](3))
	r, err := k.Keyring.Wrap(ctx, req)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made[string(r.EncryptedDataKeys[0].Ciphertext)] = start
	return r, err
}

// TestCachingLimitsOverTime: many callers share data keys for twenty minutes of
// a clock that stands still while anything runs, so the age at use is known
// exactly. Everything happens at whole seconds, so many keys are requested when
// they are just too old, and some messages have one byte too many.
func TestCachingLimitsOverTime(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("the FIPS 140-3 module takes entropy from a clock that goes on")
	}
	const age, messages, size = 10 * time.Second, 50, 1000
	const bytes = 20 * size
	fipstest.Bubble(t, func(t *testing.T) {
		kr := &clockedKeyring{Keyring: testKeyring(t), made: make(map[string]time.Time)}
		c := cachingClient(t, caching.Config{Keyring: kr, MaxAge: age, MaxMessages: messages, MaxBytes: bytes}, esdk.Config{
			Suite: esdk.AES256GCMHKDFSHA512Commit,
		})
		var mu sync.Mutex
		counts, sums := make(map[string]int), make(map[string]int)
		mostMessages, mostBytes, oldest := 0, 0, time.Duration(0)
		use := func(tenant, n int) {
			start := time.Now()
			_, h, err := c.Encrypt(t.Context(), pattern(n), esdk.EncryptionContext{"tenant": fmt.Sprint(tenant)})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			key := string(h.EncryptedDataKeys[0].Ciphertext)
			counts[key]++
			sums[key] += n
			mostMessages, mostBytes = max(mostMessages, counts[key]), max(mostBytes, sums[key])
			kr.mu.Lock()
			made := kr.made[key]
			kr.mu.Unlock()
			if made.Before(start) { // else it was made for this call
				oldest = max(oldest, time.Since(made))
			}
		}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				pause := time.Minute / 2
				if i%3 == 2 {
					pause = 15 * time.Minute // so that these data keys get old
				}
				for start := time.Now(); time.Since(start) < 20*time.Minute; {
					time.Sleep(time.Second * rand.N(1+pause/time.Second))
					use(i%3, []int{rand.IntN(100), size + rand.IntN(20)/19, size}[i%3])
				}
			})
		}
		all.Wait()
		t.Logf("%d data keys: at most %d messages, %d bytes, %v old", len(counts), mostMessages, mostBytes, oldest)
		if mostMessages != messages || mostBytes != bytes || oldest != age-time.Second {
			t.Errorf("at most %d messages of %d, %d bytes of %d, %v old of less than %v", mostMessages, messages, mostBytes, bytes, oldest, age)
		}
	})
}

// TestCachingShortAge: a data key that took longer to make than MaxAge serves
// the call for which it was made.
func TestCachingShortAge(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m := newMeter(t)
		m.takes = time.Second
		c := cachingClient(t, caching.Config{Keyring: m, MaxAge: time.Millisecond}, esdk.Config{})
		message := encrypt(t, c, nil, nil)
		wantDecrypts(t, c, message, nil, nil)
		if w := m.wraps.Load(); w != 1 {
			t.Errorf("%d wraps", w)
		}
	})
}

func TestCachingColdStart(t *testing.T) {
	m := newMeter(t)
	m.takes = 20 * time.Millisecond
	c := cachingClient(t, caching.Config{Keyring: m}, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit})
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if _, _, err := c.Encrypt(t.Context(), nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	m.check(t, 1, 0)
}

// TestCachingIdentity changes one thing at a time. Each change needs another
// data key.
func TestCachingIdentity(t *testing.T) {
	m := newMeter(t)
	cache := newCache(t, 100)
	inner := must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: m, Cache: cache, MaxAge: time.Hour, Partition: "p"}))
	ec := esdk.EncryptionContext{"a": "1", "b": "2"}
	n := int64(0)
	check := func(name string, config esdk.Config, ec esdk.EncryptionContext) {
		t.Helper()
		c := newClient(t, config)
		encrypt(t, c, nil, ec)
		encrypt(t, c, nil, ec)
		if n++; m.wraps.Load() != n {
			t.Errorf("%s: %d wraps, want %d", name, m.wraps.Load(), n)
			n = m.wraps.Load()
		}
	}
	check("base", esdk.Config{CMM: inner}, ec)
	check("context", esdk.Config{CMM: inner}, esdk.EncryptionContext{"a": "1", "b": "3"})
	check("pairs that look alike", esdk.Config{CMM: inner}, esdk.EncryptionContext{"a": "1b2"})
	check("suite", esdk.Config{CMM: inner, Suite: esdk.AES256GCMHKDFSHA512Commit}, ec)
	check("policy", esdk.Config{CMM: inner, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt}, ec)
	check("required key", esdk.Config{CMM: must[esdk.CMM](t)(esdk.NewRequiredContextCMM(inner, "a"))}, ec)
	check("other required key", esdk.Config{CMM: must[esdk.CMM](t)(esdk.NewRequiredContextCMM(inner, "b"))}, ec)
	check("partition", esdk.Config{CMM: must[esdk.CMM](t)(caching.NewCMM(caching.Config{
		Keyring: m, Cache: cache, MaxAge: time.Hour, Partition: "q",
	}))}, ec)
	for _, name := range []string{"no partition", "no partition either"} {
		check(name, esdk.Config{CMM: must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: m, Cache: cache, MaxAge: time.Hour}))}, ec)
	}
}

// TestCachingHidesLength: materials serve longer plaintexts than the first, so
// they must not depend on its length.
func TestCachingHidesLength(t *testing.T) {
	cmm := new(answeringCMM)
	encrypt(t, cachingClient(t, caching.Config{CMM: cmm}, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit}), pattern(10), nil)
	if n := cmm.length; n != -1 {
		t.Errorf("the underlying CMM was told a length of %d", n)
	}
}

// TestCachingChecksContext: a hit must not skip the comparison of pairs.
func TestCachingChecksContext(t *testing.T) {
	m := newMeter(t)
	c := cachingClient(t, caching.Config{Keyring: m}, esdk.Config{})
	message := encrypt(t, c, nil, esdk.EncryptionContext{"a": "1"})
	wantDecrypts(t, c, message, nil, nil)
	wantDecrypts(t, c, message, esdk.EncryptionContext{"a": "1"}, nil)
	wantRefused(t, c, message, esdk.EncryptionContext{"a": "2"}, esdk.ErrEncryptionContext)
	wantRefused(t, c, message, esdk.EncryptionContext{"a": "2"}, esdk.ErrEncryptionContext)
}

func TestCachingBypass(t *testing.T) {
	for _, id := range []esdk.SuiteID{esdk.AES128GCM, esdk.AES192GCM, esdk.AES256GCM} {
		m := newMeter(t)
		c := cachingClient(t, caching.Config{Keyring: m}, esdk.Config{Suite: id, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt})
		message := encrypt(t, c, nil, nil)
		encrypt(t, c, nil, nil)
		wantDecrypts(t, c, message, nil, nil)
		m.check(t, 2, 2) // wantDecrypts decrypts twice
	}

	// A stream's length isn't known, unless there is a limit.
	m := newMeter(t)
	c := cachingClient(t, caching.Config{Keyring: m}, esdk.Config{})
	encryptStream(t, c, pattern(10), nil)
	encryptStream(t, c, pattern(10), nil)
	m.check(t, 2, 0)
	c = cachingClient(t, caching.Config{Keyring: m}, esdk.Config{MaxPlaintextLength: 100})
	encryptStream(t, c, pattern(10), nil)
	encryptStream(t, c, pattern(10), nil)
	m.check(t, 3, 0)
}

// TestCachingOtherSuite: a CMM chooses a suite without key derivation if none
// was requested. Such a data key serves only one message, even under concurrent
// requests.
func TestCachingOtherSuite(t *testing.T) {
	m := newMeter(t)
	m.takes = time.Millisecond
	cmm := identityCMM{must[esdk.CMM](t)(esdk.NewDefaultCMM(m))}
	c := cachingClient(t, caching.Config{CMM: cmm}, esdk.Config{CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt})
	var mu sync.Mutex
	keys := make(map[string]bool)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_, h, err := c.Encrypt(t.Context(), nil, nil)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			keys[string(h.EncryptedDataKeys[0].Ciphertext)] = true
			mu.Unlock()
		})
	}
	all.Wait()
	if len(keys) != 50 {
		t.Errorf("%d data keys for 50 messages", len(keys))
	}
}

// identityCMM encrypts with a suite that doesn't derive keys.
type identityCMM struct{ esdk.CMM }

func (c identityCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	r := *req
	r.Suite = esdk.AES256GCM
	return c.CMM.EncryptionMaterials(ctx, &r)
}

func TestCachingEverySuite(t *testing.T) {
	for _, s := range suite.All {
		t.Run(fmt.Sprintf("%04x", s.ID), func(t *testing.T) {
			c := cachingClient(t, caching.Config{Keyring: newMeter(t)}, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(esdk.SuiteID(s.ID))})
			for i := range 3 {
				wantDecrypts(t, c, encrypt(t, c, pattern(i), nil), nil, pattern(i))
			}
		})
	}
}

// TestCachingCopies changes returned materials. The cache must not see it.
func TestCachingCopies(t *testing.T) {
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: newMeter(t), MaxAge: time.Hour}))
	req := &esdk.EncryptionRequest{EncryptionContext: esdk.EncryptionContext{"a": "b"}, RequiredContextKeys: []string{"a"}}
	first := must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), req))
	dataKey := bytes.Clone(first.DataKey)
	clear(first.DataKey)
	clear(first.EncryptedDataKeys[0].Ciphertext)
	first.EncryptionContext["a"] = "c"
	first.RequiredContextKeys[0] = "c"
	second := must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), req))
	if !bytes.Equal(second.DataKey, dataKey) || second.EncryptionContext["a"] != "b" || second.RequiredContextKeys[0] != "a" {
		t.Error("a change of what was returned changed the cache")
	}
	if bytes.Equal(second.EncryptedDataKeys[0].Ciphertext, first.EncryptedDataKeys[0].Ciphertext) {
		t.Error("encrypted data keys are shared")
	}
}

// A stubbornCache stores one entry for all IDs and ignores Remove.
type stubbornCache struct {
	caching.Cache
	entry *caching.Entry
	loads int
}

func (c *stubbornCache) Load(ctx context.Context, _ string, fetch func(context.Context) (*caching.Entry, error)) (e *caching.Entry, err error) {
	if c.loads++; c.loads > 100 {
		return nil, errors.New("the cache was asked a hundred times")
	}
	if c.entry == nil {
		c.entry, err = fetch(ctx)
	}
	return c.entry, err
}

func (c *stubbornCache) Remove(string, *caching.Entry) {}

// TestCachingStubbornCache: limits hold with a cache that ignores Remove, and
// no call loops on it.
func TestCachingStubbornCache(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m, cache := newMeter(t), new(stubbornCache)
		c := cachingClient(t, caching.Config{Keyring: m, MaxMessages: 1, Cache: cache}, esdk.Config{})
		message := encrypt(t, c, nil, nil)
		encrypt(t, c, nil, nil)
		encrypt(t, c, nil, nil)
		m.check(t, 3, 0)

		m, cache = newMeter(t), new(stubbornCache)
		c = cachingClient(t, caching.Config{Keyring: m, MaxAge: time.Minute, Cache: cache}, esdk.Config{})
		for range 2 {
			if _, _, err := c.Decrypt(t.Context(), message, nil); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		m.check(t, 0, 2)
	})
}

// TestCachingForeignEntry: an entry of another ID isn't used, even if it has
// the right type.
func TestCachingForeignEntry(t *testing.T) {
	c := cachingClient(t, caching.Config{Keyring: testKeyring(t), Cache: new(stubbornCache)}, esdk.Config{})
	message := encrypt(t, c, nil, esdk.EncryptionContext{"tenant": "1"})
	if _, _, err := c.Encrypt(t.Context(), nil, esdk.EncryptionContext{"tenant": "2"}); err == nil || !strings.Contains(err.Error(), "another id") {
		t.Errorf("Encrypt: %v", err)
	}
	if _, _, err := c.Decrypt(t.Context(), message, nil); err == nil {
		t.Error("Decrypt takes an entry for encryption")
	}

	c = cachingClient(t, caching.Config{Keyring: testKeyring(t), Cache: new(stubbornCache)}, esdk.Config{})
	wantDecrypts(t, c, message, nil, nil)
	message = encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	if _, _, err := c.Decrypt(t.Context(), message, nil); err == nil || !strings.Contains(err.Error(), "another id") {
		t.Errorf("Decrypt: %v", err)
	}
}

// TestCachingLastMessage: a data key leaves the cache with the last message
// that it may serve, so that the counts show the number of avoided calls.
func TestCachingLastMessage(t *testing.T) {
	cache := newCache(t, 10)
	c := cachingClient(t, caching.Config{Keyring: testKeyring(t), MaxMessages: 2, Cache: cache}, esdk.Config{})
	for n, want := range []caching.Stats{{Misses: 1, Entries: 1}, {Misses: 1, Hits: 1, Evictions: 1}, {Misses: 2, Hits: 1, Evictions: 1, Entries: 1}} {
		encrypt(t, c, nil, nil)
		if got := cache.Stats(); got != want {
			t.Errorf("after message %d: %+v, want %+v", n+1, got, want)
		}
	}
}

// TestCachingContextEnds: after the context ends, the cache isn't asked again.
func TestCachingContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	kr := keyringFunc{OnWrap: testKeyring(t).Wrap, OnUnwrap: testKeyring(t).Unwrap}
	cache := &faulttest.EndingCache{Cache: newCache(t, 10), End: cancel}
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: kr, MaxAge: time.Hour, MaxBytes: 1, Cache: cache}))
	req := &esdk.EncryptionRequest{Suite: esdk.AES256GCMHKDFSHA512Commit, PlaintextLength: 1}
	must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(ctx, req))
	if _, err := cmm.EncryptionMaterials(ctx, req); !errors.Is(err, context.Canceled) || cache.Loads != 2 {
		t.Errorf("%v after %d loads", err, cache.Loads)
	}
	if _, err := cmm.DecryptionMaterials(ctx, new(esdk.DecryptionRequest)); !errors.Is(err, context.Canceled) || cache.Loads != 2 {
		t.Errorf("%v after %d loads", err, cache.Loads)
	}
}

// TestCachingNothing: a CMM that returns neither materials nor an error causes
// an error, even if nothing is cached. A context that can't be serialized does
// too.
func TestCachingNothing(t *testing.T) {
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: nilCMM{}, MaxAge: time.Hour}))
	long := esdk.EncryptionContext{strings.Repeat("k", 1<<16): ""}
	for _, id := range []esdk.SuiteID{esdk.AES256GCM, esdk.AES256GCMHKDFSHA512Commit} {
		if m, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{Suite: id}); m != nil || err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%v: EncryptionMaterials: %v, %v", id, m, err)
		}
		if m, err := cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{Suite: id}); m != nil || err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%v: DecryptionMaterials: %v, %v", id, m, err)
		}
	}
	if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: long}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("EncryptionMaterials: %v", err)
	}
	if _, err := cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: long}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("DecryptionMaterials: %v", err)
	}
}

type nilCMM struct{}

func (nilCMM) EncryptionMaterials(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return nil, nil
}

func (nilCMM) DecryptionMaterials(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return nil, nil
}

// TestCachingTellsBeneath: the underlying CMM is told of each message too.
func TestCachingTellsBeneath(t *testing.T) {
	var told []bool
	under := cmmFunc{CMM: defaultCMM(t), OnDecryption: func(m *esdk.DecryptionMaterials) {
		m.Opened = func(ok bool) { told = append(told, ok) }
	}}
	c := cachingClient(t, caching.Config{CMM: under}, esdk.Config{})
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	wantDecrypts(t, c, message, nil, nil) // at once and as a stream
	if !slices.Equal(told, []bool{true, true}) {
		t.Errorf("told %v", told)
	}
}

func TestCachingConfig(t *testing.T) {
	kr := testKeyring(t)
	if _, err := caching.NewCMM(caching.Config{Keyring: kr}); err == nil || err.Error() != "caching: Config needs a MaxAge" {
		t.Errorf("no MaxAge: %v", err)
	}
	for _, c := range []caching.Config{
		{MaxAge: time.Hour},
		{Keyring: kr, CMM: defaultCMM(t), MaxAge: time.Hour},
		{Keyring: kr},
		{Keyring: kr, MaxAge: -1},
		{Keyring: kr, MaxAge: time.Hour, MaxMessages: 1<<32 + 1},
		{Keyring: kr, MaxAge: time.Hour, MaxBytes: -1},
		{Keyring: kr, MaxAge: 10 * time.Second, Cache: newStormCache(t, caching.StormTrackingConfig{})},
		{Keyring: kr, MaxAge: time.Minute, Cache: newStormCache(t, caching.StormTrackingConfig{GracePeriod: time.Minute})},
		{Keyring: kr, MaxAge: time.Minute, Cache: graceCache{newCache(t, 1), time.Hour}},
		{Keyring: kr, MaxAge: time.Hour, Cache: (*stubbornCache)(nil)},
	} {
		if _, err := caching.NewCMM(c); err == nil || !strings.HasPrefix(err.Error(), "caching: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// graceCache is a user's cache that has a grace period.
type graceCache struct {
	caching.Cache
	grace time.Duration
}

func (c graceCache) GracePeriod() time.Duration { return c.grace }

// TestCachingGracePeriod: a MaxAge above the grace period is long enough to
// cache.
func TestCachingGracePeriod(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m := newMeter(t)
		c := cachingClient(t, caching.Config{Keyring: m, MaxAge: 10*time.Second + 2, Cache: newStormCache(t, caching.StormTrackingConfig{})}, esdk.Config{
			Suite: esdk.AES256GCMHKDFSHA512Commit,
		})
		encrypt(t, c, nil, nil)
		time.Sleep(time.Nanosecond)
		encrypt(t, c, nil, nil)
		m.check(t, 1, 0)
	})
	_, err := caching.NewCMM(caching.Config{Keyring: testKeyring(t), MaxAge: time.Second, Cache: newStormCache(t, caching.StormTrackingConfig{})})
	if err == nil || err.Error() != "caching: MaxAge 1s must be more than the cache's grace period of 10s" {
		t.Errorf("got %v", err)
	}
}

// TestCachingHiddenGracePeriod: a user's type around a storm tracking cache
// hides its grace period from NewCMM. Entries are still cached for half of
// MaxAge.
func TestCachingHiddenGracePeriod(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		m := newMeter(t)
		hidden := struct{ caching.Cache }{newStormCache(t, caching.StormTrackingConfig{})}
		c := cachingClient(t, caching.Config{Keyring: m, MaxAge: 6 * time.Second, Cache: hidden}, esdk.Config{
			Suite: esdk.AES256GCMHKDFSHA512Commit,
		})
		for seconds, wraps := range []int64{1, 1, 1, 2, 2, 2, 3} {
			encrypt(t, c, nil, nil)
			if n := m.wraps.Load(); n != wraps {
				t.Errorf("%d wraps after %d s, want %d", n, seconds, wraps)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestCachingIncomplete: materials that every client rejects cause an error and
// aren't stored, since the next ones may be good.
func TestCachingIncomplete(t *testing.T) {
	for name, spoil := range map[string]func(*esdk.EncryptionMaterials){
		"no data key":            func(m *esdk.EncryptionMaterials) { m.DataKey = nil },
		"short data key":         func(m *esdk.EncryptionMaterials) { m.DataKey = m.DataKey[:16] },
		"data key of zeros":      func(m *esdk.EncryptionMaterials) { clear(m.DataKey) },
		"no encrypted data keys": func(m *esdk.EncryptionMaterials) { m.EncryptedDataKeys = nil },
		"no signing key":         func(m *esdk.EncryptionMaterials) { m.SigningKey = nil },
		"unknown suite":          func(m *esdk.EncryptionMaterials) { m.Suite = 1 },
		"suite against policy":   func(m *esdk.EncryptionMaterials) { m.Suite = esdk.AES256GCMHKDFSHA384ECDSAP384 },
		"suite that signs not":   func(m *esdk.EncryptionMaterials) { m.Suite = esdk.AES256GCMHKDFSHA512Commit },
	} {
		var dataKey []byte
		first := true
		under := cmmFunc{CMM: defaultCMM(t), OnEncryption: func(m *esdk.EncryptionMaterials) {
			if first {
				spoil(m)
				dataKey = m.DataKey
			}
			first = false
		}}
		cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: under, MaxAge: time.Hour}))
		if m, err := cmm.EncryptionMaterials(t.Context(), new(esdk.EncryptionRequest)); err == nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
		if slices.Max(append(dataKey, 0)) > 0 {
			t.Errorf("%s: the data key is not cleared", name)
		}
		encrypt(t, newClient(t, esdk.Config{CMM: cmm}), nil, nil)
	}
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	for name, spoil := range map[string]func(*esdk.DecryptionMaterials){
		"no data key":         func(m *esdk.DecryptionMaterials) { m.DataKey = nil },
		"long data key":       func(m *esdk.DecryptionMaterials) { m.DataKey = append(m.DataKey, 1) },
		"data key of zeros":   func(m *esdk.DecryptionMaterials) { clear(m.DataKey) },
		"no verification key": func(m *esdk.DecryptionMaterials) { m.VerificationKey = nil },
	} {
		var dataKey []byte
		first := true
		under := cmmFunc{CMM: defaultCMM(t), OnDecryption: func(m *esdk.DecryptionMaterials) {
			if first {
				spoil(m)
				dataKey = m.DataKey
			}
			first = false
		}}
		c := cachingClient(t, caching.Config{CMM: under}, esdk.Config{})
		if _, _, err := c.Decrypt(t.Context(), message, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
		if slices.Max(append(dataKey, 0)) > 0 {
			t.Errorf("%s: the data key is not cleared", name)
		}
		wantDecrypts(t, c, message, nil, nil)
	}
}

// failingToken is a keyring that sometimes returns a random data key, as PKCS
// #1 v1.5 does when a token fails.
func failingToken(t *testing.T, fails func(call int64) bool) (esdk.Keyring, *atomic.Int64) {
	kr, calls := testKeyring(t), new(atomic.Int64)
	return keyringFunc{OnUnwrap: func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		if fails(calls.Add(1)) {
			return pattern(req.Suite.DataKeyLength()), nil
		}
		return kr.Unwrap(ctx, req)
	}}, calls
}

// TestCachingForgetsUnproven: if a header doesn't open, the cache drops a data
// key that has never opened one.
func TestCachingForgetsUnproven(t *testing.T) {
	for _, id := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512CommitECDSAP384, esdk.AES256GCMHKDFSHA256} {
		message := encrypt(t, newClient(t, esdk.Config{Suite: id, CommitmentPolicy: policyFor(id)}), pattern(10), nil)
		kr, calls := failingToken(t, func(call int64) bool { return call <= 2 })
		c := cachingClient(t, caching.Config{Keyring: kr}, esdk.Config{CommitmentPolicy: policyFor(id)})
		for range 2 {
			if _, _, err := c.Decrypt(t.Context(), message, nil); !errors.Is(err, esdk.ErrCommitment) && !errors.Is(err, esdk.ErrAuthentication) {
				t.Errorf("%v: %v", id, err)
			}
		}
		for range 3 {
			wantDecrypts(t, c, message, nil, pattern(10))
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%v: %d calls of the keyring, want 3", id, n)
		}
	}
}

// TestCachingPassesUnproven: if a cache keeps such a data key, the CMM bypasses
// it.
func TestCachingPassesUnproven(t *testing.T) {
	message := encrypt(t, newClient(t, esdk.Config{}), pattern(10), nil)
	kr, _ := failingToken(t, func(call int64) bool { return call == 1 })
	c := cachingClient(t, caching.Config{Keyring: kr, Cache: new(stubbornCache)}, esdk.Config{})
	if _, _, err := c.Decrypt(t.Context(), message, nil); !errors.Is(err, esdk.ErrCommitment) {
		t.Error(err)
	}
	wantDecrypts(t, c, message, nil, pattern(10))
}

// TestCachingKeepsProven: forged headers don't evict a data key that has opened
// a header. Otherwise anyone could make each message cost a call.
func TestCachingKeepsProven(t *testing.T) {
	message, h, err := newClient(t, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit}).Encrypt(t.Context(), pattern(10), nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(message)
	forged[h.Length-1] ^= 1 // the header tag
	kr, calls := failingToken(t, func(int64) bool { return false })
	c := cachingClient(t, caching.Config{Keyring: kr}, esdk.Config{})
	for range 2 {
		wantRefused(t, c, forged, nil, esdk.ErrAuthentication) // at once and as a stream
	}
	if n := calls.Load(); n != 4 {
		t.Errorf("%d calls of the keyring for 4 forged headers", n)
	}
	wantDecrypts(t, c, message, nil, pattern(10))
	for range 10 {
		wantRefused(t, c, forged, nil, esdk.ErrAuthentication)
	}
	wantDecrypts(t, c, message, nil, pattern(10))
	if n := calls.Load(); n != 5 {
		t.Errorf("%d calls of the keyring, want 5", n)
	}
}

// valueCache records the values that it returns.
type valueCache struct {
	caching.Cache
	values map[string]any
}

func (c valueCache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	e, err := c.Cache.Load(ctx, id, fetch)
	c.values[id] = e.Value
	return e, err
}

// dataKey returns the array of a value's data key, not a copy.
func dataKey(value any) []byte {
	return reflect.ValueOf(value).Elem().FieldByName("materials").Elem().FieldByName("DataKey").Bytes()
}

// TestCachingOverwrites: data keys from the underlying CMM are overwritten at
// once, and data keys in the cache once their entries are unreachable.
func TestCachingOverwrites(t *testing.T) {
	var beneath [][]byte
	under := cmmFunc{
		CMM:          defaultCMM(t),
		OnEncryption: func(m *esdk.EncryptionMaterials) { beneath = append(beneath, m.DataKey) },
		OnDecryption: func(m *esdk.DecryptionMaterials) { beneath = append(beneath, m.DataKey) },
	}
	cache := valueCache{newCache(t, 10), make(map[string]any)}
	c := cachingClient(t, caching.Config{CMM: under, Cache: cache}, esdk.Config{})
	wantDecrypts(t, c, encrypt(t, c, nil, nil), nil, nil)
	if len(beneath) != 2 || len(cache.values) != 2 {
		t.Fatalf("%d data keys, %d values", len(beneath), len(cache.values))
	}
	zeros := make([]byte, 32)
	for _, k := range beneath {
		if !bytes.Equal(k, zeros) {
			t.Error("a data key of the CMM beneath is not overwritten")
		}
	}
	runtime.GC()
	var kept [][]byte
	for _, v := range cache.values {
		kept = append(kept, dataKey(v))
	}
	for _, k := range kept {
		if bytes.Equal(k, zeros) {
			t.Error("a data key in the cache is overwritten")
		}
	}
	cache.Cache = newCache(t, 10)
	runtime.KeepAlive(c)
	c = nil
	clear(cache.values)
	for range 100 {
		runtime.GC()
		if !slices.ContainsFunc(kept, func(k []byte) bool { return !bytes.Equal(k, zeros) }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a data key that left the cache is not overwritten")
}

// TestCachingMaterialsKept: a CMM must not return the same materials twice. If
// it does, no message is encrypted under a data key of zeros.
func TestCachingMaterialsKept(t *testing.T) {
	m := must[*esdk.EncryptionMaterials](t)(defaultCMM(t).EncryptionMaterials(t.Context(), new(esdk.EncryptionRequest)))
	under := cmmFunc{CMM: defaultCMM(t), OnEncryption: func(made *esdk.EncryptionMaterials) { *made = *m }}
	c := cachingClient(t, caching.Config{CMM: under, MaxMessages: 2}, esdk.Config{})
	encrypt(t, c, nil, nil)
	encrypt(t, c, nil, nil)
	if _, _, err := c.Encrypt(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "all zeros") {
		t.Errorf("got %v", err)
	}
}

func TestCachingFailure(t *testing.T) {
	failure := errors.New("key service is down")
	kr := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, failure }}
	c := cachingClient(t, caching.Config{Keyring: kr}, esdk.Config{})
	if _, _, err := c.Encrypt(t.Context(), nil, nil); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

// A plaintext of unknown length isn't cached under a limit on bytes.
func TestCachingBypassUnderLimit(t *testing.T) {
	m := newMeter(t)
	c := cachingClient(t, caching.Config{Keyring: m, MaxBytes: 1 << 20}, esdk.Config{})
	for range 3 {
		encryptStream(t, c, pattern(10), nil)
	}
	m.check(t, 3, 0)
}

// Requests share decryption materials only if they are equal in everything that
// the materials depend on.
func TestCachingDecryptionIdentity(t *testing.T) {
	underlying := &answeringCMM{}
	cmm := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: underlying, MaxAge: time.Hour}))
	base := esdk.DecryptionRequest{
		Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"a": "1"}, ReproducedContext: esdk.EncryptionContext{"b": "2"},
		EncryptedDataKeys: []esdk.EncryptedDataKey{{ProviderID: "pp", ProviderInfo: []byte("ii"), Ciphertext: []byte("cc")}},
	}
	for i, change := range []func(*esdk.DecryptionRequest){
		func(*esdk.DecryptionRequest) {},
		func(r *esdk.DecryptionRequest) { r.Suite = esdk.AES256GCMHKDFSHA256 },
		func(r *esdk.DecryptionRequest) { r.CommitmentPolicy = esdk.RequireEncryptAllowDecrypt },
		func(r *esdk.DecryptionRequest) { r.EncryptionContext = esdk.EncryptionContext{"a": "2"} },
		func(r *esdk.DecryptionRequest) { r.ReproducedContext = esdk.EncryptionContext{"b": "3"} },
		func(r *esdk.DecryptionRequest) { r.EncryptedDataKeys[0].ProviderID = "p" },
		func(r *esdk.DecryptionRequest) { r.EncryptedDataKeys[0].ProviderInfo = []byte("i") },
		func(r *esdk.DecryptionRequest) { r.EncryptedDataKeys[0].Ciphertext = []byte("c") },
		func(r *esdk.DecryptionRequest) {
			r.EncryptedDataKeys[0].ProviderID, r.EncryptedDataKeys[0].ProviderInfo = "ppi", []byte("i")
		},
		func(r *esdk.DecryptionRequest) {
			r.EncryptedDataKeys = append(r.EncryptedDataKeys, esdk.EncryptedDataKey{})
		},
		func(r *esdk.DecryptionRequest) { r.EncryptedDataKeys = nil },
	} {
		req := base
		req.EncryptedDataKeys = slices.Clone(base.EncryptedDataKeys)
		change(&req)
		for range 2 {
			if _, err := cmm.DecryptionMaterials(t.Context(), &req); err != nil {
				t.Fatal(err)
			}
		}
		if underlying.decryptions != i+1 {
			t.Errorf("change %d: %d requests of the underlying CMM, want %d", i, underlying.decryptions, i+1)
			underlying.decryptions = i + 1
		}
	}

	// They aren't mistaken for encryption materials either.
	encrypt := &esdk.EncryptionRequest{Suite: base.Suite, EncryptionContext: base.EncryptionContext}
	decrypt := &esdk.DecryptionRequest{Suite: base.Suite, EncryptionContext: base.EncryptionContext}
	if _, err := cmm.EncryptionMaterials(t.Context(), encrypt); err != nil {
		t.Error(err)
	}
	if _, err := cmm.DecryptionMaterials(t.Context(), decrypt); err != nil {
		t.Error(err)
	}

	// Required keys are a set.
	before := underlying.encryptions
	for _, keys := range [][]string{{"a", "b"}, {"b", "a"}} {
		if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{
			Suite: base.Suite, EncryptionContext: esdk.EncryptionContext{"a": "1", "b": "2"}, RequiredContextKeys: keys,
		}); err != nil {
			t.Error(err)
		}
	}
	if n := underlying.encryptions - before; n != 1 {
		t.Errorf("%d requests for the same required keys", n)
	}
}

// oddCache returns the same result from each Load.
type oddCache struct {
	caching.Cache
	entry *caching.Entry
}

func (c oddCache) Load(context.Context, string, func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	return c.entry, nil
}

// A user's cache may return anything.
func TestOddCache(t *testing.T) {
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	for name, c := range map[string]struct {
		entry *caching.Entry
		want  string
	}{
		"no entry":      {nil, "neither an entry nor an error"},
		"no value":      {&caching.Entry{}, "returned a <nil>"},
		"another value": {&caching.Entry{Value: "x"}, "returned a string"},
	} {
		client := cachingClient(t, caching.Config{Keyring: testKeyring(t), Cache: oddCache{nil, c.entry}}, esdk.Config{})
		if _, _, err := client.Encrypt(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Encrypt: %v", name, err)
		}
		if _, _, err := client.Decrypt(t.Context(), message, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Decrypt: %v", name, err)
		}
	}
	client := cachingClient(t, caching.Config{Keyring: testKeyring(t), Cache: nilCache{}}, esdk.Config{})
	if _, _, err := client.Encrypt(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "returned a nil *caching.cachedEncryption") {
		t.Errorf("nil value: Encrypt: %v", err)
	}
	if _, _, err := client.Decrypt(t.Context(), message, nil); err == nil || !strings.Contains(err.Error(), "returned a nil *caching.cachedDecryption") {
		t.Errorf("nil value: Decrypt: %v", err)
	}
}

// nilCache returns nil pointers of the fetched value's type.
type nilCache struct{ caching.Cache }

func (nilCache) Load(ctx context.Context, _ string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	e, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	return &caching.Entry{Value: reflect.Zero(reflect.TypeOf(e.Value)).Interface()}, nil
}

// answeringCMM answers each request.
type answeringCMM struct {
	encryptions, decryptions int
	length                   int64 // of the last plaintext
}

func (c *answeringCMM) EncryptionMaterials(_ context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	c.encryptions++
	c.length = req.PlaintextLength
	return &esdk.EncryptionMaterials{
		Suite: req.Suite, EncryptionContext: req.EncryptionContext, RequiredContextKeys: req.RequiredContextKeys,
		DataKey: pattern(32), EncryptedDataKeys: []esdk.EncryptedDataKey{{ProviderID: "p"}},
	}, nil
}

func (c *answeringCMM) DecryptionMaterials(_ context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	c.decryptions++
	full := maps.Clone(req.EncryptionContext)
	maps.Copy(full, req.ReproducedContext)
	return &esdk.DecryptionMaterials{EncryptionContext: full, DataKey: pattern(32)}, nil
}
