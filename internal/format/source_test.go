package format

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// counts is a source that returns these counts, one after the other, and then
// the last one for ever.
type counts []int

func (c *counts) Read([]byte) (int, error) {
	n := (*c)[0]
	if len(*c) > 1 {
		*c = (*c)[1:]
	}
	return n, nil
}

func TestReadSome(t *testing.T) {
	few := append(make(counts, maxEmptyReads-1), 3)
	if n, err := ReadSome(&few, make([]byte, 3)); n != 3 || err != nil {
		t.Errorf("after %d empty reads: %d, %v", maxEmptyReads-1, n, err)
	}
	many := append(make(counts, maxEmptyReads), 3)
	if n, err := ReadSome(&many, make([]byte, 3)); n != 0 || err != io.ErrNoProgress {
		t.Errorf("after %d empty reads: %d, %v", maxEmptyReads, n, err)
	}
	for _, n := range []int{-1, 4} {
		if got, err := ReadSome(&counts{n}, make([]byte, 3)); got != 0 || err == nil || errors.Is(err, io.ErrNoProgress) {
			t.Errorf("a count of %d: %d, %v", n, got, err)
		}
	}
}

func TestSteady(t *testing.T) {
	if n, err := Steady(&counts{0}).Read(make([]byte, 1)); n != 0 || err != io.ErrNoProgress {
		t.Errorf("a source that brings nothing: %d, %v", n, err)
	}
	if n, err := Steady(strings.NewReader("")).Read(nil); n != 0 || err != nil {
		t.Errorf("no bytes: %d, %v", n, err)
	}
}
