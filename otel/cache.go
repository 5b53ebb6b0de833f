package otelesdk

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"esdk/caching"
	"esdk/internal/isnil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const cacheKey = attribute.Key("esdk.cache.name")

// Cache returns a cache that is observed under the given name, for a caching
// CMM or the hierarchical keyring. It records these metrics, each by
// esdk.cache.name:
//
//	esdk.cache.hits, esdk.cache.misses, esdk.cache.evictions  counters
//	esdk.cache.entries, esdk.cache.in_flight                  up-down counters
//	esdk.cache.entry.age                                      a histogram in seconds: the age of
//	                                                          the keys that the cache returns
//
// All but the last are read when a MeterProvider collects, and cost nothing
// otherwise. Several caches with the same name are summed up. The
// Instrumentation keeps a reference to each cache.
func (i *Instrumentation) Cache(name string, next caching.Cache) caching.Cache {
	if isnil.Value(next) {
		return next
	}
	i.caches.add(name, next)
	c := &cache{i, attributes(cacheKey.String(name)), next}
	if g, ok := next.(graceful); ok {
		return &gracefulCache{c, g}
	}
	return c
}

type cache struct {
	*Instrumentation
	attributes metric.MeasurementOption
	next       caching.Cache
}

func (c *cache) Load(ctx context.Context, id string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	e, err := c.next.Load(ctx, id, fetch)
	if err == nil && e != nil {
		quietly(func() { c.ages.Record(ctx, time.Since(e.Created).Seconds(), c.attributes) })
	}
	return e, err
}

func (c *cache) Remove(id string, e *caching.Entry) { c.next.Remove(id, e) }
func (c *cache) Stats() caching.Stats               { return c.next.Stats() }

// graceful caches refresh an entry before it expires. Their users ask for the
// grace period.
type graceful interface{ GracePeriod() time.Duration }

type gracefulCache struct {
	*cache
	graceful
}

// caches are the observed caches by name.
type caches struct {
	mu     sync.Mutex
	byName map[string][]caching.Cache
}

func (c *caches) add(name string, next caching.Cache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = make(map[string][]caching.Cache)
	}
	c.byName[name] = append(c.byName[name], next)
}

// stats returns the sums for each name.
func (c *caches) stats() map[string]caching.Stats {
	c.mu.Lock()
	byName := make(map[string][]caching.Cache, len(c.byName))
	for name, all := range c.byName {
		byName[name] = slices.Clone(all)
	}
	c.mu.Unlock()
	sums := make(map[string]caching.Stats)
	for name, all := range byName {
		var sum caching.Stats
		for _, one := range all {
			s := one.Stats()
			sum.Hits += s.Hits
			sum.Misses += s.Misses
			sum.Evictions += s.Evictions
			sum.Entries += s.Entries
			sum.InFlight += s.InFlight
		}
		sums[name] = sum
	}
	return sums
}

// observeCaches makes the instruments whose values come from the caches
// themselves.
func (i *Instrumentation) observeCaches() error {
	counters := []struct {
		name, unit, about string
		value             func(caching.Stats) int64
	}{
		{"esdk.cache.hits", "{load}", "Keys that a cache had.", func(s caching.Stats) int64 { return int64(s.Hits) }},
		{"esdk.cache.misses", "{load}", "Keys that a cache had not.", func(s caching.Stats) int64 { return int64(s.Misses) }},
		{"esdk.cache.evictions", "{entry}", "Entries that a cache has dropped.", func(s caching.Stats) int64 { return int64(s.Evictions) }},
		{"esdk.cache.entries", "{entry}", "Entries that a cache has.", func(s caching.Stats) int64 { return int64(s.Entries) }},
		{"esdk.cache.in_flight", "{fetch}", "Keys that are being fetched.", func(s caching.Stats) int64 { return int64(s.InFlight) }},
	}
	var observed []metric.Observable
	var instruments []metric.Int64Observable
	for n, c := range counters {
		var o metric.Int64Observable
		var err error
		if n < 3 { // they only grow
			o, err = i.meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.about))
		} else {
			o, err = i.meter.Int64ObservableUpDownCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.about))
		}
		if err != nil {
			return err
		}
		observed, instruments = append(observed, o), append(instruments, o)
	}
	_, err := i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := i.caches.stats()
		for _, name := range slices.Sorted(maps.Keys(stats)) {
			for n, c := range counters {
				o.ObserveInt64(instruments[n], c.value(stats[name]), attributes(cacheKey.String(name)))
			}
		}
		return nil
	}, observed...)
	return err
}
