// Package inspect describes a message without its keys, so none of its results
// is authentic.
package inspect

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// A Body describes the body and the rest of a message, from the lengths in it.
type Body struct {
	Frames    int64   `json:"frames"` // 0: unframed
	Plaintext int64   `json:"plaintext_bytes"`
	Body      int64   `json:"body_bytes"`
	Footer    int64   `json:"footer_bytes"`
	Message   int64   `json:"message_bytes"`
	List      []Frame `json:"list,omitempty"`
}

// A Frame is a frame of a body.
type Frame struct {
	Sequence  uint32 `json:"sequence_number"`
	Plaintext int64  `json:"plaintext_bytes"`
	Final     bool   `json:"final"`
}

// A Header has the fields of a message's header that Walk and Ends need.
type Header struct {
	Length      int    // bytes
	FrameLength uint32 // 0 for an unframed body
	Signed      bool
}

// Error is a violation of the message format.
type Error = format.Error

// Walk goes from frame to frame by their lengths, after a header that was read.
// Its errors are [*Error] with the same fields, offsets and texts as in
// decryption. If a sequence number is wrong, it returns the body together with
// the error.
func Walk(r *bufio.Reader, h Header, list bool) (*Body, error) {
	w := &walker{r: r, header: h, offset: int64(h.Length), list: list}
	if err := w.run(); err != nil {
		return nil, cmp.Or(w.mismatch, err)
	}
	return &w.Body, w.mismatch
}

// SeemsBase64 reports whether the first four bytes of a message are Base64
// text.
func SeemsBase64(start []byte) bool { return format.SeemsBase64(start) }

type walker struct {
	Body
	r      *bufio.Reader
	header Header
	offset int64
	list   bool

	// mismatch reports the first wrong sequence number. It doesn't end the
	// walk, since the lengths tell where the next frame starts.
	mismatch error
}

// maxListed limits the memory of a list of frames.
const maxListed = 1 << 20

func (w *walker) run() error {
	start := w.offset
	walk := w.walkFrames
	if w.header.FrameLength == 0 {
		walk = w.walkSingle
	}
	if err := walk(); err != nil {
		return err
	}
	w.Body.Body = w.offset - start
	if w.header.Signed {
		length, err := w.next(2, w.offset, "signature length")
		if err != nil {
			return err
		}
		if err := w.skip(int64(binary.BigEndian.Uint16(length)), w.offset, "signature"); err != nil {
			return err
		}
		w.Footer = w.offset - start - w.Body.Body
	}
	w.Message = w.offset
	if _, err := w.r.ReadByte(); err == nil {
		return malformed(w.offset, "end", "more bytes after the message")
	} else if err != io.EOF {
		return errtext.Errorf("reading message: %w", err)
	}
	return nil
}

func malformed(offset int64, field, text string, args ...any) error {
	return &format.Error{Offset: offset, Field: field, Err: fmt.Errorf(text, args...)}
}

func (w *walker) walkFrames() error {
	for final := false; !final; {
		start := w.offset
		b, err := w.next(4, start, "sequence number")
		if err != nil {
			return err
		}
		sequence, length := binary.BigEndian.Uint32(b), w.header.FrameLength
		if final = sequence == format.EndFrame; final {
			sequence, length, err = w.walkFinal(start)
		} else {
			w.checkSequence(sequence, start)
			err = w.skip(format.IVLength+int64(length)+format.TagLength, start, "frame")
		}
		if err != nil {
			return err
		}
		w.Frames++
		w.Plaintext += int64(length)
		if w.list && len(w.List) < maxListed {
			w.List = append(w.List, Frame{sequence, int64(length), final})
		}
	}
	return nil
}

// walkFinal skips the final frame, which starts at an offset, after its first
// field has been read.
func (w *walker) walkFinal(start int64) (sequence, length uint32, err error) {
	b, err := w.next(4+format.IVLength+4, start, "final frame")
	if err != nil {
		return 0, 0, err
	}
	sequence, length = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4+format.IVLength:])
	w.checkSequence(sequence, start+4)
	if length > w.header.FrameLength {
		return 0, 0, malformed(w.offset-4, "final frame length", "%d is more than the frame length, %d", length, w.header.FrameLength)
	}
	return sequence, length, w.skip(int64(length)+format.TagLength, start, "final frame")
}

func (w *walker) checkSequence(sequence uint32, offset int64) {
	if want := w.Frames + 1; int64(sequence) != want && w.mismatch == nil {
		w.mismatch = malformed(offset, "sequence number", "%d, need %d", sequence, want)
	}
}

func (w *walker) walkSingle() error {
	if err := w.skip(format.IVLength, w.offset, "IV"); err != nil {
		return err
	}
	start := w.offset
	b, err := w.next(8, start, "body length")
	if err != nil {
		return err
	}
	length := binary.BigEndian.Uint64(b)
	if length > format.MaxNonFramed {
		return malformed(start, "body length", "%d is more than 2^36-32", length)
	}
	w.Plaintext = int64(length)
	return w.skip(w.Plaintext+format.TagLength, w.offset, "encrypted content")
}

// next reads n bytes, which must fit into the buffer, of a field that starts at
// an offset.
func (w *walker) next(n int, start int64, field string) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return nil, format.Truncated(start, field, err)
	}
	w.offset += int64(n)
	return b, nil
}

// skip skips n bytes, the last ones of a field that starts at an offset.
func (w *walker) skip(n, start int64, field string) error {
	if _, err := io.CopyN(io.Discard, w.r, n); err != nil {
		return format.Truncated(start, field, err)
	}
	w.offset += n
	return nil
}
