package object

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

var background = context.Background()

// newTestFolder returns the root directory of a bucket in memory.
func newTestFolder(t *testing.T, keys ...string) *Object {
	t.Helper()
	b := NewBuckets()
	in := memblob.OpenBucket(nil)
	b.UseTest("s3://test", in)
	for _, k := range keys {
		if err := in.WriteAll(background, k, []byte(k), nil); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := b.Parse(background, "s3://test")
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestParse(t *testing.T) {
	b := NewBuckets()
	b.UseTest("s3://test", memblob.OpenBucket(nil))
	for text, want := range map[string]string{
		"s3://test":                    "",
		"s3://test/":                   "",
		"s3://test/a/b":                "a/b",
		"s3://test/folder/":            "folder/",
		"s3://test/100%25/what%3F/%23": "100%/what?/#",
	} {
		o, err := b.Parse(background, text)
		if err != nil || o.Key != want || o.IsFolder() != (want == "" || strings.HasSuffix(want, "/")) {
			t.Errorf("%s: %+v, %v", text, o, err)
			continue
		}
		if again, err := b.Parse(background, o.String()); err != nil || again.ID() != o.ID() {
			t.Errorf("%s: %s is not the same, %v", text, o, err)
		}
	}
	for _, text := range []string{"s3://", "s3:///key", "s3://user:SECRET@test/key", "s3://test/%zz?SECRET", "s3://test/a#b", "s3://test/a#", "s3://test/a?part-size=SECRET", "s3://test/a?part-size=1", "s3://test/a?%zz=SECRET", "s3://test/a?no-such=SECRET"} {
		_, err := b.Parse(background, text)
		if cli.ExitStatus(err) != cli.ExitUsage {
			t.Errorf("%s: %v", text, err)
		} else if strings.Contains(err.Error(), "SECRET") && !strings.Contains(text, "part-size") {
			t.Errorf("%s: the error tells a parameter: %v", text, err)
		}
	}
}

// A directory lists its contents in the order of keys, and requests only as
// much as is taken.
func TestAll(t *testing.T) {
	folder := newTestFolder(t, "b/2", "b/1", "b", "a", "b0", "b/", "b/c/d")
	list := func(o *Object, most int) (keys []string) {
		for e, err := range o.All(background) {
			if err != nil {
				t.Fatal(err)
			}
			if keys = append(keys, e.Key); len(keys) == most {
				break
			}
		}
		return keys
	}
	if got, want := list(folder.With("b/"), 10), []string{"b/", "b/1", "b/2", "b/c/d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := list(folder, 2); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the first two: %q", got)
	}
	if err := folder.bucket.Close(); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, err := range folder.All(background) {
		if count++; err == nil {
			t.Error("no error")
		}
	}
	if count != 1 {
		t.Errorf("an error, and %d more", count-1)
	}
}

func TestReader(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	folder := newTestFolder(t)
	o := folder.With("o")
	if err := o.bucket.WriteAll(background, "o", content, nil); err != nil {
		t.Fatal(err)
	}
	r, err := o.Open(background, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if info, err := r.Stat(); err != nil || info.Size() != int64(len(content)) || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, c := range []struct{ offset, length int }{{0, 10}, {99_990, 10}, {99_990, 11}, {100_000, 1}, {5000, 20_000}, {25_000, 5}, {4090, 20}, {7, 0}} {
		p := make([]byte, c.length)
		n, err := r.ReadAt(p, int64(c.offset))
		want := content[c.offset:min(c.offset+c.length, len(content))]
		if !bytes.Equal(p[:n], want) || (err == io.EOF) != (len(want) < c.length) {
			t.Errorf("%d bytes at %d: %d, %v", c.length, c.offset, n, err)
		}
	}
	if n, err := r.Seek(-10, io.SeekEnd); err != nil || n != 99_990 {
		t.Errorf("%d, %v", n, err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "0123456789" {
		t.Errorf("the end is %q, %v", got, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("before the start: %v", err)
	}

	// An object of another length is another one.
	if r, err = o.Open(background, &Info{size: 5}); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err == nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := folder.With("none").Open(background, nil); err == nil || !strings.Contains(err.Error(), "s3://test/none: no such object") {
		t.Errorf("none: %v", err)
	}
}

func TestWriter(t *testing.T) {
	folder := newTestFolder(t, "there")
	p := atomicfile.NewPending()
	write := func(key string, c CreateOptions, end func(*Writer) error) error {
		t.Helper()
		w, err := folder.With(key).Create(background, p, c)
		if err != nil {
			return err
		}
		defer w.Abort()
		if _, err := io.WriteString(w, "made"); err != nil {
			return err
		}
		if seen, err := folder.With(key).Look(background); err != nil || seen.Exists != (key == "there") {
			t.Errorf("%s before it is whole: %+v, %v", key, seen, err)
		}
		return end(w)
	}
	content := func(key string) string {
		text, _ := folder.bucket.ReadAll(background, key)
		return string(text)
	}
	if err := write("new", CreateOptions{}, (*Writer).Commit); err != nil || content("new") != "made" {
		t.Errorf("%q, %v", content("new"), err)
	}
	if err := write("given up", CreateOptions{}, func(*Writer) error { return nil }); err != nil || content("given up") != "" {
		t.Errorf("given up: %q, %v", content("given up"), err)
	}
	if err := write("there", CreateOptions{}, (*Writer).Commit); !errors.Is(err, fs.ErrExist) || cli.ExitStatus(err) != cli.ExitNotWritten || content("there") != "there" {
		t.Errorf("one that is there: %q, %v", content("there"), err)
	}
	if err := write("there", CreateOptions{Replace: true}, (*Writer).Commit); err != nil || content("there") != "made" {
		t.Errorf("with Replace: %q, %v", content("there"), err)
	}

	// In place, it keeps the description of the old object.
	if err := folder.bucket.WriteAll(background, "there", nil, &blob.WriterOptions{ContentType: "text/plain", CacheControl: "no-store", Metadata: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the object is empty at first, so there is nothing to read
		in, err := folder.With("there").Open(background, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := write("there", CreateOptions{InPlace: in}, (*Writer).Commit); err != nil {
			t.Error(err)
		}
	}
	if a, err := folder.bucket.Attributes(background, "there"); err != nil || a.ContentType != "text/plain" || a.CacheControl != "no-store" || a.Metadata["k"] != "v" {
		t.Errorf("%+v, %v", a, err)
	}
	gone, err := folder.With("gone").Open(background, NewInfo("gone", 4, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := write("gone", CreateOptions{InPlace: gone}, (*Writer).Commit); err == nil {
		t.Error("one that is not there was replaced")
	}

	// An object that a look didn't find must not exist.
	if err := write("newer", CreateOptions{Seen: new(Seen)}, (*Writer).Commit); err != nil || content("newer") != "made" {
		t.Errorf("%q, %v", content("newer"), err)
	}
	if err := write("there", CreateOptions{Seen: new(Seen)}, (*Writer).Commit); cli.Kind(err) != cli.KindChanged {
		t.Errorf("one that came up after a look: %v", err)
	}
	if err := write("there", CreateOptions{Seen: &Seen{Exists: true}}, (*Writer).Commit); err != nil {
		t.Error(err)
	}
}

func TestPartSize(t *testing.T) {
	o := newTestFolder(t).With("o")
	for size, want := range map[int64]int64{-1: 16 << 20, 0: 8 << 20, 39 << 30: 8 << 20, 50 << 30: (50 << 30) / 5000, 5 << 40: (5 << 40) / 5000} {
		got := o.partSize(size)
		if got != want {
			t.Errorf("%d bytes: parts of %d, want %d", size, got, want)
		}
		if size >= 0 && size/got*2 > maxParts {
			t.Errorf("%d bytes: %d parts of %d, and a message may be twice as long", size, size/got, got)
		}
	}
	o.bucket.partSize = 5 << 20
	if got := o.partSize(1 << 40); got != 5<<20 {
		t.Errorf("parts of %d", got)
	}
}

// TestReaderUnseen reads parts of objects without looking at them first.
func TestReaderUnseen(t *testing.T) {
	folder := newTestFolder(t)
	for range 300 {
		content := make([]byte, rand.IntN(3)*rand.IntN(9000)*(1+9*rand.IntN(2)))
		for i := range content {
			content[i] = byte(rand.Uint32())
		}
		if err := folder.bucket.WriteAll(background, "o", content, nil); err != nil {
			t.Fatal(err)
		}
		r, err := folder.With("o").Open(background, []*Info{nil, OldInfo("o", rand.Int64N(100_000), time.Time{})}[rand.IntN(2)])
		if err != nil {
			t.Fatal(err)
		}
		if info, err := r.Stat(); err != nil || info.Size() != int64(len(content)) {
			t.Errorf("%v, %v", info, err)
		}
		for range 3 {
			p, offset := make([]byte, 1+rand.IntN(5000)), rand.IntN(5000)*rand.IntN(2)
			n, err := r.ReadAt(p, int64(offset))
			want := content[min(offset, len(content)):min(offset+len(p), len(content))]
			if !bytes.Equal(p[:n], want) || (err == io.EOF) != (len(want) < len(p)) {
				t.Errorf("%d bytes at %d of %d: %d, %v", len(p), offset, len(content), n, err)
			}
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
		}
		r.Close()
	}
}

// newTestServer returns an object with this content in S3, and the requests
// made for it.
func newTestServer(t *testing.T, content []byte, spoil func(http.ResponseWriter, *http.Request) (done bool)) (o *Object, asked *[]string) {
	t.Helper()
	asked = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, strings.TrimSpace(r.Method+" "+r.Header.Get("Range")))
		w.Header().Set("ETag", `"etag"`)
		if spoil != nil && spoil(w, r) {
			return
		}
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(content))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o, err := NewBuckets().Parse(background, "s3://bucket/o?region=us-east-1&use_path_style=true&endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return o, asked
}

// TestListedVersion: a listing has the same version as the object itself.
func TestListedVersion(t *testing.T) {
	for listed, want := range map[string]string{"<ETag>&quot;etag&quot;</ETag>": `"etag"`, "<ETag>etag</ETag>": `"etag"`, "": noVersion} {
		o, _ := newTestServer(t, nil, func(w http.ResponseWriter, r *http.Request) bool {
			io.WriteString(w, "<ListBucketResult><Contents><Key>k</Key><LastModified>2001-02-03T04:05:06Z</LastModified>"+listed+"</Contents></ListBucketResult>")
			return true
		})
		for e, err := range o.With("").All(background) {
			if err != nil {
				t.Fatal(err)
			}
			if seen := e.Seen(); seen.version != want || !seen.Exists {
				t.Errorf("%q: %+v, want %s", listed, seen, want)
			}
		}
	}
}

// TestReaderRequests counts the requests to a store, and when they're made.
func TestReaderRequests(t *testing.T) {
	all := func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	}
	noVersions := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Del("ETag")
		return false
	}
	refuse := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") == "" {
			return false
		}
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		io.WriteString(w, "<Error><Code>InvalidRange</Code></Error>")
		return true
	}
	known := func(size int) *Info { return NewInfo("o", int64(size), time.Time{}) }
	old := func(size int) *Info { return OldInfo("o", int64(size), time.Time{}) }
	for name, test := range map[string]struct {
		length     int
		info       *Info
		startOnly  bool
		spoil      func(http.ResponseWriter, *http.Request) bool
		open, read string // the requests so far
	}{
		"known":               {1000, known(1000), false, nil, "", "GET bytes=0-999"},
		"short":               {1000, nil, false, nil, "GET bytes=0-65535", ""},
		"long":                {100_000, nil, false, nil, "GET bytes=0-65535", "GET bytes=65536-99999"},
		"start":               {10_000, nil, true, nil, "GET bytes=0-4095", "GET bytes=4096-9999"},
		"old and short":       {1000, old(50_000), false, nil, "GET bytes=0-65535", ""},
		"old and long":        {1000, old(100_000), false, nil, "GET bytes=0-4095", ""},
		"empty":               {0, nil, false, nil, "GET bytes=0-65535", ""},
		"empty, without part": {0, nil, false, refuse, "GET bytes=0-65535 HEAD", ""},
		"known empty":         {0, known(0), false, nil, "", ""},
		"no versions":         {100_000, nil, false, noVersions, "GET bytes=0-65535 GET bytes=0-99999", ""},
		"no parts":            {100_000, nil, false, all, "GET bytes=0-65535", ""},
		"no parts, and known": {100_000, known(100_000), false, all, "", "GET bytes=0-99999"},
	} {
		t.Run(name, func(t *testing.T) {
			content := make([]byte, test.length)
			o, asked := newTestServer(t, content, test.spoil)
			o.bucket.buckets.StartOnly = test.startOnly
			r, err := o.Open(background, test.info)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if info, err := r.Stat(); err != nil || info.Size() != int64(test.length) {
				t.Errorf("%v, %v", info, err)
			}
			if got := strings.Join(*asked, " "); got != test.open {
				t.Errorf("to open: %s, want %s", got, test.open)
			}
			*asked = nil
			if got, err := io.ReadAll(r); err != nil || len(got) != test.length {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if got := strings.Join(*asked, " "); got != test.read {
				t.Errorf("to read: %s, want %s", got, test.read)
			}
		})
	}
}

// TestGiven: an object's URL opens the same object for any key and parameters.
func TestGiven(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	buckets := NewBuckets()
	for _, given := range []string{"s3://b/k?region=us-east-1&use_path_style=true", "s3://b/", "s3://b/a%3Fb%25%23?endpoint=http%3A%2F%2F127.0.0.1%3A1", "s3://b//x/ y/é", "s3://b/k?versionId=1"} {
		o, err := buckets.Parse(background, given)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{o.Key, "x/y z?#%", "*", "/", "a:b", "é\u202e", "a//b"} {
			again, err := buckets.Parse(background, o.With(key).Given())
			if err != nil || again.Key != key || again.bucket != o.bucket {
				t.Errorf("%s, key %q: %s: %+v, %v", given, key, o.With(key).Given(), again, err)
			}
		}
	}
}
