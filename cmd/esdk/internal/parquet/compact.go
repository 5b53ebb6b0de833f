package parquet

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
)

// A compact reads Thrift's compact protocol, the format of footers and page
// headers. It reads at most a given number of bytes, and allocates memory only
// for names.
//
// Specification:
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
type compact struct {
	r    *bufio.Reader
	left int64
	err  error // the first error, after which everything reads as 0
}

// Types of fields.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

const (
	// maxDepth is deeper than the description of any file.
	maxDepth = 16

	// maxText limits the name of a column, in bytes.
	maxText = 4096

	// minBuffer is enough for most page headers.
	minBuffer = 4096
)

func newCompact(r io.Reader, length int64) *compact {
	return &compact{r: bufio.NewReaderSize(r, minBuffer), left: length}
}

func (c *compact) fail(text string, args ...any) {
	if c.err == nil {
		c.err = malformed(text, args...)
	}
}

// ReadByte implements [io.ByteReader].
func (c *compact) ReadByte() (byte, error) {
	if c.left <= 0 {
		c.fail("a description that is cut short")
	}
	if c.err != nil {
		return 0, c.err
	}
	c.left--
	var b byte
	if b, c.err = c.r.ReadByte(); c.err != nil {
		c.err = noEOF(c.err)
	}
	return b, c.err
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *compact) uvarint() uint64 {
	n, err := binary.ReadUvarint(c)
	if err != nil {
		c.fail("a number that is too large")
		return 0
	}
	return n
}

func (c *compact) int() int64 {
	n := c.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// length reads a length, which must not exceed the bytes left.
func (c *compact) length() int64 {
	n := c.uvarint()
	if n > math.MaxInt32 || int64(n) > c.left {
		c.fail("a length of %d with %d bytes left", n, c.left)
		return 0
	}
	return int64(n)
}

func (c *compact) text() string {
	n := c.length()
	if n > maxText {
		c.fail("a name of %d bytes", n)
	}
	if c.err != nil {
		return ""
	}
	text := make([]byte, n)
	c.left -= n
	if _, err := io.ReadFull(c.r, text); err != nil {
		c.err = noEOF(err)
	}
	return string(text)
}

func (c *compact) discard(n int64) {
	if n > c.left {
		c.fail("a description that is cut short")
	}
	if c.err != nil {
		return
	}
	c.left -= n
	if _, err := io.CopyN(io.Discard, c.r, n); err != nil {
		c.err = noEOF(err)
	}
}

// fields reads a struct. The function returns false for a field that it doesn't
// read.
func (c *compact) fields(depth int, field func(id int64, kind byte) bool) {
	for id := int64(0); c.err == nil; {
		head, _ := c.ReadByte()
		kind := head & 0x0f
		if kind == thriftStop || c.err != nil {
			return
		}
		if delta := head >> 4; delta != 0 {
			id += int64(delta)
		} else {
			id = c.int()
		}
		if !field(id, kind) {
			c.skip(kind, depth, false)
		}
	}
}

// list reads a list of structs or texts.
func (c *compact) list(kind byte, element func()) {
	if kind != thriftList {
		c.fail("no list where there should be one")
		return
	}
	n, of := c.listHead()
	if n > 0 && of != thriftStruct && of != thriftBinary {
		c.fail("a list of another type")
	}
	for ; n > 0 && c.err == nil; n-- {
		element()
	}
}

func (c *compact) listHead() (n int64, of byte) {
	head, _ := c.ReadByte()
	if n = int64(head >> 4); n == 15 {
		n = c.length()
	}
	return n, head & 0x0f
}

// skip reads a value that isn't needed. A bool is in the head of its field,
// except in a list.
func (c *compact) skip(kind byte, depth int, inList bool) {
	if depth > maxDepth {
		c.fail("a description that is too deep")
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			c.discard(1)
		}
	case thriftByte:
		c.discard(1)
	case thriftByte + 1, thriftByte + 2, thriftI64:
		c.uvarint()
	case thriftDouble:
		c.discard(8)
	case thriftUUID:
		c.discard(16)
	case thriftBinary:
		c.discard(c.length())
	case thriftStruct:
		c.fields(depth+1, func(int64, byte) bool { return false })
	case thriftList, thriftSet:
		n, of := c.listHead()
		for ; n > 0 && c.err == nil; n-- {
			c.skip(of, depth+1, true)
		}
	case thriftMap:
		c.skipMap(depth)
	default:
		c.fail("a field of the unknown type %d", kind)
	}
}

func (c *compact) skipMap(depth int) {
	n := c.length()
	if n == 0 {
		return
	}
	kinds, _ := c.ReadByte()
	for ; n > 0 && c.err == nil; n-- {
		c.skip(kinds>>4, depth+1, true)
		c.skip(kinds&0x0f, depth+1, true)
	}
}

// isInt reports whether a field is an integer of any width.
func isInt(kind byte) bool { return kind > thriftByte && kind <= thriftI64 }
