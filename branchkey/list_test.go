package branchkey

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"esdk"
	"esdk/internal/faulttest"
)

func testList(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.with(t, storage, func(*Config) {})
	for _, id := range []string{"", "key"} {
		_, err := collect(s.List(t.Context(), id))
		wantError(t, err, ErrNoKeyStore)
	}
	ok[string](t)(s.CreateKeyStore(t.Context()))
	if entries := ok[[]*Entry](t)(collect(s.List(t.Context(), ""))); len(entries) != 0 {
		t.Errorf("an empty key store has %v", entries)
	}
	ids := []string{k.newVersions(t, s, 3), k.newVersions(t, s, 1), ok[string](t)(s.CreateKey(t.Context(), "", nil))}
	k.Reset()
	want := map[string]Entry{}
	for i, id := range ids {
		entries := ok[[]*Entry](t)(collect(s.List(t.Context(), id)))
		if len(entries) != []int{5, 3, 3}[i] {
			t.Errorf("%d entries of %s", len(entries), id)
		}
		for _, e := range entries {
			item := ok[*Item](t)(storage.Get(t.Context(), id, e.Type, true))
			custom := esdk.EncryptionContext{}
			if i < 2 {
				custom = customContext
			}
			if e.ID != id || e.Version != item.version() || e.Active != (e.Type == "branch:ACTIVE") || e.Beacon() != (e.Type == "beacon:ACTIVE") || e.Beacon() != (e.Version == "") ||
				!maps.Equal(e.EncryptionContext, custom) || e.KMSKeyARN != k.arn || e.CreateTime != item.Attributes[timeAttribute] {
				t.Errorf("entry %+v of %v", e, item)
			}
			want[id+" "+e.Type] = *e
		}
	}
	place := []string{}
	for _, e := range ok[[]*Entry](t)(collect(s.List(t.Context(), ""))) {
		if w := want[e.ID+" "+e.Type]; w.KMSKeyARN != e.KMSKeyARN || w.Version != e.Version || w.CreateTime != e.CreateTime {
			t.Errorf("listing all, entry %+v, want %+v", e, w)
		}
		delete(want, e.ID+" "+e.Type)
		place = append(place, e.ID)
	}
	if place = slices.Compact(place); len(want) != 0 || len(place) != len(ids) {
		t.Errorf("listing all leaves %v; order %q", want, place)
	}
	if entries := ok[[]*Entry](t)(collect(s.List(t.Context(), "nobody's"))); len(entries) != 0 || len(k.Requests()) != 0 {
		t.Errorf("an unknown branch key has %v; KMS %v", entries, k.Requests())
	}
	for _, id := range []string{"a\x00", "\xff", strings.Repeat("x", maxID+1)} {
		if _, err := collect(s.List(t.Context(), id)); err == nil || errors.Is(err, ErrItem) {
			t.Errorf("%q: %v", id, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := collect(s.List(ctx, ""))
	wantError(t, err, context.Canceled)
}

// testListPages lists malformed items among others, in a table of several
// pages.
func testListPages(t *testing.T, b backend, k *kmsEnv) {
	storage := b.new(t)
	s := k.newStore(t, storage)
	const versions = 70 // of 40 KB each, and a page has 1 MB
	ids := []string{"a", "b", "c"}
	malformed := map[string]error{"b " + versionPrefix + "x": ErrItem, "c " + activeType: ErrHierarchyVersion, "c unknown": ErrItem}
	want := map[string]bool{}
	put := func(id, itemType, hierarchy string) {
		attributes := newAttributes(k.arn, time.Now(), esdk.EncryptionContext{"padding": strings.Repeat("x", 40_000)})
		attributes[hierarchyAttribute] = hierarchy
		if itemType == activeType {
			attributes[versionAttribute] = versionPrefix + formatUUID(newUUID())
		}
		b.put(t, storage, &Item{ID: id, Type: itemType, Enc: []byte("enc"), Attributes: attributes})
		want[id+" "+itemType] = true
	}
	for i := range versions {
		put(ids[i%3], versionPrefix+formatUUID(newUUID()), "1")
	}
	put("b", versionPrefix+"x", "1")
	put("c", activeType, "2")
	put("c", "unknown", "1")
	check := func(listed string) {
		got := 0
		for e, err := range s.List(t.Context(), listed) {
			if e == nil {
				t.Fatal(err)
			}
			name := e.ID + " " + e.Type
			if bad := malformed[name]; bad == nil && err != nil || bad != nil && !errors.Is(err, bad) || !want[name] || e.Beacon() {
				t.Errorf("%s: %v", name, err)
			}
			got++
		}
		if n := len(slices.DeleteFunc(slices.Collect(maps.Keys(want)), func(name string) bool { return !strings.HasPrefix(name, listed) })); got != n {
			t.Errorf("listing %q: %d items, want %d", listed, got, n)
		}
	}
	check("")
	for _, id := range ids {
		check(id)
	}
}

// testListMeanwhile creates, versions and re-keys branch keys between any two
// entries of a list. Every earlier item is in the list.
func testListMeanwhile(t *testing.T, b backend, k *kmsEnv) {
	storage, second := b.new(t), k.another()
	if file, isFile := storage.(*fileStorage); isFile {
		file.page = 2
	}
	s := k.newStore(t, storage)
	r := k.rekeyer(t, storage, second)
	before := map[string]bool{}
	var ids []string
	for range 4 {
		id := k.newVersions(t, s, 2)
		ids = append(ids, id)
		for itemType := range itemsNow(t, storage, id) {
			before[id+" "+itemType] = true
		}
	}
	for _, listed := range []string{"", ids[0]} {
		seen := map[string]bool{}
		for e, err := range s.List(t.Context(), listed) {
			must(t, err)
			if name := e.ID + " " + e.Type; seen[name] {
				t.Errorf("%s is listed twice", name)
			} else {
				seen[name] = true
			}
			if len(seen)%3 == 0 && len(seen) < 30 {
				id := ids[rand.IntN(len(ids))]
				must(t, r.VersionKey(t.Context(), id))
				ok[int](t)(r.RekeyBranchKey(t.Context(), id, second))
				ok[string](t)(s.CreateKey(t.Context(), "", nil))
			}
		}
		for name := range before {
			if strings.HasPrefix(name, listed) && !seen[name] {
				t.Errorf("listing %q: %s is not listed", listed, name)
			}
		}
	}
}

// A drawnItem is a random item of a key store.
type drawnItem struct {
	id, itemType string
	malformed    bool
}

// TestListDrawn lists random items in pages of random sizes.
func TestListDrawn(t *testing.T) {
	k := newKMS(t)
	dir, file := t.TempDir(), 0
	// These include ids that are prefixes of others, and adjacent ids.
	ids := []string{"a", "a\x01", "a/", "aa", "ab", "b", "\U0001F600", strings.Repeat("z", maxID)}
	types := []string{activeType, beaconType, "branch:MUTATION_INDEX", "branch:version:", "branch:version:a", "a"}
	for range 5 {
		types = append(types, versionPrefix+formatUUID(newUUID()))
	}
	storages := map[string]func(rt *rapid.T, page int, items []drawnItem) Storage{
		"file": func(rt *rapid.T, page int, items []drawnItem) Storage {
			file++
			s := &fileStorage{filepath.Join(dir, fmt.Sprint(file)), lockTimeout, page}
			ok[string](t)(s.Create(t.Context()))
			editFile(t, s, func(buckets *bbolt.Bucket) error {
				must(t, buckets.Put([]byte("aa value"), []byte("beside the buckets")))
				for _, i := range items {
					b, err := buckets.CreateBucketIfNotExists([]byte(i.id))
					must(t, err)
					if i.malformed && i.itemType == "a" {
						_, err = b.CreateBucketIfNotExists([]byte(i.itemType))
						must(t, err)
						continue
					}
					must(t, b.Put([]byte(i.itemType), drawnText(t, k, i)))
				}
				_, err := buckets.CreateBucketIfNotExists([]byte("ac is empty"))
				return err
			})
			return s
		},
		"DynamoDB": func(rt *rapid.T, page int, items []drawnItem) Storage {
			db := &fakeDynamoDB{items: map[string]object{}, page: page}
			for _, i := range items {
				item := normal(t, attributesOf(drawn(k, i), bin([]byte("enc")))).(object)
				if i.malformed {
					item["enc"] = normal(t, str("text"))
				}
				db.items[itemKey(item)] = item
			}
			return ok[Storage](t)(dynamoDBStorages(nil, "http://fake", "table", inProcess(db))())
		},
	}
	for name, open := range storages {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				items := drawItems(rt, ids, types)
				s := k.with(t, open(rt, rapid.IntRange(1, 9).Draw(rt, "page"), items), func(*Config) {})
				for _, id := range append(ids, "", "other") {
					checkDrawn(rt, s, id, items)
				}
			})
		})
	}
}

func drawItems(rt *rapid.T, ids, types []string) (items []drawnItem) {
	seen := map[drawnItem]bool{}
	for range rapid.IntRange(0, 30).Draw(rt, "items") {
		i := drawnItem{id: rapid.SampledFrom(ids).Draw(rt, "id"), itemType: rapid.SampledFrom(types).Draw(rt, "type")}
		if seen[i] {
			continue
		}
		seen[i] = true
		i.malformed = rapid.IntRange(0, 4).Draw(rt, "malformed") == 0
		items = append(items, i)
	}
	return items
}

func drawn(k *kmsEnv, i drawnItem) *Item {
	item := &Item{ID: i.id, Type: i.itemType, Enc: []byte("enc"), Attributes: newAttributes(k.arn, time.Now(), esdk.EncryptionContext{"tenant": "17"})}
	if i.itemType == activeType {
		item.Attributes[versionAttribute] = versionPrefix + formatUUID(newUUID())
	}
	return item
}

func drawnText(t *testing.T, k *kmsEnv, i drawnItem) []byte {
	item := drawn(k, i)
	text := ok[[]byte](t)(json.Marshal(storedItem{item.Enc, item.Attributes}))
	if i.malformed {
		return text[:len(text)/2]
	}
	return text
}

// checkDrawn: a list has each item once, the items of a branch key together,
// and an error with each malformed item.
func checkDrawn(rt *rapid.T, s *Store, id string, items []drawnItem) {
	want := map[string]drawnItem{}
	for _, i := range items {
		if id == "" || i.id == id {
			want[i.id+" "+i.itemType] = i
		}
	}
	var order []string
	for e, err := range s.List(context.Background(), id) {
		if e == nil {
			rt.Fatalf("listing %q: %v", id, err)
		}
		i, isThere := want[e.ID+" "+e.Type]
		_, uuidErr := parseUUID(strings.TrimPrefix(e.Type, versionPrefix))
		bad := i.malformed || e.Type != activeType && e.Type != beaconType && uuidErr != nil
		if !isThere || bad != (err != nil) || err != nil && (!errors.Is(err, ErrItem) || !strings.Contains(err.Error(), e.Type)) {
			rt.Errorf("listing %q: %+v, %v; malformed %v", id, e, err, bad)
		}
		delete(want, e.ID+" "+e.Type)
		order = append(order, e.ID)
	}
	if order = slices.Compact(order); len(want) != 0 || len(slices.Compact(slices.Sorted(slices.Values(order)))) != len(order) {
		rt.Errorf("listing %q: without %v, in the order %q", id, want, order)
	}
	for range s.List(context.Background(), id) {
		break // which must end it
	}
}

// A list that is not read to its end requests no more pages.
func TestListBroken(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	k.newVersions(t, s, 3)
	db.page = 2
	for take, requests := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 9: 3} {
		db.take()
		left := take
		for _, err := range s.List(t.Context(), "") {
			must(t, err)
			if left--; left == 0 {
				break
			}
		}
		if n := len(db.take()); n != requests {
			t.Errorf("%d requests for %d entries, want %d", n, take, requests)
		}
	}
}

// An error of a page ends the list, after the items of earlier pages.
func TestListPageFails(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	id := k.newVersions(t, s, 3)
	db.page = 2
	for operation, listed := range map[string]string{"Scan": "", "Query": id} {
		n := 0
		db.setAnswer(func(string, object) (int, object) {
			if n++; n > 1 {
				return failure("AccessDeniedException")
			}
			return 0, nil
		})
		entries, errs := 0, 0
		for e, err := range s.List(t.Context(), listed) {
			if err == nil {
				entries++
				continue
			}
			if errs++; e != nil || apiCode(err) != "AccessDeniedException" || !strings.Contains(err.Error(), operation) || !strings.Contains(err.Error(), "table") {
				t.Errorf("%v, %v", e, err)
			}
		}
		if entries != 2 || errs != 1 {
			t.Errorf("%d entries, %d errors", entries, errs)
		}
	}
	db.setAnswer(func(string, object) (int, object) { return failure("ResourceNotFoundException") })
	_, err := collect(s.List(t.Context(), ""))
	wantError(t, err, ErrNoKeyStore)
}

// If the client can't list, List and its callers return an error.
func TestListWithoutClient(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	storage := ok[Storage](t)(NewDynamoDBStorage(struct{ DynamoDBClient }{newDynamoDBClient(db.URL)}, "table"))
	s := k.with(t, storage, func(*Config) {})
	id := k.newVersions(t, s, 1)
	_, err := collect(s.List(t.Context(), ""))
	_, rekeyErr := s.RekeyBranchKey(t.Context(), id, k.another())
	for _, err := range []error{err, rekeyErr} {
		if err == nil || !strings.Contains(err.Error(), "no Query and Scan") || !strings.Contains(err.Error(), "DynamoDBClient") {
			t.Error(err)
		}
	}
}

// A page of DynamoDB can be much longer than 1 MB as JSON.
func TestListLongPage(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	id := k.newVersions(t, s, 1)
	// As DynamoDB counts, two values of 399 KB fit into a page.
	escaped := object{"S": strings.Repeat("\x01", 399<<10)}
	empty := make([]object, 399<<10/1)
	for i := range empty {
		empty[i] = object{"S": ""}
	}
	for name, value := range map[string]object{"escaped": escaped, "list": {"L": empty}} {
		for i := range 2 {
			planted := normal(t, object{idAttribute: str(id), typeAttribute: str(fmt.Sprint("z", i)), "x": value}).(object)
			db.items[itemKey(planted)] = planted
		}
		good := 0
		for e, err := range s.List(t.Context(), id) {
			if e == nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				good++
			}
		}
		if good != 3 {
			t.Errorf("%s: %d good entries", name, good)
		}
	}
}

// An endless answer ends the list, and takes no more memory than the limit of a
// page.
func TestListEndless(t *testing.T) {
	s, _, p, _ := newProxies(t)
	p.Spoil(faulttest.Endless(200, `{"Items":[{"enc":{"B":"`))
	n := allocated(func() {
		_, err := collect(s.List(t.Context(), ""))
		if err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Error(err)
		}
	})
	if n > 10*maxPage {
		t.Errorf("%d bytes of memory", n)
	}
}

// yields returns a list of the given items and errors.
func yields(items ...any) func() iter.Seq2[*Item, error] {
	return func() iter.Seq2[*Item, error] {
		return func(yield func(*Item, error) bool) {
			for _, i := range items {
				item, _ := i.(*Item)
				err, _ := i.(error)
				if !yield(item, err) {
					return
				}
			}
		}
	}
}

type listStorage struct {
	Storage
	list func() iter.Seq2[*Item, error]
}

func (l listStorage) List(context.Context, string) iter.Seq2[*Item, error] { return l.list() }

// Anyone may implement a Storage.
func TestListWrongStorage(t *testing.T) {
	k, storage := newKMS(t), newFile(t)
	id := k.newVersions(t, k.newStore(t, storage), 1)
	now := itemsNow(t, storage, id)
	items := []*Item{now[beaconType], now[now[activeType].Attributes[versionAttribute]]}
	foreign := cloneItem(items[0])
	foreign.ID = "foreign"
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		list    []any
		want    error
		text    string
		entries int // yielded by List, with or without an error
	}{
		"nothing":    {[]any{nil, items[0]}, nil, "returned no item", 1},
		"foreign":    {[]any{foreign, items[0]}, ErrItem, "foreign", 2},
		"fails":      {[]any{items[0], broken, items[1]}, broken, "broken", 2},
		"incomplete": {[]any{&Item{ID: id, Type: beaconType}, items[1]}, ErrItem, "enc", 2},
	} {
		s := k.with(t, listStorage{storage, yields(c.list...)}, func(*Config) {})
		var failed error
		entries := 0
		for _, err := range s.List(t.Context(), id) {
			entries++
			failed = cmp.Or(failed, err)
		}
		if failed == nil || c.want != nil && !errors.Is(failed, c.want) || !strings.Contains(failed.Error(), c.text) || entries != c.entries {
			t.Errorf("%s: %d entries, %v", name, entries, failed)
		}
		// Re-key to the same key, so that the items stay as they were read.
		_, err := s.RekeyBranchKey(t.Context(), id, k.arn)
		if err == nil || errors.Is(err, ErrConflict) || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file with exchanged pages causes neither an endless list nor a panic.
func TestFileListDamaged(t *testing.T) {
	k := newKMS(t)
	storage := newFile(t).(*fileStorage)
	s := k.newStore(t, storage)
	const items = 400
	editFile(t, storage, func(buckets *bbolt.Bucket) error {
		b, err := buckets.CreateBucket([]byte("key"))
		for range items {
			i := drawnItem{id: "key", itemType: versionPrefix + formatUUID(newUUID())}
			err = errors.Join(err, b.Put([]byte(i.itemType), drawnText(t, k, i)))
		}
		return err
	})
	good := ok[[]byte](t)(os.ReadFile(storage.path))
	size := os.Getpagesize()
	var leaves []int
	for n := range len(good) / size {
		if page := good[n*size:]; binary.NativeEndian.Uint16(page[8:]) == 2 && binary.NativeEndian.Uint16(page[10:]) > 5 {
			leaves = append(leaves, n)
		}
	}
	if len(leaves) < 10 {
		t.Fatalf("only %d pages of items", len(leaves))
	}
	damaged := 0
	for i, from := range leaves {
		to := leaves[(i+1+rand.IntN(len(leaves)-1))%len(leaves)]
		bad := slices.Clone(good)
		copy(bad[to*size+8:(to+1)*size], good[from*size+8:(from+1)*size]) // a page begins with its number
		must(t, os.WriteFile(storage.path, bad, 0o600))
		n := 0
		for _, err := range s.List(t.Context(), "") {
			if n++; err != nil {
				damaged++
				wantError(t, err, ErrSchema)
			}
			if n > 2*items {
				t.Fatalf("page %d as page %d: a list without an end", from, to)
			}
		}
	}
	if damaged == 0 {
		t.Error("no list found the damage")
	}
}

// Memory is bounded by the page, not by the length of the list.
func TestFileListLong(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT run: -short is set")
	}
	k, storage := newKMS(t), newFile(t)
	s := k.newStore(t, storage)
	const items = 100_000
	editFile(t, storage, func(buckets *bbolt.Bucket) error {
		text := drawnText(t, k, drawnItem{id: "key", itemType: versionPrefix})
		for n := range items / 40 {
			b, err := buckets.CreateBucket([]byte(fmt.Sprint("key ", n)))
			must(t, err)
			for range 40 {
				must(t, b.Put([]byte(versionPrefix+formatUUID(newUUID())), text))
			}
		}
		return nil
	})
	heap() // twice, since pools keep their contents until the second collection
	before, start := heap(), time.Now()
	n, most := 0, uint64(0)
	for _, err := range s.List(t.Context(), "") {
		must(t, err)
		if n++; n%5000 == 0 {
			most = max(most, heap())
		}
	}
	took := time.Since(start)
	info := ok[os.FileInfo](t)(os.Stat(storage.Name()))
	t.Logf("%d items of a file of %d MiB in %v, at most %d KiB more of memory", n, info.Size()>>20, took, (most-min(most, before))>>10)
	if n != items || most > before+4<<20 {
		t.Errorf("%d items; %d bytes of memory before, %d at most", n, before, most)
	}
}

// A countingClient counts pages.
type countingClient struct {
	*dynamodb.Client
	pages int
}

func (c *countingClient) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	c.pages++
	return c.Client.Query(ctx, in, o...)
}

func (c *countingClient) Scan(ctx context.Context, in *dynamodb.ScanInput, o ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	c.pages++
	return c.Client.Scan(ctx, in, o...)
}

// A branch key of more than 1 MB is re-keyed over several pages of a real
// DynamoDB.
func TestDynamoDBListLong(t *testing.T) {
	b := dynamoDBBackend(t)
	k, storage := newKMS(t), b.new(t)
	second := k.another()
	s := k.newStore(t, storage)
	padding := esdk.EncryptionContext{"padding": strings.Repeat("x", 7000)} // AWS KMS takes 8 KB
	ok[string](t)(s.CreateKey(t.Context(), "key", padding))
	for range 200 {
		must(t, s.VersionKey(t.Context(), "key"))
	}
	client := &countingClient{Client: dynamoDBClient(t)}
	listing := ok[Storage](t)(NewDynamoDBStorage(client, storage.Name()))
	for _, id := range []string{"", "key"} {
		client.pages = 0
		if entries := ok[[]*Entry](t)(collect(k.with(t, listing, func(*Config) {}).List(t.Context(), id))); len(entries) != 203 || client.pages < 2 {
			t.Errorf("%d entries in %d pages", len(entries), client.pages)
		}
	}
	if n := ok[int](t)(k.rekeyer(t, listing, second).RekeyBranchKey(t.Context(), "key", second)); n != 203 {
		t.Errorf("re-keyed %d items", n)
	}
	wantKMSKey(t, storage, "key", second)
}
