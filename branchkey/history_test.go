package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An event is a write of a register, or a read. The states of the register are
// numbered in the order of the writes, and the state before the first write is
// 0. The event happened at some moment between start and end.
type event struct {
	write      bool
	state      int
	start, end int64
	what       fmt.Stringer
}

// linearizable fails unless all events could have happened one after the other,
// each within its interval. Since the order of the writes is known, checking
// pairs is enough: an event that ended before another one began must not have
// to come after it.
func linearizable(events []event) error {
	for _, a := range events {
		for _, b := range events {
			if a.end >= b.start {
				continue
			}
			// The write of a state comes before its reads.
			if a.state > b.state || a.state == b.state && b.write {
				return fmt.Errorf("(%v) saw or made state %d, and later (%v) state %d", a.what, a.state, b.what, b.state)
			}
		}
	}
	return nil
}

type label string

func (l label) String() string { return string(l) }

// TestLinearizable verifies the checker with known good and bad histories.
func TestLinearizable(t *testing.T) {
	write := func(state int, start, end int64) event { return event{true, state, start, end, label("write")} }
	read := func(state int, start, end int64) event { return event{false, state, start, end, label("read")} }
	for name, c := range map[string]struct {
		events []event
		good   bool
	}{
		"in turn":                    {[]event{read(0, 1, 2), write(1, 3, 4), read(1, 5, 6), write(2, 7, 8), read(2, 9, 10)}, true},
		"old during a write":         {[]event{write(1, 1, 2), write(2, 3, 9), read(1, 4, 5)}, true},
		"new during a write":         {[]event{write(1, 1, 2), write(2, 3, 9), read(2, 4, 5), read(2, 6, 7)}, true},
		"write that never ends":      {[]event{write(1, 1, math.MaxInt64), read(0, 2, 3), read(1, 4, 5)}, true},
		"stale":                      {[]event{write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)}, false},
		"nothing after a write":      {[]event{write(1, 1, 2), read(0, 3, 4)}, false},
		"before the write":           {[]event{read(1, 1, 2), write(1, 3, 4)}, false},
		"old after new":              {[]event{write(1, 1, 2), write(2, 3, 9), read(2, 4, 5), read(1, 6, 7)}, false},
		"writes in the wrong order":  {[]event{write(2, 1, 2), write(1, 3, 4)}, false},
		"read of a write that began": {[]event{write(1, 1, 9), read(1, 2, 3)}, true},
	} {
		if err := linearizable(c.events); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// check compares the history of a program with the reference.
func (m *model) check(t *rapid.T) {
	states := map[string][]*write{}
	for _, id := range m.ids {
		states[id] = m.chain(t, id)
	}
	secrets := map[string]string{} // by id and version
	for _, c := range m.calls {
		m.tally.count(c)
		m.checkCall(c, states[c.id], secrets)
	}
	for _, id := range m.ids {
		if err := linearizable(m.events(id, states[id])); err != nil {
			m.problem("branch key %q: %v", id, err)
		}
	}
	reopened, err := m.client()
	if err != nil {
		t.Fatal(err)
	}
	storages := []Storage{reopened}
	if m.images != nil {
		storages = append(storages, m.images(m)...)
	}
	for _, s := range storages {
		end := m.storeOn(t, s, KMSConfig{KeyARN: m.second, Former: []string{m.kms.arn}})
		m.checkEnd(end, states, secrets)
		m.checkRekeyAlone(end, states)
		m.checkEnd(end, states, secrets)
		m.checkMessages(t, end)
	}
	m.checkDistinct(secrets)
	if len(m.problems) > 0 {
		for _, c := range m.calls {
			t.Log(c)
		}
		t.Fatal(strings.Join(m.problems, "\n"))
	}
}

// chain returns the states of a branch key in order. State 0 is nil: the branch
// key doesn't exist. Each write that happened must have replaced the state
// before it.
func (m *model) chain(t *rapid.T, id string) []*write {
	storage, err := m.client()
	if err != nil {
		t.Fatal(err)
	}
	m.decide(storage, id)
	states := []*write{nil}
	for _, w := range m.past(storage, id, activeType) {
		if w.version != "" {
			states = append(states, w)
		}
		w.index = len(states) - 1
	}
	return states
}

// decide determines which writes happened, each completely or not at all.
func (m *model) decide(storage Storage, id string) {
	done := map[*write]int{} // how many puts
	types := map[string]bool{}
	for _, w := range m.writes {
		for _, p := range w.puts {
			types[p.Item.Type] = true
		}
	}
	for itemType := range types {
		for _, w := range m.past(storage, id, itemType) {
			done[w]++
		}
	}
	for _, w := range m.writes {
		if w.id != id {
			continue
		}
		if w.committed = done[w] > 0; w.committed && done[w] != len(w.puts) {
			m.problem("branch key %q: %d of %d puts of a write happened", id, done[w], len(w.puts))
		}
		if w.err == nil && w.end != 0 && !w.committed {
			m.problem("branch key %q: a write of (%v) is lost", id, w.call)
		}
	}
}

// past returns the writes that an item went through, the last one last. Each
// key was encrypted once, so its ciphertext identifies the write.
func (m *model) past(storage Storage, id, itemType string) (writes []*write) {
	item, err := storage.Get(context.Background(), id, itemType, true)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		m.problem("branch key %q: %s at the end: %v", id, itemType, err)
		return nil
	}
	for enc := item.Enc; enc != nil; {
		w, p := m.writerOf(id, itemType, enc)
		if w == nil || len(writes) == 0 && !sameItem(item, p.Item) {
			m.problem("branch key %q: nobody wrote %s as it is or was: %v", id, itemType, item)
			return nil
		}
		writes = append(writes, w)
		enc = p.Replaces
	}
	slices.Reverse(writes)
	return writes
}

func (m *model) writerOf(id, itemType string, enc []byte) (*write, Put) {
	for _, w := range m.writes {
		for _, p := range w.puts {
			if w.id == id && p.Item.Type == itemType && bytes.Equal(p.Item.Enc, enc) {
				return w, p
			}
		}
	}
	return nil, Put{}
}

// checkCall compares one call with the states of its branch key.
func (m *model) checkCall(c *call, states []*write, secrets map[string]string) {
	if c.action == sleep || c.action == unwrapDataKey && c.wrapped == nil {
		return
	}
	if c.err != nil {
		m.checkFailure(c, states)
		return
	}
	switch c.action {
	case createKey, versionKey:
		// If two writes read the same state, one may replace it; neither may
		// replace another state.
		if w := m.writeOf(c); w != nil && !bytes.Equal(w.replaces, c.read) {
			m.problem("(%v) replaced another state than it read", c)
		}
		if w := m.writeOf(c); w == nil || !w.committed || w.err != nil || w.end == 0 || w.end > c.end {
			m.problem("(%v) returned without its write: %+v", c, w)
		}
	case rekeyBranchKey:
		m.checkRekey(c, states)
	case listEntries:
		m.checkList(c, states)
	case wrapDataKey:
		m.checkWrap(c, states)
	case unwrapDataKey:
		if !bytes.Equal(c.dataKey, c.wrapped.dataKey) {
			m.problem("(%v) returned another data key", c)
		}
		c.version = c.wrapped.version
	default:
		m.checkKey(c, c.got, secrets)
		if c.action != readBeacon && find(states, c.got.Version) == nil || c.action == readVersion && c.got.Version != c.version {
			m.problem("(%v) returned version %s", c, c.got.Version)
		}
	}
}

func (m *model) writeOf(c *call) (found *write) {
	for _, w := range m.writes {
		if w.call == c {
			found = w
		}
	}
	return found
}

func find(states []*write, version string) *write {
	for _, w := range states {
		if w != nil && w.version == version {
			return w
		}
	}
	return nil
}

// checkKey compares a key with earlier reads of it.
func (m *model) checkKey(what any, k *Key, secrets map[string]string) {
	name := k.ID + "\x00" + k.Version
	before, known := secrets[name]
	if known && before != string(k.Secret) {
		m.problem("(%v) returned %v with other bytes than before", what, k)
	}
	secrets[name] = string(k.Secret)
	if len(k.Secret) != keyLength || k.KMSKeyARN != m.kms.arn && k.KMSKeyARN != m.second || !maps.Equal(k.EncryptionContext, modelContext) {
		m.problem("(%v) returned %v with %d bytes, of %s, with %v", what, k, len(k.Secret), k.KMSKeyARN, k.EncryptionContext)
	}
	if c, ok := what.(*call); ok && k.ID != c.id {
		m.problem("(%v) returned a key of %q", c, k.ID)
	}
}

// checkFailure checks the error of a failed call: it must be a documented error
// with a true cause, or the result of a fault.
func (m *model) checkFailure(c *call, states []*write) {
	w := m.writeOf(c)
	switch {
	case errors.Is(c.err, ErrExists) && c.action == createKey, errors.Is(c.err, ErrConflict) && c.action == versionKey:
		if w == nil || w.committed || !m.lostTo(w) {
			m.problem("(%v): no other write came before", c)
		}
	case errors.Is(c.err, ErrConflict) && c.action == rekeyBranchKey:
		m.checkDisturbed(c)
	case errors.Is(c.err, ErrKMSKey):
		m.checkForeign(c)
	case errors.Is(c.err, ErrNotFound):
		m.checkNotFound(c, states)
	case !c.faulted.Load() && !m.sharedFault(c):
		m.problem("(%v): nothing went wrong", c)
	}
}

// lostTo reports whether another write replaced the state that w expects.
func (m *model) lostTo(w *write) bool {
	for _, other := range m.writes {
		if other != w && other.committed && other.id == w.id && bytes.Equal(other.replaces, w.replaces) && other.start < w.end {
			return true
		}
	}
	return false
}

// checkNotFound: reads of the active key are checked with the register. A
// written version is visible to every read that begins later.
func (m *model) checkNotFound(c *call, states []*write) {
	if c.action == readBeacon && len(states) > 1 && states[1].ended() < c.start {
		m.problem("(%v): it was created before", c)
	}
	if c.action == unwrapDataKey {
		m.problem("(%v): it was wrapped with the version", c)
	}
	if w := find(states, c.version); c.action == readVersion && w != nil && w.ended() < c.start {
		m.problem("(%v): it was written before", c)
	}
}

// ended returns the time by which a write must have happened; a failed write
// may have happened at any time.
func (w *write) ended() int64 {
	if w.err != nil || w.end == 0 {
		return math.MaxInt64
	}
	return w.end
}

// sharedFault reports whether a keyring may have seen the fault of another one,
// which fetched on behalf of both.
func (m *model) sharedFault(c *call) bool {
	if c.action != wrapDataKey && c.action != unwrapDataKey {
		return false
	}
	if m.storm && strings.Contains(c.err.Error(), "for another call to the key service") {
		return true
	}
	for _, f := range m.faults {
		// A fetch outlives the call that began it, if the call gave up.
		gaveUp := f.call.fault.kind == cancelled || f.call.fault.kind == abandoned
		if f.at < c.end && (gaveUp || c.start < f.call.end) {
			return true
		}
	}
	return false
}

// checkWrap: a keyring wraps with a version that was active at some time
// between the call's start minus its TTL and the call's end.
func (m *model) checkWrap(c *call, states []*write) {
	c.version = c.wrapped.version
	w := find(states, c.version)
	if w == nil || w.start > c.end || c.wrapped.id != c.id {
		m.problem("(%v) wrapped with version %s of %q", c, c.version, c.wrapped.id)
		return
	}
	if w.index+1 == len(states) {
		return
	}
	next := states[w.index+1]
	if next.ended() < c.start && next.to.Before(c.from.Add(-m.clients[c.client].ttl)) {
		m.problem("(%v) wrapped with a version that was replaced %v before, TTL %v", c, c.from.Sub(next.to), m.clients[c.client].ttl)
	}
}

// events returns the history of a branch key's active item.
func (m *model) events(id string, states []*write) (events []event) {
	for _, w := range states[1:] {
		events = append(events, event{true, w.index, w.start, w.ended(), w.call})
	}
	for _, c := range m.calls {
		if c.id != id {
			continue
		}
		switch {
		case errors.Is(c.err, ErrNotFound) && (c.action == readActive || c.action == versionKey || c.action == rekeyBranchKey):
			events = append(events, event{false, 0, c.start, c.end, c})
		case c.action == readActive && c.err == nil:
			if w := find(states, c.got.Version); w != nil {
				events = append(events, event{false, w.index, c.start, c.end, c})
			}
		case c.action == versionKey:
			// It read the active key before it wrote.
			if w := m.writeOf(c); w != nil {
				if read, _ := m.writerOf(id, activeType, w.replaces); read != nil && read.committed {
					events = append(events, event{false, read.index, c.start, w.start, c})
				}
			}
		case c.action == listEntries && c.err == nil:
			events = append(events, m.listEvent(c, states))
		}
	}
	return events
}

// checkEnd reads every version ever written, without faults.
func (m *model) checkEnd(s *Store, states map[string][]*write, secrets map[string]string) {
	ctx := context.Background()
	for id, all := range states {
		for _, w := range all[1:] {
			k, err := s.BranchKeyVersion(ctx, id, w.version)
			if err != nil {
				m.problem("at the end, version %s of %q: %v", w.version, id, err)
				return
			}
			m.checkKey("the end", k, secrets)
		}
		if len(all) == 1 {
			continue
		}
		active, err := s.ActiveBranchKey(ctx, id)
		beacon, beaconErr := s.BeaconKey(ctx, id)
		if err := errors.Join(err, beaconErr); err != nil {
			m.problem("at the end, %q: %v", id, err)
			return
		}
		m.checkKey("the end", active, secrets)
		m.checkKey("the end", beacon, secrets)
		if active.Version != all[len(all)-1].version {
			m.problem("at the end, %q has the active version %s", id, active.Version)
		}
	}
}

// checkDistinct: versions, branch keys and beacon keys all have different
// secrets.
func (m *model) checkDistinct(secrets map[string]string) {
	seen := map[string]string{}
	for name, secret := range secrets {
		if other, ok := seen[secret]; ok {
			m.problem("%q and %q have one secret", name, other)
		}
		seen[secret] = name
	}
}
