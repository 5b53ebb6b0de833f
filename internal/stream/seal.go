// Package stream encrypts and decrypts message bodies, frame by frame, in
// memory that depends on the length of a frame but not on that of the message.
// It knows no header, keyring or signature.
//
// Specification: client-apis/encrypt.md#construct-the-body and
// client-apis/decrypt.md#decrypt-the-message-body.
package stream

import (
	"crypto/cipher"
	"fmt"
	"hash"
	"io"
	"slices"

	"esdk/internal/format"
)

// batchSize is about how many bytes pass through a stream at once: enough to
// make a system call cheap, and little enough to stay in a core's cache.
const batchSize = 256 << 10

// minBuffer is what a stream starts with, since most messages are short.
const minBuffer = 8 << 10

// Params are what the body of one message needs.
type Params struct {
	AEAD        cipher.AEAD
	MessageID   []byte
	FrameLength uint32 // 0: not framed, which is only ever read

	// MaxPlaintext is the most plaintext that the body may hold, in bytes; 0
	// means no limit.
	MaxPlaintext int64

	// Digest, if not nil, is fed each byte of the body.
	Digest hash.Hash
}

func (p *Params) checkPlaintext(n int64) error {
	if p.MaxPlaintext > 0 && n > p.MaxPlaintext {
		return fmt.Errorf("%w: plaintext is longer than %d bytes", format.ErrLimit, p.MaxPlaintext)
	}
	return nil
}

// A Sealer encrypts frames in their order.
type Sealer struct {
	Params
	regular, final format.BodyAAD
	sequence       uint32 // of the last frame
	total          int64  // plaintext bytes so far
}

// NewSealer returns the sealer of one body.
func NewSealer(p Params) *Sealer {
	if p.FrameLength == 0 {
		panic("internal error: only framed bodies are written")
	}
	return &Sealer{
		Params:  p,
		regular: format.NewBodyAAD(p.MessageID, format.Regular),
		final:   format.NewBodyAAD(p.MessageID, format.Final),
	}
}

// AppendBody appends the whole body of a plaintext, for use on a new sealer.
func (s *Sealer) AppendBody(dst, plaintext []byte) ([]byte, error) {
	var err error
	for uint64(len(plaintext)) > uint64(s.FrameLength) {
		if dst, err = s.AppendFrame(dst, plaintext[:s.FrameLength]); err != nil {
			return nil, err
		}
		plaintext = plaintext[s.FrameLength:]
	}
	return s.AppendFinal(dst, plaintext)
}

// AppendFrame appends a regular frame, whose plaintext has the frame length.
func (s *Sealer) AppendFrame(dst, plaintext []byte) ([]byte, error) {
	// The last sequence number is left to the final frame.
	if err := s.advance(len(plaintext), format.MaxFrames-1); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = format.AppendRegular(dst, s.sequence)
	return s.seal(dst, start, start+4, plaintext, s.regular), nil
}

// AppendFinal appends the final frame, whose plaintext has at most the frame
// length. The sealer must not be used again.
func (s *Sealer) AppendFinal(dst, plaintext []byte) ([]byte, error) {
	if err := s.advance(len(plaintext), format.MaxFrames); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = format.AppendFinal(dst, s.sequence, uint32(len(plaintext)))
	return s.seal(dst, start, start+8, plaintext, s.final), nil
}

func (s *Sealer) advance(n int, last uint32) error {
	s.total += int64(n)
	if err := s.checkPlaintext(s.total); err != nil {
		return err
	}
	if s.sequence >= last {
		return fmt.Errorf("%w: message needs more than 2^32-1 frames of %d bytes", format.ErrLimit, s.FrameLength)
	}
	s.sequence++
	return nil
}

// seal encrypts behind the fields of the frame that starts in dst, and whose IV
// stands there too.
func (s *Sealer) seal(dst []byte, start, iv int, plaintext []byte, aad format.BodyAAD) []byte {
	dst = slices.Grow(dst, len(plaintext)+format.TagLength)
	dst = s.AEAD.Seal(dst, dst[iv:iv+format.IVLength], plaintext, aad.Frame(s.sequence, uint64(len(plaintext))))
	if s.Digest != nil {
		s.Digest.Write(dst[start:])
	}
	return dst
}

// A Writer encrypts what is written to it. It is not safe for concurrent use.
type Writer struct {
	sealer  *Sealer
	dst     io.Writer
	pending []byte // plaintext not yet sealed, at most one frame
	out     []byte // sealed frames not yet written
	err     error
}

// NewWriter returns a writer that seals frames into dst, after head.
func NewWriter(dst io.Writer, head []byte, p Params) *Writer {
	return &Writer{sealer: NewSealer(p), dst: dst, out: head}
}

// Write seals all frames of p but the last, which may turn out to be final.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n := len(p)
	// The limit is checked before anything is kept, so that no more than it is
	// ever held, however long a frame is.
	if w.err = w.sealer.checkPlaintext(w.sealer.total + int64(len(w.pending)) + int64(n)); w.err != nil {
		return 0, w.err
	}
	frame := uint64(w.sealer.FrameLength)
	for len(p) > 0 {
		if uint64(len(w.pending)) == frame {
			w.sealFrame(w.pending)
			w.pending = w.pending[:0]
		}
		for len(w.pending) == 0 && uint64(len(p)) > frame && w.err == nil {
			w.sealFrame(p[:frame])
			p = p[frame:]
		}
		if w.err != nil {
			return 0, w.err
		}
		take := int(min(uint64(len(p)), frame-uint64(len(w.pending))))
		w.pending = append(w.pending, p[:take]...)
		p = p[take:]
	}
	return n, nil
}

func (w *Writer) sealFrame(plaintext []byte) {
	if w.out, w.err = w.sealer.AppendFrame(w.out, plaintext); w.err == nil && len(w.out) >= batchSize {
		w.flush()
	}
}

func (w *Writer) flush() {
	n, err := w.dst.Write(w.out)
	if err == nil && n < len(w.out) {
		err = io.ErrShortWrite
	}
	w.err = err
	w.out = w.out[:0]
}

// ReadFrom encrypts all of r. An error of r is kept, as one of Write is: what was
// read until then is not all, and must not be completed.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	buf := make([]byte, minBuffer)
	for w.err == nil {
		m, err := r.Read(buf)
		if m > 0 {
			if _, err := w.Write(buf[:m]); err != nil {
				return n, err
			}
			n += int64(m)
		}
		if m == len(buf) && m < batchSize {
			buf = make([]byte, 4*m)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			w.err = err
		}
	}
	return n, w.err
}

// Finish seals the final frame and writes what is left, with the footer that
// the function makes, if any, once the digest is complete.
func (w *Writer) Finish(footer func() ([]byte, error)) error {
	if w.err != nil {
		return w.err
	}
	w.out, w.err = w.sealer.AppendFinal(w.out, w.pending)
	clear(w.pending)
	w.pending = nil
	if w.err == nil && footer != nil {
		var tail []byte
		tail, w.err = footer()
		w.out = append(w.out, tail...)
	}
	if w.err == nil {
		w.flush()
	}
	return w.err
}
