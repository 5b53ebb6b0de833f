// Package audit reports on messages by reading their headers only.
package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"esdk"
	"esdk/cmd/esdk/internal/base64text"
	"esdk/cmd/esdk/internal/place"
)

const (
	// headRead is the number of bytes read from each input at first. A header
	// with a handful of data keys, and a context of a few lines, fits.
	headRead = 4 << 10

	// moreRead is the number of bytes read at a time from a longer header.
	moreRead = 32 << 10

	// longHeader is the length in bytes from which headers are read one at a
	// time: they may have megabytes, and many inputs are read concurrently.
	longHeader = 64 << 10
)

// A Reader reads headers. It is safe for concurrent use.
type Reader struct {
	// Await, if not nil, is called with the number of bytes after each read. It
	// may wait.
	Await func(n int) error

	read atomic.Int64
	long sync.Mutex // held while reading a long header
}

// count adds to the number of bytes read.
func (r *Reader) count(n int) error {
	r.read.Add(int64(n))
	if r.Await == nil {
		return nil
	}
	return r.Await(n)
}

// Bytes returns the number of bytes read.
func (r *Reader) Bytes() int64 { return r.read.Load() }

// A Message is the start of a message.
type Message struct {
	Header *esdk.Header // not authenticated
	Start  []byte       // the whole header and no more
	Base64 bool         // it is Base64 text
}

// Read reads the header of an input and passes it to a function. It returns an
// error of either. The size is the length of the whole input in bytes, or -1 if
// it's unknown.
func (r *Reader) Read(in place.Input, use func(*Message) error) (size int64, err error) {
	head := make([]byte, headRead)
	var src io.Reader
	n, err := 0, error(nil)
	if _, seekErr := in.Seek(0, io.SeekCurrent); seekErr == nil {
		n, err = in.ReadAt(head, 0)
		src = io.NewSectionReader(in, int64(n), math.MaxInt64-int64(n))
	} else {
		n, err = io.ReadFull(in, head)
		src = in
	}
	if countErr := r.count(n); countErr != nil {
		return -1, countErr
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < headRead && src == io.Reader(in):
		src = bytes.NewReader(nil)
	case err != nil:
		return -1, err
	}
	return sizeOf(in), r.parse(head[:n], src, use)
}

// sizeOf makes no request: by now, the length of an object is known.
func sizeOf(in place.Input) int64 {
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}

func (r *Reader) parse(head []byte, src io.Reader, use func(*Message) error) error {
	rest := &rest{src: src, of: r, room: longHeader - len(head)}
	defer rest.done()
	m := new(Message)
	all := io.MultiReader(bytes.NewReader(head), rest)
	if m.Base64 = base64text.Seems(head); m.Base64 {
		all = base64text.NewReader(all)
	}
	start := new(bytes.Buffer)
	var err error
	if m.Header, err = esdk.ParseHeader(io.TeeReader(all, start)); err != nil {
		return err
	}
	m.Start = start.Bytes()
	return use(m)
}

// A rest reads the part of a header after the head. Once it has read a lot, it
// waits for its turn among the other long headers.
type rest struct {
	src  io.Reader
	of   *Reader
	room int // bytes left before it waits for its turn
	turn bool

	buffered *bufio.Reader // reads src; nil before the first byte
}

func (s *rest) Read(p []byte) (int, error) {
	if s.buffered == nil {
		s.buffered = bufio.NewReaderSize(counted{s.src, s.of}, moreRead)
	}
	if s.room <= 0 && !s.turn {
		s.of.long.Lock()
		s.turn = true
	}
	n, err := s.buffered.Read(p)
	s.room -= n
	return n, err
}

func (s *rest) done() {
	if s.turn {
		s.of.long.Unlock()
	}
}

// counted counts the bytes read.
type counted struct {
	io.Reader
	of *Reader
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if countErr := c.of.count(n); err == nil {
		err = countErr
	}
	return n, err
}
