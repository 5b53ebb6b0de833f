package esdk

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"esdk/internal/isnil"
)

// A CachingConfig configures [NewCachingCMM].
type CachingConfig struct {
	// Keyring or CMM provides materials: exactly one of them is set.
	Keyring Keyring
	CMM     CMM

	// Cache keeps the materials; nil means one of its own, of 1000 entries.
	Cache Cache

	// MaxAge is how long a data key is used. It must be set, and be more than the
	// grace period of a storm cache.
	MaxAge time.Duration

	// MaxMessages is how many messages are encrypted under a data key; 0 means
	// 2^32, which is the most.
	MaxMessages uint64

	// MaxBytes is how many bytes of plaintext are encrypted under a data key; 0
	// means no limit.
	MaxBytes int64

	// Partition names the caching CMMs that share entries in one Cache: they must
	// have the same keys. Each keeps its own limits, counting all messages under a
	// data key, also the other CMMs' messages. Empty means that this CMM shares
	// with none.
	Partition string
}

type cachingCMM struct {
	CachingConfig
	cmm CMM
}

// NewCachingCMM returns a CMM that uses a data key for several messages, within
// limits that hold exactly, whatever the concurrency. Messages share a data key
// only if they have the same encryption context, suite, required keys and
// commitment policy.
//
// It does not cache for suites that do not derive a key for each message, nor to
// encrypt if the length of the plaintext is not known: streams need
// [Config.MaxPlaintextLength].
//
// To decrypt, it forgets materials that do not open a message's header, unless
// they have opened one before.
//
// Messages that share a data key are signed with one key, which is shared by all
// who get these materials: a CMM above this one must not change it.
// Specification: framework/caching-cmm.md.
func NewCachingCMM(c CachingConfig) (CMM, error) {
	if (c.Keyring == nil) == (c.CMM == nil) || isnil.Value(c.Keyring) && isnil.Value(c.CMM) {
		return nil, errors.New("esdk: CachingConfig needs either a Keyring or a CMM")
	}
	if c.MaxAge <= 0 {
		return nil, errors.New("esdk: CachingConfig needs a MaxAge")
	}
	if c.MaxMessages > 1<<32 || c.MaxBytes < 0 {
		return nil, errors.New("esdk: CachingConfig: limit out of range")
	}
	c.MaxMessages = cmp.Or(c.MaxMessages, 1<<32)
	c.MaxBytes = cmp.Or(c.MaxBytes, math.MaxInt64)
	switch {
	case c.Cache == nil:
		c.Cache = newLocalCache(1000, nil)
	case isnil.Value(c.Cache):
		return nil, fmt.Errorf("esdk: CachingConfig: Cache is a nil %T", c.Cache)
	}
	// The grace period of each entry would be cut to half of MaxAge. A cache of the
	// user's may have no such limit, and would never return an entry.
	if g, ok := c.Cache.(interface{ GracePeriod() time.Duration }); ok && c.MaxAge <= g.GracePeriod() {
		return nil, fmt.Errorf("esdk: MaxAge %v must be more than the cache's grace period of %v", c.MaxAge, g.GracePeriod())
	}
	if c.Partition == "" {
		c.Partition = "\x00" + rand.Text() // no user's string starts so
	}
	m := &cachingCMM{CachingConfig: c, cmm: c.CMM}
	if m.cmm == nil {
		m.cmm = &defaultCMM{c.Keyring}
	}
	return m, nil
}

// cachedEncryption are materials and the use that was made of them. It knows no
// limits, since the CMMs that share it may have different ones.
//
// The data key is its own, and is overwritten once nobody can reach it any more:
// what is handed out are copies.
type cachedEncryption struct {
	cachedID
	materials *EncryptionMaterials

	mu       sync.Mutex
	reserved *cachingCall // is counted already, and not yet served
	messages uint64       // encrypted
	bytes    int64        // of their plaintexts
}

// cachedDecryption are materials, and whether they are the right ones. A data key
// may be a wrong one: with PKCS #1 v1.5, a keyring returns a random data key if a
// token fails.
type cachedDecryption struct {
	cachedID
	materials *DecryptionMaterials

	mu      sync.Mutex
	proven  bool // they opened a header
	refuted bool // or did not, before they were proven
}

func (c *cachedDecryption) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven || !c.refuted
}

// opened notes whether the materials opened a header, and reports whether they
// ever did.
func (c *cachedDecryption) opened(ok bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = c.proven || ok
	c.refuted = c.refuted || !ok
	return c.proven
}

// A cachedID is the id that a value was made for.
type cachedID string

func (id cachedID) of() cachedID { return id }

// A cachedValue is what a caching CMM keeps.
type cachedValue interface {
	comparable
	of() cachedID
}

// A cachingCall is one call of a caching CMM.
type cachingCall struct {
	bytes int64 // of plaintext
}

// use counts the message of a call, unless it is one too many for the CMM that
// asks. The call that fetched the materials is counted from the start: else CMMs
// with higher limits could use them up before it, each time it fetches.
func (c *cachedEncryption) use(call *cachingCall, limits *CachingConfig) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved == call {
		c.reserved = nil
		return true
	}
	// The difference does not overflow, as the sum might.
	if c.messages >= limits.MaxMessages || call.bytes > limits.MaxBytes-c.bytes {
		return false
	}
	if !cachable(c.materials.Suite) {
		return false // the call that fetched has them
	}
	c.messages++
	c.bytes += call.bytes
	return true
}

func (c *cachingCMM) EncryptionMaterials(ctx context.Context, req *EncryptionRequest) (*EncryptionMaterials, error) {
	if req.PlaintextLength < 0 || req.PlaintextLength > c.MaxBytes || !cachable(req.Suite) {
		return encryptionMaterials(ctx, c.cmm, req)
	}
	id, err := c.encryptionID(req)
	if err != nil {
		return nil, err
	}
	call := &cachingCall{req.PlaintextLength}
	fetch := func(ctx context.Context) (*CacheEntry, error) { return c.fetchEncryption(ctx, id, req, call) }
	use := func(e *cachedEncryption) bool { return e.use(call, &c.CachingConfig) }
	_, cached, err := loadUsable(ctx, c, id, fetch, use)
	if err != nil {
		return nil, err
	}
	if cached == nil {
		return encryptionMaterials(ctx, c.cmm, req)
	}
	m := cloneEncryptionMaterials(cached.materials)
	runtime.KeepAlive(cached) // until then, no cleanup overwrites the data key
	return m, nil
}

// loadUsable returns an entry that is young enough and that use takes. The cache
// drops entries that are of no use. If it returns one of them again, loadUsable
// returns neither an entry nor an error, and the caller fetches past the cache: a
// cache of the user's may keep what it is told to remove.
//
// The rounds are not counted. While many messages use up data keys, each round may
// return a new one, and fetches past a storm cache would not be bounded.
func loadUsable[V cachedValue](ctx context.Context, c *cachingCMM, id string, fetch func(context.Context) (*CacheEntry, error), use func(V) bool) (e *CacheEntry, value V, err error) {
	var none V
	start := time.Now()
	refused := make(map[V]bool)
	for {
		if err := ctx.Err(); err != nil {
			return nil, none, err
		}
		e, value, err := load[V](ctx, c.Cache, id, fetch)
		switch {
		case err != nil:
			return nil, none, err
		case refused[value]:
			return nil, none, nil
		case c.young(e, start) && use(value):
			return e, value, nil
		}
		refused[value] = true
		c.Cache.Remove(id, e)
	}
}

// load returns the value of an entry, too. It does not believe a cache, which
// may be the user's.
func load[V cachedValue](ctx context.Context, cache Cache, id string, fetch func(context.Context) (*CacheEntry, error)) (e *CacheEntry, value V, err error) {
	var none V
	if e, err = cache.Load(ctx, id, fetch); err != nil {
		return nil, none, err
	}
	if e == nil {
		return nil, none, errors.New("esdk: caching CMM: cache returned neither an entry nor an error")
	}
	value, ok := e.Value.(V)
	if !ok {
		return nil, none, fmt.Errorf("esdk: caching CMM: cache returned a %T", e.Value)
	}
	if value == none {
		return nil, none, fmt.Errorf("esdk: caching CMM: cache returned a nil %T", e.Value)
	}
	if value.of() != cachedID(id) {
		return nil, none, errors.New("esdk: caching CMM: cache returned the entry of another id")
	}
	return e, value, nil
}

// cachable reports whether materials of a suite may serve several messages. Of
// suites that do not derive a key for each, two messages would have the same key
// and the same IVs. 0 is not known yet.
func cachable(id SuiteID) bool {
	s, err := id.lookup()
	return id == 0 || err == nil && s.Derives()
}

// young reports whether an entry is not too old for this CMM: another, with a
// longer MaxAge, may have made it. What was made for the call that started then
// never is, even if that took longer than MaxAge.
func (c *cachingCMM) young(e *CacheEntry, start time.Time) bool {
	return !e.Created.Before(start) || time.Since(e.Created) < c.MaxAge
}

func (c *cachingCMM) fetchEncryption(ctx context.Context, id string, req *EncryptionRequest, call *cachingCall) (*CacheEntry, error) {
	all := *req
	// The materials will serve longer plaintexts too.
	all.PlaintextLength = -1
	created := time.Now()
	m, err := encryptionMaterials(ctx, c.cmm, &all)
	if err != nil {
		return nil, err
	}
	// What every Client refuses would be refused for as long as it is cached.
	if _, err := m.check(req.CommitmentPolicy); err != nil {
		clear(m.DataKey)
		return nil, err
	}
	cached := &cachedEncryption{cachedID: cachedID(id), materials: cloneEncryptionMaterials(m), reserved: call, messages: 1, bytes: call.bytes}
	clear(m.DataKey)
	runtime.AddCleanup(cached, overwrite, cached.materials.DataKey)
	return &CacheEntry{Value: cached, Created: created, Expires: created.Add(c.MaxAge)}, nil
}

func (c *cachingCMM) DecryptionMaterials(ctx context.Context, req *DecryptionRequest) (*DecryptionMaterials, error) {
	if !cachable(req.Suite) {
		return decryptionMaterials(ctx, c.cmm, req)
	}
	id, err := c.decryptionID(req)
	if err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context) (*CacheEntry, error) { return c.fetchDecryption(ctx, id, req) }
	e, cached, err := loadUsable(ctx, c, id, fetch, (*cachedDecryption).usable)
	if err != nil {
		return nil, err
	}
	if cached == nil {
		return decryptionMaterials(ctx, c.cmm, req)
	}
	m := cloneDecryptionMaterials(cached.materials)
	runtime.KeepAlive(cached)
	m.Opened = func(ok bool) {
		// A header that does not open later is forged, and the next message need not
		// cost a call.
		if !cached.opened(ok) {
			c.Cache.Remove(id, e)
		}
		if beneath := cached.materials.Opened; beneath != nil {
			beneath(ok)
		}
	}
	return m, nil
}

func (c *cachingCMM) fetchDecryption(ctx context.Context, id string, req *DecryptionRequest) (*CacheEntry, error) {
	created := time.Now()
	m, err := decryptionMaterials(ctx, c.cmm, req)
	if err != nil {
		return nil, err
	}
	s, err := req.Suite.lookup()
	if err == nil {
		err = checkDecryptionMaterials(s, m)
	}
	if err != nil {
		clear(m.DataKey)
		return nil, err
	}
	cached := &cachedDecryption{cachedID: cachedID(id), materials: cloneDecryptionMaterials(m)}
	clear(m.DataKey)
	runtime.AddCleanup(cached, overwrite, cached.materials.DataKey)
	return &CacheEntry{Value: cached, Created: created, Expires: created.Add(c.MaxAge)}, nil
}

func overwrite(dataKey []byte) { clear(dataKey) }

func cloneEncryptionMaterials(m *EncryptionMaterials) *EncryptionMaterials {
	c := *m
	c.EncryptionContext = cloneContext(m.EncryptionContext)
	c.RequiredContextKeys = slices.Clone(m.RequiredContextKeys)
	c.DataKey = slices.Clone(m.DataKey)
	c.EncryptedDataKeys = cloneDataKeys(m.EncryptedDataKeys)
	return &c
}

func cloneDecryptionMaterials(m *DecryptionMaterials) *DecryptionMaterials {
	c := *m
	c.EncryptionContext = cloneContext(m.EncryptionContext)
	c.RequiredContextKeys = slices.Clone(m.RequiredContextKeys)
	c.DataKey = slices.Clone(m.DataKey)
	return &c
}

// encryptionID identifies what materials depend on. The specification's ids
// leave out the required keys and the policy; with them a hit could store pairs
// that must not be, or have a suite that the policy forbids. Ids are never part
// of a message, and need not be those of other implementations.
func (c *cachingCMM) encryptionID(req *EncryptionRequest) (string, error) {
	id := newCacheID("encrypt", c.Partition)
	id.uint(uint64(req.CommitmentPolicy))
	id.uint(uint64(req.Suite))
	if err := id.context(req.EncryptionContext); err != nil {
		return "", err
	}
	keys := slices.Sorted(slices.Values(req.RequiredContextKeys))
	id.uint(uint64(len(keys)))
	for _, k := range keys {
		id.bytes([]byte(k))
	}
	return id.sum(), nil
}

// decryptionID is the same for decryption: it has the pairs that were
// reproduced, lest a hit skip their comparison.
func (c *cachingCMM) decryptionID(req *DecryptionRequest) (string, error) {
	id := newCacheID("decrypt", c.Partition)
	id.uint(uint64(req.CommitmentPolicy))
	id.uint(uint64(req.Suite))
	for _, ec := range []EncryptionContext{req.EncryptionContext, req.Reproduced} {
		if err := id.context(ec); err != nil {
			return "", err
		}
	}
	for _, k := range req.EncryptedDataKeys {
		id.bytes([]byte(k.ProviderID))
		id.bytes(k.ProviderInfo)
		id.bytes(k.Ciphertext)
	}
	return id.sum(), nil
}

// cacheID collects fields, each behind its length, so that no two lists of
// fields are the same bytes.
type cacheID []byte

func newCacheID(operation, partition string) *cacheID {
	id := new(cacheID)
	id.bytes([]byte(operation))
	id.bytes([]byte(partition))
	return id
}

func (id *cacheID) uint(n uint64) { *id = binary.BigEndian.AppendUint64(*id, n) }

func (id *cacheID) bytes(b []byte) {
	id.uint(uint64(len(b)))
	*id = append(*id, b...)
}

func (id *cacheID) context(ec EncryptionContext) error {
	b, err := ec.AppendBinary(nil)
	id.bytes(b)
	return err
}

func (id *cacheID) sum() string {
	sum := sha512.Sum384(*id)
	return string(sum[:])
}
