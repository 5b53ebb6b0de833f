package peer

import (
	"bytes"
	"io"
	"slices"
)

// Key is the wrapping key of all peers.
func Key() []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	return key
}

// period is the length of the repeating pattern.
const period = 1 << 16

// Pattern returns n bytes to encrypt.
func Pattern(n int) []byte { return appendPattern(nil, n) }

func appendPattern(p []byte, n int) []byte {
	p = slices.Grow(p, n)
	for i := range n {
		p = append(p, byte(i)^byte(i>>8))
	}
	return p
}

var onePeriod = Pattern(period)

// A source streams the pattern without memory of its own.
type source struct{ at, left int }

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.left)], onePeriod[s.at:])
	s.at = (s.at + n) % period
	s.left -= n
	return n, nil
}

// A sink discards its input. [io.Discard] would give some streams a shortcut.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// A counter counts its input and discards it.
type counter struct{ n *int }

func (c counter) Write(p []byte) (int, error) {
	*c.n += len(p)
	return len(p), nil
}

// A checker compares its input with want.
type checker struct {
	want    []byte
	differs bool
}

func (c *checker) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(c.want, p) {
		c.differs = true
		return len(p), nil
	}
	c.want = c.want[len(p):]
	return len(p), nil
}

// readerOnly hides the other methods of a reader: bytes.Reader can pass on
// everything at once, unlike most sources.
func readerOnly(r io.Reader) io.Reader { return struct{ io.Reader }{r} }
