package calls

import (
	"context"
	"sync/atomic"
	"time"

	"esdk/caching"
)

// Cache wraps a cache. It counts the uses in the Counters of their contexts,
// and the evictions and entries in the Counter of ctx.
func Cache(ctx context.Context, next caching.Cache) caching.Cache {
	if c := Of(ctx); c != nil {
		c.mu.Lock()
		c.caches = append(c.caches, next)
		c.mu.Unlock()
	}
	counted := &cache{next}
	if g, ok := next.(graceful); ok {
		return &gracefulCache{counted, g}
	}
	return counted
}

// A cache counts the hits and misses of the cache that it wraps.
type cache struct{ caching.Cache }

// Load counts a hit if it returns an entry without fetching it. An entry that
// another call is fetching is a hit, too: it also saves a call.
func (c *cache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	var fetched atomic.Bool
	e, err := c.Cache.Load(ctx, id, func(ctx context.Context) (*caching.Entry, error) {
		fetched.Store(true)
		return fetch(ctx)
	})
	switch missed := fetched.Load(); {
	case missed:
		count(ctx, func(c *Counter) { c.misses++ })
	case err == nil:
		count(ctx, func(c *Counter) { c.hits++ })
	}
	return e, err
}

// graceful caches refetch an entry before it expires. The users of a cache
// check for the method.
type graceful interface{ GracePeriod() time.Duration }

type gracefulCache struct {
	*cache
	graceful
}
