package branchkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/internal/fipstest"
)

// supplied is a Supplier that takes the id from the encryption context.
func supplied(_ context.Context, ec esdk.EncryptionContext) (string, error) { return ec["key"], nil }

// After Warm, messages of the active version need no call to AWS KMS.
func TestWarm(t *testing.T) {
	k := newKMS(t)
	s := k.newStore(t, newFile(t))
	ids := []string{k.newVersions(t, s, 3), k.newVersions(t, s, 1), k.newVersions(t, s, 2)}
	kr := newKeyring(t, KeyringConfig{Store: s, Supplier: supplied})
	k.Reset()
	must(t, Warm(t.Context(), kr, append(ids, ids[0])...))
	if counts := k.Counts(); !maps.Equal(counts, map[string]int{"Decrypt": 6}) {
		t.Errorf("calls of KMS: %v", counts)
	}
	k.Reset()
	client := ok[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr}))
	for _, id := range ids {
		message, _, err := client.Encrypt(t.Context(), []byte("plaintext"), esdk.EncryptionContext{"key": id})
		must(t, err)
		_, _, err = client.Decrypt(t.Context(), message, nil)
		must(t, err)
	}
	must(t, Warm(t.Context(), kr, ids...))
	if n := len(k.Requests()); n != 0 {
		t.Errorf("%d calls of KMS when all was warm", n)
	}
	// A keyring of one branch key needs no ids.
	for _, ids := range [][]string{nil, ids[:1]} {
		own := newKeyring(t, KeyringConfig{Store: s, BranchKeyID: k.newVersions(t, s, 1)})
		if ids != nil {
			own = newKeyring(t, KeyringConfig{Store: s, BranchKeyID: ids[0]})
		}
		k.Reset()
		must(t, Warm(t.Context(), own, ids...))
		wrap(t, own)
		if counts := k.Counts(); !maps.Equal(counts, map[string]int{"Decrypt": 2}) {
			t.Errorf("calls of KMS: %v", counts)
		}
	}
}

func TestWarmErrors(t *testing.T) {
	source := newSource()
	source.add("a")
	own := newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "a"})
	many := newKeyring(t, KeyringConfig{Store: source, Supplier: supplied})
	multi := ok[esdk.Keyring](t)(esdk.NewMultiKeyring(own))
	for name, c := range map[string]struct {
		keyring esdk.Keyring
		ids     []string
		want    string
	}{
		"wrapped":     {multi, []string{"a"}, fmt.Sprintf("%T", multi)},
		"embedded":    {struct{ esdk.Keyring }{own}, nil, "struct"},
		"none":        {nil, nil, "<nil>"},
		"nil":         {(*keyring)(nil), nil, "*branchkey.keyring"},
		"no ids":      {many, nil, "Supplier"},
		"empty id":    {many, []string{"a", ""}, "empty"},
		"another id":  {own, []string{"a", "b"}, `"b"`},
		"NUL":         {many, []string{"a\x00"}, "NUL"},
		"unknown one": {many, []string{"a", "b"}, `"b"`},
	} {
		source.took()
		err := Warm(t.Context(), c.keyring, c.ids...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := source.took(); (n != 0) != (name == "unknown one") {
			t.Errorf("%s: %d calls", name, n)
		}
	}
	// All errors are reported, and the other branch keys are warm.
	kr := newKeyring(t, KeyringConfig{Store: source, Supplier: supplied})
	err := Warm(t.Context(), kr, "x", "a", "y")
	wantError(t, err, ErrNotFound)
	if text := err.Error(); strings.Count(text, "warming branch key") != 2 || !strings.Contains(text, `"x"`) || !strings.Contains(text, `"y"`) {
		t.Error(err)
	}
	source.took()
	if must(t, Warm(t.Context(), kr, "a")); source.took() != 0 {
		t.Error("the good one is not warm")
	}
	// Here the second of the two calls fails.
	source.set(nil, nil)
	half := &halfSource{fakeSource: source}
	err = Warm(t.Context(), newKeyring(t, KeyringConfig{Store: half, BranchKeyID: "a"}))
	wantError(t, err, ErrKMSKey)
}

// halfSource has active versions only.
type halfSource struct{ *fakeSource }

func (h *halfSource) BranchKeyVersion(context.Context, string, string) (*Key, error) {
	return nil, ErrKMSKey
}

// slowSource takes a second per key, and counts concurrent calls.
type slowSource struct {
	*fakeSource
	now, most atomic.Int64
}

func (s *slowSource) enter() {
	n := s.now.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	s.now.Add(-1)
}

func (s *slowSource) ActiveBranchKey(ctx context.Context, id string) (*Key, error) {
	s.enter()
	return s.fakeSource.ActiveBranchKey(ctx, id)
}

func (s *slowSource) BranchKeyVersion(ctx context.Context, id, version string) (*Key, error) {
	s.enter()
	return s.fakeSource.BranchKeyVersion(ctx, id, version)
}

// Warm fetches several keys at the same time, but a bounded number. When its
// context ends, Warm ends with the context's error.
func TestWarmAtOnce(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		source := &slowSource{fakeSource: newSource()}
		var ids []string
		for n := range 10 * warmers {
			ids = append(ids, fmt.Sprint("key ", n))
			source.add(ids[n])
		}
		for name, cache := range map[string]caching.Cache{
			"plain": ok[caching.Cache](t)(caching.NewLRU(1000)), "storm": ok[caching.Cache](t)(caching.NewStormTracking(caching.StormTrackingConfig{})),
		} {
			start := time.Now()
			source.most.Store(0)
			must(t, Warm(t.Context(), newKeyring(t, KeyringConfig{Store: source, Supplier: supplied, Cache: cache}), ids...))
			if took, most := time.Since(start), source.most.Load(); took != 20*time.Second || most != warmers {
				t.Errorf("%s: took %v, %d at once", name, took, most)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		start := time.Now()
		source.took()
		err := Warm(ctx, newKeyring(t, KeyringConfig{Store: source, Supplier: supplied, Cache: newCache(t)}), ids...)
		if wantError(t, err, context.DeadlineExceeded); time.Since(start) > 5*time.Second || errors.Is(err, ErrNotFound) {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if n := source.took(); n > 4*warmers {
			t.Errorf("%d calls before the end", n)
		}
		synctest.Wait()
	})
}
