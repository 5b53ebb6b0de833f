package branchkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
)

func TestStore(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		k := newKMS(t)
		for _, test := range []struct {
			name string
			run  func(*testing.T, backend, *kmsEnv)
		}{
			{"life of a key", testLife},
			{"items", testItems},
			{"no key store", testNoKeyStore},
			{"storage", testStorage},
			{"unknown key", testUnknownKey},
			{"key exists", testKeyExists},
			{"other logical name", testOtherLogicalName},
			{"tampered", testTampered},
			{"hierarchy version", testHierarchyVersion},
			{"KMS configurations", testKMSConfigurations},
			{"KMS key stays", testKMSKeyStays},
			{"stored alias", testStoredAlias},
			{"two writers", testTwoWriters},
			{"many writers", testManyWriters},
			{"created by many", testCreatedByMany},
			{"re-key", testRekey},
			{"re-key in another Region", testRekeyReplica},
			{"re-key what is refused", testRekeyRefused},
			{"list", testList},
			{"list pages", testListPages},
			{"list while all changes", testListMeanwhile},
		} {
			t.Run(test.name, func(t *testing.T) { test.run(t, b, k) })
		}
	})
}

func testLife(t *testing.T, b backend, k *kmsEnv) {
	s := k.newStore(t, b.new(t))
	ctx := t.Context()
	id := ok[string](t)(s.CreateKey(ctx, "", nil))
	if _, err := parseUUID(id); err != nil || id[14] != '4' {
		t.Errorf("id %q is not a UUID of version 4", id)
	}
	own := ok[string](t)(s.CreateKey(ctx, "tenant/17 ü", customContext))
	if own != "tenant/17 ü" {
		t.Errorf("id is %q", own)
	}
	first := ok[*Key](t)(s.ActiveBranchKey(ctx, own))
	beacon := ok[*Key](t)(s.BeaconKey(ctx, own))
	if first.ID != own || first.KMSKeyARN != k.arn || len(first.Secret) != 32 || !maps.Equal(first.EncryptionContext, customContext) {
		t.Errorf("active key is %+v with %v", first, first.EncryptionContext)
	}
	if beacon.Version != "" || len(beacon.Secret) != 32 || bytes.Equal(beacon.Secret, first.Secret) || !maps.Equal(beacon.EncryptionContext, customContext) {
		t.Errorf("beacon key is %+v", beacon)
	}
	must(t, s.VersionKey(ctx, own))
	second := ok[*Key](t)(s.ActiveBranchKey(ctx, own))
	if second.Version == first.Version || bytes.Equal(second.Secret, first.Secret) || !maps.Equal(second.EncryptionContext, customContext) {
		t.Errorf("second version is %+v, first was %+v", second, first)
	}
	for _, want := range []*Key{first, second} {
		got := ok[*Key](t)(s.BranchKeyVersion(ctx, own, want.Version))
		if got.Version != want.Version || !bytes.Equal(got.Secret, want.Secret) || got.CreateTime != want.CreateTime {
			t.Errorf("version is %+v, when it was active %+v", got, want)
		}
	}
	if again := ok[*Key](t)(s.BeaconKey(ctx, own)); !bytes.Equal(again.Secret, beacon.Secret) {
		t.Error("the beacon key changed")
	}
}

var createTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

func testItems(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.newStore(t, storage)
	ctx := t.Context()
	ok[string](t)(s.CreateKey(ctx, "key", customContext))
	active := ok[*Item](t)(storage.Get(ctx, "key", activeType, true))
	version := active.Attributes["version"]
	stays := ok[*Item](t)(storage.Get(ctx, "key", version, true))
	beacon := ok[*Item](t)(storage.Get(ctx, "key", beaconType, true))
	common := map[string]string{
		"kms-arn": k.arn, "hierarchy-version": "1", "create-time": stays.Attributes["create-time"],
		"aws-crypto-ec:tenant": "17", "aws-crypto-ec:Ünïcode": "\U0001F600", "aws-crypto-ec:empty": "",
	}
	if !strings.HasPrefix(version, "branch:version:") || !createTime.MatchString(common["create-time"]) {
		t.Errorf("version %q, create-time %q", version, common["create-time"])
	}
	for _, i := range []*Item{stays, beacon} {
		if !maps.Equal(i.Attributes, common) {
			t.Errorf("item %s has %q, want %q", i.Type, i.Attributes, common)
		}
	}
	common["version"] = version
	if !maps.Equal(active.Attributes, common) {
		t.Errorf("active item has %q, want %q", active.Attributes, common)
	}
	if bytes.Equal(active.Enc, stays.Enc) || bytes.Equal(beacon.Enc, stays.Enc) {
		t.Error("two items have one ciphertext")
	}
}

func testNoKeyStore(t *testing.T, b backend, k *kmsEnv) {
	s := k.with(t, b.new(t), func(*Config) {})
	ctx := t.Context()
	_, err := s.ActiveBranchKey(ctx, "key")
	wantError(t, err, ErrNoKeyStore)
	_, err = s.CreateKey(ctx, "", nil)
	wantError(t, err, ErrNoKeyStore)
	wantError(t, s.VersionKey(ctx, "key"), ErrNoKeyStore)
	name := ok[string](t)(s.CreateKeyStore(ctx))
	if again := ok[string](t)(s.CreateKeyStore(ctx)); again != name || name == "" {
		t.Errorf("created %q, then %q", name, again)
	}
	ok[string](t)(s.CreateKey(ctx, "", nil))
}

// testStorage checks that a Storage fulfills its contract.
func testStorage(t *testing.T, b backend, _ *kmsEnv) {
	s, ctx := b.new(t), t.Context()
	item := func(itemType, enc string) *Item {
		return &Item{ID: "id", Type: itemType, Enc: []byte(enc), Attributes: map[string]string{"a": "", hierarchyAttribute: "1"}}
	}
	ok[string](t)(s.Create(ctx))
	_, err := s.Get(ctx, "id", "one", true)
	wantError(t, err, ErrNotFound)
	wantError(t, s.Write(ctx, Put{Item: item("one", "1"), Replaces: []byte("0")}), ErrConflict)
	must(t, s.Write(ctx, Put{Item: item("one", "1")}, Put{Item: item("two", "1")}))
	for _, puts := range [][]Put{
		{{Item: item("three", "x")}, {Item: item("one", "x"), Replaces: []byte("2")}},
		{{Item: item("one", "x"), Replaces: []byte("2")}, {Item: item("three", "x")}},
		{{Item: item("three", "x")}, {Item: item("one", "x"), Replaces: []byte{}}},
	} {
		wantError(t, s.Write(ctx, puts...), ErrConflict)
	}
	wantError(t, s.Write(ctx, Put{Item: item("three", "x")}, Put{Item: item("two", "x")}), ErrExists)
	_, err = s.Get(ctx, "id", "three", true)
	wantError(t, err, ErrNotFound)
	must(t, s.Write(ctx, Put{Item: item("three", "1")}, Put{Item: item("one", "2"), Replaces: []byte("1")}))
	for itemType, enc := range map[string]string{"one": "2", "two": "1", "three": "1"} {
		for _, consistent := range []bool{false, true} {
			got := ok[*Item](t)(s.Get(ctx, "id", itemType, consistent))
			want := item(itemType, enc)
			if got.ID != want.ID || got.Type != want.Type || string(got.Enc) != enc || !maps.Equal(got.Attributes, want.Attributes) {
				t.Errorf("item is %+v, want %+v", got, want)
			}
		}
	}
}

func testUnknownKey(t *testing.T, b backend, k *kmsEnv) {
	s := k.newStore(t, b.new(t))
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	_, err := s.ActiveBranchKey(t.Context(), "other")
	wantError(t, err, ErrNotFound)
	_, err = s.BeaconKey(t.Context(), "other")
	wantError(t, err, ErrNotFound)
	_, err = s.BranchKeyVersion(t.Context(), id, formatUUID(newUUID()))
	wantError(t, err, ErrNotFound)
	wantError(t, s.VersionKey(t.Context(), "other"), ErrNotFound)
	for _, version := range []string{"", "ACTIVE", strings.ToUpper(formatUUID(newUUID())), formatUUID(newUUID()) + "0"} {
		if _, err := s.BranchKeyVersion(t.Context(), id, version); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("version %q: %v", version, err)
		}
	}
	for _, bad := range []string{"", "a\x00b", "\xff", strings.Repeat("x", maxID+1)} {
		if _, err := s.ActiveBranchKey(t.Context(), bad); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("id %q: %v", bad, err)
		}
		if _, err := s.CreateKey(t.Context(), bad, customContext); err == nil && bad != "" {
			t.Errorf("created id %q", bad)
		}
	}
}

func testKeyExists(t *testing.T, b backend, k *kmsEnv) {
	s := k.newStore(t, b.new(t))
	if _, err := s.CreateKey(t.Context(), "key", nil); err == nil {
		t.Error("an id without a context is taken")
	}
	if _, err := s.CreateKey(t.Context(), "key", esdk.EncryptionContext{"k": "\xff"}); err == nil {
		t.Error("a context that is not UTF-8 is taken")
	}
	ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
	before := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key"))
	_, err := s.CreateKey(t.Context(), "key", customContext)
	wantError(t, err, ErrExists)
	if after := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key")); !bytes.Equal(after.Secret, before.Secret) {
		t.Error("the key was replaced")
	}
}

func testOtherLogicalName(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	id := ok[string](t)(k.newStore(t, storage).CreateKey(t.Context(), "", nil))
	other := k.with(t, storage, func(c *Config) { c.LogicalName = "other" })
	var invalid *types.InvalidCiphertextException
	_, err := other.ActiveBranchKey(t.Context(), id)
	wantError(t, err, ErrItem, &invalid)
	if text := err.Error(); !strings.Contains(text, `not authentic under the logical name "other": `) || strings.HasSuffix(strings.TrimSpace(text), ":") {
		t.Errorf("%q", text)
	}
	wantError(t, other.VersionKey(t.Context(), id), ErrItem, &invalid)
}

// testTampered changes, drops and adds each attribute of each item.
func testTampered(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.newStore(t, storage)
	ctx := t.Context()
	id := ok[string](t)(s.CreateKey(ctx, "key", customContext))
	second := ok[string](t)(s.CreateKey(ctx, "second", customContext))
	version := ok[*Key](t)(s.ActiveBranchKey(ctx, id)).Version
	reads := map[string]func() error{
		activeType:              func() error { _, err := s.ActiveBranchKey(ctx, id); return err },
		versionPrefix + version: func() error { _, err := s.BranchKeyVersion(ctx, id, version); return err },
		beaconType:              func() error { _, err := s.BeaconKey(ctx, id); return err },
	}
	for itemType, read := range reads {
		good := ok[*Item](t)(storage.Get(ctx, id, itemType, true))
		for what, bad := range tampered(t, good, storage, second) {
			b.put(t, storage, bad)
			if err := read(); !errors.Is(err, ErrItem) && !errors.Is(err, ErrHierarchyVersion) && !errors.Is(err, ErrKMSKey) {
				t.Errorf("%s: %s: %v", itemType, what, err)
			}
			if itemType == activeType {
				if err := s.VersionKey(ctx, id); err == nil {
					t.Errorf("%s: %s: VersionKey succeeds", itemType, what)
				}
			}
		}
		b.put(t, storage, good)
		must(t, read())
	}
}

func tampered(t *testing.T, good *Item, storage Storage, second string) map[string]*Item {
	all := map[string]*Item{}
	change := func(what string, edit func(*Item)) {
		bad := cloneItem(good)
		edit(bad)
		all[what] = bad
	}
	for name := range good.Attributes {
		if name != hierarchyAttribute {
			change("changed "+name, func(i *Item) { i.Attributes[name] += "x" })
		}
		change("dropped "+name, func(i *Item) { delete(i.Attributes, name) })
	}
	for _, name := range []string{"stray", "ttl", tableName, customPrefix + "more", "version", "\U0001F600"} {
		change("added "+name, func(i *Item) { i.Attributes[name] += "y" })
	}
	change("changed "+encAttribute, func(i *Item) { i.Enc[len(i.Enc)-1] ^= 1 })
	change("cut "+encAttribute, func(i *Item) { i.Enc = i.Enc[:len(i.Enc)-1] })
	if good.Type == activeType {
		change("version without prefix", func(i *Item) { i.Attributes["version"] = i.version() })
		change("version of another key", func(i *Item) { i.Attributes["version"] = versionPrefix + formatUUID(newUUID()) })
	}
	change("other version", func(i *Item) { i.Attributes[hierarchyAttribute] = "2" })
	change("other KMS key", func(i *Item) {
		i.Attributes[kmsARNAttribute] = strings.Replace(i.Attributes[kmsARNAttribute], "key/", "key/0", 1)
	})
	if good.Type != activeType && good.Type != beaconType {
		return all
	}
	other := ok[*Item](t)(storage.Get(t.Context(), second, good.Type, true))
	change("of another key", func(i *Item) { i.Enc, i.Attributes = other.Enc, other.Attributes })
	return all
}

func testHierarchyVersion(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.newStore(t, storage)
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	item := ok[*Item](t)(storage.Get(t.Context(), id, activeType, true))
	item.Attributes[hierarchyAttribute] = "2"
	b.put(t, storage, item)
	k.Reset()
	_, err := s.ActiveBranchKey(t.Context(), id)
	wantError(t, err, ErrHierarchyVersion)
	wantError(t, s.VersionKey(t.Context(), id), ErrHierarchyVersion)
	if n := len(k.Requests()); n != 0 {
		t.Errorf("KMS was asked %d times", n)
	}
}

// testKMSConfigurations reads branch keys under a single-Region and a
// multi-Region key with all configurations.
func testKMSConfigurations(t *testing.T, b backend, k *kmsEnv) {
	primary, replica := k.newMRK("eu-west-1")
	storage := b.new(t)
	k.newStore(t, storage)
	west, eu := k.clients(), awskms.FixedClient(k.Client("eu-west-1"))
	ids := map[string]string{}
	for _, arn := range []string{k.arn, primary} {
		s := k.with(t, storage, func(c *Config) { c.KMS = KMSConfig{KeyARN: arn} })
		ids[arn] = ok[string](t)(s.CreateKey(t.Context(), "", nil))
	}
	type reads map[string]error // by the key ARN of the items
	failed := errors.New("a KMS exception")
	for _, c := range []struct {
		kms     KMSConfig
		clients awskms.Clients
		want    reads
	}{
		{KMSConfig{KeyARN: k.arn}, west, reads{k.arn: nil, primary: ErrKMSKey}},
		{KMSConfig{KeyARN: primary}, west, reads{k.arn: ErrKMSKey, primary: nil}},
		{KMSConfig{KeyARN: replica}, eu, reads{k.arn: ErrKMSKey, primary: ErrKMSKey}},
		{KMSConfig{MRKeyARN: k.arn}, west, reads{k.arn: nil, primary: ErrKMSKey}},
		{KMSConfig{MRKeyARN: primary}, west, reads{k.arn: ErrKMSKey, primary: nil}},
		{KMSConfig{MRKeyARN: replica}, eu, reads{k.arn: ErrKMSKey, primary: nil}},
		{KMSConfig{Discovery: true}, west, reads{k.arn: nil, primary: nil}},
		{KMSConfig{Discovery: true}, eu, reads{k.arn: failed, primary: failed}},
		{KMSConfig{MRDiscovery: "eu-west-1"}, eu, reads{k.arn: failed, primary: nil}},
		{KMSConfig{MRDiscovery: region}, west, reads{k.arn: nil, primary: nil}},
	} {
		s := k.with(t, storage, func(config *Config) { config.KMS, config.Clients = c.kms, c.clients })
		for arn, want := range c.want {
			_, err := s.ActiveBranchKey(t.Context(), ids[arn])
			if want == failed && err == nil || want != failed && !errors.Is(err, want) {
				t.Errorf("%+v reads key of %s with error %v, want %v", c.kms, arn, err, want)
			}
		}
		if !c.kms.discovers() {
			continue
		}
		_, err := s.CreateKey(t.Context(), "", nil)
		wantError(t, err, ErrDiscovery)
		wantError(t, s.VersionKey(t.Context(), ids[k.arn]), ErrDiscovery)
	}
	// Only the Region of a multi-Region key is replaced.
	s := k.with(t, storage, func(c *Config) { c.KMS, c.Clients = KMSConfig{MRDiscovery: "eu-west-1"}, eu })
	for arn, want := range map[string]string{k.arn: k.arn, primary: replica} {
		k.Reset()
		s.ActiveBranchKey(t.Context(), ids[arn])
		if requests := k.Requests(); len(requests) != 1 || requests[0].Input["KeyId"] != want {
			t.Errorf("key of %s: requests %v, want one of %s", arn, requests, want)
		}
	}
}

// testKMSKeyStays versions a branch key through a replica.
func testKMSKeyStays(t *testing.T, b backend, k *kmsEnv) {
	primary, replica := k.newMRK("eu-west-1")
	storage := b.new(t)
	k.newStore(t, storage)
	atPrimary := k.with(t, storage, func(c *Config) { c.KMS = KMSConfig{KeyARN: primary} })
	atReplica := k.with(t, storage, func(c *Config) {
		c.KMS, c.Clients = KMSConfig{MRKeyARN: replica}, awskms.FixedClient(k.Client("eu-west-1"))
	})
	id := ok[string](t)(atPrimary.CreateKey(t.Context(), "key", customContext))
	before := ok[*Key](t)(atPrimary.ActiveBranchKey(t.Context(), id))
	must(t, atReplica.VersionKey(t.Context(), id))
	after := ok[*Key](t)(atPrimary.ActiveBranchKey(t.Context(), id))
	if after.Version == before.Version || after.KMSKeyARN != primary {
		t.Errorf("before %+v, after %+v of %s", before, after, after.KMSKeyARN)
	}
	same := ok[*Key](t)(atReplica.BranchKeyVersion(t.Context(), id, after.Version))
	if !bytes.Equal(same.Secret, after.Secret) {
		t.Error("the replica reads another key")
	}
	other := k.with(t, storage, func(*Config) {})
	wantError(t, other.VersionKey(t.Context(), id), ErrKMSKey)
}

// testStoredAlias stores items that name their KMS key by an alias or a key id.
func testStoredAlias(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	id := ok[string](t)(k.newStore(t, storage).CreateKey(t.Context(), "", nil))
	item := ok[*Item](t)(storage.Get(t.Context(), id, activeType, true))
	for _, name := range []string{k.CreateAlias(region, "alias/"+id, k.arn), "alias/a", k.arn[len(k.arn)-36:]} {
		item.Attributes[kmsARNAttribute] = name
		b.put(t, storage, item)
		k.Reset()
		for _, c := range []KMSConfig{{KeyARN: k.arn}, {MRKeyARN: k.arn}, {Discovery: true}, {MRDiscovery: region}} {
			_, err := k.with(t, storage, func(config *Config) { config.KMS = c }).ActiveBranchKey(t.Context(), id)
			wantError(t, err, ErrItem)
		}
		if n := len(k.Requests()); n != 0 {
			t.Errorf("KMS was asked %d times", n)
		}
	}
}

// testTwoWriters lets a second writer write between the first one's read and
// write.
func testTwoWriters(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.newStore(t, storage)
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	read := ok[*Item](t)(s.get(t.Context(), id, activeType))
	must(t, s.VersionKey(t.Context(), id))
	winner := ok[*Key](t)(s.ActiveBranchKey(t.Context(), id))
	wantError(t, s.version(t.Context(), read), ErrConflict)
	if active := ok[*Key](t)(s.ActiveBranchKey(t.Context(), id)); active.Version != winner.Version {
		t.Error("the loser replaced the winner's version")
	}
	// A key deleted meanwhile does not come back.
	read = ok[*Item](t)(s.get(t.Context(), id, activeType))
	b.del(t, storage, id, activeType)
	wantError(t, s.version(t.Context(), read), ErrConflict)
}

// testManyWriters checks that each of many writers either stores a version or
// gets an error.
func testManyWriters(t *testing.T, b backend, k *kmsEnv) {
	b.needsIsolation(t)
	const writers = 12
	storage := b.new(t)
	s := k.newStore(t, storage)
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	old := ok[*Item](t)(s.get(t.Context(), id, activeType))
	var group sync.WaitGroup
	results := make(chan error, writers)
	for range writers {
		group.Go(func() { results <- s.version(t.Context(), cloneItem(old)) })
	}
	group.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d writers won", won, writers)
	}
	active := ok[*Key](t)(s.ActiveBranchKey(t.Context(), id))
	ok[*Key](t)(s.BranchKeyVersion(t.Context(), id, active.Version))
}

func testCreatedByMany(t *testing.T, b backend, k *kmsEnv) {
	s := k.with(t, b.new(t), func(*Config) {})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := s.CreateKeyStore(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.needsIsolation(t)
	results := make(chan error, 6)
	for range cap(results) {
		group.Go(func() {
			_, err := s.CreateKey(t.Context(), "key", customContext)
			results <- err
		})
	}
	group.Wait()
	close(results)
	made := 0
	for err := range results {
		if err == nil {
			made++
		} else {
			wantError(t, err, ErrExists)
		}
	}
	if made != 1 {
		t.Errorf("the key was created %d times", made)
	}
}

// wrongStorage returns other items than the requested ones.
type wrongStorage struct {
	Storage
	change func(*Item)
}

func (w wrongStorage) Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error) {
	item, err := w.Storage.Get(ctx, id, itemType, consistent)
	if err == nil {
		w.change(item)
	}
	return item, err
}

func TestWrongStorage(t *testing.T) {
	k := newKMS(t)
	storage := newFile(t)
	id := ok[string](t)(k.newStore(t, storage).CreateKey(t.Context(), "", nil))
	for name, change := range map[string]func(*Item){
		"other id":      func(i *Item) { i.ID = "other" },
		"other type":    func(i *Item) { i.Type = beaconType },
		"no attributes": func(i *Item) { i.Attributes = nil },
		"no key":        func(i *Item) { i.Enc = nil },
		"hidden id":     func(i *Item) { i.Attributes[idAttribute] = i.ID },
		"hidden type":   func(i *Item) { i.Attributes[typeAttribute] = i.Type },
	} {
		s := k.with(t, wrongStorage{storage, change}, func(*Config) {})
		if _, err := s.ActiveBranchKey(t.Context(), id); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	k := newKMS(t)
	alias := k.CreateAlias(region, "alias/a", k.arn)
	for name, change := range map[string]func(*Config){
		"no storage":           func(c *Config) { c.Storage = nil },
		"nil storage":          func(c *Config) { c.Storage = (*fileStorage)(nil) },
		"nil clients":          func(c *Config) { c.Clients = (*failingClients)(nil) },
		"no logical name":      func(c *Config) { c.LogicalName = "" },
		"NUL in logical name":  func(c *Config) { c.LogicalName = "a\x00b" },
		"logical name not UTF": func(c *Config) { c.LogicalName = "\xff" },
		"no KMS":               func(c *Config) { c.KMS = KMSConfig{} },
		"two of KMS":           func(c *Config) { c.KMS.Discovery = true },
		"alias":                func(c *Config) { c.KMS = KMSConfig{KeyARN: alias} },
		"MR alias":             func(c *Config) { c.KMS = KMSConfig{MRKeyARN: alias} },
		"bare id":              func(c *Config) { c.KMS = KMSConfig{KeyARN: "mrk-1"} },
	} {
		c := k.config(newFile(t))
		change(&c)
		if s, err := NewStore(c); err == nil || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := NewFileStorage(""); err == nil {
		t.Error("a file without a path is taken")
	}
	if _, err := NewDynamoDBStorage(nil, ""); err == nil {
		t.Error("a table without a name is taken")
	}
	for _, client := range []DynamoDBClient{(*dynamodb.Client)(nil), (*silentDynamoDB)(nil)} {
		if _, err := NewDynamoDBStorage(client, "table"); err == nil {
			t.Errorf("a nil %T is taken", client)
		}
	}
}

func TestInfo(t *testing.T) {
	k := newKMS(t)
	c := k.config(newFile(t))
	s := ok[*Store](t)(NewStore(c))
	info := s.Info()
	if _, err := parseUUID(info.ID); err != nil {
		t.Error(err)
	}
	if info.StorageName != c.Storage.Name() || info.LogicalName != "logical" || s.LogicalName() != "logical" ||
		!reflect.DeepEqual(info.KMS, c.KMS) || len(info.GrantTokens) != 1 || info.GrantTokens[0] != "token-1" {
		t.Errorf("info is %+v", info)
	}
	info.GrantTokens[0] = "changed"
	c.GrantTokens[0] = "changed"
	if s.Info().GrantTokens[0] != "token-1" {
		t.Error("the grant tokens are shared")
	}
	c.ID = "mine"
	if got := ok[*Store](t)(NewStore(c)).Info().ID; got != "mine" {
		t.Errorf("id is %q", got)
	}
}

// Printing a key doesn't reveal its secret, with any verb.
func TestKeyHidesSecret(t *testing.T) {
	k := newKMS(t)
	s := k.newStore(t, newFile(t))
	id := ok[string](t)(s.CreateKey(t.Context(), "", nil))
	key := ok[*Key](t)(s.ActiveBranchKey(t.Context(), id))
	text := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		text += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, *key)
	}
	text += string(ok[[]byte](t)(json.Marshal(key)))
	if !withoutSecret(text, key) || strings.Contains(text, fmt.Sprintf("%x", key.Secret[:4])) {
		t.Errorf("the secret is in %q", text)
	}
	if beacon := ok[*Key](t)(s.BeaconKey(t.Context(), id)); fmt.Sprint(beacon) != fmt.Sprintf("beacon key of branch key %q", id) {
		t.Errorf("beacon key prints as %v", beacon)
	}
}

// A partition key of DynamoDB has up to 2048 bytes.
func TestLongestName(t *testing.T) {
	must(t, checkName("name", strings.Repeat("x", 2048)))
	if err := checkName("name", strings.Repeat("x", 2049)); err == nil || !strings.Contains(err.Error(), "2048 bytes") {
		t.Error(err)
	}
}

func TestUUID(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 1000 {
		u := newUUID()
		s := formatUUID(u)
		if got, err := parseUUID(s); err != nil || got != u || s[14] != '4' || !strings.ContainsRune("89ab", rune(s[19])) || seen[u] {
			t.Fatalf("%s: %x, %v", s, got, err)
		}
		seen[u] = true
	}
	for _, s := range []string{"", "e9ce18a3edb542729f861cacb7997ff6", "e9ce18a3-edb5-4272-9f86-1cacb7997ff", "E9ce18a3-edb5-4272-9f86-1cacb7997ff6", "e9ce18a3-edb5-42729-f86-1cacb7997ff6", "{9ce18a3-edb5-4272-9f86-1cacb7997ff}"} {
		if u, err := parseUUID(s); err == nil {
			t.Errorf("%q is %x", s, u)
		}
	}
}
