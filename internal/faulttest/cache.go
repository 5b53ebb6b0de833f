package faulttest

import (
	"context"

	"esdk/caching"
)

// An EndingCache ends a context when an entry is removed, and ignores contexts
// itself.
type EndingCache struct {
	caching.Cache
	End   func()
	Loads int // calls of Load so far
}

// Load implements [caching.Cache].
func (c *EndingCache) Load(_ context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	c.Loads++
	return c.Cache.Load(context.Background(), id, fetch)
}

// Remove implements [caching.Cache].
func (c *EndingCache) Remove(id string, e *caching.Entry) {
	c.End()
	c.Cache.Remove(id, e)
}
