package inventory_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/inventory/inventorytest"
	"esdk/internal/fipstest"
	"github.com/parquet-go/parquet-go"
)

// objects are the objects in a bucket.
type objects map[string][]byte

func (o objects) open(_ context.Context, key string) (io.ReadCloser, error) {
	b, ok := o[key]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: key, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// read reads a whole inventory.
func read(o objects, manifest string) ([]inventory.Entry, error) {
	return readScope(o, manifest, inventory.Current)
}

func readScope(o objects, manifest string, scope inventory.Scope) (all []inventory.Entry, err error) {
	i, err := inventory.Open(context.Background(), manifest, scope, o.open)
	if err != nil {
		return nil, err
	}
	for e, err := range i.All(context.Background()) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// randomKey returns a key that S3 allows. It often contains characters with a
// meaning somewhere.
func randomKey(r *rand.Rand) string {
	odd := []string{"%", "+", " ", "\"", ",", "\n", "\r", "/", "\\", "%2B", "é", "e\u0301", "日本", "\x01", "..", "'", "&", "=", "#", "?", "\u2028", "😀"}
	var b strings.Builder
	for range 1 + r.IntN(20) {
		if r.IntN(2) == 0 {
			b.WriteString(odd[r.IntN(len(odd))])
		} else if c := rune(r.IntN(0x3000)); utf8.ValidRune(c) {
			b.WriteRune(c)
		}
	}
	return b.String() + "x"
}

func randomEntries(r *rand.Rand, n int, versions bool) []inventory.Entry {
	all := make([]inventory.Entry, n)
	for i := range all {
		e := &all[i]
		*e = inventory.Entry{Key: randomKey(r), Latest: true, Size: r.Int64() >> r.IntN(64), Modified: inventorytest.Time.Add(time.Duration(r.IntN(1e6)) * time.Millisecond)}
		if versions {
			e.VersionID = []string{"", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"}[r.IntN(2)]
			e.Latest = r.IntN(3) > 0
			if e.DeleteMarker = r.IntN(5) == 0; e.DeleteMarker {
				e.Size = -1
			}
		}
	}
	return all
}

// An inventory with any keys is read as it was written.
func TestComesBack(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		i := inventorytest.Inventory{Bucket: "lake", Format: inventorytest.Formats[r.IntN(2)], Versions: r.IntN(2) == 0, PerFile: r.IntN(100), Prefix: []string{"", "a/b/"}[r.IntN(2)]}
		want := randomEntries(r, r.IntN(300), i.Versions)
		got, err := read(i.Write(t, want), i.ManifestKey())
		if err != nil {
			t.Fatalf("%+v: %v", i, err)
		}
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			for n := range min(len(got), len(want)) {
				if got[n] != want[n] {
					t.Fatalf("%+v: entry %d is %+v, want %+v", i, n, got[n], want[n])
				}
			}
			t.Fatalf("%+v: %d entries, want %d", i, len(got), len(want))
		}
	}
}

// A change of any byte and a missing file are errors, and no entry of a changed
// file is seen.
func TestChanged(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		i := inventorytest.Inventory{Bucket: "lake", Format: inventorytest.Formats[r.IntN(2)], PerFile: 10}
		entries := randomEntries(r, 20, false)
		o := objects(i.Write(t, entries))
		keys := []string{i.ManifestKey(), path.Dir(i.ManifestKey()) + "/manifest.checksum"}
		first, second := "", ""
		for key := range o {
			switch {
			case strings.Contains(key, "/data/0."):
				first = key
			case strings.Contains(key, "/data/1."):
				second = key
			}
		}
		keys = append(keys, first, second)
		key := keys[r.IntN(len(keys))]
		what, b := "", o[key]
		switch r.IntN(4) {
		case 0:
			at, old := r.IntN(len(b)), string(b)
			b[at] ^= byte(1 + r.IntN(255))
			if key == keys[1] && strings.EqualFold(old, string(b)) {
				continue // the checksum's digits may be upper or lower case
			}
			what = fmt.Sprintf("byte %d of %s changed", at, key)
		case 1:
			o[key], what = b[:r.IntN(len(b))], key+" cut"
		case 2:
			o[key], what = append(b, 'x'), key+" longer"
		case 3:
			if key == keys[1] {
				continue // this file may be missing
			}
			delete(o, key)
			what = key + " removed"
		}
		got, err := read(o, i.ManifestKey())
		if want := map[string]int{first: 0, second: 10}[key]; err == nil || len(got) != want {
			t.Fatalf("%s: %d entries, %v; want %d", what, len(got), err, want)
		}
	}
}

// manifest returns a manifest with a data file, and the objects that it needs.
func manifest(format, schema string, data []byte) objects {
	sum := md5.Sum(data)
	text := fmt.Sprintf(`{"sourceBucket":"lake","fileFormat":%q,"fileSchema":%q,"files":[{"key":"data/0","size":%d,"MD5checksum":"%s"}]}`, format, schema, len(data), hex.EncodeToString(sum[:]))
	return objects{"manifest.json": []byte(text), "data/0": data}
}

func zip(text string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	io.WriteString(z, text)
	z.Close()
	return out.Bytes()
}

func TestMalformed(t *testing.T) {
	csv := func(text string) objects {
		return manifest("CSV", "Bucket, Key, Size, IsLatest, LastModifiedDate", zip(text))
	}
	only := func(text string) objects { return objects{"manifest.json": []byte(text)} }
	for name, c := range map[string]struct {
		objects objects
		want    string
	}{
		"no manifest":       {objects{}, "no such"}, // see open
		"no JSON":           {only("hello"), "not a manifest of S3 Inventory"},
		"another JSON":      {only("{}"), "sourceBucket names no bucket"},
		"a list":            {only("[]"), "not a manifest"},
		"odd bucket":        {only(`{"sourceBucket":"a/b?c","fileFormat":"CSV"}`), "names no bucket"},
		"ORC":               {manifest("ORC", "", nil), "ORC inventories are not supported"},
		"unknown format":    {manifest("XML", "", nil), `unknown format "XML"`},
		"no key":            {manifest("CSV", "Bucket, Size", nil), "has no Key"},
		"a long manifest":   {only(strings.Repeat(" ", 16<<20) + "{}"), "more than 16777216 bytes"},
		"files of nothing":  {only(`{"sourceBucket":"lake","fileFormat":"CSV","fileSchema":"Key","files":[{}]}`), "no key or size"},
		"negative size":     {only(`{"sourceBucket":"lake","fileFormat":"CSV","fileSchema":"Key","files":[{"key":"a","size":-1}]}`), "no key or size"},
		"no checksum":       {only(`{"sourceBucket":"lake","fileFormat":"CSV","fileSchema":"Key","files":[{"key":"a","size":1}]}`), "MD5 checksum is malformed"},
		"no gzip":           {manifest("CSV", "Key", []byte("hello")), "not in gzip format"},
		"cut gzip":          {manifest("CSV", "Key", zip("a\nb\n")[:20]), "EOF"},
		"fields":            {csv("lake,a,1\n"), "line 1: 3 fields, but the schema has 5"},
		"another bucket":    {csv("lake,a,1,true,\nother,a,1,true,\n"), "line 2: the object is in another bucket"},
		"key":               {csv("lake,%zz,1,true,\n"), "invalid URL escape"},
		"empty key":         {csv(`"lake","","1","true",""`), "has no key"},
		"size":              {csv("lake,a,1x,true,\n"), "the size is not a number"},
		"size below zero":   {csv("lake,a,-2,true,\n"), "negative size"},
		"bool":              {csv("lake,a,1,maybe,\n"), "the field must be true or false"},
		"time":              {csv("lake,a,1,true,yesterday\n"), "the time is malformed"},
		"quotation mark":    {csv(`"lake,a,1,true,` + "\n"), "quotation mark"},
		"behind a field":    {csv(`"lake"x,a,1,true,` + "\n"), "quotation mark"},
		"a line of 1 GiB":   {csv(strings.Repeat("x", 64<<20)), "the line has more than 1048576 bytes"},
		"no Parquet":        {manifest("Parquet", "", []byte("hello")), "malformed Parquet"},
		"a checksum of 'x'": {objects{"manifest.json": []byte("{}"), "manifest.checksum": []byte("x")}, "MD5 checksum is malformed"},
	} {
		got, err := read(c.objects, "manifest.json")
		if name == "no manifest" {
			c.want = "does not exist"
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d entries, %v; want %s", name, len(got), err, c.want)
		}
	}
}

// Fields may be quoted or not, and the schema may have other fields in any
// order.
func TestSchema(t *testing.T) {
	o := manifest("CSV", "Size,Key , bucket, NewField", zip("5,a+b%2Bc,lake,x\n\"\",\"d\"\"e\",\"lake\",\"x,y\"\r\n"))
	got, err := read(o, "manifest.json")
	want := []inventory.Entry{{Key: "a b+c", Latest: true, Size: 5}, {Key: `d"e`, Latest: true, Size: -1}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	empty, err := read(objects{"manifest.json": []byte(`{"sourceBucket":"lake","fileFormat":"CSV","fileSchema":"Key"}`)}, "manifest.json")
	if err != nil || len(empty) > 0 {
		t.Errorf("an empty inventory: %v, %v", empty, err)
	}
}

type (
	keyRow struct {
		Key string `parquet:"key"`
	}
	versionRow struct {
		Key     string `parquet:"key"`
		Version string `parquet:"version_id,optional"`
	}
	latestRow struct {
		Key    string `parquet:"key"`
		Latest *bool  `parquet:"is_latest"`
	}
	bothRow struct {
		Key     string `parquet:"key"`
		Version string `parquet:"version_id,optional"`
		Latest  *bool  `parquet:"is_latest"`
	}
)

func table[Row any](t *testing.T, rows ...Row) objects {
	t.Helper()
	var out bytes.Buffer
	if err := parquet.Write(&out, rows); err != nil {
		t.Fatal(err)
	}
	return manifest("Parquet", "", out.Bytes())
}

// TestVersions: a version is the latest only if the inventory says so or has no
// others, and all versions are read only from an inventory that has them.
func TestVersions(t *testing.T) {
	csv := func(schema, text string) objects { return manifest("CSV", schema, zip(text)) }
	yes, no := true, false
	const noVersions, noLatest = "has no VersionId", "no IsLatest"
	for name, c := range map[string]struct {
		objects      objects
		current, all string // the keys that are read, or a part of the error
	}{
		"CSV of neither":            {csv("Key", "a\nb\n"), "a true b true", noVersions},
		"Parquet of neither":        {table(t, keyRow{"a"}, keyRow{"b"}), "a true b true", noVersions},
		"CSV of versions":           {csv("Key, VersionId", "a,1\na,2\nb,\n"), noLatest, "a1 false a2 false b false"},
		"Parquet of versions":       {table(t, versionRow{"a", "1"}, versionRow{"a", "2"}, versionRow{"b", ""}), noLatest, "a1 false a2 false b false"},
		"CSV of the latest":         {csv("Key, IsLatest", "a,true\na,false\nb,\n"), "a true a false b true", noVersions},
		"Parquet of the latest":     {table(t, latestRow{"a", &yes}, latestRow{"a", &no}, latestRow{"b", nil}), "a true a false b true", noVersions},
		"CSV of both":               {csv("Key, VersionId, IsLatest", "a,1,false\na,2,true\n"), "a1 false a2 true", "a1 false a2 true"},
		"Parquet of both":           {table(t, bothRow{"a", "1", &no}, bothRow{"a", "2", &yes}), "a1 false a2 true", "a1 false a2 true"},
		"CSV with one left out":     {csv("Key, VersionId, IsLatest", "a,1,true\nb,2,\n"), noLatest, "a1 true b2 false"},
		"Parquet with one left out": {table(t, bothRow{"a", "1", &yes}, bothRow{"b", "2", nil}), noLatest, "a1 true b2 false"},
	} {
		for scope, want := range map[inventory.Scope]string{inventory.Current: c.current, inventory.AllVersions: c.all} {
			all, err := readScope(c.objects, "manifest.json", scope)
			var got []string
			for _, e := range all {
				got = append(got, fmt.Sprint(e.Key, e.VersionID, " ", e.Latest))
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = err.Error()
			}
			if refused := want == noLatest || want == noVersions; err == nil && text != want || err != nil && (!refused || !strings.Contains(text, want) || cli.ExitStatus(err) != cli.ExitUsage) {
				t.Errorf("%s, all versions %t: %s, want %s", name, scope, text, want)
			}
		}
	}
}

// Nothing is left in the directory for temporary files, not even while a file
// is read.
func TestTemporary(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for name, o := range map[string]objects{
		"good": manifest("CSV", "Key", zip("a\nb\nc\n")), "bad": manifest("CSV", "Key", zip("a\n\"\n")), "changed": manifest("CSV", "Key", []byte("x")),
	} {
		if name == "changed" {
			o["data/0"] = []byte("y")
		}
		i, err := inventory.Open(t.Context(), "manifest.json", inventory.Current, o.open)
		if err != nil {
			t.Fatal(err)
		}
		for range i.All(t.Context()) {
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%s: %v while it is read, %v", name, left, err)
			}
			break
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
}

// If MD5 isn't allowed, the error says so.
func TestFIPS(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	_, err := read(objects{"manifest.json": []byte("{}")}, "manifest.json")
	if cli.ExitStatus(err) != cli.ExitPolicy || !strings.Contains(err.Error(), "fips140=only") {
		t.Errorf("%v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"sourceBucket":"lake","fileFormat":"CSV","fileSchema":"Key","files":[{"key":"a","size":1,"MD5checksum":"d41d8cd98f00b204e9800998ecf8427e"}]}`))
	f.Add([]byte(`{"sourceBucket":"lake","fileFormat":"Parquet","files":null}`))
	f.Fuzz(func(t *testing.T, text []byte) { read(objects{"manifest.json": text, "a": nil}, "manifest.json") })
}

func FuzzCSV(f *testing.F) {
	f.Add("Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate", `"lake","a+b%2F","v","true","false","5","2016-11-06T21:32:00.000Z"`)
	f.Add("Key", "a\n\"b\"\"c\"\n")
	f.Fuzz(func(t *testing.T, schema, text string) {
		all, err := read(manifest("CSV", schema, zip(text)), "manifest.json")
		for _, e := range all {
			if e.Key == "" || e.Size < -1 {
				t.Errorf("%+v, %v", e, err)
			}
		}
	})
}
