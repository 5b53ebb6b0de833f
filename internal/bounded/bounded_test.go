package bounded

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBody(t *testing.T) {
	for _, c := range []struct {
		length int
		ok     bool
	}{{0, true}, {1, true}, {9, true}, {10, true}, {11, false}, {1000, false}} {
		text := strings.Repeat("x", c.length)
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)), "with the end": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got, err := io.ReadAll(Body(io.NopCloser(r), 10))
			if (err == nil) != c.ok || c.ok && !bytes.Equal(got, []byte(text)) || len(got) > 10 {
				t.Errorf("%d bytes, %s: %d bytes, %v", c.length, name, len(got), err)
			}
		}
	}
}

// A body that was too long stays so.
func TestBodyAgain(t *testing.T) {
	b := Body(io.NopCloser(strings.NewReader("eleven char")), 10)
	for range 3 {
		if n, err := io.ReadAll(b); err == nil || len(n) > 10 {
			t.Errorf("%q, %v", n, err)
		}
	}
}
