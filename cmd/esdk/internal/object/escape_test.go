package object

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"gocloud.dev/blob"
)

var escaped = regexp.MustCompile(`__0x[0-9a-f]+__`)

// TestReachable: what is not called reachable is what the Go CDK would write in another way,
// so that no two keys lead to one object.
func TestReachable(t *testing.T) {
	parts := []string{"a", "_", "__", "0x", "__0x41__", "__0x", "41", "/", "..", "../", "\n", "é", "__0xa__"}
	for range 20_000 {
		var b strings.Builder
		for range rand.IntN(6) {
			b.WriteString(parts[rand.IntN(len(parts))])
		}
		key := b.String()
		odd := strings.Contains(key, "../") || strings.ContainsRune(key, '\n') || escaped.MatchString(key)
		if Reachable(key) == odd {
			t.Fatalf("%q: reachable %v", key, !odd)
		}
	}
	if e := (s3Store{}).entry(&blob.ListObject{Key: "k", Size: 3}); e.Key != "k" || e.Raw != "k" || e.Size != 3 || e.Unreachable {
		t.Errorf("%+v", e)
	}
}
