package format

import (
	"io"

	"esdk/internal/errtext"
)

// maxEmptyReads is how often a source may return nothing.
const maxEmptyReads = 100

// ReadSome reads at least a byte, or returns an error. It is for sources of users:
// one that brings nothing, time and again, fails with [io.ErrNoProgress], and one
// that claims to have read what it can't have fails, too. An error matches io.EOF
// only if it is io.EOF.
func ReadSome(r io.Reader, buf []byte) (int, error) {
	for range maxEmptyReads {
		n, err := r.Read(buf)
		if n < 0 || n > len(buf) {
			return 0, errtext.Errorf("source returned an impossible count from Read")
		}
		if err != nil && err != io.EOF {
			err = NotEOF(err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// Steady returns a reader that reads r by ReadSome, for code that would read a
// source that brings nothing for ever, as io.ReadFull does.
func Steady(r io.Reader) io.Reader { return steady{r} }

type steady struct{ r io.Reader }

func (s steady) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return ReadSome(s.r, p)
}
