package caching_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"esdk/caching"
	"esdk/internal/fipstest"
)

// source is an expensive source that counts its fetches.
type source struct {
	fetched atomic.Int64
	ttl     time.Duration
	takes   time.Duration
	err     error
}

func (s *source) fetch(ctx context.Context) (*caching.Entry, error) {
	n := s.fetched.Add(1)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	now := time.Now()
	return &caching.Entry{Value: n, Created: now, Expires: now.Add(s.ttl)}, nil
}

func newCache(t *testing.T, capacity int) caching.Cache {
	t.Helper()
	c, err := caching.NewLRU(capacity)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newStormCache(t *testing.T, c caching.StormTrackingConfig) caching.Cache {
	t.Helper()
	cache, err := caching.NewStormTracking(c)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// want loads an ID and checks which fetch made the entry.
func want(t *testing.T, c caching.Cache, id string, s *source, value int64) *caching.Entry {
	t.Helper()
	e, err := c.Load(t.Context(), id, s.fetch)
	if err != nil {
		t.Fatal(err)
	}
	if e.Value != value {
		t.Fatalf("%s: entry of fetch %v, want %d", id, e.Value, value)
	}
	return e
}

func TestCacheKeepsAndExpires(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newCache(t, 2)
		s := &source{ttl: time.Minute}
		want(t, c, "a", s, 1)
		want(t, c, "a", s, 1)
		want(t, c, "b", s, 2)
		want(t, c, "a", s, 1)
		want(t, c, "c", s, 3) // drops b, the least recently used
		want(t, c, "a", s, 1)
		want(t, c, "b", s, 4)
		if got := c.Stats(); got != (caching.Stats{Hits: 3, Misses: 4, Evictions: 2, Entries: 2}) {
			t.Errorf("stats %+v", got)
		}
		time.Sleep(time.Minute)
		want(t, c, "b", s, 5) // not the pruned one
		want(t, c, "a", s, 6)

		e := want(t, c, "a", s, 6)
		c.Remove("a", &caching.Entry{})
		want(t, c, "a", s, 6)
		c.Remove("a", e)
		want(t, c, "a", s, 7)
	})
}

// TestCacheBornOld: an entry that has expired when its fetch returns serves the
// call that fetched it, which could not get a newer one, and no other.
func TestCacheBornOld(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		for name, c := range map[string]caching.Cache{"plain": newCache(t, 10), "storm": newStormCache(t, caching.StormTrackingConfig{})} {
			s := &source{takes: 100 * time.Millisecond} // ttl 0
			values := make(chan int64, 10)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					e, err := c.Load(t.Context(), "a", s.fetch)
					if err != nil {
						t.Error(err)
						return
					}
					values <- e.Value.(int64)
				})
			}
			all.Wait()
			seen := make(map[int64]bool)
			for range 3 {
				seen[<-values] = true
			}
			if len(seen) != 3 || s.fetched.Load() != 3 {
				t.Errorf("%s: %d fetches served %v", name, s.fetched.Load(), seen)
			}
			if n := c.Stats().Entries; n != 0 {
				t.Errorf("%s: %d entries are kept", name, n)
			}
		}
	})
}

// TestCacheFetchesNothing: a user's fetch that returns nothing is an error,
// also for calls that wait for it.
func TestCacheFetchesNothing(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newCache(t, 10)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				e, err := c.Load(t.Context(), "a", func(context.Context) (*caching.Entry, error) {
					time.Sleep(time.Second)
					return nil, nil
				})
				if e != nil || err == nil || !strings.Contains(err.Error(), "neither an entry nor an error") {
					t.Errorf("got %v, %v", e, err)
				}
			})
		}
		all.Wait()
		failure := errors.New("key service is down")
		e, err := c.Load(t.Context(), "a", func(context.Context) (*caching.Entry, error) {
			return &caching.Entry{Expires: time.Now().Add(time.Hour)}, failure
		})
		if e != nil || err != failure {
			t.Errorf("an entry and an error: %v, %v", e, err)
		}
		if s := c.Stats(); s != (caching.Stats{Misses: 2}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCacheOfNothing(t *testing.T) {
	c := newCache(t, 0)
	s := &source{ttl: time.Minute}
	want(t, c, "a", s, 1)
	want(t, c, "a", s, 2)
	if got := c.Stats().Entries; got != 0 {
		t.Errorf("%d entries", got)
	}
}

func TestCacheColdStart(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		for name, c := range map[string]caching.Cache{"plain": newCache(t, 10), "storm": newStormCache(t, caching.StormTrackingConfig{})} {
			s := &source{ttl: time.Minute, takes: 50 * time.Millisecond}
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					if _, err := c.Load(t.Context(), "a", s.fetch); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := s.fetched.Load(); n != 1 {
				t.Errorf("%s: %d fetches, want 1", name, n)
			}
		}
	})
}

// TestCacheFailure: a failure wakes the waiters. They get its error and don't
// retry one after the other.
func TestCacheFailure(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		failure := errors.New("key service is down")
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{takes: 100 * time.Millisecond, err: failure}
		start := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := c.Load(t.Context(), "a", s.fetch); !errors.Is(err, failure) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if n, took := s.fetched.Load(), time.Since(start); n != 1 || took != s.takes {
			t.Errorf("%d fetches in %v", n, took)
		}
		s.err, s.ttl = nil, time.Minute
		want(t, c, "a", s, 2)
	})
}

// TestCacheGivenUp: if one caller gives up, another fetches instead.
func TestCacheGivenUp(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newCache(t, 10)
		s := &source{ttl: time.Minute, takes: time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Load(ctx, "a", s.fetch); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() { want(t, c, "a", s, 2) })
		synctest.Wait()
		cancel()
		all.Wait()
		if got := c.Stats().InFlight; got != 0 {
			t.Errorf("%d in flight", got)
		}
	})
}

func TestCachePanic(t *testing.T) {
	c := newCache(t, 10)
	func() {
		defer func() { _ = recover() }()
		c.Load(t.Context(), "a", func(context.Context) (*caching.Entry, error) { panic("user's code") })
	}()
	want(t, c, "a", &source{ttl: time.Minute}, 1)
}

// TestStormGrace: before an entry expires, one caller fetches it again, and the
// others keep using the old one.
func TestStormGrace(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Minute}
		want(t, c, "a", s, 1)
		time.Sleep(49 * time.Second)
		want(t, c, "a", s, 1)
		time.Sleep(2 * time.Second) // into the grace period of 10 s
		s.takes = 500 * time.Millisecond
		var all sync.WaitGroup
		all.Go(func() { want(t, c, "a", s, 2) })
		synctest.Wait()
		start := time.Now()
		for range 100 {
			want(t, c, "a", s, 1)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("others waited %v", took)
		}
		all.Wait()
		want(t, c, "a", s, 2)

		// A fetch that fails in the grace period does no harm.
		time.Sleep(55 * time.Second)
		s.err = errors.New("key service is down")
		want(t, c, "a", s, 2)
		time.Sleep(5 * time.Second)
		if _, err := c.Load(t.Context(), "a", s.fetch); !errors.Is(err, s.err) {
			t.Errorf("an entry that has expired: %v", err)
		}
	})
}

// TestStormShortEntry: an entry that lives for less than the grace period isn't
// fetched again by each call, but only from the middle of its life on.
func TestStormShortEntry(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: 10 * time.Second}
		want(t, c, "a", s, 1)
		time.Sleep(5*time.Second - 1)
		want(t, c, "a", s, 1)
		time.Sleep(time.Nanosecond)
		want(t, c, "a", s, 2)
		want(t, c, "a", s, 2)
	})
}

// TestStormRemoved: a failed fetch in the grace period doesn't bring back an
// entry removed meanwhile.
func TestStormRemoved(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Minute}
		e := want(t, c, "a", s, 1)
		time.Sleep(55 * time.Second)
		s.err, s.takes = errors.New("key service is down"), time.Second
		var all sync.WaitGroup
		all.Go(func() { want(t, c, "a", s, 1) })
		synctest.Wait()
		c.Remove("a", e)
		all.Wait()
		if n := c.Stats().Entries; n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestStormSlowFetch: if a fetch takes longer than the interval, another one
// starts in parallel.
func TestStormSlowFetch(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		slow, fast := &source{ttl: time.Minute, takes: time.Hour}, &source{ttl: time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { c.Load(ctx, "a", slow.fetch) })
		synctest.Wait()
		start := time.Now()
		want(t, c, "a", fast, 1)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want the interval of 1s", took)
		}
		cancel()
		all.Wait()
		want(t, c, "a", slow, 1) // the fast fetch's entry is kept
	})
}

func TestStormFanOut(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{FanOut: 2, GraceInterval: 10 * time.Second})
		s := &source{ttl: time.Minute, takes: time.Second}
		start := time.Now()
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if _, err := c.Load(t.Context(), fmt.Sprint(i), s.fetch); err != nil {
					t.Error(err)
				}
				if n := c.Stats().InFlight; n > 2 {
					t.Errorf("%d in flight", n)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("6 fetches of 1s, 2 at once, took %v", took)
		}

		// Waiting has a limit.
		s.takes = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 2 {
			all.Go(func() { c.Load(ctx, fmt.Sprint("slow", i), s.fetch) })
		}
		synctest.Wait()
		start = time.Now()
		_, err := c.Load(t.Context(), "b", s.fetch)
		if took := time.Since(start); err == nil || took < 10*time.Second || took > 21*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		cancel()
		all.Wait()
	})
}

// TestStormDefaultFanOut: by default, 20 fetches run at once, and the next one
// waits for one of them.
func TestStormDefaultFanOut(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Minute, takes: 500 * time.Millisecond}
		var all sync.WaitGroup
		for i := range 21 {
			all.Go(func() {
				if _, err := c.Load(t.Context(), fmt.Sprint(i), s.fetch); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := c.Stats().InFlight; n != 20 {
			t.Errorf("%d fetches at once, want 20", n)
		}
		all.Wait()
	})
}

func TestStormTrackingConfig(t *testing.T) {
	for _, c := range []caching.StormTrackingConfig{
		{Capacity: -1},
		{FanOut: -1},
		{GracePeriod: -1},
		{GraceInterval: -1},
		{InFlightTTL: -1},
		{GracePeriod: time.Second},
		{GraceInterval: 20 * time.Second},
		{InFlightTTL: 20 * time.Second},
	} {
		if _, err := caching.NewStormTracking(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if _, err := caching.NewLRU(-1); err == nil {
		t.Error("a negative capacity was accepted")
	}
}

func TestCacheConcurrent(t *testing.T) {
	for name, c := range map[string]caching.Cache{"plain": newCache(t, 3), "storm": newStormCache(t, caching.StormTrackingConfig{Capacity: 3})} {
		t.Run(name, func(t *testing.T) {
			s := &source{ttl: 100 * time.Microsecond}
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					for j := range 200 {
						id := fmt.Sprint((i + j) % 7)
						e, err := c.Load(t.Context(), id, s.fetch)
						if err != nil {
							t.Error(err)
							return
						}
						if j%10 == 0 {
							c.Remove(id, e)
						}
					}
				})
			}
			all.Wait()
			if got := c.Stats(); got.InFlight != 0 || got.Entries > 3 {
				t.Errorf("stats %+v", got)
			}
		})
	}
}

// TestCachePrunes: expired entries are dropped even if they aren't requested.
func TestCachePrunes(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		for name, c := range map[string]caching.Cache{"plain": newCache(t, 10), "storm": newStormCache(t, caching.StormTrackingConfig{})} {
			s := &source{ttl: time.Minute}
			want(t, c, "a", s, 1)
			want(t, c, "b", s, 2)
			time.Sleep(time.Minute)
			for _, entries := range []int{2, 1} { // one less for each call, but the new one stays
				want(t, c, "c", s, 3)
				if got := c.Stats().Entries; got != entries {
					t.Errorf("%s: %d entries, want %d", name, got, entries)
				}
			}
		}
	})
}

// TestStormSlowRefresh: in the grace period too, if a fetch takes longer than
// the interval, another one starts in parallel, and the other callers don't
// wait.
func TestStormSlowRefresh(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		slow, fast := &source{ttl: time.Minute}, &source{ttl: time.Minute}
		want(t, c, "a", slow, 1)
		time.Sleep(51 * time.Second)
		slow.takes = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { c.Load(ctx, "a", slow.fetch) })
		synctest.Wait()
		time.Sleep(time.Second - time.Nanosecond)
		want(t, c, "a", slow, 1)
		if n := slow.fetched.Load(); n != 2 {
			t.Errorf("%d fetches within the interval", n)
		}
		time.Sleep(time.Nanosecond)
		want(t, c, "a", fast, 1)
		want(t, c, "a", slow, 1) // the fast fetch's entry
		if s, f := slow.fetched.Load(), fast.fetched.Load(); s != 2 || f != 1 {
			t.Errorf("%d slow and %d fast fetches", s, f)
		}
		cancel()
		all.Wait()
	})
}

// TestStormGraceFanOut: an entry in its grace period is used while other
// fetches exhaust the fan-out.
func TestStormGraceFanOut(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{FanOut: 1})
		s := &source{ttl: time.Minute}
		want(t, c, "a", s, 1)
		time.Sleep(51 * time.Second)
		slow := &source{ttl: time.Minute, takes: 500 * time.Millisecond}
		var all sync.WaitGroup
		all.Go(func() { want(t, c, "b", slow, 1) })
		synctest.Wait()
		start := time.Now()
		want(t, c, "a", s, 1)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v", took)
		}
		all.Wait()
		want(t, c, "a", s, 2)
	})
}

// slowContext is slow to return its error.
type slowContext struct {
	context.Context
	takes time.Duration
}

func (c slowContext) Done() <-chan struct{} {
	time.Sleep(c.takes)
	return c.Context.Done()
}

// TestCacheExpiresWhileWaiting: a caller that wakes late from waiting for
// another's fetch doesn't get an entry that has expired meanwhile.
func TestCacheExpiresWhileWaiting(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c, s := newCache(t, 10), &source{ttl: time.Second, takes: 100 * time.Millisecond}
		var all sync.WaitGroup
		all.Go(func() { want(t, c, "a", s, 1) }) // expires after 1.1 s
		synctest.Wait()
		for takes, value := range map[time.Duration]int64{time.Second: 1, 1100 * time.Millisecond: 2} {
			all.Go(func() {
				e, err := c.Load(slowContext{t.Context(), takes}, "a", s.fetch)
				if err != nil || e.Value != value {
					t.Errorf("after %v: %+v, %v, want the entry of fetch %d", takes, e, err, value)
				}
			})
		}
		all.Wait()
	})
}

// The default fan-out is 20. A negative value is refused, so there is no way to
// turn the limit off.
func TestStormDefaults(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Hour, takes: 500 * time.Millisecond}
		for i := range 50 {
			go c.Load(t.Context(), fmt.Sprint("fan-out ", i), s.fetch)
		}
		synctest.Wait()
		if n := c.Stats().InFlight; n != 20 {
			t.Errorf("%d fetches at once, want 20", n)
		}
		time.Sleep(time.Minute)
		if n := s.fetched.Load(); n != 50 {
			t.Errorf("%d fetches, want 50", n)
		}
	})
	fipstest.Bubble(t, func(t *testing.T) {
		// The grace period is 10 s: an entry is refreshed from then on.
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Minute}
		want(t, c, "a", s, 1)
		time.Sleep(50*time.Second - time.Nanosecond)
		want(t, c, "a", s, 1)
		time.Sleep(time.Nanosecond)
		want(t, c, "a", s, 2)
	})
	fipstest.Bubble(t, func(t *testing.T) {
		// The grace interval is 1 s: then another fetch starts beside a slow
		// one.
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Hour, takes: 5 * time.Second}
		go c.Load(t.Context(), "a", s.fetch)
		time.Sleep(time.Second - time.Nanosecond)
		go c.Load(t.Context(), "a", s.fetch)
		synctest.Wait()
		if n := s.fetched.Load(); n != 1 {
			t.Errorf("%d fetches before the grace interval ends", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := s.fetched.Load(); n != 2 {
			t.Errorf("%d fetches when the grace interval ends, want 2", n)
		}
		time.Sleep(time.Minute)
	})
	fipstest.Bubble(t, func(t *testing.T) {
		// The in-flight TTL is 10 s: no caller waits longer for a free fetch
		// slot.
		c := newStormCache(t, caching.StormTrackingConfig{FanOut: 1})
		s := &source{ttl: time.Hour, takes: time.Minute}
		go c.Load(t.Context(), "a", s.fetch)
		synctest.Wait()
		start := time.Now()
		_, err := c.Load(t.Context(), "b", s.fetch)
		if took := time.Since(start); err == nil || took <= 10*time.Second || took > 11*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Hour)
	})
	fipstest.Bubble(t, func(t *testing.T) {
		c := newStormCache(t, caching.StormTrackingConfig{})
		s := &source{ttl: time.Hour}
		for i := range 1001 {
			want(t, c, fmt.Sprint("entry ", i), s, int64(i+1))
		}
		if got := c.Stats(); got.Entries != 1000 || got.Evictions != 1 {
			t.Errorf("stats %+v, want 1000 entries", got)
		}
	})
}

func TestStormRefusesNegative(t *testing.T) {
	for _, c := range []caching.StormTrackingConfig{
		{Capacity: -1}, {FanOut: -1}, {GracePeriod: -1}, {GraceInterval: -1}, {InFlightTTL: -1},
		// The order of the values would be right, but for the sign.
		{GraceInterval: -2, InFlightTTL: -1, GracePeriod: time.Second},
	} {
		if _, err := caching.NewStormTracking(c); err == nil || err.Error() != "caching: storm tracking: negative value" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// If the context has ended, Load neither fetches nor returns an entry.
func TestCacheContextHasEnded(t *testing.T) {
	for name, c := range map[string]caching.Cache{"plain": newCache(t, 10), "storm": newStormCache(t, caching.StormTrackingConfig{})} {
		s := &source{ttl: time.Hour}
		want(t, c, "a", s, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, id := range []string{"a", "b"} {
			if e, err := c.Load(ctx, id, s.fetch); e != nil || !errors.Is(err, context.Canceled) || s.fetched.Load() != 1 {
				t.Errorf("%s: %v, %v after %d fetches", name, e, err, s.fetched.Load())
			}
		}
	}
}
