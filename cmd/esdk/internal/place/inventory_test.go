package place

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/inventory/inventorytest"
	"esdk/cmd/esdk/internal/object"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// newLake returns a planner with a bucket of objects and a bucket with an
// inventory of entries.
func newLake(t testing.TB, i inventorytest.Inventory, entries []inventory.Entry, keys ...string) (p *Planner, lake *blob.Bucket) {
	t.Helper()
	p = newPlanner()
	lake, inventories := memblob.OpenBucket(nil), memblob.OpenBucket(nil)
	p.Buckets.UseTest("s3://lake", lake)
	p.Buckets.UseTest("s3://inv", inventories)
	for _, key := range keys {
		if err := lake.WriteAll(context.Background(), key, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	for key, b := range i.Write(t, entries) {
		if err := inventories.WriteAll(context.Background(), key, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p, lake
}

func entry(key string) inventory.Entry {
	return inventory.Entry{Key: key, Latest: true, Size: int64(len(key)), Modified: inventorytest.Time}
}

func TestPlanInventory(t *testing.T) {
	files(t, "out/keep", "one")
	old, marker := entry("in/b"), entry("in/gone")
	old.Latest, old.VersionID = false, "v+1"
	marker.DeleteMarker = true
	empty := entry("in/c/")
	empty.Size = 0
	entries := []inventory.Entry{entry("in/a b"), entry("in/b"), old, marker, empty, entry("in/c/d"), entry("in/none")}
	for _, format := range inventorytest.Formats {
		i := inventorytest.Inventory{Bucket: "lake", Format: format, Versions: true, PerFile: 2}
		p, _ := newLake(t, i, entries, "in/a b", "in/b", "in/c/d")
		name := "s3://inv/" + i.ManifestKey()
		skipped := " in/b?versionId=v%2B1:not the latest version in/gone:delete marker in/c/:directory marker"
		for what, c := range map[string]struct {
			options OutputOptions
			inputs  []string
			want    string
		}{
			"in place":  {OutputOptions{InPlace: true}, nil, "in/a%20b:in/a%20b in/b:in/b" + skipped + " in/c/d:in/c/d in/none:in/none"},
			"beside":    {OutputOptions{}, nil, "in/a%20b:in/a%20b.x in/b:in/b.x" + skipped + " in/c/d:in/c/d.x in/none:in/none.x"},
			"to files":  {OutputOptions{Path: "out"}, nil, "in/a%20b:out/in/a b.x in/b:out/in/b.x" + skipped + " in/c/d:out/in/c/d.x in/none:out/in/none.x"},
			"to a new":  {OutputOptions{Path: "new"}, []string{"one"}, "one:new/one.x in/a%20b:new/in/a b.x in/b:new/in/b.x" + skipped + " in/c/d:new/in/c/d.x in/none:new/in/none.x"},
			"to itself": {OutputOptions{Path: "s3://lake/"}, nil, "refused"},
			"to a file": {OutputOptions{Path: "one"}, nil, "refused"},
			"a pattern": {OutputOptions{InPlace: true, InputOptions: InputOptions{Include: []string{"d"}}}, nil, "in/a%20b:" + skipPattern + " in/b:" + skipPattern + " in/b?versionId=v%2B1:not the latest version in/gone:delete marker in/c/:directory marker in/c/d:in/c/d in/none:" + skipPattern},
			"twice":     {OutputOptions{Path: "out", InputOptions: InputOptions{Recursive: true}}, []string{"s3://lake/in/b"}, "in/b:out/b.x in/a%20b:out/in/a b.x in/b:out/in/b.x" + skipped + " in/c/d:out/in/c/d.x in/none:out/in/none.x"},
			"above":     {OutputOptions{InputOptions: InputOptions{Recursive: true}}, []string{"s3://lake/in/"}, "refused"},
		} {
			o := c.options
			o.Inventory, o.Name, o.OneToOne = name, encrypted, true
			got, err := planInventory(p, &o, c.inputs)
			if err != nil {
				got = "refused"
			}
			if want := filepath.FromSlash(c.want); filepath.FromSlash(got) != want {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", format, what, err, got, c.want)
			}
		}
	}
}

func planInventory(p *Planner, o *OutputOptions, inputs []string) (string, error) {
	plan, err := p.Plan(context.Background(), inputs, o)
	if err != nil {
		return "", err
	}
	var all []string
	for j := range plan.All() {
		what := j.Skip
		if what == "" {
			what = j.Output()
		}
		if j.Err != nil {
			what = j.Err.Error()
		}
		all = append(all, strings.ReplaceAll(j.Source.Name()+":"+what, "s3://lake/", ""))
	}
	return strings.Join(all, " "), nil
}

// All versions are read on request, and an object that was replaced after the
// inventory is read as it is now.
func TestInventorySources(t *testing.T) {
	old, longer, gone := entry("b"), entry("in/longer"), entry("gone")
	old.Latest, old.VersionID = false, ""
	line, above := entry("a\nb"), entry("a/../b")
	longer.Size = 1
	i := inventorytest.Inventory{Bucket: "lake", Format: "CSV", Versions: true}
	p, _ := newLake(t, i, []inventory.Entry{old, longer, gone, line, above}, "b", "in/longer")
	plan, err := p.Inputs(context.Background(), nil, &InputOptions{Inventory: "s3://inv/" + i.ManifestKey(), AllVersions: true})
	if err != nil {
		t.Fatal(err)
	}
	jobs := plan.Ahead()
	if len(jobs) != 5 || jobs[3].Err == nil || jobs[4].Err == nil || jobs[0].Source.Name() != "s3://lake/b?versionId=null" || jobs[0].Skip != "" {
		t.Fatalf("%d jobs, %+v", len(jobs), jobs)
	}
	f, err := jobs[1].Source.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if b, readErr := io.ReadAll(f); err != nil || info.Size() != int64(len("in/longer")) || string(b) != "in/longer" {
		t.Errorf("%q, %v, %v", b, info, readErr)
	}
	if _, err := jobs[2].Source.Open(context.Background()); cli.Kind(err) != cli.KindNotFound {
		t.Errorf("%v", err)
	}
}

// An unreachable key isn't a failure if it's left out or skipped anyway.
func TestInventoryUnreachable(t *testing.T) {
	marker, old := entry("a/../m"), entry("a/../o")
	marker.DeleteMarker, old.Latest = true, false
	folder := entry("a/../f/")
	folder.Size = 0
	for _, format := range inventorytest.Formats {
		i := inventorytest.Inventory{Bucket: "lake", Format: format, Versions: true}
		p, _ := newLake(t, i, []inventory.Entry{entry("a/../b"), entry("a\nb"), entry("good"), marker, old, folder})
		for exclude, want := range map[string]string{
			"none": "error error  delete marker not the latest version directory marker",
			"b":    skipPattern + " error  delete marker not the latest version directory marker",
			"a*":   skipPattern + " " + skipPattern + "  delete marker not the latest version directory marker",
		} {
			plan, err := p.Inputs(context.Background(), nil, &InputOptions{Inventory: "s3://inv/" + i.ManifestKey(), Exclude: []string{exclude}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, j := range plan.Ahead() {
				what := j.Skip
				if j.Err != nil {
					what = "error"
				}
				got = append(got, what)
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%s without %s: %s, want %s", format, exclude, text, want)
			}
		}
	}
}

// Objects that the command wrote under an odd key are found by an inventory
// too, which has the key as S3 does. Lists, listings and inventories have them
// in the same shard.
func TestInventoryOddKeys(t *testing.T) {
	odd := map[string]string{"new__0xa__line": "new\nline", "a/..__0x2f__b": "a/../b", "a/b": "a/b", "x__0x5f___0x41__": "x__0x41__"}
	var entries []inventory.Entry
	var keys, names []string
	for raw, key := range odd {
		entries, keys = append(entries, entry(raw)), append(keys, key)
		names = append(names, "s3://lake/"+(&url.URL{Path: key}).EscapedPath())
	}
	entries = append(entries, entry("tab\tx"))
	i := inventorytest.Inventory{Bucket: "lake", Format: "CSV"}
	p, _ := newLake(t, i, entries, keys...)
	names = append(names, "s3://lake/tab%09x#unreachable")
	ways := map[string]*InputOptions{
		"inventory": {Inventory: "s3://inv/" + i.ManifestKey()},
		"list":      {Names: slices.Values(names)},
		"listing":   {Recursive: true},
	}
	for way, o := range ways {
		var inputs []string
		if way == "listing" {
			inputs = []string{"s3://lake/"}
		}
		got := make(map[string]string)
		for index := range 3 {
			o.Shard = fmt.Sprintf("%d/3", index)
			plan, err := p.Inputs(context.Background(), inputs, o)
			if err != nil {
				t.Fatal(err)
			}
			for j := range plan.All() {
				got[j.Given()] += o.Shard
				if unreachable := strings.HasPrefix(j.Given(), "s3://lake/tab"); unreachable != (cli.Kind(j.Err) == cli.KindUnreachable) {
					t.Errorf("%s: %s: %v", way, j.Given(), j.Err)
				} else if !unreachable {
					in, err := j.Open(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					in.Close()
				}
			}
		}
		if o.Inventory != "" && o.Created.UnixMilli() != 1793926800000 {
			t.Errorf("written at %v", o.Created)
		}
		want := make(map[string]string)
		for _, name := range names {
			if u, err := url.Parse(name); err == nil && (way != "listing" || u.Fragment == "") {
				for index := range uint64(3) {
					if (shard{index, 3}).has("lake" + u.Path) {
						want[name] = fmt.Sprintf("%d/3", index)
					}
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %q, want %q", way, got, want)
		}
	}
}

// An object that marks a directory is recognized with any columns in the
// inventory.
func TestInventoryFolders(t *testing.T) {
	for what, e := range map[string]inventory.Entry{
		"all":      {Size: 0, Modified: inventorytest.Time},
		"its size": {Size: 0},
		"its time": {Size: -1, Modified: inventorytest.Time},
		"nothing":  {Size: -1},
	} {
		e.Key, e.Latest = "in/empty/", true
		full := e
		if full.Key = "in/full/"; full.Size >= 0 {
			full.Size = 8
		}
		p, lake := newLake(t, inventorytest.Inventory{Bucket: "lake", Format: "CSV"}, nil, "in/full/")
		if err := lake.WriteAll(context.Background(), e.Key, nil, nil); err != nil {
			t.Fatal(err)
		}
		bucket, err := p.Buckets.Parse(context.Background(), "s3://lake/")
		if err != nil {
			t.Fatal(err)
		}
		f := &objectFolder{Object: bucket, options: new(InputOptions)}
		for _, e := range []inventory.Entry{e, full} {
			j := f.entry(&e)
			j.Look(context.Background())
			if marker := e.Key == "in/empty/"; marker != (j.Skip == skipMarker) || j.Err != nil {
				t.Errorf("%s, known is %s: %q, %v", e.Key, what, j.Skip, j.Err)
			}
		}
	}
}

// A mistake in an inventory stops the run, or fails by itself if it's found
// later.
func TestInventoryFaults(t *testing.T) {
	i := inventorytest.Inventory{Bucket: "lake", Format: "CSV", PerFile: 2}
	p, _ := newLake(t, i, []inventory.Entry{entry("a"), entry("b"), entry("c")}, "a", "b", "c")
	in, err := p.Buckets.Parse(context.Background(), "s3://inv/lake/all/data/1.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	w, err := in.Create(context.Background(), p.Pending, object.CreateOptions{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("changed"))
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	options := func() *OutputOptions {
		return &OutputOptions{InPlace: true, Name: encrypted, OneToOne: true, InputOptions: InputOptions{Inventory: "s3://inv/" + i.ManifestKey() + "?SECRET"}}
	}
	o := options()
	o.Inventory = strings.TrimSuffix(o.Inventory, "?SECRET")
	if _, err := p.Plan(context.Background(), nil, o); err == nil || !strings.Contains(err.Error(), "inventory file 1.csv.gz") {
		t.Errorf("%v", err)
	}
	p.LookAhead = 1
	got, err := planInventory(p, o, nil)
	if err != nil || !strings.HasPrefix(got, "a:a b:b s3://inv/"+i.ManifestKey()+":inventory file 1.csv.gz: the file has 7 bytes") {
		t.Errorf("%s, %v", got, err)
	}
	for _, name := range []string{"s3://inv/", "s3://inv", "s3://inv/lake/all/", ".", "file:///"} {
		o := options()
		o.Inventory = name
		_, err := p.Plan(context.Background(), nil, o)
		if cli.ExitStatus(err) != cli.ExitUsage || !strings.Contains(cli.Hint(err), "manifest.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	o = options()
	o.Inventory = "s3://inv/lake/all"
	if _, err := p.Plan(context.Background(), nil, o); cli.Kind(err) != cli.KindNotFound || !strings.Contains(cli.Hint(err), "manifest.json") {
		t.Errorf("a directory without a slash: %v", err)
	}
	for _, name := range []string{"s3://inv/none", "gs://inv/manifest.json", "none", "file://there/manifest.json"} {
		o := options()
		o.Inventory = name
		if _, err := p.Plan(context.Background(), nil, o); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A local inventory is found where it was copied to: with all of its key, or a
// part of it.
func TestLocalInventory(t *testing.T) {
	i := inventorytest.Inventory{Bucket: "lake", Format: "Parquet", PerFile: 1, Prefix: "a/b/"}
	want := []string{"k1", "k2"}
	objects := i.Write(t, []inventory.Entry{entry("k1"), entry("k2")})
	for how, c := range map[string]struct {
		path  func(key string) string
		fails bool
	}{
		"all":        {func(key string) string { return "copy/" + key }, false},
		"below":      {func(key string) string { return "copy/" + strings.TrimPrefix(key, "a/b/lake/") }, false},
		"here":       {func(key string) string { return strings.TrimPrefix(key, "a/b/lake/all/") }, false},
		"one folder": {func(key string) string { return "copy/" + filepath.Base(key) }, false},
		"far": {func(key string) string {
			return map[bool]string{true: "x/", false: "y/z/"}[strings.Contains(key, "manifest")] + key
		}, true},
		"beside both": {func(key string) string {
			return map[bool]string{true: "x/y/", false: "x/"}[strings.Contains(key, "manifest")] + filepath.Base(key)
		}, true},
	} {
		t.Chdir(t.TempDir())
		manifest := c.path(i.ManifestKey())
		for key, b := range objects {
			if err := os.MkdirAll(filepath.Dir(c.path(key)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.path(key), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		base, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{".", filepath.Dir(manifest)} { // also from its own directory
			t.Chdir(filepath.Join(base, dir))
			p := newPlanner()
			p.Buckets.UseTest("s3://lake", memblob.OpenBucket(nil))
			name, _ := filepath.Rel(dir, manifest)
			plan, err := p.Inputs(context.Background(), nil, &InputOptions{Inventory: name})
			if c.fails != (err != nil) {
				t.Errorf("%s: %s from %s: %v", how, name, dir, err)
			}
			if err != nil {
				continue
			}
			var got []string
			for j := range plan.All() {
				got = append(got, strings.TrimPrefix(j.Source.Name(), "s3://lake/"))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s from %s: %q, want %q", name, dir, got, want)
			}
		}
	}
}

// An inventory, a listing and a list have the same shards.
func TestShardsAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var entries []inventory.Entry
	var keys []string
	for n := range 200 {
		key := fmt.Sprintf("%d/a%%20b +ö%x", n%9, r.Uint32())
		keys, entries = append(keys, key), append(entries, entry(key))
	}
	i := inventorytest.Inventory{Bucket: "lake", Format: inventorytest.Formats[r.IntN(2)]}
	p, _ := newLake(t, i, entries, keys...)
	all := make(map[string]bool)
	for index := range 5 {
		o := InputOptions{Shard: fmt.Sprintf("%d/5", index), Recursive: true}
		take := func(inputs []string, inventory string) map[string]bool {
			o := o
			o.Inventory = inventory
			plan, err := p.Inputs(context.Background(), inputs, &o)
			if err != nil {
				t.Fatal(err)
			}
			names := make(map[string]bool)
			for j := range plan.All() {
				names[j.Source.Name()] = true
			}
			return names
		}
		listed, inventoried := take([]string{"s3://lake/"}, ""), take(nil, "s3://inv/"+i.ManifestKey())
		if !maps.Equal(listed, inventoried) || len(listed) == 0 {
			t.Fatalf("shard %d: %d listed, %d in the inventory", index, len(listed), len(inventoried))
		}
		maps.Copy(all, listed)
	}
	if len(all) != len(keys) {
		t.Errorf("%d of %d", len(all), len(keys))
	}
}

var inventoried = flag.Int("inventoried", 200_000, "how many entries TestInventoryMemory reads")

// Memory doesn't grow with the number of entries.
func TestInventoryMemory(t *testing.T) {
	entries := *inventoried
	for _, format := range inventorytest.Formats {
		i := inventorytest.Inventory{Bucket: "lake", Format: format, PerFile: entries / 4}
		p, _ := newLake(t, i, manyEntries(entries))
		plan, err := p.Plan(context.Background(), nil, &OutputOptions{InPlace: true, Name: encrypted, OneToOne: true, InputOptions: InputOptions{Inventory: "s3://inv/" + i.ManifestKey()}})
		if err != nil {
			t.Fatal(err)
		}
		n, first, most := 0, uint64(0), uint64(0)
		for j := range plan.All() {
			if n++; j.Err != nil || j.Skip != "" {
				t.Fatalf("%s: %v %s", j.Source.Name(), j.Err, j.Skip)
			}
			if n%40_000 == 20_000 {
				live := heap()
				if first == 0 {
					first = live
				}
				most = max(most, live)
			}
		}
		t.Logf("%s: %d entries, heap in use %d KiB after 20,000, and %d KiB at most", format, n, first>>10, most>>10)
		if n != entries || most > first+8<<20 {
			t.Errorf("%s: %d entries, heap from %d to %d", format, n, first, most)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func manyEntries(n int) []inventory.Entry {
	all := make([]inventory.Entry, n)
	for i := range all {
		all[i] = entry(fmt.Sprintf("year=2026/part-%07d.parquet.encrypted", i))
	}
	return all
}
