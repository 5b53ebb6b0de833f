package branchkey

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// rekeyer returns a Store that knows both keys, and creates keys under the
// second one.
func (k *kmsEnv) rekeyer(t testing.TB, storage Storage, second string) *Store {
	t.Helper()
	return k.with(t, storage, func(c *Config) { c.KMS = KMSConfig{KeyARN: second, Former: []string{k.arn}} })
}

// itemsNow returns all items of a branch key, by their types.
func itemsNow(t testing.TB, storage Storage, id string) map[string]*Item {
	t.Helper()
	items := map[string]*Item{}
	for _, i := range ok[[]*Item](t)(collect(storage.List(t.Context(), id))) {
		items[i.Type] = i
	}
	return items
}

// secretsOf reads all items of a branch key.
func secretsOf(t testing.TB, s *Store, id string) map[string]string {
	t.Helper()
	secrets := map[string]string{}
	for itemType := range itemsNow(t, s.storage, id) {
		k, err := s.read(t.Context(), id, itemType)
		must(t, err)
		secrets[itemType] = string(k.Secret)
	}
	return secrets
}

func wantKMSKey(t testing.TB, storage Storage, id, arn string) {
	t.Helper()
	for _, i := range itemsNow(t, storage, id) {
		if got := i.Attributes[kmsARNAttribute]; got != arn {
			t.Errorf("%s is under %s, want %s", i.Type, got, arn)
		}
	}
}

// newVersions creates a branch key with the given number of versions.
func (k *kmsEnv) newVersions(t testing.TB, s *Store, versions int) (id string) {
	t.Helper()
	id = "key " + formatUUID(newUUID())
	ok[string](t)(s.CreateKey(t.Context(), id, customContext))
	for range versions - 1 {
		must(t, s.VersionKey(t.Context(), id))
	}
	return id
}

// testRekey re-keys a branch key. Its items change only in their ciphertext and
// KMS key. Readers that know the new key read it, and the old messages.
func testRekey(t *testing.T, b backend, k *kmsEnv) {
	storage, second := b.new(t), k.another()
	s := k.newStore(t, storage)
	id, other := k.newVersions(t, s, 1), k.newVersions(t, s, 1)
	kr := newKeyring(t, KeyringConfig{Store: s, BranchKeyID: id})
	first, _ := wrap(t, kr)
	must(t, s.VersionKey(t.Context(), id))
	must(t, s.VersionKey(t.Context(), id))
	later, _ := wrap(t, newKeyring(t, KeyringConfig{Store: s, BranchKeyID: id}))
	before, secrets := itemsNow(t, storage, id), secretsOf(t, s, id)
	others := itemsNow(t, storage, other)

	k.Reset()
	if n := ok[int](t)(k.rekeyer(t, storage, second).RekeyBranchKey(t.Context(), id, second)); n != 5 {
		t.Errorf("re-keyed %d items", n)
	}
	if counts := k.Counts(); !maps.Equal(counts, map[string]int{"ReEncrypt": 5}) {
		t.Errorf("calls of KMS: %v", counts)
	}
	for itemType, after := range itemsNow(t, storage, id) {
		want := cloneItem(before[itemType])
		if bytes.Equal(after.Enc, want.Enc) {
			t.Errorf("%s has the key that it had", itemType)
		}
		want.Enc, want.Attributes[kmsARNAttribute] = after.Enc, second
		if !sameItem(after, want) {
			t.Errorf("%s is %v, want %v", itemType, after, want)
		}
		delete(before, itemType)
	}
	if len(before) > 0 {
		t.Errorf("%v is gone", before)
	}
	for itemType, i := range itemsNow(t, storage, other) {
		if !sameItem(i, others[itemType]) {
			t.Errorf("%s of another branch key changed", itemType)
		}
	}
	_, err := s.ActiveBranchKey(t.Context(), id)
	wantError(t, err, ErrKMSKey)
	for name, c := range map[string]KMSConfig{"new key": {KeyARN: second}, "discovery": {Discovery: true}, "both": {KeyARN: k.arn, Former: []string{second}}} {
		reader := k.with(t, storage, func(config *Config) { config.KMS = c })
		if !maps.Equal(secretsOf(t, reader, id), secrets) {
			t.Errorf("%s: other secrets", name)
		}
		kr := newKeyring(t, KeyringConfig{Store: reader, BranchKeyID: id})
		for _, r := range []*esdk.WrapResult{first, later} {
			if got := ok[[]byte](t)(unwrap(kr, r.EncryptedDataKeys...)); !bytes.Equal(got, r.DataKey) {
				t.Errorf("%s: another data key", name)
			}
		}
	}
	k.Reset()
	if n := ok[int](t)(k.rekeyer(t, storage, second).RekeyBranchKey(t.Context(), id, second)); n != 0 || len(k.Requests()) != 0 {
		t.Errorf("once more: re-keyed %d items with %v", n, k.Requests())
	}
}

// testRekeyReplica re-keys from a multi-Region key to another one, in the
// Region of their replicas, where items name the primary.
func testRekeyReplica(t *testing.T, b backend, k *kmsEnv) {
	primary, replica := k.newMRK("eu-west-1")
	nextPrimary, nextReplica := k.newMRK("eu-west-1")
	storage := b.new(t)
	k.newStore(t, storage)
	eu := func(c KMSConfig) *Store {
		return k.with(t, storage, func(config *Config) { config.KMS, config.Clients = c, awskms.FixedClient(k.Client("eu-west-1")) })
	}
	west := func(c KMSConfig) *Store { return k.with(t, storage, func(config *Config) { config.KMS = c }) }
	id := k.newVersions(t, west(KMSConfig{KeyARN: primary}), 2)
	secrets := secretsOf(t, eu(KMSConfig{MRKeyARN: replica}), id)

	// Without MRKeyARN, a key matches in its own Region only.
	single := eu(KMSConfig{KeyARN: nextReplica, Former: []string{replica}})
	n, err := single.RekeyBranchKey(t.Context(), id, nextReplica)
	if wantError(t, err, ErrKMSKey); n != 0 {
		t.Errorf("re-keyed %d items", n)
	}
	multi := eu(KMSConfig{MRKeyARN: nextReplica, Former: []string{replica}})
	if !maps.Equal(secretsOf(t, multi, id), secrets) {
		t.Error("a former replica reads other secrets")
	}
	k.Reset()
	if n := ok[int](t)(multi.RekeyBranchKey(t.Context(), id, nextReplica)); n != 4 {
		t.Errorf("re-keyed %d items", n)
	}
	for _, r := range k.Requests() {
		if r.Input["SourceKeyId"] != replica || r.Input["DestinationKeyId"] != nextReplica {
			t.Errorf("request %v", r.Input)
		}
	}
	wantKMSKey(t, storage, id, nextReplica)
	if !maps.Equal(secretsOf(t, west(KMSConfig{MRKeyARN: nextPrimary}), id), secrets) {
		t.Error("the other Region reads other secrets")
	}
	// Re-key to a replica, in another Region, of the key that the items are
	// under.
	if n := ok[int](t)(west(KMSConfig{MRKeyARN: nextPrimary}).RekeyBranchKey(t.Context(), id, nextPrimary)); n != 4 {
		t.Errorf("re-keyed %d items", n)
	}
	wantKMSKey(t, storage, id, nextPrimary)
	if !maps.Equal(secretsOf(t, eu(KMSConfig{MRKeyARN: nextReplica}), id), secrets) {
		t.Error("the replica reads other secrets")
	}
}

// testRekeyRefused mixes in items that can't be re-keyed. The other items are
// re-keyed, and only configured KMS keys are used.
func testRekeyRefused(t *testing.T, b backend, k *kmsEnv) {
	storage, second, third := b.new(t), k.another(), k.another()
	s := k.newStore(t, storage)
	r := k.rekeyer(t, storage, second)
	for name, c := range map[string]struct {
		change func(*Item)
		want   error
		calls  int // of AWS KMS, on the changed item
	}{
		"third key":         {func(i *Item) { i.Attributes[kmsARNAttribute] = third }, ErrKMSKey, 0},
		"hierarchy version": {func(i *Item) { i.Attributes[hierarchyAttribute] = "2" }, ErrHierarchyVersion, 0},
		"alias":             {func(i *Item) { i.Attributes[kmsARNAttribute] = strings.Replace(k.arn, ":key/", ":alias/", 1) }, ErrItem, 0},
		"no KMS key":        {func(i *Item) { delete(i.Attributes, kmsARNAttribute) }, ErrItem, 0},
		"changed":           {func(i *Item) { i.Attributes[timeAttribute] += "0" }, ErrItem, 1},
		"more":              {func(i *Item) { i.Attributes["stray"] = "x" }, ErrItem, 1},
		"other key":         {func(i *Item) { i.Enc = []byte("not of AWS KMS") }, ErrItem, 1},
	} {
		types := []string{activeType, versionPrefix, beaconType}
		if b.name != "file" { // slower
			types = []string{types[rand.IntN(len(types))]}
		}
		for _, itemType := range types {
			id := k.newVersions(t, s, 3)
			items := itemsNow(t, storage, id)
			if itemType == versionPrefix {
				itemType = items[activeType].Attributes[versionAttribute]
			}
			bad := cloneItem(items[itemType])
			c.change(bad)
			b.put(t, storage, bad)
			k.Reset()
			n, err := r.RekeyBranchKey(t.Context(), id, second)
			wantError(t, err, c.want)
			if n != 4 || len(k.Requests()) != 4+c.calls || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), itemType) {
				t.Errorf("%s: %s: re-keyed %d items with %d calls: %v", name, itemType, n, len(k.Requests()), err)
			}
			for _, request := range k.Requests() {
				if request.Input["SourceKeyId"] != k.arn || request.Input["DestinationKeyId"] != second {
					t.Errorf("%s: %s: request %v", name, itemType, request.Input)
				}
			}
			after := itemsNow(t, storage, id)
			for other, i := range after {
				if (i.Attributes[kmsARNAttribute] == second) != (other != itemType) || other == itemType && !sameItem(i, bad) {
					t.Errorf("%s: %s: %s is under %s", name, itemType, other, i.Attributes[kmsARNAttribute])
				}
			}
			b.put(t, storage, items[itemType])
			if n := ok[int](t)(r.RekeyBranchKey(t.Context(), id, second)); n != 1 {
				t.Errorf("%s: %s: after it was mended, re-keyed %d items", name, itemType, n)
			}
		}
	}
	testRekeyOrphans(t, b, k, r, second)
}

// testRekeyOrphans re-keys a branch key without an active item, and a missing
// one.
func testRekeyOrphans(t *testing.T, b backend, k *kmsEnv, r *Store, second string) {
	id := k.newVersions(t, k.with(t, r.storage, func(*Config) {}), 2)
	b.del(t, r.storage, id, activeType)
	n, err := r.RekeyBranchKey(t.Context(), id, second)
	if wantError(t, err, ErrNotFound); n != 3 {
		t.Errorf("re-keyed %d items", n)
	}
	wantKMSKey(t, r.storage, id, second)
	n, err = r.RekeyBranchKey(t.Context(), "nobody's", second)
	if wantError(t, err, ErrNotFound); n != 0 {
		t.Errorf("re-keyed %d items", n)
	}
}

// Refused items are counted, and the first reason is reported.
func TestRekeyCountsRefused(t *testing.T) {
	k, storage := newKMS(t), newFile(t)
	second := k.another()
	s := k.newStore(t, storage)
	id := k.newVersions(t, s, 7)
	for itemType, i := range itemsNow(t, storage, id) {
		if itemType == beaconType {
			i.Attributes[hierarchyAttribute] = "2"
			fileBackend.put(t, storage, i)
		} else if itemType != activeType {
			i.Enc[0] ^= 1
			fileBackend.put(t, storage, i)
		}
	}
	n, err := k.rekeyer(t, storage, second).RekeyBranchKey(t.Context(), id, second)
	wantError(t, err, ErrHierarchyVersion) // the first in the order of the types
	if n != 1 || !strings.Contains(err.Error(), "7 items more") || errors.Is(err, ErrConflict) {
		t.Errorf("re-keyed %d items: %v", n, err)
	}
}

func TestRekeyTargets(t *testing.T) {
	k, storage := newKMS(t), newFile(t)
	second := k.another()
	s := k.newStore(t, storage)
	id := k.newVersions(t, s, 1)
	before := itemsNow(t, storage, id)
	west := k.arn[:strings.Index(k.arn, ":key/")]
	for name, to := range map[string]string{
		"alias": k.CreateAlias(region, "alias/new", second), "bare alias": "alias/new", "bare id": second[len(west)+5:], "empty": "", "malformed": west,
		"other Region": strings.Replace(second, region, "eu-west-1", 1),
	} {
		k.Reset()
		if n, err := s.RekeyBranchKey(t.Context(), id, to); err == nil || n != 0 || len(k.Requests()) != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	for name, id := range map[string]string{"empty": "", "NUL": "a\x00", "long": strings.Repeat("x", maxID+1)} {
		if n, err := s.RekeyBranchKey(t.Context(), id, second); err == nil || n != 0 || errors.Is(err, ErrNotFound) {
			t.Errorf("id, %s: %d, %v", name, n, err)
		}
	}
	for _, c := range []KMSConfig{{Discovery: true}, {MRDiscovery: region}} {
		_, err := k.with(t, storage, func(config *Config) { config.KMS = c }).RekeyBranchKey(t.Context(), id, second)
		wantError(t, err, ErrDiscovery)
	}
	// Re-key to the key that it is under.
	k.Reset()
	if n := ok[int](t)(s.RekeyBranchKey(t.Context(), id, k.arn)); n != 0 || len(k.Requests()) != 0 {
		t.Errorf("re-keyed %d items with %v", n, k.Requests())
	}
	for itemType, i := range itemsNow(t, storage, id) {
		if !sameItem(i, before[itemType]) {
			t.Errorf("%s changed", itemType)
		}
	}
	reader := k.with(t, storage, func(c *Config) { c.Clients = awskms.FixedClient(readOnlyClient{k.Client(region)}) })
	if _, err := reader.RekeyBranchKey(t.Context(), id, second); err == nil || !strings.Contains(err.Error(), "ReEncrypt") {
		t.Error(err)
	}
	// A Store need not know the new key: only later readers must.
	if n := ok[int](t)(s.RekeyBranchKey(t.Context(), id, second)); n != 3 {
		t.Errorf("re-keyed %d items", n)
	}
	empty := k.with(t, newFile(t), func(*Config) {})
	_, err := empty.RekeyBranchKey(t.Context(), id, second)
	wantError(t, err, ErrNoKeyStore)
}

func TestFormerErrors(t *testing.T) {
	k := newKMS(t)
	second := k.another()
	for name, c := range map[string]struct {
		kms  KMSConfig
		want string
	}{
		"alone":          {KMSConfig{Former: []string{second}}, "exactly one field"},
		"discovery":      {KMSConfig{Discovery: true, Former: []string{second}}, "no discovery"},
		"MRK discovery":  {KMSConfig{MRDiscovery: region, Former: []string{second}}, "no discovery"},
		"alias":          {KMSConfig{KeyARN: k.arn, Former: []string{strings.Replace(second, ":key/", ":alias/", 1)}}, "alias"},
		"malformed":      {KMSConfig{KeyARN: k.arn, Former: []string{second, "x"}}, "Former"},
		"empty":          {KMSConfig{KeyARN: k.arn, Former: []string{""}}, "Former"},
		"another Region": {KMSConfig{MRKeyARN: k.arn, Former: []string{strings.Replace(second, region, "eu-west-1", 1)}}, "eu-west-1"},
	} {
		config := k.config(newFile(t))
		config.KMS = c.kms
		if s, err := NewStore(config); err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	config := k.config(newFile(t))
	config.KMS.Former = []string{second, k.arn}
	s := ok[*Store](t)(NewStore(config))
	s.Info().KMS.Former[0] = "changed"
	if config.KMS.Former[1] = "changed"; s.Info().KMS.Former[0] != second || s.Info().KMS.Former[1] != k.arn {
		t.Error("the former keys are shared")
	}
}

// The version after one under a former key is under the configured key. AWS KMS
// authenticates the old version under its own key.
func TestVersionKeyOfFormer(t *testing.T) {
	k, storage := newKMS(t), newFile(t)
	second := k.another()
	id := k.newVersions(t, k.newStore(t, storage), 2)
	before := itemsNow(t, storage, id)
	r := k.rekeyer(t, storage, second)
	k.Reset()
	must(t, r.VersionKey(t.Context(), id))
	keys := ""
	for _, request := range k.Requests() {
		for _, name := range []string{"KeyId", "SourceKeyId", "DestinationKeyId"} {
			switch request.Input[name] {
			case k.arn:
				keys += " old"
			case second:
				keys += " new"
			}
		}
	}
	if keys != " old old new new new" {
		t.Errorf("KMS was asked for%s", keys)
	}
	after := itemsNow(t, storage, id)
	version := after[activeType].Attributes[versionAttribute]
	for itemType, i := range after {
		isNew := itemType == activeType || itemType == version
		if (i.Attributes[kmsARNAttribute] == second) != isNew || !isNew && !sameItem(i, before[itemType]) {
			t.Errorf("%s is %v", itemType, i)
		}
	}
	secretsOf(t, r, id)
}

// If AWS KMS denies re-encryption, it is called once, and nothing changes.
func TestRekeyDenied(t *testing.T) {
	for name, field := range map[string]string{"kms:ReEncryptTo": "DestinationKeyId", "kms:ReEncryptFrom": "SourceKeyId"} {
		k, storage := newKMS(t), newFile(t)
		second := k.another()
		id := k.newVersions(t, k.newStore(t, storage), 4)
		before := itemsNow(t, storage, id)
		denied := map[string]string{"DestinationKeyId": second, "SourceKeyId": k.arn}[field]
		k.Fault(func(r *kmssim.Request) *kmssim.Fault {
			if r.Input[field] == denied {
				return &kmssim.Fault{Code: "AccessDeniedException", Message: "not authorized to perform: " + name}
			}
			return nil
		})
		k.Reset()
		n, err := k.rekeyer(t, storage, second).RekeyBranchKey(t.Context(), id, second)
		if apiCode(err) != "AccessDeniedException" || !strings.Contains(err.Error(), k.arn) || !strings.Contains(err.Error(), second) || n != 0 || len(k.Requests()) != 1 {
			t.Errorf("%s: re-keyed %d items with %d calls: %v", name, n, len(k.Requests()), err)
		}
		for itemType, i := range itemsNow(t, storage, id) {
			if !sameItem(i, before[itemType]) {
				t.Errorf("%s: %s changed", name, itemType)
			}
		}
	}
}

// hooked calls its hooks before each read, after each list, and before each
// write.
type hooked struct {
	Storage
	get    func(itemType string)
	listed func()
	write  func(p Put)
}

func (h *hooked) Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error) {
	if h.get != nil {
		h.get(itemType)
	}
	return h.Storage.Get(ctx, id, itemType, consistent)
}

func (h *hooked) List(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		h.Storage.List(ctx, id)(yield)
		if h.listed != nil {
			h.listed()
		}
	}
}

func (h *hooked) Write(ctx context.Context, puts ...Put) error {
	if h.write != nil {
		h.write(puts[len(puts)-1])
	}
	return h.Storage.Write(ctx, puts...)
}

// once returns a function that calls do the first time only.
func once(do func()) func() {
	done := false
	return func() {
		if !done {
			done = true
			do()
		}
	}
}

// A rekeyScene is a branch key of three versions, with Stores that change it
// while it is re-keyed.
type rekeyScene struct {
	*kmsEnv
	t        *testing.T
	id       string
	second   string
	storage  Storage
	first    *Store // knows the old key only
	old      *Store // knows both, and makes versions under the old one
	rekeyer  *Store // on the hooked storage
	hook     *hooked
	versions int
}

func newRekeyScene(t *testing.T) *rekeyScene {
	k := newKMS(t)
	s := &rekeyScene{kmsEnv: k, t: t, second: k.another(), storage: newFile(t), versions: 3}
	s.first = k.newStore(t, s.storage)
	s.old = k.with(t, s.storage, func(c *Config) { c.KMS.Former = []string{s.second} })
	s.id = k.newVersions(t, s.first, s.versions)
	s.hook = &hooked{Storage: s.storage}
	s.rekeyer = k.rekeyer(t, s.hook, s.second)
	return s
}

func (s *rekeyScene) version(by *Store) {
	s.t.Helper()
	must(s.t, by.VersionKey(s.t.Context(), s.id))
	s.versions++
}

// rekeyActive does the work of a run that is killed after the active item.
func (s *rekeyScene) rekeyActive() {
	r := &rekeying{Store: s.kmsEnv.rekeyer(s.t, s.storage, s.second), id: s.id, to: s.second}
	item, err := r.get(s.t.Context(), s.id, activeType)
	must(s.t, err)
	ok[*Item](s.t)(r.replace(s.t.Context(), item))
}

// run re-keys, and checks that nothing is under the old key, and nothing lost.
func (s *rekeyScene) run(want int) {
	s.t.Helper()
	if n := ok[int](s.t)(s.rekeyer.RekeyBranchKey(s.t.Context(), s.id, s.second)); n != want {
		s.t.Errorf("re-keyed %d items, want %d", n, want)
	}
	s.hook.get, s.hook.listed, s.hook.write = nil, nil, nil
	wantKMSKey(s.t, s.storage, s.id, s.second)
	if n := len(secretsOf(s.t, s.rekeyer, s.id)); n != s.versions+2 {
		s.t.Errorf("%d items of %d versions", n, s.versions)
	}
	entries := ok[[]*Entry](s.t)(collect(s.rekeyer.List(s.t.Context(), s.id)))
	active := ok[*Key](s.t)(s.rekeyer.ActiveBranchKey(s.t.Context(), s.id))
	stays := ok[*Key](s.t)(s.rekeyer.BranchKeyVersion(s.t.Context(), s.id, active.Version))
	if !bytes.Equal(active.Secret, stays.Secret) || len(entries) != s.versions+2 {
		s.t.Errorf("the active version is not the one that it names, of %d entries", len(entries))
	}
}

// All versions end up under the new key, and none is lost, even if others
// change the branch key meanwhile.
func TestRekeyMeanwhile(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		s := newRekeyScene(t)
		lists := 0
		s.hook.listed = func() { lists++ }
		if s.run(5); lists != 1 {
			t.Errorf("listed %d times", lists)
		}
	})
	t.Run("version before the active item is replaced", func(t *testing.T) {
		s := newRekeyScene(t)
		version := once(func() { s.version(s.first) })
		s.hook.write = func(Put) { version() }
		s.run(6)
	})
	t.Run("version of who does not know the new key", func(t *testing.T) {
		s := newRekeyScene(t)
		s.hook.listed = once(func() { wantError(t, s.first.VersionKey(t.Context(), s.id), ErrKMSKey) })
		s.run(5)
	})
	t.Run("version under the new key", func(t *testing.T) {
		s := newRekeyScene(t)
		s.hook.listed = once(func() { s.version(s.kmsEnv.rekeyer(t, s.storage, s.second)) })
		s.run(5)
	})
	t.Run("version under the old key", func(t *testing.T) {
		s := newRekeyScene(t)
		s.hook.listed = once(func() { s.version(s.old) })
		s.run(7)
	})
	// The first run's list doesn't have the version. Its active item is under
	// the new key because of another run, which stopped there.
	t.Run("version under the old key, and another run", func(t *testing.T) {
		s := newRekeyScene(t)
		s.hook.listed = once(func() {
			s.version(s.old)
			s.rekeyActive()
		})
		s.run(6)
	})
	t.Run("another run", func(t *testing.T) {
		s := newRekeyScene(t)
		other := s.kmsEnv.rekeyer(t, s.storage, s.second)
		run := once(func() { ok[int](t)(other.RekeyBranchKey(t.Context(), s.id, s.second)) })
		s.hook.write = func(Put) { run() }
		s.run(0)
	})
	t.Run("another run after the active item", func(t *testing.T) {
		s := newRekeyScene(t)
		other := s.kmsEnv.rekeyer(t, s.storage, s.second)
		run := once(func() { ok[int](t)(other.RekeyBranchKey(t.Context(), s.id, s.second)) })
		s.hook.write = func(p Put) {
			if p.Item.Type != activeType {
				run()
			}
		}
		s.run(1)
	})
	t.Run("another run to a third key", func(t *testing.T) {
		s := newRekeyScene(t)
		third := s.another()
		s.rekeyer = s.with(t, s.hook, func(c *Config) { c.KMS.Former = []string{s.second, third} })
		other := s.with(t, s.storage, func(c *Config) { c.KMS.Former = []string{s.second, third} })
		run := once(func() { ok[int](t)(other.RekeyBranchKey(t.Context(), s.id, third)) })
		s.hook.write = func(p Put) {
			if p.Item.Type != activeType {
				run()
			}
		}
		s.run(1 + 5)
	})
	// The active item stays the same, so it doesn't show this.
	t.Run("beacon key replaced under the old key", func(t *testing.T) {
		s := newRekeyScene(t)
		other := &rekeying{Store: s.first, id: s.id, to: s.arn}
		replace := once(func() {
			beacon := ok[*Item](t)(s.storage.Get(t.Context(), s.id, beaconType, true))
			ok[*Item](t)(other.replace(t.Context(), beacon))
		})
		s.hook.write = func(p Put) {
			if p.Item.Type == beaconType {
				replace()
			}
		}
		s.run(5)
	})
	t.Run("version deleted", func(t *testing.T) {
		s := newRekeyScene(t)
		remove := once(func() {
			for itemType := range itemsNow(t, s.storage, s.id) {
				if strings.HasPrefix(itemType, versionPrefix) && itemType != ok[*Item](t)(s.storage.Get(t.Context(), s.id, activeType, true)).Attributes[versionAttribute] {
					fileBackend.del(t, s.storage, s.id, itemType)
					s.versions--
				}
			}
		})
		s.hook.write = func(p Put) {
			if p.Item.Type == beaconType {
				remove()
			}
		}
		s.run(3)
	})
	t.Run("active version goes back", func(t *testing.T) {
		s := newRekeyScene(t)
		old := ok[*Item](t)(s.storage.Get(t.Context(), s.id, activeType, true))
		s.version(s.first)
		s.hook.listed = once(func() { fileBackend.put(t, s.storage, old) })
		s.run(7)
		if active := ok[*Key](t)(s.rekeyer.ActiveBranchKey(t.Context(), s.id)); active.Version != old.version() {
			t.Errorf("the active version is %s", active.Version)
		}
	})
}

// A writer to the storage can't make a run endless. The error reports the
// conflict, and also the refused items.
func TestRekeyDisturbedAgainAndAgain(t *testing.T) {
	for _, refused := range []bool{false, true} {
		s := newRekeyScene(t)
		old := ok[*Item](t)(s.storage.Get(t.Context(), s.id, activeType, true))
		if refused {
			fileBackend.put(t, s.storage, &Item{ID: s.id, Type: beaconType, Enc: []byte("x")})
		}
		lists := 0
		s.hook.listed = func() {
			lists++
			fileBackend.put(t, s.storage, old)
		}
		n, err := s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)
		if wantError(t, err, ErrConflict); lists != rekeyPasses || errors.Is(err, ErrItem) != refused {
			t.Errorf("re-keyed %d items in %d passes: %v", n, lists, err)
		}
	}
}

// An item refused in each of two passes is counted once.
func TestRekeyRefusedTwice(t *testing.T) {
	s := newRekeyScene(t)
	fileBackend.put(t, s.storage, &Item{ID: s.id, Type: beaconType, Enc: []byte("x")})
	lists := 0
	s.hook.listed = func() {
		if lists++; lists == 1 {
			s.version(s.old)
		}
	}
	n, err := s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)
	if wantError(t, err, ErrItem); n != 6 || lists != 2 || strings.Contains(err.Error(), "more") || errors.Is(err, ErrConflict) {
		t.Errorf("re-keyed %d items in %d passes: %v", n, lists, err)
	}
}

// A run that ended early can be repeated. All items are readable in between.
func TestRekeyResumed(t *testing.T) {
	s := newRekeyScene(t)
	secrets := secretsOf(t, s.first, s.id)
	reader := s.kmsEnv.rekeyer(t, s.storage, s.second)
	total := 0
	for writes := 0; ; writes++ {
		ctx, cancel := context.WithCancel(t.Context())
		left := writes
		s.hook.write = func(Put) {
			if left--; left < 0 {
				cancel()
			}
		}
		n, err := s.rekeyer.RekeyBranchKey(ctx, s.id, s.second)
		cancel()
		if total += n; err == nil {
			break
		}
		wantError(t, err, context.Canceled)
		if n != writes || !maps.Equal(secretsOf(t, reader, s.id), secrets) {
			t.Errorf("re-keyed %d items before it ended, want %d", n, writes)
		}
		for _, r := range []*Store{reader, s.old} {
			ok[*Key](t)(r.ActiveBranchKey(t.Context(), s.id))
		}
	}
	if s.run(0); total != 5 {
		t.Errorf("re-keyed %d items", total)
	}
}

// A writer to the storage can't get a key of their own re-encrypted.
func TestRekeyPlanted(t *testing.T) {
	s := newRekeyScene(t)
	mallory := s.with(t, s.storage, func(c *Config) { c.KMS.KeyARN = s.another() })
	foreign := s.kmsEnv.newVersions(t, mallory, 1)
	items := itemsNow(t, s.storage, foreign)
	version := items[activeType].Attributes[versionAttribute]
	plant := func(i *Item) {
		i.ID = s.id
		fileBackend.put(t, s.storage, i)
	}
	active := ok[*Item](t)(s.storage.Get(t.Context(), s.id, activeType, true))

	// The item is under another key, and says so.
	plant(cloneItem(items[version]))
	n, err := s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)
	if wantError(t, err, ErrKMSKey); n != 5 {
		t.Errorf("re-keyed %d items: %v", n, err)
	}
	for _, r := range s.Requests() {
		if r.Operation == "ReEncrypt" && r.Input["DestinationKeyId"] == s.second && r.Input["SourceKeyId"] != s.arn {
			t.Errorf("KMS was asked for %v", r.Input)
		}
	}
	// The item claims to be under the old key, or is a copy of another item
	// under it.
	lie := cloneItem(items[version])
	lie.Attributes[kmsARNAttribute] = s.arn
	copied := cloneItem(active)
	delete(copied.Attributes, versionAttribute)
	copied.Type = version
	for name, i := range map[string]*Item{"lie": lie, "copy": copied} {
		plant(i)
		n, err := s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)
		if wantError(t, err, ErrItem); n != 0 {
			t.Errorf("%s: re-keyed %d items", name, n)
		}
		if now := ok[*Item](t)(s.storage.Get(t.Context(), s.id, version, true)); !sameItem(now, i) {
			t.Errorf("%s is %v now", name, now)
		}
	}
	// The item claims to be under the new one: AWS KMS isn't called, and
	// reading it fails.
	lie.Attributes[kmsARNAttribute] = s.second
	plant(lie)
	s.Reset()
	if n := ok[int](t)(s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)); n != 0 || len(s.Requests()) != 0 {
		t.Errorf("re-keyed %d items", n)
	}
	_, err = s.rekeyer.BranchKeyVersion(t.Context(), s.id, strings.TrimPrefix(version, versionPrefix))
	wantError(t, err, ErrItem)
}

// VersionKey doesn't report a new version if the branch key is re-keyed between
// its read and its write.
func TestVersionKeyMeetsRekey(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := newRekeyScene(t)
		s.rekeyer.RekeyBranchKey(t.Context(), s.id, s.second)
		to := map[bool]string{true: s.arn, false: s.second}
		other := s.kmsEnv.rekeyer(t, s.storage, s.second)
		times := 0
		s.hook.write = func(Put) {
			if times++; times == 1 || again {
				ok[int](t)(other.RekeyBranchKey(t.Context(), s.id, to[times%2 == 1]))
			}
		}
		err := s.rekeyer.VersionKey(t.Context(), s.id)
		s.hook.write = nil
		if again {
			wantError(t, err, ErrConflict)
		} else {
			must(t, err)
			s.versions++
		}
		if want := map[bool]int{true: versionAttempts, false: 2}[again]; times != want || len(secretsOf(t, s.rekeyer, s.id)) != s.versions+2 {
			t.Errorf("again %v: %d writes", again, times)
		}
	}
	// If it can't be read again, the conflict is the error.
	s := newRekeyScene(t)
	broken := errors.New("broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.hook.write = func(Put) {
		s.version(s.first)
		s.hook.get = func(string) { cancel(broken) }
	}
	reader := s.with(t, s.hook, func(*Config) {})
	wantError(t, reader.VersionKey(ctx, s.id), ErrConflict)
}

// A keyring keeps using the same version when its branch key is re-keyed.
func TestRekeyKeyringGoesOn(t *testing.T) {
	s := newRekeyScene(t)
	both := s.with(t, s.storage, func(c *Config) { c.KMS.Former = []string{s.second} })
	kr := newKeyring(t, KeyringConfig{Store: both, BranchKeyID: s.id, Cache: newCache(t), TTL: 50 * time.Millisecond})
	r, version := wrap(t, kr)
	s.run(5)
	for range 3 {
		if got := ok[[]byte](t)(unwrap(kr, r.EncryptedDataKeys...)); !bytes.Equal(got, r.DataKey) {
			t.Error("another data key")
		}
		if _, v := wrap(t, kr); v != version {
			t.Errorf("version %s, before it was %s", v, version)
		}
		time.Sleep(60 * time.Millisecond)
	}
}
