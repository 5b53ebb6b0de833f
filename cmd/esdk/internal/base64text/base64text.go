// Package base64text reads and writes messages as Base64 text.
package base64text

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/inspect"
)

// NewWriter returns a writer of Base64 text, which ends with a line end.
func NewWriter(dst io.Writer) io.WriteCloser {
	return &writer{base64.NewEncoder(base64.StdEncoding, dst), dst}
}

type writer struct {
	io.WriteCloser
	dst io.Writer
}

func (w *writer) Close() error {
	if err := w.WriteCloser.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(w.dst, "\n")
	return err
}

// Decode decodes what is, or seems to be, Base64 text. Else it returns a
// reader that seeks if src really can.
func Decode(src io.ReadSeeker, seeks, text bool) (io.Reader, error) {
	buffered := bufio.NewReader(src)
	start, err := buffered.Peek(4)
	if len(start) > 0 && start[0] > 2 { // as no message begins
		start, err = buffered.Peek(startLength)
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	text = text || Seems(start)
	if !seeks {
		if text {
			return NewReader(buffered), nil
		}
		return buffered, nil
	}
	begin, err := src.Seek(int64(-buffered.Buffered()), io.SeekCurrent)
	if text && err == nil {
		return &seeker{src: src, begin: begin, Reader: NewReader(src)}, nil
	}
	return src, err
}

// startLength is how much of a file tells whether it seems to be text.
const startLength = 64

// Seems reports whether the start of a file seems to be that of Base64 text: 64 bytes
// are enough.
func Seems(start []byte) bool {
	start = bytes.Join(bytes.Fields(bytes.TrimPrefix(start, byteOrderMark)), nil)
	return inspect.SeemsBase64(start[:min(4, len(start))])
}

const space = " \t\r\n\v\f"

func isSpace(b byte) bool { return strings.IndexByte(space, b) >= 0 }

var byteOrderMark = []byte("\xef\xbb\xbf")

// seeker reads again from where it is told, by reading all that is before it: else
// a message that is verified before it is released would be held.
type seeker struct {
	io.Reader // of the text
	src       io.ReadSeeker
	begin     int64 // of the text in src
	offset    int64 // of the next byte
}

func (s *seeker) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.offset += int64(n)
	return n, err
}

// Seek does not know the end.
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += s.offset
	}
	if whence == io.SeekEnd || offset < 0 {
		return 0, fs.ErrInvalid
	}
	if offset == s.offset {
		return offset, nil
	}
	if _, err := s.src.Seek(s.begin, io.SeekStart); err != nil {
		return 0, err
	}
	s.Reader, s.offset = NewReader(s.src), 0
	_, err := io.CopyN(io.Discard, s, offset)
	return s.offset, err
}

// NewReader returns a reader of what the text stands for.
func NewReader(src io.Reader) io.Reader {
	return &reader{base64.NewDecoder(base64.StdEncoding, &spaceless{src: src})}
}

// spaceless leaves out white space, and a byte order mark at the start.
type spaceless struct {
	src  io.Reader
	seen int // bytes of a byte order mark, or more
}

func (s *spaceless) Read(p []byte) (int, error) {
	for {
		n, err := s.src.Read(p)
		kept := 0
		for _, b := range p[:n] {
			if s.seen < len(byteOrderMark) {
				if b == byteOrderMark[s.seen] {
					s.seen++
					continue
				}
				s.seen = len(byteOrderMark) // whoever has a part of one only gets an error below
			}
			if !isSpace(b) {
				p[kept] = b
				kept++
			}
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// reader tells broken text from a failure to read it.
type reader struct{ decoder io.Reader }

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	switch {
	case errors.As(err, new(base64.CorruptInputError)):
		err = cli.NewError(cli.ExitNotAuthentic, "malformed Base64 text: %v", err)
	case err == io.ErrUnexpectedEOF: // of the decoder: that of a source says more
		err = cli.NewError(cli.ExitNotAuthentic, "malformed Base64 text: it is cut")
	}
	return n, err
}
