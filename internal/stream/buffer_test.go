package stream

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// The limit holds even if the memory has more room: it may have belonged to
// another buffer.
func TestBufferLimit(t *testing.T) {
	for _, room := range []int{0, 1, 35, 40, 41, 1000} {
		b := buffer{held: make([]byte, 0, room), frame: 10, limit: 40}
		n, err := io.Copy(io.Discard, readFunc(func(p []byte) (int, error) {
			if b.full() {
				return 0, io.EOF
			}
			n, err := b.readFrom(bytes.NewReader(pattern(1000)))
			return min(n, len(p)), err
		}))
		if n != 40 || err != nil || len(b.held) != 40 || !b.full() {
			t.Errorf("room for %d: %d bytes, %v", room, len(b.held), err)
		}
		b.empty()
		if rest := b.add(pattern(41)); len(rest) != 1 || !bytes.Equal(b.held, pattern(41)[:40]) {
			t.Errorf("room for %d: %d bytes are left", room, len(rest))
		}
		if rest := b.add(pattern(1)); len(rest) != 1 {
			t.Errorf("room for %d: a byte more than the limit", room)
		}
		b.drop(35)
		if !bytes.Equal(b.held, pattern(41)[35:40]) {
			t.Errorf("room for %d: %x are left", room, b.held)
		}
	}
}

func TestBufferCompletesFrames(t *testing.T) {
	for held := range 40 {
		b := buffer{frame: 10, limit: 40}
		b.add(pattern(held))
		b.completeFrame(pattern(100))
		if want := (held + 9) / 10 * 10; len(b.held) != want {
			t.Errorf("%d bytes became %d, want %d", held, len(b.held), want)
		}
	}
}

func TestBufferRefusesLowerLimit(t *testing.T) {
	b := buffer{frame: 10, limit: 40}
	b.add(pattern(31))
	defer func() {
		if recover() == nil {
			t.Error("a limit of 30 bytes was taken with 31 held")
		}
	}()
	b.setLimit(30)
}

// Memory grows with the bytes that arrive, not with the limit.
func TestBufferGrows(t *testing.T) {
	b := buffer{frame: 1 << 30, limit: 1 << 30}
	src := iotest.OneByteReader(bytes.NewReader(pattern(100_000)))
	for range 100_000 {
		if n, err := b.readFrom(src); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if cap(b.held) > 4*100_000+minBuffer || !bytes.Equal(b.held, pattern(100_000)) {
		t.Errorf("%d bytes took %d", len(b.held), cap(b.held))
	}
}

// A source or sink that returns impossible counts causes an error, not a panic.
func TestImpossibleCounts(t *testing.T) { eachVariant(t, testImpossibleCounts) }

func testImpossibleCounts(t *testing.T) {
	p := testParams(10)
	body := seal(t, p, pattern(100))
	for _, count := range []func(int) int{func(int) int { return -1 }, func(n int) int { return n + 1 }} {
		source := readFunc(func(b []byte) (int, error) { return count(len(b)), nil })
		sink := writeFunc(func(b []byte) (int, error) { return count(len(b)), nil })
		for name, run := range map[string]func() error{
			"ReadFrom": func() error { _, err := newWriter(io.Discard, nil, p).ReadFrom(source); return err },
			"Finish":   func() error { return newWriter(sink, nil, p).Finish(nil) },
			"Read":     func() error { _, err := NewReader(source, Source{Params: p}).Read(make([]byte, 10)); return err },
			"WriteTo": func() error {
				_, err := NewReader(slow{bytes.NewReader(body)}, Source{Params: p}).WriteTo(sink)
				return err
			},
		} {
			if err := run(); err == nil || err == io.EOF {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
