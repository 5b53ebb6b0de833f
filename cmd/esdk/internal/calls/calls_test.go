package calls

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"esdk/caching"
)

// TestCounts checks that an input counts the calls made for it, and that the
// run counts all calls.
func TestCounts(t *testing.T) {
	ctx, run := New(t.Context())
	lru, err := caching.NewLRU(1)
	if err != nil {
		t.Fatal(err)
	}
	cache := Cache(ctx, lru)
	if _, ok := cache.(graceful); !ok {
		t.Error("the cache hides its grace period")
	}
	load := func(ctx context.Context, id string) {
		_, err := cache.Load(ctx, id, func(ctx context.Context) (*caching.Entry, error) {
			KMS(ctx, "Decrypt")
			return &caching.Entry{Expires: time.Now().Add(time.Hour)}, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	inA, a := New(ctx)
	inB, b := New(ctx)
	_, none := New(ctx)
	load(inA, "x")
	load(inA, "x")
	load(inB, "x")
	load(inB, "y")
	KMS(inB, "GenerateDataKey")
	KMS(t.Context(), "Encrypt") // in no Counter
	if _, err := cache.Load(inB, "z", func(context.Context) (*caching.Entry, error) { return nil, errors.New("no") }); err == nil {
		t.Error("a failed fetch has no error")
	}
	for _, c := range []struct {
		name string
		got  Counts
		want Counts
		text string
	}{
		{"a", a.Counts(), Counts{map[string]int64{"Decrypt": 1}, &CacheCounts{Hits: 1, Misses: 1}}, "AWS KMS: 1 Decrypt; cache: 1 hit, 1 miss"},
		{"b", b.Counts(), Counts{map[string]int64{"Decrypt": 1, "GenerateDataKey": 1}, &CacheCounts{Hits: 1, Misses: 2}}, "AWS KMS: 1 Decrypt, 1 GenerateDataKey; cache: 1 hit, 2 misses"},
		{"run", run.Counts(), Counts{map[string]int64{"Decrypt": 2, "GenerateDataKey": 1}, &CacheCounts{2, 3, 1, 1}}, "AWS KMS: 2 Decrypt, 1 GenerateDataKey; cache: 2 hits, 3 misses"},
		{"none", none.Counts(), Counts{}, ""},
	} {
		if !reflect.DeepEqual(c.got, c.want) || c.got.String() != c.text {
			t.Errorf("%s: %+v %+v, %q", c.name, c.got, c.got.Cache, c.got)
		}
	}
}

// TestShared checks that a caller that gets the entry another one is fetching
// counts a hit.
func TestShared(t *testing.T) {
	ctx, run := New(t.Context())
	lru, err := caching.NewLRU(10)
	if err != nil {
		t.Fatal(err)
	}
	cache := Cache(ctx, lru)
	const callers = 20
	var ready, done sync.WaitGroup
	ready.Add(1)
	for range callers {
		done.Go(func() {
			ready.Wait()
			own, _ := New(ctx)
			cache.Load(own, "x", func(context.Context) (*caching.Entry, error) {
				return &caching.Entry{Expires: time.Now().Add(time.Hour)}, nil
			})
		})
	}
	ready.Done()
	done.Wait()
	if got := run.Counts().Cache; *got != (CacheCounts{Hits: callers - 1, Misses: 1, Entries: 1}) {
		t.Errorf("%+v", got)
	}
}
