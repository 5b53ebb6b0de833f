package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"

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
	if text || inspect.SeemsBase64(start) {
		return newBase64Reader(buffered), nil
	}
	if !seeks {
		return buffered, nil
	}
	_, err = src.Seek(int64(-buffered.Buffered()), io.SeekCurrent)
	return src, err
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
