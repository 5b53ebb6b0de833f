package branchkey

import (
	"bytes"
	"context"
	"slices"
	"time"

	"pgregory.net/rapid"

	"esdk"
	"esdk/caching"
)

// kmsConfigs returns the configurations of clients while a branch key is
// re-keyed. The last one does not know the second key.
func (w *modelWorld) kmsConfigs() []KMSConfig {
	first, second := w.kms.arn, w.second
	return []KMSConfig{
		{KeyARN: first, Former: []string{second}},
		{KeyARN: second, Former: []string{first}},
		{KeyARN: second, Former: []string{first}},
		{KeyARN: first},
	}
}

// checkRekey: if all runs re-key to the same key, every version created before
// the run last looked at the active item is under that key for good, even if
// others keep creating versions under the old one.
func (m *model) checkRekey(c *call, states []*write) {
	changed := 0
	for _, w := range m.writes {
		if w.call == c && w.err == nil {
			changed++
		}
	}
	if c.changed != changed {
		m.problem("(%v) changed %d items and says %d", c, changed, c.changed)
	}
	if len(states) == 1 {
		m.problem("(%v) re-keyed what is not there", c)
		return
	}
	if !m.oneWay {
		return
	}
	must := []string{}
	for _, w := range states[1:] {
		if w.ended() < c.readAt {
			must = append(must, versionPrefix+w.version)
		}
	}
	if states[1].ended() < c.readAt {
		must = append(must, beaconType)
	}
	storage, err := m.client()
	if err != nil {
		m.problem("%v", err)
		return
	}
	for _, itemType := range must {
		item, err := storage.Get(context.Background(), c.id, itemType, true)
		if err != nil || item.Attributes[kmsARNAttribute] != c.to {
			m.problem("(%v) left %s: %v, %v", c, itemType, item, err)
		}
	}
}

// checkDisturbed: a run gives up only if others change the branch key.
func (m *model) checkDisturbed(c *call) {
	others := 0
	for _, w := range m.writes {
		if w.call != c && w.committed && w.id == c.id && w.start < c.end && w.ended() > c.start {
			others++
		}
	}
	if others < rekeyPasses {
		m.problem("(%v): only %d other writes", c, others)
	}
}

// checkForeign: a client that does not know the second key can't use items
// under it. A keyring may see the error of another one, which fetched on behalf
// of both.
func (m *model) checkForeign(c *call) {
	ignorant := func(client *modelClient) bool { return len(client.kms.Former) == 0 }
	shares := c.action == wrapDataKey || c.action == unwrapDataKey
	if !ignorant(m.clients[c.client]) && !(shares && slices.ContainsFunc(m.clients, ignorant)) {
		m.problem("(%v): it knows both keys", c)
	}
	for _, w := range m.writes {
		if w.id == c.id && w.puts[0].Item.Attributes[kmsARNAttribute] == m.second && w.start < c.end {
			return
		}
	}
	m.problem("(%v): nothing was of another key", c)
}

// checkList: each earlier item is in the list once, and nothing else.
func (m *model) checkList(c *call, states []*write) {
	listed := map[string]int{}
	for _, e := range c.entries {
		listed[e.Type]++
		w := find(states, e.Version)
		if e.ID != c.id || listed[e.Type] > 1 || !e.Beacon() && (w == nil || w.start > c.end) || (e.Type == activeType) != e.Active {
			m.problem("(%v) lists %+v", c, e)
		}
	}
	for _, w := range states[1:] {
		if w.ended() < c.start && listed[versionPrefix+w.version]*listed[activeType]*listed[beaconType] != 1 {
			m.problem("(%v) lists %v, without version %s", c, listed, w.version)
		}
	}
}

// listEvent returns the event that a list read the active key.
func (m *model) listEvent(c *call, states []*write) event {
	state := 0
	for _, e := range c.entries {
		if w := find(states, e.Version); e.Active && w != nil {
			state = w.index
		}
	}
	return event{false, state, c.start, c.end, c}
}

// checkRekeyAlone: one more run, without other clients, leaves nothing under
// the old key.
func (m *model) checkRekeyAlone(s *Store, states map[string][]*write) {
	ctx := context.Background()
	for id, all := range states {
		if len(all) == 1 {
			continue
		}
		if n, err := s.RekeyBranchKey(ctx, id, m.second); err != nil {
			m.problem("at the end, %q: re-keyed %d: %v", id, n, err)
		}
		if n, err := s.RekeyBranchKey(ctx, id, m.second); err != nil || n != 0 {
			m.problem("at the end, %q: re-keyed %d once more: %v", id, n, err)
		}
		entries, err := collect(s.List(ctx, id))
		if err != nil || len(entries) != len(all)+1 { // all starts with nil; each branch key has an active item and a beacon key
			m.problem("at the end, %q: %d entries of %d versions: %v", id, len(entries), len(all)-1, err)
		}
		for _, e := range entries {
			if e.KMSKeyARN != m.second {
				m.problem("at the end, %q is of the old key: %+v", id, e)
			}
		}
	}
}

// checkMessages unwraps every data key that was ever wrapped.
func (m *model) checkMessages(t *rapid.T, s *Store) {
	cache, err := caching.NewLRU(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.wrapped {
		kr, err := NewKeyring(KeyringConfig{Store: s, BranchKeyID: w.id, TTL: time.Hour, Cache: cache, PartitionID: "end"})
		if err != nil {
			t.Fatal(err)
		}
		dataKey, err := kr.Unwrap(context.Background(), &esdk.UnwrapRequest{
			Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"key": w.id},
			EncryptedDataKeys: []esdk.EncryptedDataKey{w.edk},
		})
		if err != nil || !bytes.Equal(dataKey, w.dataKey) {
			m.problem("at the end, a message of version %s of %q: %v", w.version, w.id, err)
		}
	}
}
