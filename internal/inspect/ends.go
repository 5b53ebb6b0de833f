package inspect

import (
	"encoding/binary"
	"io"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// Ends measures a message of a known size by its header and its end, without
// the frames in between. It returns nil if the end doesn't fit: Walk reports
// the reason.
func Ends(r io.ReaderAt, size int64, h Header) (*Body, error) {
	e := &ends{r: r, size: size, header: h}
	if h.FrameLength == 0 {
		return e.single()
	}
	return e.framed()
}

type ends struct {
	r      io.ReaderAt
	size   int64
	header Header
}

// maxSignature is longer than any suite's signature.
const maxSignature = 128

// framed looks for the final frame at its possible offsets: the signature that
// follows it varies a little in length.
func (e *ends) framed() (*Body, error) {
	start, frame := int64(e.header.Length), int64(e.header.FrameLength)
	left := e.size - start - format.FinalOverhead // for regular frames, the final plaintext and the footer
	most := frame
	if e.header.Signed {
		most += 2 + maxSignature
	}
	regular := frame + format.FrameOverhead
	for n := max(0, left/regular); n >= 0 && left-n*regular <= most; n-- {
		b, err := e.read(start+n*regular, 4+4+format.IVLength+4)
		if b == nil || err != nil {
			return nil, err
		}
		length := int64(binary.BigEndian.Uint32(b[4+4+format.IVLength:]))
		if binary.BigEndian.Uint32(b) != format.EndFrame || int64(binary.BigEndian.Uint32(b[4:])) != n+1 || length > frame {
			continue
		}
		body := &Body{Frames: n + 1, Plaintext: n*frame + length, Body: n*regular + format.FinalOverhead + length}
		if ok, err := e.finish(body); ok || err != nil {
			return body, err
		}
	}
	return nil, nil
}

func (e *ends) single() (*Body, error) {
	b, err := e.read(int64(e.header.Length)+format.IVLength, 8)
	if b == nil || err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint64(b)
	if length > format.MaxNonFramed {
		return nil, nil
	}
	body := &Body{Plaintext: int64(length), Body: int64(length) + format.NonFramedOverhead}
	if ok, err := e.finish(body); !ok || err != nil {
		return nil, err
	}
	return body, nil
}

// finish reports whether the message ends after the body, and the signature if
// it has one.
func (e *ends) finish(body *Body) (bool, error) {
	end := int64(e.header.Length) + body.Body
	if e.header.Signed {
		b, err := e.read(end, 2)
		if b == nil || err != nil {
			return false, err
		}
		body.Footer = 2 + int64(binary.BigEndian.Uint16(b))
	}
	body.Message = end + body.Footer
	return body.Message == e.size, nil
}

// read returns nil if the message is too short.
func (e *ends) read(offset int64, n int) ([]byte, error) {
	if offset+int64(n) > e.size {
		return nil, nil
	}
	b := make([]byte, n)
	if m, err := e.r.ReadAt(b, offset); m < n {
		return nil, errtext.Errorf("reading message: %w", err)
	}
	return b, nil
}
