package faulty

import (
	"context"

	"esdk"
)

// An EndingCache ends a context when it is told to remove an entry, and does not
// heed any context itself.
type EndingCache struct {
	esdk.Cache
	End   func()
	Loads int // calls of Load so far
}

// Load implements [esdk.Cache].
func (c *EndingCache) Load(_ context.Context, id string, fetch func(context.Context) (*esdk.CacheEntry, error)) (*esdk.CacheEntry, error) {
	c.Loads++
	return c.Cache.Load(context.Background(), id, fetch)
}

// Remove implements [esdk.Cache].
func (c *EndingCache) Remove(id string, e *esdk.CacheEntry) {
	c.End()
	c.Cache.Remove(id, e)
}
