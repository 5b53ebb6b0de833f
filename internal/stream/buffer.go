package stream

import (
	"io"
	"math"

	"esdk/internal/format"
)

// A buffer holds plaintext until it's sealed. It never holds more than its
// limit, even if its memory has room for more. Its memory grows only as it
// fills: a frame may be long and never arrive.
type buffer struct {
	held  []byte
	frame int64 // bytes of a frame
	limit int64
}

// missing returns the number of bytes left to the limit.
func (b *buffer) missing() int64 { return b.limit - int64(len(b.held)) }

func (b *buffer) full() bool { return b.missing() == 0 }

// setLimit changes the limit, which must not be below the length held.
func (b *buffer) setLimit(limit int64) {
	b.limit = limit
	if b.missing() < 0 {
		panic("internal error: a buffer holds more than its limit")
	}
}

// add takes as much of p as fits and returns the rest.
func (b *buffer) add(p []byte) (rest []byte) { return b.take(p, b.missing()) }

// completeFrame takes as much of p as the last frame lacks and returns the
// rest.
func (b *buffer) completeFrame(p []byte) (rest []byte) {
	last := int64(len(b.held)) % b.frame
	if last == 0 {
		return p
	}
	return b.take(p, b.frame-last)
}

func (b *buffer) take(p []byte, most int64) (rest []byte) {
	n := int(min(int64(len(p)), most))
	b.held = append(b.held, p[:n]...)
	return p[n:]
}

// readFrom reads once, up to the limit.
func (b *buffer) readFrom(r io.Reader) (int, error) {
	if err := b.grow(); err != nil {
		return 0, err
	}
	end := min(int64(cap(b.held)), b.limit)
	n, err := format.ReadSome(r, b.held[len(b.held):end])
	b.held = b.held[:len(b.held)+n]
	return n, err
}

// grow makes room for at least one byte.
func (b *buffer) grow() error {
	have := int64(cap(b.held))
	if int64(len(b.held)) < have || b.full() {
		return nil
	}
	size := max(4*have, minBuffer)
	if have >= defaultBatch {
		size = 2*have + readAhead // enough for a frame of 2^n bytes, and more
	}
	if size = min(size, b.limit, math.MaxInt); size <= have {
		return frameTooLong(b.frame)
	}
	b.held = append(make([]byte, 0, size), b.held...)
	return nil
}

// empty drops the content and keeps the memory.
func (b *buffer) empty() { b.held = b.held[:0] }

// drop removes the first n bytes.
func (b *buffer) drop(n int) { b.held = append(b.held[:0], b.held[n:]...) }
