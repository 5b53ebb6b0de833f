package caching

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"esdk"
	"esdk/internal/isnil"
	"esdk/internal/suite"
)

// Config configures [NewCMM].
type Config struct {
	// Keyring or CMM provides the materials. Exactly one of them must be set.
	Keyring esdk.Keyring
	CMM     esdk.CMM

	// Cache stores the materials; nil means a private cache with 1000 entries.
	Cache Cache

	// MaxAge is how long a data key may be used, in encryption and decryption.
	// It must be set, and must exceed the grace period of a storm tracking
	// cache.
	MaxAge time.Duration

	// MaxMessages is the maximum number of messages encrypted under a data key;
	// 0 means 2^32, the highest allowed value.
	MaxMessages uint64

	// MaxBytes is the maximum number of plaintext bytes encrypted under a data
	// key; 0 means no limit.
	MaxBytes int64

	// Partition names a group of caching CMMs that share entries in one Cache.
	// They must have the same keys. Each enforces its own limits, counting all
	// messages under a data key, including the other CMMs' messages. If it's
	// empty, this CMM shares no entries.
	Partition string
}

var errNoMaterials = errors.New("caching: the CMM returned neither materials nor an error")

type cmm struct {
	Config
	underlying esdk.CMM
}

// NewCMM returns a CMM that reuses a data key for several messages, within
// limits that hold exactly at any concurrency. Messages share a data key only
// if they have the same encryption context, suite, required keys and commitment
// policy.
//
// The CMM doesn't cache for suites that don't derive a key for each message. To
// encrypt, it doesn't cache for a plaintext that is longer than MaxBytes or has
// an unknown length. For a stream, call [esdk.Client.NewSizedWriter], or set
// MaxPlaintextLength in the [esdk.Config]; then each stream counts as that many
// bytes.
//
// In decryption, it drops materials that don't open a message's header, unless
// they have opened one before.
//
// Messages that share a data key are signed with one key. All callers that get
// these materials share it, so a CMM on top of this one must not change it.
//
// Specification: [framework/caching-cmm.md].
//
// [framework/caching-cmm.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/caching-cmm.md
func NewCMM(c Config) (esdk.CMM, error) {
	if (c.Keyring == nil) == (c.CMM == nil) || isnil.Value(c.Keyring) && isnil.Value(c.CMM) {
		return nil, errors.New("caching: Config needs either a Keyring or a CMM")
	}
	if c.MaxAge <= 0 {
		return nil, errors.New("caching: Config needs a MaxAge")
	}
	if c.MaxMessages > 1<<32 || c.MaxBytes < 0 {
		return nil, errors.New("caching: Config: limit out of range")
	}
	c.MaxMessages = cmp.Or(c.MaxMessages, 1<<32)
	c.MaxBytes = cmp.Or(c.MaxBytes, math.MaxInt64)
	switch {
	case c.Cache == nil:
		c.Cache = newLocalCache(1000, nil)
	case isnil.Value(c.Cache):
		return nil, fmt.Errorf("caching: Config: Cache is a nil %T", c.Cache)
	}
	// The grace period of each entry would be capped at half of MaxAge. A
	// user's cache may have no such cap, and would never return an entry.
	if g, ok := c.Cache.(interface{ GracePeriod() time.Duration }); ok && c.MaxAge <= g.GracePeriod() {
		return nil, fmt.Errorf("caching: MaxAge %v must be more than the cache's grace period of %v", c.MaxAge, g.GracePeriod())
	}
	if c.Partition == "" {
		c.Partition = "\x00" + rand.Text() // no user's string starts like this
	}
	if c.CMM != nil {
		return &cmm{c, c.CMM}, nil
	}
	underlying, err := esdk.NewDefaultCMM(c.Keyring)
	return &cmm{c, underlying}, err
}

// encryptionMaterials asks the underlying CMM, which may be the user's, and
// never returns nil without an error.
func (c *cmm) encryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	m, err := c.underlying.EncryptionMaterials(ctx, req)
	if m == nil && err == nil {
		err = errNoMaterials
	}
	return m, err
}

func (c *cmm) decryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	m, err := c.underlying.DecryptionMaterials(ctx, req)
	if m == nil && err == nil {
		err = errNoMaterials
	}
	return m, err
}

func (c *cmm) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	if req.PlaintextLength < 0 || req.PlaintextLength > c.MaxBytes || !cachable(req.Suite) {
		return c.encryptionMaterials(ctx, req)
	}
	id, err := c.encryptionID(req)
	if err != nil {
		return nil, err
	}
	asked := &call{req.PlaintextLength}
	fetch := func(ctx context.Context) (*Entry, error) { return c.fetchEncryption(ctx, id, req, asked) }
	use := func(e *cachedEncryption) bool { return e.use(asked, &c.Config) }
	e, cached, err := loadUsable(ctx, c, id, fetch, use)
	if err != nil {
		return nil, err
	}
	if cached == nil {
		return c.encryptionMaterials(ctx, req)
	}
	if cached.spent(&c.Config) {
		c.Cache.Remove(id, e) // otherwise the next message would do it, and count as a hit
	}
	m := cached.materials.Clone()
	runtime.KeepAlive(cached) // until here, no cleanup overwrites the data key
	return m, nil
}

// loadUsable returns an entry that is young enough and that use accepts. It
// removes other entries from the cache. If the cache returns one of them again,
// loadUsable returns neither an entry nor an error, and the caller bypasses the
// cache: a user's cache may keep an entry that was removed.
//
// The number of rounds isn't limited. While many messages use up data keys,
// each round may return a new one, and fetches that bypass a storm tracking
// cache would have no bound.
func loadUsable[V cachedValue](ctx context.Context, c *cmm, id string, fetch func(context.Context) (*Entry, error), use func(V) bool) (e *Entry, value V, err error) {
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

// load returns an entry and its value. It checks the result of the cache, which
// may be the user's.
func load[V cachedValue](ctx context.Context, cache Cache, id string, fetch func(context.Context) (*Entry, error)) (e *Entry, value V, err error) {
	var none V
	if e, err = cache.Load(ctx, id, fetch); err != nil {
		return nil, none, err
	}
	if e == nil {
		return nil, none, errors.New("caching: cache returned neither an entry nor an error")
	}
	value, ok := e.Value.(V)
	if !ok {
		return nil, none, fmt.Errorf("caching: cache returned a %T", e.Value)
	}
	if value == none {
		return nil, none, fmt.Errorf("caching: cache returned a nil %T", e.Value)
	}
	if value.of() != cachedID(id) {
		return nil, none, errors.New("caching: cache returned the entry of another id")
	}
	return e, value, nil
}

// cachable reports whether materials of a suite may serve several messages. If
// a suite doesn't derive a key for each message, two messages would have the
// same key and the same IVs. A suite of 0 isn't known yet.
func cachable(id esdk.SuiteID) bool {
	s := suite.Lookup(uint16(id))
	return id == 0 || s != nil && s.Derives()
}

// young reports whether an entry isn't too old for this CMM: another CMM, with
// a longer MaxAge, may have made it. An entry made for the call that began at
// start is never too old, even if making it took longer than MaxAge.
func (c *cmm) young(e *Entry, start time.Time) bool {
	return !e.Created.Before(start) || time.Since(e.Created) < c.MaxAge
}

func (c *cmm) fetchEncryption(ctx context.Context, id string, req *esdk.EncryptionRequest, by *call) (*Entry, error) {
	all := *req
	// The materials will serve longer plaintexts too.
	all.PlaintextLength = -1
	created := time.Now()
	m, err := c.encryptionMaterials(ctx, &all)
	if err != nil {
		return nil, err
	}
	defer clear(m.DataKey)
	// Every Client would reject them as long as they are cached.
	if err := m.Check(req.CommitmentPolicy); err != nil {
		return nil, err
	}
	cached := &cachedEncryption{cachedID: cachedID(id), materials: m.Clone(), reserved: by, messages: 1, bytes: by.bytes}
	runtime.AddCleanup(cached, overwrite, cached.materials.DataKey)
	return &Entry{Value: cached, Created: created, Expires: created.Add(c.MaxAge)}, nil
}

func (c *cmm) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	if !cachable(req.Suite) {
		return c.decryptionMaterials(ctx, req)
	}
	id, err := c.decryptionID(req)
	if err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context) (*Entry, error) { return c.fetchDecryption(ctx, id, req) }
	e, cached, err := loadUsable(ctx, c, id, fetch, (*cachedDecryption).usable)
	if err != nil {
		return nil, err
	}
	if cached == nil {
		return c.decryptionMaterials(ctx, req)
	}
	m := cached.materials.Clone()
	runtime.KeepAlive(cached)
	m.Opened = func(ok bool) {
		// Once a header has opened, one that doesn't open is forged, and must
		// not cost the next message a call.
		if !cached.opened(ok) {
			c.Cache.Remove(id, e)
		}
		if beneath := cached.materials.Opened; beneath != nil {
			beneath(ok)
		}
	}
	return m, nil
}

func (c *cmm) fetchDecryption(ctx context.Context, id string, req *esdk.DecryptionRequest) (*Entry, error) {
	created := time.Now()
	m, err := c.decryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	defer clear(m.DataKey)
	if err := m.Check(req.Suite); err != nil {
		return nil, err
	}
	cached := &cachedDecryption{cachedID: cachedID(id), materials: m.Clone()}
	runtime.AddCleanup(cached, overwrite, cached.materials.DataKey)
	return &Entry{Value: cached, Created: created, Expires: created.Add(c.MaxAge)}, nil
}

func overwrite(dataKey []byte) { clear(dataKey) }
