// Package caching reduces calls to a key service. Without it, a keyring of AWS
// KMS calls the service for each message.
//
// A caching CMM reuses a data key for several messages, within limits:
//
//	cmm, err := caching.NewCMM(caching.Config{
//		Keyring:     kr,
//		MaxAge:      10 * time.Minute,
//		MaxMessages: 1000,
//	})
//	client, err := esdk.New(esdk.Config{CMM: cmm})
//
// The hierarchical keyring of package [esdk/branchkey] keeps branch keys
// instead, and gives each message a data key of its own.
//
// Both store their results in a [Cache]. By default, each CMM and keyring has
// one of its own. [NewLRU] and [NewStormTracking] make a Cache to share, or of
// another size.
package caching

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Cache stores the results of calls to a key service under opaque IDs.
// Caching CMMs and keyrings of this module use it. Several of them may use one
// Cache; they share entries only if they name the same partition. It is safe
// for concurrent use.
//
// Its entries hold key material in memory; see docs/security.md.
type Cache interface {
	// Load returns the entry stored under an ID, or calls fetch to make one. As
	// far as the cache can ensure it, only one of several concurrent calls for
	// an ID fetches. The others wait for it, and get its error if it fails. If
	// it fails because its own context ended, another call fetches. Load never
	// returns an expired entry, with one exception: the call whose own fetch
	// made the entry gets it, since it could not get a newer one.
	Load(ctx context.Context, id string, fetch func(context.Context) (*Entry, error)) (*Entry, error)

	// Remove drops an entry if it's still stored under the ID.
	Remove(id string, e *Entry)

	// Stats returns the counts so far.
	Stats() Stats
}

// An Entry is a value that is stored for a limited time. It isn't changed once
// it has been returned.
type Entry struct {
	Value            any
	Created, Expires time.Time
}

// Stats count the operations of a [Cache], and its current contents.
type Stats struct {
	Hits, Misses uint64
	Evictions    uint64 // entries dropped: too many, expired or removed
	Entries      int
	InFlight     int // fetch calls that have not returned
}

// A StormTrackingConfig configures [NewStormTracking]. Zero values select the
// defaults, which are the same in all implementations. GraceInterval ≤
// InFlightTTL ≤ GracePeriod must hold.
//
// Specification: [framework/storm-tracking-cryptographic-materials-cache.md].
//
// [framework/storm-tracking-cryptographic-materials-cache.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/storm-tracking-cryptographic-materials-cache.md
type StormTrackingConfig struct {
	// Capacity is the maximum number of entries; 0 means 1000.
	Capacity int

	// GracePeriod is the time before an entry's expiry at which it's fetched
	// again, while other callers still use it; 0 means 10 seconds. It's capped
	// at half of an entry's lifetime: with a longer one, every call would
	// fetch.
	GracePeriod time.Duration

	// GraceInterval is how long a fetch may take before another one starts in
	// parallel; 0 means one second.
	GraceInterval time.Duration

	// FanOut is the maximum number of concurrent fetches over all IDs; 0 means
	// 20.
	FanOut int

	// InFlightTTL is how long to wait for another caller's fetch before
	// failing; 0 means 10 seconds.
	InFlightTTL time.Duration
}

// NewLRU returns a cache that drops the least recently used entry when it has
// more entries than its capacity. With capacity 0 it stores nothing, and each
// Load fetches.
//
// Specification:
// [framework/synchronized-local-cryptographic-materials-cache.md].
//
// [framework/synchronized-local-cryptographic-materials-cache.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/synchronized-local-cryptographic-materials-cache.md
func NewLRU(capacity int) (Cache, error) {
	if capacity < 0 {
		return nil, errors.New("caching: negative capacity")
	}
	return newLocalCache(capacity, nil), nil
}

// NewStormTracking returns a cache like [NewLRU] does, which also keeps many
// callers from asking the key service at once. Before an entry expires, it's
// fetched again by one caller, while others use the old one. The cache also
// limits the number of concurrent fetches.
//
// Specification: [framework/storm-tracking-cryptographic-materials-cache.md].
//
// [framework/storm-tracking-cryptographic-materials-cache.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/storm-tracking-cryptographic-materials-cache.md
func NewStormTracking(c StormTrackingConfig) (Cache, error) {
	if c.Capacity < 0 || c.FanOut < 0 || c.GracePeriod < 0 || c.GraceInterval < 0 || c.InFlightTTL < 0 {
		return nil, errors.New("caching: storm tracking: negative value")
	}
	setDefault(&c.Capacity, 1000)
	setDefault(&c.FanOut, 20)
	setDefault(&c.GracePeriod, 10*time.Second)
	setDefault(&c.GraceInterval, time.Second)
	setDefault(&c.InFlightTTL, 10*time.Second)
	if c.GraceInterval > c.InFlightTTL || c.InFlightTTL > c.GracePeriod {
		return nil, fmt.Errorf("caching: storm tracking: want grace interval %v ≤ in-flight TTL %v ≤ grace period %v", c.GraceInterval, c.InFlightTTL, c.GracePeriod)
	}
	return newLocalCache(c.Capacity, &c), nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// localCache implements both caches; storm is nil for the plain one.
type localCache struct {
	capacity int
	storm    *StormTrackingConfig

	mu      sync.Mutex
	slots   map[string]*list.Element // of *slot
	recent  list.List                // most recently used first
	flights map[string]*flight
	flying  int           // fetches, including slow ones that another was started beside
	landed  chan struct{} // closed when a fetch returns
	stats   Stats
}

type slot struct {
	id    string
	entry *Entry
}

// A flight is a call of fetch. Its results are set before done is closed.
type flight struct {
	started time.Time
	done    chan struct{}
	entry   *Entry
	err     error
	retry   bool // the error is the caller's own: others should try themselves
	keep    bool // the entry is new
}

func newLocalCache(capacity int, storm *StormTrackingConfig) *localCache {
	return &localCache{
		capacity: capacity,
		storm:    storm,
		slots:    make(map[string]*list.Element),
		flights:  make(map[string]*flight),
		landed:   make(chan struct{}),
	}
}

func (c *localCache) Load(ctx context.Context, id string, fetch func(context.Context) (*Entry, error)) (*Entry, error) {
	start := time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := c.decide(id)
		switch {
		case d.entry != nil && d.fetch == nil:
			return d.entry, nil
		case d.fetch != nil:
			return c.fly(ctx, id, d, fetch)
		}
		if c.storm != nil && time.Since(start) > c.storm.InFlightTTL {
			return nil, fmt.Errorf("caching: waited %v for another call to the key service", c.storm.InFlightTTL)
		}
		entry, err := d.await(ctx)
		if entry != nil || err != nil {
			return entry, err
		}
	}
}

// A decision is the next step of a Load call: return entry; or fetch, and fall
// back on entry if there is one; or wait.
type decision struct {
	entry *Entry
	fetch *flight
	wait  *flight         // for the end of this flight,
	slack <-chan struct{} // or of any flight
	limit time.Duration   // at most this long; 0 means no limit
}

func (c *localCache) decide(id string) decision {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.prune(now)
	entry := c.lookup(id, now)
	f := c.flights[id]
	fresh := entry != nil && (c.storm == nil || now.Before(entry.Expires.Add(-c.grace(entry))))
	stale := f != nil && c.storm != nil && now.Sub(f.started) >= c.storm.GraceInterval
	full := c.storm != nil && c.flying >= c.storm.FanOut
	switch {
	case fresh, entry != nil && (full || f != nil && !stale):
		c.stats.Hits++
		return decision{entry: entry}
	case f == nil && full, stale && full:
		return decision{slack: c.landed, limit: c.storm.GraceInterval}
	case f != nil && !stale && c.capacity > 0:
		limit := time.Duration(0)
		if c.storm != nil {
			limit = f.started.Add(c.storm.GraceInterval).Sub(now)
		}
		return decision{wait: f, limit: limit}
	}
	c.stats.Misses++
	c.flying++
	f = &flight{started: now, done: make(chan struct{})}
	c.flights[id] = f
	return decision{entry: entry, fetch: f}
}

// grace returns the grace period of an entry. It's capped because NewCMM
// doesn't see the grace period of a storm tracking cache that a user's type
// wraps.
func (c *localCache) grace(e *Entry) time.Duration {
	return min(c.storm.GracePeriod, e.Expires.Sub(e.Created)/2)
}

// lookup returns the unexpired entry of an ID, or nil.
func (c *localCache) lookup(id string, now time.Time) *Entry {
	e, ok := c.slots[id]
	if !ok {
		return nil
	}
	entry := e.Value.(*slot).entry
	if !now.Before(entry.Expires) {
		c.drop(e)
		return nil
	}
	c.recent.MoveToFront(e)
	return entry
}

// prune drops the least recently used entry if it has expired, so that a cache
// in use doesn't keep entries that are no longer requested.
func (c *localCache) prune(now time.Time) {
	if e := c.recent.Back(); e != nil && !now.Before(e.Value.(*slot).entry.Expires) {
		c.drop(e)
	}
}

func (c *localCache) drop(e *list.Element) {
	c.recent.Remove(e)
	delete(c.slots, e.Value.(*slot).id)
	c.stats.Evictions++
}

// await waits as decided. It returns nil, nil if the caller should decide
// again.
func (d *decision) await(ctx context.Context) (*Entry, error) {
	done := d.slack
	if d.wait != nil {
		done = d.wait.done
	}
	var timeout <-chan time.Time
	if d.limit > 0 {
		timer := time.NewTimer(d.limit)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout:
	case <-done:
		// A busy machine may wake the caller late.
		if f := d.wait; f != nil && !f.retry && (f.err != nil || time.Now().Before(f.entry.Expires)) {
			return f.entry, f.err
		}
	}
	return nil, nil
}

// fly fetches, and stores the result.
func (c *localCache) fly(ctx context.Context, id string, d decision, fetch func(context.Context) (*Entry, error)) (*Entry, error) {
	f := d.fetch
	f.err = errors.New("caching: fetch panicked")
	defer c.land(id, f)
	entry, err := fetch(ctx)
	if err == nil && entry == nil {
		err = errors.New("caching: fetch returned neither an entry nor an error")
	}
	if err != nil {
		entry = nil
	}
	// A cancelled call or an already expired entry is no result for the other
	// callers.
	f.retry = err != nil && ctx.Err() != nil || err == nil && !time.Now().Before(entry.Expires)
	f.entry, f.err = entry, err
	f.keep = err == nil && !f.retry
	if err != nil && d.entry != nil && time.Now().Before(d.entry.Expires) {
		f.entry, f.err = d.entry, nil // it's still valid
	}
	return f.entry, f.err
}

func (c *localCache) land(id string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
	if c.flights[id] == f {
		delete(c.flights, id)
	}
	if f.keep {
		c.put(id, f.entry)
	}
	close(f.done)
	close(c.landed)
	c.landed = make(chan struct{})
}

func (c *localCache) put(id string, entry *Entry) {
	if e, ok := c.slots[id]; ok {
		e.Value.(*slot).entry = entry
		c.recent.MoveToFront(e)
	} else if c.capacity > 0 {
		c.slots[id] = c.recent.PushFront(&slot{id, entry})
	}
	for len(c.slots) > c.capacity {
		c.drop(c.recent.Back())
	}
}

// GracePeriod returns the time before an entry's expiry at which it's fetched
// again. Users of a cache that need longer-lived entries look for this method.
func (c *localCache) GracePeriod() time.Duration {
	if c.storm == nil {
		return 0
	}
	return c.storm.GracePeriod
}

func (c *localCache) Remove(id string, entry *Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.slots[id]; ok && e.Value.(*slot).entry == entry {
		c.drop(e)
	}
}

func (c *localCache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.InFlight = len(c.slots), c.flying
	return s
}
