package object

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

var escaped = regexp.MustCompile(`__0x[0-9a-f]+__`)

// TestKeyOf: the Go CDK requests each object by the key from keyOf, so no two
// objects share a key.
func TestKeyOf(t *testing.T) {
	parts := []string{"a", "_", "__", "0x", "__0x41__", "__0x", "41", "/", "..", "../", "\n", "é", "__0xa__", "__0x5f__", "__0x2f__"}
	bucket := &Object{bucket: &bucket{url: "s3://b"}}
	for range 20_000 {
		var b strings.Builder
		for range rand.IntN(6) {
			b.WriteString(parts[rand.IntN(len(parts))])
		}
		raw := b.String()
		key, ok := keyOf(raw)
		odd := strings.Contains(raw, "../") || strings.ContainsRune(raw, '\n')
		if ok && (odd || escapeS3(key) != raw) || !ok && !odd && !escaped.MatchString(raw) || !ok && key != raw {
			t.Fatalf("%q: %q, %v", raw, key, ok)
		}
		if o := bucket.Stored(raw); o.Unreachable() == ok || strings.HasSuffix(o.Given(), "#unreachable") == ok {
			t.Fatalf("%q: %s", raw, o.Given())
		}
	}
	if e := (s3Store{}).entry(&blob.ListObject{Key: "k", Size: 3}); e.Key != "k" || e.Raw != "k" || e.Size != 3 || e.Unreachable {
		t.Errorf("%+v", e)
	}
}

// TestUnreachableNames: different objects have different names, and the name of
// an unreachable object is never taken for another one.
func TestUnreachableNames(t *testing.T) {
	all := NewBuckets()
	all.UseTest("s3://b", memblob.OpenBucket(nil))
	bucket, err := all.Parse(t.Context(), "s3://b/")
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]string{
		"tab\tx": "s3://b/tab%09x#unreachable", "tab__0x9__x": "s3://b/tab%09x", "in/__0x41__": "s3://b/in/__0x41__#unreachable",
		"in/__0x5f___0x41__": "s3://b/in/__0x41__", "a/../b": "s3://b/a/../b#unreachable", "a/..__0x2f__b": "s3://b/a/../b",
	} {
		o := bucket.Stored(raw)
		again, err := all.ParseInput(t.Context(), o.Given())
		if o.Given() != want || err != nil || again.Given() != want || again.ID() != o.ID() {
			t.Errorf("%q: %s, %v", raw, o.Given(), err)
		}
		if _, err := all.Parse(t.Context(), want); (cli.Kind(err) == cli.KindUnreachable) != o.Unreachable() {
			t.Errorf("%s: %v", want, err)
		}
		old := o.Version("v").Given()
		if again, err := all.ParseInput(t.Context(), old); err != nil || again.Unreachable() != o.Unreachable() {
			t.Errorf("%s: %v", old, err)
		}
	}
	for _, name := range []string{"s3://b/a%09b", "s3://b/a/../b"} {
		o, err := all.Parse(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Info(t.Context())
		if err = o.ExplainInput(err); cli.Kind(err) != cli.KindUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
}
