package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"esdk/internal/suite"
)

// counts is a source that returns these counts, one after the other, and then
// the last one forever.
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

// A failed source doesn't pass for one that ended: its error keeps its text and
// its matches, except for io.EOF.
func TestSourceErrorsAreNotEOF(t *testing.T) {
	lost := &fs.PathError{Op: "read", Path: "store", Err: io.EOF}
	gone := fmt.Errorf("connection: %w, %w", fs.ErrClosed, lost)
	check := func(what string, err error) {
		t.Helper()
		path, ok := errors.AsType[*fs.PathError](err)
		if errors.Is(err, io.EOF) || !errors.Is(err, fs.ErrClosed) || !ok || path != lost || !strings.HasSuffix(err.Error(), gone.Error()) {
			t.Errorf("%s: %v; io.EOF: %t, its causes: %t, %t", what, err, errors.Is(err, io.EOF), errors.Is(err, fs.ErrClosed), ok)
		}
	}
	_, err := ReadSome(iotest.ErrReader(gone), make([]byte, 1))
	check("ReadSome", err)
	b := newHeader(t, suite.All[0], nil).Append(nil)
	for n := range b {
		_, err := ReadHeader(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(gone)), Limits{})
		check(fmt.Sprintf("header of %d bytes", n), err)
	}
	check("an error in one of those", NotEOF(fmt.Errorf("again: %w", NotEOF(gone))))
	if _, err := ReadSome(strings.NewReader(""), make([]byte, 1)); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for _, err := range []error{nil, fs.ErrClosed, io.ErrUnexpectedEOF} {
		if got := NotEOF(err); got != err {
			t.Errorf("%v becomes %v", err, got)
		}
	}
	if err := NotEOF(io.EOF); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("io.EOF becomes %v", err)
	}
}
