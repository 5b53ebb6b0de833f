package format

import (
	"io"

	"esdk/internal/errtext"
)

// maxEmptyReads is how often a source may return no bytes.
const maxEmptyReads = 100

// ReadSome reads at least one byte, or returns an error. It's for users'
// sources: it fails with [io.ErrNoProgress] if a source keeps returning no
// bytes, and also fails if a source returns an impossible count. An error
// matches io.EOF only if it is io.EOF.
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

// Steady returns a reader that reads r with ReadSome, for code such as
// io.ReadFull that would otherwise read a source that returns no bytes forever.
func Steady(r io.Reader) io.Reader { return steady{r} }

type steady struct{ r io.Reader }

func (s steady) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return ReadSome(s.r, p)
}
