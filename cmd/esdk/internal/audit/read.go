// Package audit tells what messages say of themselves, by their headers alone.
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
	// headRead is how much is read of each input at first. A header with a handful of
	// data keys, and a context of a few lines, fits.
	headRead = 4 << 10

	// moreRead is how much is read at a time of a longer header.
	moreRead = 32 << 10

	// longHeader is the length from which on headers are read one after the other: they
	// may have megabytes, and many inputs are read side by side.
	longHeader = 64 << 10
)

// A Reader reads headers. Jobs that run side by side share it.
type Reader struct {
	// Await is told of each number of bytes that were read, unless it is nil, and may wait.
	Await func(n int) error

	read atomic.Int64
	long sync.Mutex // held by the one who reads a long header
}

// count adds to how much was read.
func (r *Reader) count(n int) error {
	r.read.Add(int64(n))
	if r.Await == nil {
		return nil
	}
	return r.Await(n)
}

// Bytes returns how much was read.
func (r *Reader) Bytes() int64 { return r.read.Load() }

// A Message is the start of a message.
type Message struct {
	Header *esdk.Header // not authenticated
	Start  []byte       // all of the header, and no more
	Base64 bool         // it is Base64 text
}

// Read reads the header of an input and gives it to a function, and returns the error of
// either. The size is that of the whole input, -1 if it isn't known.
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

// sizeOf asks nobody: by now, an object has told.
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

// A rest is what is read behind the head, if a header is longer. It takes turns with others
// once there was much of it.
type rest struct {
	src  io.Reader
	of   *Reader
	room int // before it waits for its turn
	turn bool

	buffered *bufio.Reader // of src; nil before the first byte
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

// counted counts what is read.
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
