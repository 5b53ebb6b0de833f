package format

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"esdk/internal/suite"
)

// Build allocates memory for the whole header, so that Seal needn't copy it.
func TestBuildTakesMemoryOnce(t *testing.T) {
	for _, s := range suite.All {
		for _, ec := range []map[string]string{nil, {"k": strings.Repeat("v", 60_000)}} {
			h := newHeader(t, s, ec, DataKey{})
			if cap(h.Raw) < h.Size() || cap(h.Raw) > h.Size()*9/8+100 {
				t.Errorf("%04x: room for %d bytes, the header has %d", s.ID, cap(h.Raw), h.Size())
			}
		}
	}
}

// Fields of the maximum length are written and read.
func TestLongestFields(t *testing.T) {
	long := make([]byte, math.MaxUint16)
	h := newHeader(t, suite.All[0], nil, DataKey{string(long), long, long})
	got, err := ReadHeader(bytes.NewReader(h.Append(nil)), Limits{})
	if err != nil || len(got.DataKeys[0].Ciphertext) != len(long) {
		t.Errorf("%v", err)
	}
}

func TestBodyAADLength(t *testing.T) {
	for _, kind := range []Kind{Regular, Final, Single} {
		for _, n := range []int{0, 2, 16, 32} {
			if got, want := len(NewBodyAAD(make([]byte, n), kind).Frame(1, 1)), n+len(kind)+12; got != want {
				t.Errorf("%s: %d bytes, want %d", kind, got, want)
			}
		}
	}
}

func TestBodySizeOfNothing(t *testing.T) {
	if size, ok := BodySize(0, 1); size != FinalOverhead || !ok {
		t.Errorf("%d, %t", size, ok)
	}
}

// BuildIn makes room for what follows Raw, so that no message is copied while
// it is completed.
func TestBuildMakesRoom(t *testing.T) {
	for _, s := range suite.All {
		for follow := range 300 {
			h := newHeader(t, s, map[string]string{"key": "value"})
			b, err := h.BuildIn(nil, int64(follow))
			if err != nil {
				t.Fatal(err)
			}
			rest := TagLength
			if !s.Commits {
				rest += IVLength
			}
			if free := cap(b) - len(b); free < rest+follow {
				t.Fatalf("%04x: room for %d bytes, need %d", s.ID, free, rest+follow)
			}
		}
	}
}
