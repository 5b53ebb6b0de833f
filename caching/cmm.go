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

// A Config configures [NewCMM].
type Config struct {
	// Keyring or CMM provides materials: exactly one of them is set.
	Keyring esdk.Keyring
	CMM     esdk.CMM

	// Cache keeps the materials; nil means one of its own, of 1000 entries.
	Cache Cache

	// MaxAge is how long a data key is used, also to decrypt. It must be set, and be
	// more than the grace period of a storm tracking cache.
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

var errNoMaterials = errors.New("caching: the CMM returned neither materials nor an error")

type cmm struct {
	Config
	underlying esdk.CMM
}

// NewCMM returns a CMM that uses a data key for several messages, within
// limits that hold exactly, whatever the concurrency. Messages share a data key
// only if they have the same encryption context, suite, required keys and
// commitment policy.
//
// It does not cache for suites that do not derive a key for each message, nor to
// encrypt a plaintext that is longer than MaxBytes or whose length is not known.
// For a stream, call [esdk.Client.NewSizedWriter], or set MaxPlaintextLength in the
// [esdk.Config], and each stream counts as that many bytes.
//
// To decrypt, it forgets materials that do not open a message's header, unless
// they have opened one before.
//
// Messages that share a data key are signed with one key, which is shared by all
// who get these materials: a CMM above this one must not change it.
//
// Specification: framework/caching-cmm.md.
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
	// The grace period of each entry would be cut to half of MaxAge. A cache of the
	// user's may have no such limit, and would never return an entry.
	if g, ok := c.Cache.(interface{ GracePeriod() time.Duration }); ok && c.MaxAge <= g.GracePeriod() {
		return nil, fmt.Errorf("caching: MaxAge %v must be more than the cache's grace period of %v", c.MaxAge, g.GracePeriod())
	}
	if c.Partition == "" {
		c.Partition = "\x00" + rand.Text() // no user's string starts so
	}
	if c.CMM != nil {
		return &cmm{c, c.CMM}, nil
	}
	underlying, err := esdk.NewDefaultCMM(c.Keyring)
	return &cmm{c, underlying}, err
}

// encryptionMaterials asks the underlying CMM, which may be the user's, and never
// returns nil without an error.
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
		c.Cache.Remove(id, e) // the next message would do so, and count as a hit
	}
	m := cached.materials.Clone()
	runtime.KeepAlive(cached) // until then, no cleanup overwrites the data key
	return m, nil
}

// loadUsable returns an entry that is young enough and that use takes. The cache
// drops entries that are of no use. If it returns one of them again, loadUsable
// returns neither an entry nor an error, and the caller fetches past the cache: a
// cache of the user's may keep what it is told to remove.
//
// The rounds are not counted. While many messages use up data keys, each round may
// return a new one, and fetches past a storm tracking cache would not be bounded.
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

// load returns the value of an entry, too. It does not believe a cache, which
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

// cachable reports whether materials of a suite may serve several messages. Of
// suites that do not derive a key for each, two messages would have the same key
// and the same IVs. 0 is not known yet.
func cachable(id esdk.SuiteID) bool {
	s := suite.Lookup(uint16(id))
	return id == 0 || s != nil && s.Derives()
}

// young reports whether an entry is not too old for this CMM: another, with a
// longer MaxAge, may have made it. What was made for the call that started then
// never is, even if that took longer than MaxAge.
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
	// Every Client would refuse them for as long as they are cached.
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
