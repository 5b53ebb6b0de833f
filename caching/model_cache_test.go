package caching_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"esdk/caching"
	"esdk/internal/fipstest"
	"esdk/internal/modeltest"

	"pgregory.net/rapid"
)

// A cacheOp is a step of a program: after a pause, a Load or a Remove.
type cacheOp struct {
	Pause  time.Duration
	ID     int
	Remove bool // drops the last entry returned for the ID
	Other  bool // or another entry, which isn't stored

	// These describe the fetch of a Load.
	Takes, TTL time.Duration
	Fails      bool
	GivenUp    time.Duration // when the caller gives up; 0 means never
}

// A cacheProgram runs on one cache. The whole program is drawn before it runs,
// so that rapid can shrink it.
type cacheProgram struct {
	Capacity int
	Storm    *caching.StormTrackingConfig
	Ops      []cacheOp
}

const ms = time.Millisecond

func drawCacheProgram(rt *rapid.T) *cacheProgram {
	p := &cacheProgram{Capacity: rapid.IntRange(0, 4).Draw(rt, "capacity")}
	if rapid.Bool().Draw(rt, "storm") {
		p.Capacity = max(p.Capacity, 1)
		p.Storm = &caching.StormTrackingConfig{
			Capacity: p.Capacity, FanOut: rapid.IntRange(1, 3).Draw(rt, "fan-out"),
			GraceInterval: 100 * ms, InFlightTTL: 300 * ms, GracePeriod: 500 * ms,
		}
	}
	span := func(most int, name string) time.Duration {
		return 50 * ms * time.Duration(rapid.IntRange(0, most).Draw(rt, name))
	}
	for range rapid.IntRange(1, 40).Draw(rt, "ops") {
		op := cacheOp{Pause: span(6, "pause"), ID: rapid.IntRange(0, 5).Draw(rt, "id")}
		switch kind := rapid.IntRange(0, 9).Draw(rt, "kind"); {
		case kind == 9:
			op.Remove, op.Other = true, rapid.Bool().Draw(rt, "other")
		default:
			op.Takes, op.TTL, op.Fails = span(12, "takes"), span(40, "TTL"), kind == 8
			if kind == 7 {
				op.GivenUp = span(8, "given up") + 1
			}
		}
		p.Ops = append(p.Ops, op)
	}
	return p
}

func (p *cacheProgram) newCache() (caching.Cache, error) {
	if p.Storm != nil {
		return caching.NewStormTracking(*p.Storm)
	}
	return caching.NewLRU(p.Capacity)
}

// grace is the time before an entry's expiry at which it's fetched again.
func (p *cacheProgram) grace(e *caching.Entry) time.Duration {
	if p.Storm != nil {
		return min(p.Storm.GracePeriod, e.Expires.Sub(e.Created)/2)
	}
	return 0
}

// runOnClock runs drawn programs, each on its own clock, which stands still
// while anything runs.
func runOnClock[P any](t *testing.T, draw func(*rapid.T) P, run func(P) error) {
	t.Helper()
	fipstest.Randomness(t)
	modeltest.Run(t, 100, func(rt *rapid.T) {
		program := draw(rt)
		var err error
		synctest.Test(t, func(*testing.T) { err = run(program) })
		if err != nil {
			rt.Fatalf("%v", err)
		}
	})
}

// TestModelCacheInTurn runs programs one call after the other. A reference
// predicts each result and each count.
func TestModelCacheInTurn(t *testing.T) { runOnClock(t, drawCacheProgram, runCacheInTurn) }

// kept is an entry of the reference, which lists the most recently used first.
type kept struct {
	id    int
	entry *caching.Entry
}

type cacheReference struct {
	*cacheProgram
	kept  []kept
	stats caching.Stats
}

func (r *cacheReference) find(id int) int {
	return slices.IndexFunc(r.kept, func(k kept) bool { return k.id == id })
}

func (r *cacheReference) drop(i int) {
	r.kept = slices.Delete(r.kept, i, i+1)
	r.stats.Evictions++
}

// lookup returns the entry that may be returned, and whether to fetch again.
func (r *cacheReference) lookup(id int, now time.Time) (entry *caching.Entry, fetch bool) {
	// An expired entry is dropped even if it isn't requested.
	if last := len(r.kept) - 1; last >= 0 && !now.Before(r.kept[last].entry.Expires) {
		r.drop(last)
	}
	i := r.find(id)
	if i >= 0 && !now.Before(r.kept[i].entry.Expires) {
		r.drop(i)
		i = -1
	}
	if i < 0 {
		r.stats.Misses++
		return nil, true
	}
	k := r.kept[i]
	r.kept = slices.Insert(slices.Delete(r.kept, i, i+1), 0, k)
	if fetch = !now.Before(k.entry.Expires.Add(-r.grace(k.entry))); fetch {
		r.stats.Misses++
	} else {
		r.stats.Hits++
	}
	return k.entry, fetch
}

func (r *cacheReference) put(id int, entry *caching.Entry, now time.Time) {
	if !now.Before(entry.Expires) || r.Capacity == 0 {
		return
	}
	if i := r.find(id); i >= 0 {
		r.kept = slices.Delete(r.kept, i, i+1)
	}
	r.kept = slices.Insert(r.kept, 0, kept{id, entry})
	for len(r.kept) > r.Capacity {
		r.drop(len(r.kept) - 1)
	}
}

func runCacheInTurn(p *cacheProgram) error {
	cache, err := p.newCache()
	if err != nil {
		return err
	}
	r := &cacheReference{cacheProgram: p}
	for i, op := range p.Ops {
		time.Sleep(op.Pause)
		if op.Remove {
			k := r.find(op.ID)
			entry := new(caching.Entry)
			if k >= 0 && !op.Other {
				entry = r.kept[k].entry
				r.drop(k)
			}
			cache.Remove(fmt.Sprint(op.ID), entry)
		} else if err := r.load(cache, op); err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		want := r.stats
		want.Entries = len(r.kept)
		if got := cache.Stats(); got != want {
			return fmt.Errorf("operation %d: stats %+v, want %+v", i, got, want)
		}
	}
	return nil
}

func (r *cacheReference) load(cache caching.Cache, op cacheOp) error {
	want, fetch := r.lookup(op.ID, time.Now())
	failure := errors.New("fetch failed")
	var made *caching.Entry
	fetched := 0
	got, err := cache.Load(context.Background(), fmt.Sprint(op.ID), func(context.Context) (*caching.Entry, error) {
		fetched++
		made = &caching.Entry{Created: time.Now(), Expires: time.Now().Add(op.TTL)}
		time.Sleep(op.Takes)
		if op.Fails {
			return nil, failure
		}
		return made, nil
	})
	now := time.Now()
	var wantErr error
	switch {
	case fetch && !op.Fails:
		want = made
		r.put(op.ID, made, now)
	case fetch && (want == nil || !now.Before(want.Expires)):
		want, wantErr = nil, failure
	}
	if (fetched == 1) != fetch || fetched > 1 {
		return fmt.Errorf("%d fetches; needed: %t", fetched, fetch)
	}
	if got != want || err != wantErr {
		return fmt.Errorf("got %v, %v, want %v, %v", got, err, want, wantErr)
	}
	return nil
}

// TestModelCacheConcurrent runs the operations of a program at their times,
// whether or not the earlier ones have ended, and checks the promises of the
// cache.
func TestModelCacheConcurrent(t *testing.T) { runOnClock(t, drawCacheProgram, runCacheConcurrent) }

// A fetchRecord describes a fetch. A caller is the operation that made it.
type fetchRecord struct {
	id, caller int
	start, end time.Time
	running    bool
	entry      *caching.Entry
	err        error
}

// A cacheRun is the run of a program, with all its fetches.
type cacheRun struct {
	*cacheProgram
	cache caching.Cache

	mu      sync.Mutex
	fetches []*fetchRecord
	last    map[int]*caching.Entry // returned, by id
	removed bool
	calls   int
	err     error
}

func (r *cacheRun) fail(text string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(text, args...)
	}
}

func runCacheConcurrent(p *cacheProgram) error {
	cache, err := p.newCache()
	if err != nil {
		return err
	}
	r := &cacheRun{cacheProgram: p, cache: cache, last: make(map[int]*caching.Entry)}
	var all sync.WaitGroup
	for i, op := range p.Ops {
		time.Sleep(op.Pause)
		if !op.Remove {
			all.Go(func() { r.load(i, op) })
			continue
		}
		r.mu.Lock()
		entry := r.last[op.ID]
		r.removed = true
		r.mu.Unlock()
		if entry == nil || op.Other {
			entry = new(caching.Entry)
		}
		cache.Remove(fmt.Sprint(op.ID), entry)
	}
	all.Wait()
	s := cache.Stats()
	if s.InFlight != 0 || s.Entries > p.Capacity || s.Misses != uint64(len(r.fetches)) || s.Hits > uint64(r.calls) {
		r.fail("after %d calls, %d of fetch: stats %+v", r.calls, len(r.fetches), s)
	}
	return r.err
}

func (r *cacheRun) load(caller int, op cacheOp) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if op.GivenUp > 0 {
		time.AfterFunc(op.GivenUp, cancel)
	}
	start := time.Now()
	e, err := r.cache.Load(ctx, fmt.Sprint(op.ID), func(ctx context.Context) (*caching.Entry, error) { return r.fetch(ctx, caller, op) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	now, took := time.Now(), time.Since(start)
	var own *fetchRecord
	for _, f := range r.fetches {
		if f.caller == caller {
			if own != nil {
				r.fail("operation %d fetches twice", caller)
			}
			own = f
		}
	}
	if r.Storm != nil {
		most := r.Storm.InFlightTTL + r.Storm.GraceInterval
		if own != nil {
			most += own.end.Sub(own.start)
		}
		if took > most {
			r.fail("operation %d takes %v, more than %v", caller, took, most)
		}
	}
	if err != nil {
		r.checkError(caller, op, own, start, e, err, ctx.Err())
		return
	}
	i := slices.IndexFunc(r.fetches, func(f *fetchRecord) bool { return f.entry != nil && f.entry == e })
	if i < 0 || r.fetches[i].id != op.ID {
		r.fail("operation %d gets an entry that no fetch for its id has made", caller)
		return
	}
	if f := r.fetches[i]; f != own && !now.Before(e.Expires) {
		r.fail("operation %d gets an entry that expired %v ago", caller, now.Sub(e.Expires))
	} else if f != own && own == nil && f.end.Before(start) && took > 0 && !r.removed && !r.fellBack(op.ID, start) {
		r.fail("operation %d waits %v for an entry that is there", caller, took)
	} else if own != nil && own.err == nil && f != own {
		r.fail("operation %d gets another entry than the one that it fetched", caller)
	}
	r.last[op.ID] = e
}

// fellBack reports whether a fetch was running at a time and failed after it.
// Its waiters may have got the previous entry, even if other IDs had evicted it
// meanwhile.
func (r *cacheRun) fellBack(id int, start time.Time) bool {
	return slices.ContainsFunc(r.fetches, func(f *fetchRecord) bool {
		return f.id == id && f.err != nil && !f.running && !f.start.After(start) && !f.end.Before(start)
	})
}

func (r *cacheRun) checkError(caller int, op cacheOp, own *fetchRecord, start time.Time, e *caching.Entry, err, ended error) {
	if e != nil {
		r.fail("operation %d gets an entry and %v", caller, err)
	}
	if ended != nil && errors.Is(err, ended) {
		return
	}
	if own != nil && own.err != err {
		r.fail("operation %d gets %v, not its own %v", caller, err, own.err)
	}
	if r.Storm != nil && strings.Contains(err.Error(), "waited") {
		if took := time.Since(start); took <= r.Storm.InFlightTTL {
			r.fail("operation %d gives up after %v", caller, took)
		}
		return
	}
	for _, f := range r.fetches {
		if f.err == err && f.id == op.ID && !f.running && !f.end.Before(start) {
			return
		}
	}
	r.fail("operation %d gets %v, which is of no fetch that it waited for", caller, err)
}

func (r *cacheRun) fetch(ctx context.Context, caller int, op cacheOp) (*caching.Entry, error) {
	f := &fetchRecord{id: op.ID, caller: caller, start: time.Now(), running: true}
	r.mu.Lock()
	r.checkFetch(f)
	r.fetches = append(r.fetches, f)
	r.mu.Unlock()
	expires := f.start.Add(op.TTL)
	var err error
	select {
	case <-time.After(op.Takes):
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.running, f.end = false, time.Now()
	switch {
	case err != nil:
		f.err = err
	case op.Fails:
		f.err = fmt.Errorf("fetch of operation %d failed", caller)
	default:
		f.entry = &caching.Entry{Value: caller, Created: f.start, Expires: expires}
	}
	return f.entry, f.err
}

// checkFetch is called when a fetch begins, while others may be running.
func (r *cacheRun) checkFetch(f *fetchRecord) {
	running := 1
	var newest *fetchRecord
	for _, other := range r.fetches {
		if other.running {
			running++
		}
		if other.id == f.id {
			newest = other
		}
	}
	if r.Storm != nil && running > r.Storm.FanOut {
		r.fail("%d fetches at once, at most %d are allowed", running, r.Storm.FanOut)
	}
	if newest == nil || !newest.running || r.Capacity == 0 {
		return
	}
	if age := f.start.Sub(newest.start); r.Storm == nil || age < r.Storm.GraceInterval {
		r.fail("operation %d fetches beside operation %d, which has fetched for %v", f.caller, newest.caller, age)
	}
}
