package branchkey

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/esdktest"
	"esdk/esdktest/kmssim"
	"esdk/internal/faulttest"
)

// fakeSource holds keys in memory, and counts calls.
type fakeSource struct {
	name  string
	delay time.Duration

	mu      sync.Mutex
	active  map[string]string // version by id
	secrets map[string][]byte // by id and version
	fail    error
	change  func(*Key)
	calls   atomic.Int64
}

func newSource() *fakeSource {
	return &fakeSource{name: "logical", active: map[string]string{}, secrets: map[string][]byte{}}
}

// add creates a version of a key, and makes it the active one.
func (f *fakeSource) add(id string) (version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	version = formatUUID(newUUID())
	f.active[id] = version
	f.secrets[id+version] = bytes.Repeat([]byte{byte(len(f.secrets) + 1)}, keyLength)
	return version
}

func (f *fakeSource) LogicalName() string { return f.name }

func (f *fakeSource) ActiveBranchKey(ctx context.Context, id string) (*Key, error) {
	f.mu.Lock()
	version := f.active[id]
	f.mu.Unlock()
	return f.BranchKeyVersion(ctx, id, version)
}

func (f *fakeSource) BranchKeyVersion(_ context.Context, id, version string) (*Key, error) {
	f.calls.Add(1)
	time.Sleep(f.delay)
	f.mu.Lock()
	defer f.mu.Unlock()
	secret, ok := f.secrets[id+version]
	switch {
	case f.fail != nil:
		return nil, f.fail
	case !ok:
		return nil, ErrNotFound
	}
	k := &Key{ID: id, Version: version, Secret: bytes.Clone(secret)}
	if f.change != nil {
		f.change(k)
	}
	return k, nil
}

func (f *fakeSource) set(fail error, change func(*Key)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.change = fail, change
}

func (f *fakeSource) took() int64 { return f.calls.Swap(0) }

func newKeyring(t testing.TB, c KeyringConfig) esdk.Keyring {
	t.Helper()
	if c.TTL == 0 {
		c.TTL = time.Hour
	}
	return ok[esdk.Keyring](t)(NewKeyring(c))
}

func newCache(t testing.TB) caching.Cache { return ok[caching.Cache](t)(caching.NewLRU(100)) }

var wrapRequest = &esdk.WrapRequest{Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"tenant": "17"}}

func wrap(t testing.TB, kr esdk.Keyring) (*esdk.WrapResult, string) {
	t.Helper()
	r := ok[*esdk.WrapResult](t)(kr.Wrap(t.Context(), wrapRequest))
	return r, versionOf(r.EncryptedDataKeys[0].Ciphertext)
}

func unwrap(kr esdk.Keyring, edks ...esdk.EncryptedDataKey) ([]byte, error) {
	return kr.Unwrap(context.Background(), &esdk.UnwrapRequest{
		Suite: wrapRequest.Suite, EncryptionContext: wrapRequest.EncryptionContext, EncryptedDataKeys: edks,
	})
}

func TestKeyring(t *testing.T) {
	k := newKMS(t)
	s := k.newStore(t, newFile(t))
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	test := func(name string, c KeyringConfig) {
		t.Run(name, func(t *testing.T) {
			kr := newKeyring(t, c)
			esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, ProviderIDs: []string{"aws-kms-hierarchy"}}.Run(t)
		})
	}
	test("storm cache", KeyringConfig{Store: s, BranchKeyID: id})
	test("plain cache", KeyringConfig{Store: s, BranchKeyID: id, Cache: newCache(t)})
	none := ok[caching.Cache](t)(caching.NewLRU(0))
	test("no cache", KeyringConfig{Store: s, BranchKeyID: id, Cache: none})
	test("supplier", KeyringConfig{Store: s, Supplier: func(context.Context, esdk.EncryptionContext) (string, error) { return id, nil }})
}

func TestKeyringWithClient(t *testing.T) {
	k := newKMS(t)
	s := k.newStore(t, newFile(t))
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	kr := newKeyring(t, KeyringConfig{Store: s, BranchKeyID: id})
	client := ok[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr}))
	plaintext := bytes.Repeat([]byte("plaintext "), 5000)
	message, header, err := client.Encrypt(t.Context(), plaintext, customContext)
	must(t, err)
	edk := header.EncryptedDataKeys[0]
	if edk.ProviderID != "aws-kms-hierarchy" || string(edk.ProviderInfo) != id || len(edk.Ciphertext) != 60+32 {
		t.Errorf("encrypted data key is %+v", edk)
	}
	got, _, err := client.Decrypt(t.Context(), message, customContext)
	must(t, err)
	r := ok[*esdk.Reader](t)(client.NewReader(t.Context(), bytes.NewReader(message), customContext))
	if streamed := ok[[]byte](t)(io.ReadAll(r)); !bytes.Equal(got, plaintext) || !bytes.Equal(streamed, plaintext) {
		t.Error("another plaintext")
	}
	// One call is for encryption and one for decryption.
	if n := k.Count("Decrypt"); n != 2 {
		t.Errorf("%d calls of KMS", n)
	}
}

func TestKeyringConfigErrors(t *testing.T) {
	source := newSource()
	supplier := func(context.Context, esdk.EncryptionContext) (string, error) { return "id", nil }
	for name, change := range map[string]func(*KeyringConfig){
		"no store":         func(c *KeyringConfig) { c.Store = nil },
		"nil store":        func(c *KeyringConfig) { c.Store = (*Store)(nil) },
		"nil source":       func(c *KeyringConfig) { c.Store = (*fakeSource)(nil) },
		"nil cache":        func(c *KeyringConfig) { c.Cache = (*idCache)(nil) },
		"no id":            func(c *KeyringConfig) { c.BranchKeyID = "" },
		"id and supplier":  func(c *KeyringConfig) { c.Supplier = supplier },
		"no TTL":           func(c *KeyringConfig) { c.TTL = 0 },
		"negative TTL":     func(c *KeyringConfig) { c.TTL = -1 },
		"TTL of grace":     func(c *KeyringConfig) { c.TTL = 10 * time.Second },
		"NUL in id":        func(c *KeyringConfig) { c.BranchKeyID = "a\x00b" },
		"NUL in partition": func(c *KeyringConfig) { c.PartitionID = "a\x00b" },
		"partition":        func(c *KeyringConfig) { c.PartitionID = "\xff" },
		"NUL in name":      func(c *KeyringConfig) { c.Store = &fakeSource{name: "a\x00b"} },
		"TTL of a cache":   func(c *KeyringConfig) { c.Cache = graceCache{newCache(t), time.Hour} },
	} {
		c := KeyringConfig{Store: source, BranchKeyID: "id", TTL: time.Minute}
		change(&c)
		if kr, err := NewKeyring(c); err == nil || kr != nil {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
	}
	if _, err := NewKeyring(KeyringConfig{Store: source, BranchKeyID: "id"}); err == nil || !strings.Contains(err.Error(), "needs a TTL") {
		t.Errorf("without a TTL: %v", err)
	}
	for name, c := range map[string]KeyringConfig{
		"11 seconds": {TTL: 11 * time.Second},
		"own cache":  {TTL: time.Millisecond, Cache: newCache(t)},
		"with grace": {TTL: time.Minute, Cache: graceCache{newCache(t), time.Second}},
	} {
		c.Store, c.BranchKeyID = source, "id"
		if _, err := NewKeyring(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// graceCache reports a grace period.
type graceCache struct {
	caching.Cache
	grace time.Duration
}

func (g graceCache) GracePeriod() time.Duration { return g.grace }

// A keyring sees a rotation when its entry expires, and old messages still
// decrypt.
func TestRotation(t *testing.T) {
	k := newKMS(t)
	s := k.newStore(t, newFile(t))
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	const ttl = 250 * time.Millisecond
	kr := newKeyring(t, KeyringConfig{Store: s, BranchKeyID: id, TTL: ttl, Cache: newCache(t)})
	start := time.Now()
	first, firstVersion := wrap(t, kr)
	must(t, s.VersionKey(t.Context(), id))
	if _, v := wrap(t, kr); v != firstVersion && time.Since(start) < ttl {
		t.Error("the new version is used before the TTL")
	}
	time.Sleep(ttl - time.Since(start) + time.Millisecond)
	second, secondVersion := wrap(t, kr)
	if secondVersion == firstVersion {
		t.Error("the old version is used after the TTL")
	}
	for _, r := range []*esdk.WrapResult{first, second} {
		if got := ok[[]byte](t)(unwrap(kr, r.EncryptedDataKeys...)); !bytes.Equal(got, r.DataKey) {
			t.Error("another data key")
		}
	}
	// Revoked access takes effect.
	k.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "AccessDeniedException"} })
	time.Sleep(ttl + time.Millisecond)
	_, err := kr.Wrap(t.Context(), wrapRequest)
	if apiCode(err) != "AccessDeniedException" {
		t.Errorf("Wrap: %v", err)
	}
	_, err = unwrap(kr, first.EncryptedDataKeys...)
	wantError(t, err, esdk.ErrNoDataKey)
	if apiCode(err) != "AccessDeniedException" {
		t.Errorf("Unwrap: %v", err)
	}
}

func TestColdStart(t *testing.T) {
	for name, cache := range map[string]caching.Cache{"storm": nil, "plain": newCache(t)} {
		t.Run(name, func(t *testing.T) {
			k := newKMS(t)
			s := k.newStore(t, newFile(t))
			id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
			kr := newKeyring(t, KeyringConfig{Store: s, BranchKeyID: id, Cache: cache})
			k.SetLatency(20 * time.Millisecond)
			var group sync.WaitGroup
			begin := make(chan struct{})
			for range 1000 {
				group.Go(func() {
					<-begin
					if _, err := kr.Wrap(t.Context(), wrapRequest); err != nil {
						t.Error(err)
					}
				})
			}
			close(begin)
			group.Wait()
			if n := k.Count("Decrypt"); n != 1 {
				t.Errorf("%d calls of KMS", n)
			}
		})
	}
}

// Keyrings share entries if their partitions, logical names and ids are equal.
func TestSharing(t *testing.T) {
	source, otherStore := newSource(), newSource()
	otherStore.name = "other"
	for _, s := range []*fakeSource{source, otherStore} {
		s.add("a")
		s.add("b")
	}
	cache := newCache(t)
	base := KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p"}
	wrap(t, newKeyring(t, base))
	source.took()
	for name, c := range map[string]struct {
		change func(*KeyringConfig)
		shares bool
	}{
		"same":            {func(*KeyringConfig) {}, true},
		"supplier":        {func(c *KeyringConfig) { c.BranchKeyID, c.Supplier = "", supply("a") }, true},
		"other partition": {func(c *KeyringConfig) { c.PartitionID = "q" }, false},
		"no partition":    {func(c *KeyringConfig) { c.PartitionID = "" }, false},
		"other id":        {func(c *KeyringConfig) { c.BranchKeyID = "b" }, false},
		"other store":     {func(c *KeyringConfig) { c.Store = otherStore }, false},
		"other cache":     {func(c *KeyringConfig) { c.Cache = newCache(t) }, false},
	} {
		config := base
		c.change(&config)
		wrap(t, newKeyring(t, config))
		if shared := source.took()+otherStore.took() == 0; shared != c.shares {
			t.Errorf("%s: shared is %v", name, shared)
		}
	}
}

func supply(id string) Supplier {
	return func(context.Context, esdk.EncryptionContext) (string, error) { return id, nil }
}

// Each keyring enforces its own TTL, even on entries that others made.
func TestTTLOfEachReader(t *testing.T) {
	source := newSource()
	source.add("a")
	cache := newCache(t)
	long := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p", TTL: time.Hour})
	short := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p", TTL: 100 * time.Millisecond})
	start := time.Now()
	r, _ := wrap(t, long)
	ok[[]byte](t)(unwrap(long, r.EncryptedDataKeys...))
	source.took()
	wrap(t, short)
	if n := source.took(); n != 0 && time.Since(start) < 100*time.Millisecond {
		t.Error("the short one does not use a young entry")
	}
	time.Sleep(110 * time.Millisecond)
	wrap(t, long)
	if n := source.took(); n != 0 {
		t.Errorf("the long one fetched %d times", n)
	}
	ok[[]byte](t)(unwrap(short, r.EncryptedDataKeys...))
	wrap(t, short)
	if n := source.took(); n != 2 {
		t.Errorf("the short one fetched %d times after its TTL", n)
	}
	wrap(t, long)
	if n := source.took(); n != 0 {
		t.Error("the long one does not use the entry of the short one")
	}
}

// A store slower than the TTL is called once per message.
func TestTTLShorterThanFetch(t *testing.T) {
	source := newSource()
	source.add("a")
	source.delay = 5 * time.Millisecond
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: newCache(t), TTL: 1})
	for range 3 {
		wrap(t, kr)
	}
	if n := source.took(); n != 3 {
		t.Errorf("%d fetches", n)
	}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := kr.Wrap(t.Context(), wrapRequest); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := source.took(); n > 50 {
		t.Errorf("%d fetches for 50 messages", n)
	}
}

// TestUnwrapRules covers the rules for encrypted data keys: which are skipped,
// which errors are collected, and which end the call.
func TestUnwrapRules(t *testing.T) {
	source := newSource()
	source.add("a")
	source.add("b")
	seen := 0
	kr := newKeyring(t, KeyringConfig{Store: source, Cache: newCache(t), Supplier: func(_ context.Context, ec esdk.EncryptionContext) (string, error) {
		seen++
		if ec["tenant"] != "17" {
			return "", errors.New("unknown tenant")
		}
		return "a", nil
	}})
	r, _ := wrap(t, kr)
	good := r.EncryptedDataKeys[0]
	other, _ := wrap(t, newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "b"}))
	edk := func(provider, info string, ciphertext []byte) esdk.EncryptedDataKey {
		return esdk.EncryptedDataKey{ProviderID: provider, ProviderInfo: []byte(info), Ciphertext: ciphertext}
	}
	flip := func(i int) []byte {
		c := bytes.Clone(good.Ciphertext)
		c[i] ^= 1
		return c
	}
	seen = 0
	for name, c := range map[string]struct {
		edk     esdk.EncryptedDataKey
		errors  int
		mention string
	}{
		"other provider":        {edk("aws-kms", "a", good.Ciphertext), 0, ""},
		"longer provider":       {edk("aws-kms-hierarchy2", "a", good.Ciphertext), 0, ""},
		"other branch key":      {other.EncryptedDataKeys[0], 0, ""},
		"info not UTF-8":        {edk(providerID, "\xff", good.Ciphertext), 0, ""},
		"no info":               {edk(providerID, "", good.Ciphertext), 0, ""},
		"one byte short":        {edk(providerID, "a", good.Ciphertext[:91]), 1, "91 bytes"},
		"one byte long":         {edk(providerID, "a", append(bytes.Clone(good.Ciphertext), 0)), 1, "93 bytes"},
		"length of other suite": {edk(providerID, "a", good.Ciphertext[:60+16]), 1, "76 bytes"},
		"empty":                 {edk(providerID, "a", nil), 1, "0 bytes"},
		"salt":                  {edk(providerID, "a", flip(0)), 1, "wrong branch key or encryption context"},
		"iv":                    {edk(providerID, "a", flip(16)), 1, "wrong branch key or encryption context"},
		"version":               {edk(providerID, "a", flip(28)), 1, "not found"},
		"key":                   {edk(providerID, "a", flip(44)), 1, "wrong branch key or encryption context"},
		"tag":                   {edk(providerID, "a", flip(91)), 1, "wrong branch key or encryption context"},
	} {
		_, err := unwrap(kr, c.edk)
		var none *esdk.NoDataKeyError
		if !errors.As(err, &none) || len(none.Errors) != c.errors || !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%s: %v", name, err)
		}
		// A failed data key doesn't prevent the next from being tried.
		if got, err := unwrap(kr, c.edk, good); err != nil || !bytes.Equal(got, r.DataKey) {
			t.Errorf("%s first: %v", name, err)
		}
	}
	_, err := unwrap(kr, edk(providerID, "a", flip(28)), edk("x", "y", nil), edk(providerID, "a", flip(0)))
	var none *esdk.NoDataKeyError
	wantError(t, err, ErrNotFound, &none)
	if len(none.Errors) != 2 || !strings.Contains(none.Errors[1].Error(), "encrypted data key 3") {
		t.Errorf("errors are %v", none.Errors)
	}
	unwrapAs := func(tenant string, edks ...esdk.EncryptedDataKey) error {
		_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: wrapRequest.Suite, EncryptionContext: esdk.EncryptionContext{"tenant": tenant}, EncryptedDataKeys: edks})
		return err
	}
	seen = 0
	if err := unwrapAs("18", edk("aws-kms", "a", nil)); !errors.Is(err, esdk.ErrNoDataKey) || seen != 0 {
		t.Errorf("supplier was asked %d times for a foreign message: %v", seen, err)
	}
	if err := unwrapAs("18", good, good); err == nil || !strings.Contains(err.Error(), "unknown tenant") || seen != 1 {
		t.Errorf("supplier was asked %d times: %v", seen, err)
	}
}

func TestWrapErrors(t *testing.T) {
	source := newSource()
	source.add("a")
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: newCache(t)})
	for name, req := range map[string]*esdk.WrapRequest{
		"suite":   {Suite: 1},
		"length":  {Suite: esdk.AES128GCM, DataKey: make([]byte, 32)},
		"empty":   {Suite: esdk.AES128GCM, DataKey: []byte{}},
		"context": {Suite: esdk.AES128GCM, EncryptionContext: esdk.EncryptionContext{"\xff": ""}},
	} {
		if r, err := kr.Wrap(t.Context(), req); err == nil || r != nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 1}); err == nil {
		t.Error("Unwrap takes an unknown suite")
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: esdk.AES128GCM, EncryptionContext: esdk.EncryptionContext{"\xff": ""}}); err == nil {
		t.Error("Unwrap takes a context that is not UTF-8")
	}
	for name, s := range map[string]Supplier{
		"error": func(context.Context, esdk.EncryptionContext) (string, error) { return "a", io.ErrUnexpectedEOF },
		"empty": supply(""), "NUL": supply("a\x00"), "UTF-8": supply("\xff"),
	} {
		if _, err := newKeyring(t, KeyringConfig{Store: source, Supplier: s}).Wrap(t.Context(), wrapRequest); err == nil || name == "error" && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("supplier %s: %v", name, err)
		}
	}
	if n := source.took(); n != 0 {
		t.Errorf("the store was asked %d times for what can't be wrapped", n)
	}
	unknown := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "unknown"})
	_, err := unknown.Wrap(t.Context(), wrapRequest)
	wantError(t, err, ErrNotFound)
}

// A keyring rejects wrong keys of a Source.
func TestWrongSource(t *testing.T) {
	source := newSource()
	source.add("a")
	none := ok[caching.Cache](t)(caching.NewLRU(0))
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: none})
	r, _ := wrap(t, kr)
	for name, c := range map[string]struct {
		change func(*Key)
		wrap   bool // an active key may have any version
	}{
		"other id":      {func(k *Key) { k.ID = "b" }, false},
		"other version": {func(k *Key) { k.Version = formatUUID(newUUID()) }, true},
		"no UUID":       {func(k *Key) { k.Version = "1" }, false},
		"beacon key":    {func(k *Key) { k.Version = "" }, false},
		"short":         {func(k *Key) { k.Secret = k.Secret[:16] }, false},
		"zeros":         {func(k *Key) { clear(k.Secret) }, false},
	} {
		source.set(nil, c.change)
		_, err := kr.Wrap(t.Context(), wrapRequest)
		if (err == nil) != c.wrap {
			t.Errorf("%s: Wrap: %v", name, err)
		}
		_, err = unwrap(kr, r.EncryptedDataKeys...)
		wantError(t, err, esdk.ErrNoDataKey)
	}
	foreign := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: foreignCache{}})
	if _, err := foreign.Wrap(t.Context(), wrapRequest); err == nil {
		t.Error("an entry of somebody else is taken")
	}
}

// The caller owns the keys that a Source returns: the keyring copies and clears
// them. So a Source that returns the same key again returns zeros, and the
// keyring refuses to wrap under them.
func TestSameKeyAgain(t *testing.T) {
	source := newSource()
	source.add("a")
	key := ok[*Key](t)(source.ActiveBranchKey(t.Context(), "a"))
	source.set(nil, func(k *Key) { *k = *key })
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: newCache(t)})
	r, _ := wrap(t, kr)
	if !bytes.Equal(key.Secret, make([]byte, keyLength)) {
		t.Error("the key of the source is not cleared")
	}
	if _, err := unwrap(kr, r.EncryptedDataKeys...); err == nil || !strings.Contains(err.Error(), "key of zeros") {
		t.Errorf("Unwrap: %v", err)
	}
	wrap(t, kr) // under the copy in the cache
	source.set(nil, nil)
	if got := ok[[]byte](t)(unwrap(kr, r.EncryptedDataKeys...)); !bytes.Equal(got, r.DataKey) {
		t.Error("another data key")
	}
}

// oneEntryCache returns the same entry for every id.
type oneEntryCache struct {
	caching.Cache
	entry *caching.Entry
}

func (c *oneEntryCache) Load(ctx context.Context, _ string, fetch func(context.Context) (*caching.Entry, error)) (e *caching.Entry, err error) {
	if c.entry == nil {
		c.entry, err = fetch(ctx)
	}
	return c.entry, err
}

// A keyring rejects an entry of the right type with another id: of another
// branch key, of another version, or of a version instead of the active one.
func TestOtherEntry(t *testing.T) {
	source := newSource()
	source.add("a")
	source.add("b")
	old, _ := wrap(t, newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a"}))
	source.add("a")
	cache := new(oneEntryCache)
	a := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p"})
	b := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "b", Cache: cache, PartitionID: "p"})
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "another id") {
			t.Errorf("%s: %v", what, err)
		}
	}
	current, _ := wrap(t, a)
	_, err := b.Wrap(t.Context(), wrapRequest)
	refused("branch key", err)
	_, err = unwrap(a, old.EncryptedDataKeys...)
	refused("version", err)
	_, err = unwrap(a, current.EncryptedDataKeys...)
	refused("active", err)
	cache.entry = nil
	ok[[]byte](t)(unwrap(a, old.EncryptedDataKeys...))
	_, err = a.Wrap(t.Context(), wrapRequest)
	refused("active one wanted", err)
}

// A keyring doesn't call the cache again after its context ends.
func TestLoadContextEnds(t *testing.T) {
	source := newSource()
	source.add("a")
	ctx, cancel := context.WithCancel(t.Context())
	cache := &faulttest.EndingCache{Cache: newCache(t), End: cancel}
	wrap(t, newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p"}))
	time.Sleep(time.Millisecond)
	short := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, PartitionID: "p", TTL: 1})
	_, err := short.Wrap(ctx, wrapRequest)
	wantError(t, err, context.Canceled)
	if n := source.took(); n != 1 || cache.Loads != 2 {
		t.Errorf("%d fetches and %d loads", n, cache.Loads)
	}
}

type foreignCache struct{ caching.Cache }

func (foreignCache) Load(context.Context, string, func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	return &caching.Entry{Value: "text", Created: time.Now(), Expires: time.Now().Add(time.Hour)}, nil
}

// idCache records ids.
type idCache struct {
	caching.Cache
	ids []string
}

func (c *idCache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	c.ids = append(c.ids, id)
	return c.Cache.Load(ctx, id, fetch)
}

// Specification:
// framework/aws-kms/aws-kms-hierarchical-keyring.md#appendix-a-cache-entry-identifier-formulas.
func TestCacheIDs(t *testing.T) {
	source := newSource()
	source.name = "Näme"
	version := source.add("id")
	cache := &idCache{Cache: newCache(t)}
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "id", Cache: cache, PartitionID: "part"})
	r, _ := wrap(t, kr)
	ok[[]byte](t)(unwrap(kr, r.EncryptedDataKeys...))
	want := []string{
		"\x02\x00\x01\x00part\x00Näme\x00id",
		"\x02\x00\x02\x00part\x00Näme\x00id\x00" + version,
	}
	for i := range want {
		sum := sha512.Sum384([]byte(want[i]))
		want[i] = string(sum[:])
	}
	if !slices.Equal(cache.ids, want) {
		t.Errorf("ids are %x, want %x", cache.ids, want)
	}
	random := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "id", Cache: cache}).(*keyring)
	if len(random.partition) != 16 || random.partition[6]>>4 != 4 {
		t.Errorf("partition is %x", random.partition)
	}
}

// Salt and IV are fresh for each data key.
func TestWrapIsRandom(t *testing.T) {
	source := newSource()
	source.add("a")
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a"})
	seen := map[string]bool{}
	for range 1000 {
		r, _ := wrap(t, kr)
		c := r.EncryptedDataKeys[0].Ciphertext
		for _, part := range []string{string(c[:16]), string(c[16:28])} {
			if seen[part] {
				t.Fatal("a salt or IV came twice")
			}
			seen[part] = true
		}
	}
}

// A cache entry expires with the TTL of its keyring, for the sake of others
// that share the cache.
func TestCachedBranchKeyExpires(t *testing.T) {
	source := newSource()
	source.add("a")
	cache := &recordingCache{Cache: newCache(t)}
	kr := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a", Cache: cache, TTL: 17 * time.Minute})
	r, _ := wrap(t, kr)
	if _, err := unwrap(kr, r.EncryptedDataKeys...); err != nil {
		t.Fatal(err)
	}
	if len(cache.entries) != 2 {
		t.Fatalf("%d entries, want one to wrap and one to unwrap", len(cache.entries))
	}
	for _, e := range cache.entries {
		if ttl := e.Expires.Sub(e.Created); ttl != 17*time.Minute {
			t.Errorf("an entry lives for %v", ttl)
		}
	}
}

// recordingCache records the entries that it returned.
type recordingCache struct {
	caching.Cache
	entries []*caching.Entry
}

func (c *recordingCache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	e, err := c.Cache.Load(ctx, id, fetch)
	c.entries = append(c.entries, e)
	return e, err
}
