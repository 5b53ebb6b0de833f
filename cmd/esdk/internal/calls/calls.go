// Package calls counts requests to AWS KMS and uses of caches, for a run as a
// whole and for each of its inputs.
package calls

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"esdk/caching"
	"esdk/cmd/esdk/internal/cli"
)

// Counts are the figures of a run or of an input.
type Counts struct {
	// KMS has the number of requests by operation, such as Decrypt. Each
	// attempt counts, since AWS bills each.
	KMS   map[string]int64 `json:"kms_calls,omitempty"`
	Cache *CacheCounts     `json:"cache,omitempty"` // nil unless a cache was used
}

// CacheCounts are the figures of all caches together.
type CacheCounts struct {
	Hits   int64 `json:"hits"`
	Misses int64 `json:"misses"` // each made a call to a key service

	// Evictions and Entries are only set for a whole run.
	Evictions uint64 `json:"evictions,omitempty"`
	Entries   int    `json:"entries,omitempty"`
}

// A Counter counts the calls in its context; see [New]. It is safe for
// concurrent use.
type Counter struct {
	parent *Counter

	mu           sync.Mutex
	kms          map[string]int64
	hits, misses int64
	caches       []caching.Cache
}

type counterKey struct{}

// Of returns the Counter of a context, or nil if there is none.
func Of(ctx context.Context) *Counter {
	c, _ := ctx.Value(counterKey{}).(*Counter)
	return c
}

// New returns a context whose calls count in a new Counter and in the Counter
// of ctx.
func New(ctx context.Context) (context.Context, *Counter) {
	c := &Counter{parent: Of(ctx)}
	return context.WithValue(ctx, counterKey{}, c), c
}

// count changes the Counters of a context.
func count(ctx context.Context, change func(*Counter)) {
	for c := Of(ctx); c != nil; c = c.parent {
		c.mu.Lock()
		change(c)
		c.mu.Unlock()
	}
}

// Counts returns the figures so far.
func (c *Counter) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := Counts{KMS: maps.Clone(c.kms)}
	if c.hits+c.misses == 0 {
		return n
	}
	n.Cache = &CacheCounts{Hits: c.hits, Misses: c.misses}
	for _, cache := range c.caches {
		s := cache.Stats()
		n.Cache.Evictions += s.Evictions
		n.Cache.Entries += s.Entries
	}
	return n
}

// KMS counts a request to AWS KMS.
func KMS(ctx context.Context, operation string) {
	count(ctx, func(c *Counter) {
		if c.kms == nil {
			c.kms = make(map[string]int64)
		}
		c.kms[operation]++
	})
}

// String lists the figures. It returns "" if there are none.
func (n Counts) String() string {
	var parts []string
	for _, operation := range slices.Sorted(maps.Keys(n.KMS)) {
		parts = append(parts, fmt.Sprintf("%d %s", n.KMS[operation], operation))
	}
	var text string
	if len(parts) > 0 {
		text = "AWS KMS: " + strings.Join(parts, ", ")
	}
	if n.Cache == nil {
		return text
	}
	if text != "" {
		text += "; "
	}
	return fmt.Sprintf("%scache: %s, %s", text, cli.Count(n.Cache.Hits, "hit", "hits"), cli.Count(n.Cache.Misses, "miss", "misses"))
}
