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

// NewWriter returns a writer that encodes to Base64 text. Close writes a line
// end.
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

// Decode returns a reader that decodes src if text is set or if src appears to
// be Base64 text. Otherwise the reader returns src unchanged. The reader seeks
// if seeks is set, which means that src can seek.
func Decode(src io.ReadSeeker, seeks, text bool) (io.Reader, error) {
	buffered := bufio.NewReader(src)
	start, err := buffered.Peek(4)
	if len(start) > 0 && start[0] > 2 { // no message begins like this
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

// startLength is the number of bytes that show whether a file appears to be
// text.
const startLength = 64

// Seems reports whether a file that begins with start appears to be Base64
// text. The first 64 bytes are enough.
func Seems(start []byte) bool {
	start = bytes.Join(bytes.Fields(bytes.TrimPrefix(start, byteOrderMark)), nil)
	return inspect.SeemsBase64(start[:min(4, len(start))])
}

const space = " \t\r\n\v\f"

func isSpace(b byte) bool { return strings.IndexByte(space, b) >= 0 }

var byteOrderMark = []byte("\xef\xbb\xbf")

// seeker seeks by decoding the text again from its beginning. Without it, a
// message that is verified before it is released would be kept in memory.
type seeker struct {
	io.Reader // decodes the text
	src       io.ReadSeeker
	begin     int64 // offset of the text in src
	offset    int64 // offset of the next decoded byte
}

func (s *seeker) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.offset += int64(n)
	return n, err
}

// Seek doesn't support io.SeekEnd.
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

// NewReader returns a reader that decodes Base64 text.
func NewReader(src io.Reader) io.Reader {
	return &reader{base64.NewDecoder(base64.StdEncoding, &spaceless{src: src})}
}

// spaceless skips white space, and a byte order mark at the start.
type spaceless struct {
	src  io.Reader
	seen int // bytes of a byte order mark that were seen; its length means that it's complete or absent
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
				s.seen = len(byteOrderMark) // a partial byte order mark only causes an error below
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

// reader distinguishes malformed text from an error of the source.
type reader struct{ decoder io.Reader }

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	switch {
	case errors.As(err, new(base64.CorruptInputError)):
		err = cli.NewError(cli.ExitNotAuthentic, "malformed Base64 text: %v", err)
	case err == io.ErrUnexpectedEOF: // the decoder's own error; an error of the source gives more detail
		err = cli.NewError(cli.ExitNotAuthentic, "malformed Base64 text: it is cut")
	}
	return n, err
}
