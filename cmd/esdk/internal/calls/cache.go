package calls

import (
	"context"
	"sync/atomic"
	"time"

	"esdk/caching"
)

// Cache returns a cache whose uses count in their contexts. How full it is counts in
// ctx.
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

// A cache counts what the cache behind it does.
type cache struct{ caching.Cache }

// Load counts a hit if an entry is there that this call didn't fetch, as one that
// another call is just fetching: it spares a call, too.
func (c *cache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	var fetched atomic.Bool
	e, err := c.Cache.Load(ctx, id, func(ctx context.Context) (*caching.Entry, error) {
		fetched.Store(true)
		return fetch(ctx)
	})
	switch missed := fetched.Load(); {
	case missed:
		count(ctx, 0, 1)
	case err == nil:
		count(ctx, 1, 0)
	}
	return e, err
}

func count(ctx context.Context, hits, misses int64) {
	for c := Of(ctx); c != nil; c = c.parent {
		c.mu.Lock()
		c.hits += hits
		c.misses += misses
		c.mu.Unlock()
	}
}

// graceful caches fetch an entry anew before it expires, and their users look for
// the method.
type graceful interface{ GracePeriod() time.Duration }

type gracefulCache struct {
	*cache
	graceful
}
