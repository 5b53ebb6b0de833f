package caching_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"esdk/caching"

	"pgregory.net/rapid"

	"esdk"
)

// A cachingProgram runs on several caching CMMs that share one cache, each with
// its own limits.
type cachingProgram struct {
	Storm bool
	CMMs  []cachingLimits
	Ops   []cachingOp
}

type cachingLimits struct {
	Age      time.Duration
	Messages uint64
	Bytes    int64
}

// A cachingOp asks one of the CMMs for materials, after a pause.
type cachingOp struct {
	Pause       time.Duration
	CMM, Tenant int
	Length      int64
	Takes       time.Duration // if the key service is called
	Fails       bool
}

const cachingGrace = 500 * ms

func drawCachingProgram(rt *rapid.T) *cachingProgram {
	p := &cachingProgram{Storm: rapid.Bool().Draw(rt, "storm")}
	for range rapid.IntRange(1, 3).Draw(rt, "CMMs") {
		p.CMMs = append(p.CMMs, cachingLimits{
			Age:      rapid.SampledFrom([]time.Duration{cachingGrace, 600 * ms, time.Second, 3 * time.Second}).Draw(rt, "age"),
			Messages: rapid.SampledFrom([]uint64{1, 2, 3, 5, 1 << 32}).Draw(rt, "messages"),
			Bytes:    rapid.SampledFrom([]int64{1, 10, 30, 55, math.MaxInt64}).Draw(rt, "bytes"),
		})
	}
	for range rapid.IntRange(1, 40).Draw(rt, "ops") {
		p.Ops = append(p.Ops, cachingOp{
			Pause:  50 * ms * time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 5, 20}).Draw(rt, "pause")),
			CMM:    rapid.IntRange(0, len(p.CMMs)-1).Draw(rt, "CMM"),
			Tenant: rapid.IntRange(0, 1).Draw(rt, "tenant"),
			Length: rapid.SampledFrom([]int64{0, 1, 5, 10, 11, -1, math.MaxInt64}).Draw(rt, "length"),
			Takes:  50 * ms * time.Duration(rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(rt, "takes")),
			Fails:  rapid.IntRange(0, 9).Draw(rt, "fails") == 9,
		})
	}
	return p
}

// A modelKey is a data key, with a record of its use.
type modelKey struct {
	made  time.Time
	owner int // the operation that it was made for
	age   time.Duration
	uses  []modelUse
}

// A modelUse is the use of a data key by an operation.
type modelUse struct {
	at time.Time
	op int
}

type cachingRun struct {
	*cachingProgram
	mu      sync.Mutex
	keys    map[string]*modelKey
	fetches map[int]int // by operation: calls to the key service
	err     error
}

func (r *cachingRun) fail(text string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(text, args...)
	}
}

type opKey struct{}

// EncryptionMaterials is the key service. The context tells it which operation
// is calling.
func (r *cachingRun) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	i := ctx.Value(opKey{}).(int)
	op := r.Ops[i]
	made := time.Now()
	r.mu.Lock()
	r.fetches[i]++
	id := fmt.Sprintf("%-32s", fmt.Sprintf("data key %d of operation %d", r.fetches[i], i))
	r.mu.Unlock()
	time.Sleep(op.Takes)
	if op.Fails {
		return nil, errKeyService
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[id] = &modelKey{made: made, owner: i, age: r.CMMs[op.CMM].Age}
	return &esdk.EncryptionMaterials{
		Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: req.EncryptionContext, DataKey: []byte(id),
		EncryptedDataKeys: []esdk.EncryptedDataKey{{ProviderID: "key service"}},
	}, nil
}

var errKeyService = errors.New("key service is down")

func (*cachingRun) DecryptionMaterials(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return nil, errNotAsked
}

// start returns no run if a CMM is rejected as expected.
func (p *cachingProgram) start() (*cachingRun, []esdk.CMM, error) {
	r := &cachingRun{cachingProgram: p, keys: make(map[string]*modelKey), fetches: make(map[int]int)}
	cache, err := caching.NewLRU(10)
	if p.Storm {
		cache, err = caching.NewStormTracking(caching.StormTrackingConfig{GraceInterval: 100 * ms, InFlightTTL: 300 * ms, GracePeriod: cachingGrace})
	}
	var cmms []esdk.CMM
	for _, l := range p.CMMs {
		cmm, newErr := caching.NewCMM(caching.Config{
			CMM: r, Cache: cache, Partition: "p", MaxAge: l.Age, MaxMessages: l.Messages, MaxBytes: l.Bytes,
		})
		// Otherwise it would silently never cache.
		if refused := newErr != nil; refused != (p.Storm && l.Age <= cachingGrace) {
			r.fail("MaxAge %v: %v", l.Age, newErr)
		}
		if newErr != nil {
			return nil, nil, r.err
		}
		cmms = append(cmms, cmm)
	}
	return r, cmms, cmp.Or(err, r.err)
}

// ask runs an operation and records it. It returns the data key.
func (r *cachingRun) ask(cmm esdk.CMM, i int) (*modelKey, error) {
	op, start := r.Ops[i], time.Now()
	m, err := cmm.EncryptionMaterials(context.WithValue(context.Background(), opKey{}, i), &esdk.EncryptionRequest{
		EncryptionContext: esdk.EncryptionContext{"tenant": fmt.Sprint(op.Tenant)}, PlaintextLength: op.Length,
	})
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	key := r.keys[string(m.DataKey)]
	if m.EncryptionContext["tenant"] != fmt.Sprint(op.Tenant) || r.Ops[key.owner].Tenant != op.Tenant {
		r.fail("operation %d gets a data key of another context", i)
	}
	if limit := r.CMMs[op.CMM].Age; key.made.Before(start) && now.Sub(key.made) >= limit {
		r.fail("operation %d gets a data key that is %v old, of less than %v", i, now.Sub(key.made), limit)
	}
	// After a failed fetch, a call falls back on the old entry, which others
	// may use up first.
	if r.fetches[i] > 1 && !op.Fails {
		r.fail("operation %d asks the key service %d times", i, r.fetches[i])
	}
	key.uses = append(key.uses, modelUse{now, i})
	return key, nil
}

// checkBooks checks the uses of each data key against the limits of the CMMs
// that used it, counted over all of them. The order of simultaneous uses isn't
// known; then some order must keep the limits.
func (r *cachingRun) checkBooks() {
	limits := func(u modelUse) cachingLimits { return r.CMMs[r.Ops[u.op].CMM] }
	for id, key := range r.keys {
		if op := r.Ops[key.owner]; len(key.uses) > 0 && (op.Length < 0 || op.Length > limits(key.uses[0]).Bytes) && len(key.uses) > 1 {
			r.fail("%s, which is not cached, is used %d times", id, len(key.uses))
		}
		if len(key.uses) < 2 {
			continue
		}
		slices.SortStableFunc(key.uses, func(a, b modelUse) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(limits(a).Messages, limits(b).Messages))
		})
		for n, u := range key.uses {
			if most := limits(u).Messages; uint64(n+1) > most {
				r.fail("%s is used for message %d by operation %d, of at most %d", id, n+1, u.op, most)
			}
		}
		slices.SortStableFunc(key.uses, func(a, b modelUse) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(limits(a).Bytes, limits(b).Bytes))
		})
		sum := uint64(0)
		for _, u := range key.uses {
			sum += uint64(r.Ops[u.op].Length)
			if most := limits(u).Bytes; sum > uint64(most) {
				r.fail("%s is used for byte %d by operation %d, of at most %d", id, sum, u.op, most)
			}
		}
	}
}

// TestModelCachingConcurrent runs the operations of a program at their times.
func TestModelCachingConcurrent(t *testing.T) {
	runOnClock(t, drawCachingProgram, func(p *cachingProgram) error {
		r, cmms, err := p.start()
		if r == nil || err != nil {
			return err
		}
		var all sync.WaitGroup
		for i, op := range p.Ops {
			time.Sleep(op.Pause)
			all.Go(func() { r.ask(cmms[op.CMM], i) })
		}
		all.Wait()
		r.checkBooks()
		return r.err
	})
}

// TestModelCachingInTurn runs the operations one after the other, and compares
// the data key of each with a reference: none is fetched unless it's needed.
func TestModelCachingInTurn(t *testing.T) {
	runOnClock(t, drawCachingProgram, func(p *cachingProgram) error {
		r, cmms, err := p.start()
		if r == nil || err != nil {
			return err
		}
		current := make(map[int]*modelKey) // kept in the cache, by tenant
		for i, op := range p.Ops {
			time.Sleep(op.Pause)
			now := time.Now()
			want := current[op.Tenant]
			cached := op.Length >= 0 && op.Length <= p.CMMs[op.CMM].Bytes
			usable := cached && want != nil && r.usable(want, i, now)
			grace := p.Storm && usable && !now.Before(want.made.Add(want.age-min(cachingGrace, want.age/2)))
			key, err := r.ask(cmms[op.CMM], i)
			switch {
			case usable && grace && op.Fails && r.usable(want, i, time.Now()):
				if key != want || err != nil || r.fetches[i] != 1 {
					r.fail("operation %d gets %+v, %v after %d fetches, want the old data key", i, key, err, r.fetches[i])
				}
			case usable && !grace:
				if key != want || err != nil || r.fetches[i] != 0 {
					r.fail("operation %d gets %+v, %v, and need not fetch", i, key, err)
				}
			case op.Fails:
				if !errors.Is(err, errKeyService) {
					r.fail("operation %d: %v, want an error", i, err)
				}
				if cached && want != nil && !grace { // it turned out to be unusable
					delete(current, op.Tenant)
				}
			case err != nil || key.owner != i || r.fetches[i] != 1:
				r.fail("operation %d gets %+v, %v after %d fetches, want a new data key", i, key, err, r.fetches[i])
			case cached && time.Now().Before(key.made.Add(key.age)):
				current[op.Tenant] = key
			}
			if r.err != nil {
				break
			}
			// The CMM that uses a data key for its last message removes it from
			// the cache.
			if key != nil && key == current[op.Tenant] && uint64(len(key.uses)) >= p.CMMs[op.CMM].Messages {
				delete(current, op.Tenant)
			}
		}
		r.checkBooks()
		return r.err
	})
}

// usable reports whether a stored data key may serve an operation.
func (r *cachingRun) usable(key *modelKey, i int, now time.Time) bool {
	l, age := r.CMMs[r.Ops[i].CMM], now.Sub(key.made)
	sum := uint64(r.Ops[i].Length)
	for _, u := range key.uses {
		if u.op != i {
			sum += uint64(r.Ops[u.op].Length)
		}
	}
	uses := slices.DeleteFunc(slices.Clone(key.uses), func(u modelUse) bool { return u.op == i })
	return age < key.age && age < l.Age && uint64(len(uses)) < l.Messages && sum <= uint64(l.Bytes)
}
