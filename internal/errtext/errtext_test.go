package errtext

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
)

// other has its own prefix, as errors outside of this package may.
type other struct{ text string }

func (o other) Error() string         { return "esdk: " + o.text }
func (o other) WithoutPrefix() string { return o.text }

func TestErrorf(t *testing.T) {
	sentinel := Errorf("no key")
	for _, c := range []struct {
		err        error
		text, bare string
	}{
		{sentinel, "esdk: no key", "no key"},
		{Errorf("%w: %d tried", sentinel, 3), "esdk: no key: 3 tried", "no key: 3 tried"},
		{Errorf("a: %w; b: %w", Errorf("x: %w", sentinel), other{"y"}), "esdk: a: x: no key; b: y", "a: x: no key; b: y"},
		{Errorf("%v", sentinel), "esdk: no key", "no key"},
		{Errorf("%q: %w", "esdk: a file", io.EOF), `esdk: "esdk: a file": EOF`, `"esdk: a file": EOF`},
		{errors.New("esdk: not of this package"), "esdk: not of this package", "esdk: not of this package"},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
		if got := Text(c.err); got != c.bare {
			t.Errorf("bare: %q, want %q", got, c.bare)
		}
	}
}

// Wrapped errors are found as if fmt.Errorf had wrapped them.
func TestUnwrap(t *testing.T) {
	path := &fs.PathError{Op: "open", Path: "p", Err: fs.ErrNotExist}
	sentinel := Errorf("sentinel")
	err := Errorf("both: %w, %w", Errorf("%w: more", sentinel), path)
	if !errors.Is(err, sentinel) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
		t.Error("errors.Is")
	}
	if got, ok := errors.AsType[*fs.PathError](err); !ok || got != path {
		t.Errorf("errors.As: %v", got)
	}
	if errors.Is(Errorf("%v", sentinel), sentinel) {
		t.Error("an error that is only printed is wrapped")
	}
	if err := fmt.Errorf("key 1: %w", Bare(sentinel)); err.Error() != "key 1: sentinel" || !errors.Is(err, sentinel) {
		t.Errorf("%v", err)
	}
}
