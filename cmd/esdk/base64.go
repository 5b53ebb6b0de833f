package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"

	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/inspect"
)

// newBase64Writer returns a writer of Base64 text, which ends with a line end.
func newBase64Writer(dst io.Writer) io.WriteCloser {
	return &base64Writer{base64.NewEncoder(base64.StdEncoding, dst), dst}
}

type base64Writer struct {
	io.WriteCloser
	dst io.Writer
}

func (w *base64Writer) Close() error {
	if err := w.WriteCloser.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(w.dst, "\n")
	return err
}

// decodeBase64 decodes what is, or seems to be, Base64 text. Else it returns a
// reader that seeks if src really can.
func decodeBase64(src io.ReadSeeker, seeks, text bool) (io.Reader, error) {
	buffered := bufio.NewReader(src)
	start, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	text = text || inspect.SeemsBase64(start)
	if !seeks {
		if text {
			return newBase64Reader(buffered), nil
		}
		return buffered, nil
	}
	begin, err := src.Seek(int64(-buffered.Buffered()), io.SeekCurrent)
	if text && err == nil {
		return &base64Seeker{src: src, begin: begin, Reader: newBase64Reader(src)}, nil
	}
	return src, err
}

// base64Seeker reads again from where it is told, by reading all that is before it: else
// a message that is verified before it is released would be held.
type base64Seeker struct {
	io.Reader // of the text
	src       io.ReadSeeker
	begin     int64 // of the text in src
	offset    int64 // of the next byte
}

func (s *base64Seeker) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.offset += int64(n)
	return n, err
}

// Seek does not know the end.
func (s *base64Seeker) Seek(offset int64, whence int) (int64, error) {
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
	s.Reader, s.offset = newBase64Reader(s.src), 0
	_, err := io.CopyN(io.Discard, s, offset)
	return s.offset, err
}

func newBase64Reader(src io.Reader) io.Reader {
	return &base64Reader{base64.NewDecoder(base64.StdEncoding, src)}
}

// base64Reader tells broken text from a failure to read it.
type base64Reader struct{ decoder io.Reader }

func (r *base64Reader) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	if errors.As(err, new(base64.CorruptInputError)) {
		err = cli.NewError(cli.ExitNotAuthentic, "malformed Base64 text: %v", err)
	}
	return n, err
}
