package peer

import (
	"path/filepath"
	"testing"
)

// With Reuse, save and load take the memory of the ones before. Without, each
// has its own.
func TestReuse(t *testing.T) {
	const size = 10_000
	room := -1
	once := func(dst, in []byte) ([]byte, error) {
		room = cap(dst)
		return append(dst, in...), nil
	}
	o := &opener{setUp: func(*Request) (*Scheme, error) { return &Scheme{Encrypt: once, Decrypt: once}, nil }}
	path := filepath.Join(t.TempDir(), "message")
	for i, step := range []struct {
		op    string
		reuse bool
		want  bool // whether dst has room
	}{
		{"save", false, false}, {"load", false, false}, {"save", true, false}, {"load", true, true},
		{"save", true, true}, {"load", false, false}, {"save", false, false},
	} {
		op, err := o.open(&Request{Op: step.op, Size: size, Reuse: step.reuse, Path: path})
		if err == nil {
			err = op()
		}
		if err != nil || (room >= size) != step.want {
			t.Errorf("step %d, %+v: room for %d, %v", i, step, room, err)
		}
	}
}
