package stream

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// A Source describes the bytes to decrypt.
type Source struct {
	Params

	// Offset is the offset of the body in the message, for errors.
	Offset int64

	// Verify, if not nil, checks the signature in the footer once Digest is
	// complete. If it's nil, the message has no footer.
	Verify func(signature []byte) error
}

// A Reader decrypts a body and checks that the message ends with it. It
// releases no byte of a frame before the frame's tag has been verified, and the
// final frame only after the whole message has been verified. It is not safe
// for concurrent use.
//
// Its methods open frame by frame, except that runs of regular frames are
// opened together once they have arrived. If a frame in a run is wrong, the
// frame-by-frame code handles it.
type Reader struct {
	Source         // without the AEAD
	opener         opener
	regular, final format.BodyAAD
	memory         finalMemory
	pool           pool

	src      io.Reader // nil: everything is in the window
	srcErr   error     // of src, sticky
	lastRead int       // bytes in the last read of src
	window   []byte    // received, not yet opened
	buf      []byte    // contains window

	out   []byte // opened frames
	plain []byte // the unreleased part of out or buf

	sequence uint32 // of the last frame
	offset   int64  // of the window in the message
	total    int64  // plaintext bytes so far
	end      int64  // of the body in the message
	err      error  // sticky, once plain is released
	broken   error  // sticky at once: of a sink, or errInterrupted during a call
}

// NewReader returns a reader of the body that src holds.
func NewReader(src io.Reader, s Source) *Reader {
	s.limitWorkers()
	r := newReader(&s)
	r.src = src
	return r
}

func newReader(s *Source) *Reader {
	r := &Reader{Source: *s, offset: s.Offset}
	r.final = r.ownMessageID(&r.memory)
	r.opener = newOpener(&r.Params)
	return r
}

// NewVerifiedReader returns a reader of a plaintext whose whole message has
// been verified.
func NewVerifiedReader(plaintext []byte) *Reader { return &Reader{plain: plaintext, err: io.EOF} }

// Open decrypts a whole body, which it doesn't change, and appends its
// plaintext to dst. The spare capacity of dst must not overlap the body. Unless
// the whole body is authentic, Open returns nothing and leaves nothing in dst,
// even if the context panics or ends the goroutine.
func Open(dst, body []byte, s Source) ([]byte, error) {
	r := newReader(&s)
	r.window = body
	// There's room for all of the plaintext, so no frame is opened in place. An
	// empty plaintext isn't nil.
	bound := r.plaintextBound()
	dst = slices.Grow(dst, max(1, bound))
	r.out = dst[len(dst) : len(dst) : len(dst)+bound]
	defer func() {
		if r.err != io.EOF {
			clear(r.out[:cap(r.out)])
		}
	}()
	for r.err == nil {
		r.openBatch(r.out)
		r.out = r.plain
	}
	if r.err != io.EOF {
		return nil, r.err
	}
	return dst[:len(dst)+len(r.out)], nil
}

// plaintextBound returns an upper bound for the plaintext in the window. It's
// exact for framed bodies that are well-formed: the last place that has the
// number of a final frame opens as nothing else, and nothing opens behind it.
func (r *Reader) plaintextBound() int {
	const fields = format.FinalOverhead - format.TagLength
	body, frame := int64(len(r.window)), int64(r.FrameLength)
	if frame == 0 {
		return int(max(0, body-format.NonFramedOverhead))
	}
	room := body - format.FinalOverhead
	for at := room / r.frameSize() * r.frameSize(); at >= 0 && at <= room; at -= r.frameSize() {
		final := r.window[at:]
		if binary.BigEndian.Uint32(final) == format.EndFrame {
			claimed := int64(binary.BigEndian.Uint32(final[fields-4:]))
			return int(at/r.frameSize()*frame + min(claimed, frame, room-at))
		}
	}
	return int(body / r.frameSize() * frame)
}

// begin starts a call. Until end, the reader is broken: if the source or sink
// panics or ends the goroutine, later bytes must not be mistaken for the next
// ones.
func (r *Reader) begin() error {
	if r.broken != nil {
		return r.broken
	}
	r.broken = errInterrupted
	return nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.begin(); err != nil {
		return 0, err
	}
	err := r.fill()
	r.broken = nil
	if err != nil {
		return 0, err
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// WriteTo implements io.WriterTo. An error of w stays, since the bytes that w
// didn't take are lost.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	if err := r.begin(); err != nil {
		return 0, err
	}
	n, err = r.writeTo(w)
	r.broken = err
	return n, err
}

func (r *Reader) writeTo(w io.Writer) (n int64, err error) {
	if r.src != nil && len(r.window)+len(r.plain) == 0 {
		if n, err = r.feed(w); err != nil {
			return n, err
		}
	}
	for {
		if err := r.fill(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		m, err := WriteAll(w, r.plain)
		n += int64(m)
		if err != nil {
			return n, err
		}
		r.plain = nil
		if r.worthPumping() {
			m, err := r.pump(w)
			n += m
			if err != nil {
				return n, err
			}
		}
	}
}

// fill makes sure that there is plaintext to release, unless it returns an
// error.
func (r *Reader) fill() error {
	for len(r.plain) == 0 {
		if r.err == nil {
			r.err = r.stopped()
		}
		if r.err != nil {
			clear(r.out[:cap(r.out)])
			return r.err
		}
		r.makeOut()
		r.openBatch(r.out[:0])
	}
	return nil
}

// openBatch opens at least one frame, and as many more as have arrived and fit,
// so that the consumer gets them in one piece. It sets plain to dst with their
// plaintext appended.
func (r *Reader) openBatch(dst []byte) {
	if r.openNext(dst) {
		r.openArrived()
	}
}

// read reads from the source, whose error is kept.
func (r *Reader) read(buf []byte) (n int, err error) {
	if r.srcErr != nil {
		return 0, r.srcErr
	}
	n, r.srcErr = format.ReadSome(r.src, buf)
	r.lastRead = n
	return n, r.srcErr
}

// End returns the offset in the message at which the body ended, once the whole
// body has been read.
func (r *Reader) End() int64 { return r.end }

// makeOut makes out as large as the buffer, so that a short message needs
// little memory. Long frames don't use out, and are opened in place.
func (r *Reader) makeOut() {
	if r.FrameLength == 0 || int64(r.FrameLength) > defaultBatch/4 {
		return
	}
	if size := max(int(r.FrameLength), min(len(r.buf), r.windowLength())); cap(r.out) < size {
		clear(r.out[:cap(r.out)])
		r.out = make([]byte, 0, size)
	}
}

// windowLength returns the length of the buffer into which a long message is
// read.
func (r *Reader) windowLength() int {
	if r.Workers > 1 {
		return gathered * defaultBatch
	}
	return defaultBatch
}

// openNext opens the next frame and sets plain to dst with the plaintext
// appended. It reports whether frames may follow; if not, err has the reason.
func (r *Reader) openNext(dst []byte) bool {
	var more bool
	plain, err := dst, error(nil)
	if r.FrameLength == 0 {
		plain, err = r.openSingle(dst)
	} else {
		plain, more, err = r.openFrame(dst)
	}
	if err != nil {
		// Frames opened earlier in this batch are authentic.
		r.plain, r.err = dst, err
		return false
	}
	r.plain = plain
	if !more {
		r.err = io.EOF
	}
	return more
}

func (r *Reader) openFrame(dst []byte) (plain []byte, more bool, err error) {
	if err := r.need(0, 4, "sequence number"); err != nil {
		return nil, false, err
	}
	sequence := binary.BigEndian.Uint32(r.window)
	if sequence == format.EndFrame {
		plain, err = r.openFinal(dst)
		return plain, false, err
	}
	if err := r.checkSequence(sequence, 0); err != nil {
		return nil, false, err
	}
	if err := r.checkPlaintext(r.total + int64(r.FrameLength)); err != nil {
		return nil, false, err
	}
	size := int64(r.FrameLength) + format.FrameOverhead
	if err := r.need(0, size, "frame"); err != nil {
		return nil, false, err
	}
	if r.regular == nil {
		r.regular = format.NewBodyAAD(r.MessageID, format.Regular)
	}
	frame := r.take(int(size))
	plain, err = r.open(dst, frame[4:], frame[4+format.IVLength:], r.regular)
	return plain, true, err
}

func (r *Reader) openFinal(dst []byte) ([]byte, error) {
	const fields = format.FinalOverhead - format.TagLength
	if err := r.need(0, fields, "final frame"); err != nil {
		return nil, err
	}
	if err := r.checkSequence(binary.BigEndian.Uint32(r.window[4:]), 4); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(r.window[fields-4:])
	if length > r.FrameLength {
		return nil, r.errorf(fields-4, "final frame length", "%d is more than the frame length, %d", length, r.FrameLength)
	}
	return r.openLast(dst, fields, int64(length), 8, r.final)
}

func (r *Reader) openSingle(dst []byte) ([]byte, error) {
	const fields = format.NonFramedOverhead - format.TagLength
	if err := r.need(0, format.IVLength, "IV"); err != nil {
		return nil, err
	}
	if err := r.need(format.IVLength, fields, "body length"); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint64(r.window[format.IVLength:])
	if length > format.MaxNonFramed {
		return nil, r.errorf(format.IVLength, "body length", "%d is more than 2^36-32", length)
	}
	r.sequence = 1
	aad := format.NewBodyAAD(r.MessageID, format.Single)
	return r.openLast(dst, fields, int64(length), 0, aad)
}

// openLast opens the last frame and verifies the end of the message. The frame
// begins with the given number of bytes of fields, with its IV at an offset in
// them, and then has a ciphertext.
func (r *Reader) openLast(dst []byte, fields, length, iv int64, aad format.BodyAAD) ([]byte, error) {
	if err := r.checkPlaintext(r.total + length); err != nil {
		return nil, err
	}
	size := fields + length + format.TagLength
	if r.FrameLength == 0 {
		if err := r.need(fields, size, "encrypted content"); err != nil {
			return nil, err
		}
	} else if err := r.need(0, size, "final frame"); err != nil {
		return nil, err
	}
	signature, err := r.readEnd(size)
	if err != nil {
		return nil, err
	}
	frame := r.take(int(size))
	r.end = r.offset
	plain, err := r.open(dst, frame[iv:], frame[fields:], aad)
	if err != nil {
		return nil, err
	}
	if r.Verify != nil {
		if err := r.Verify(signature); err != nil {
			clear(plain[len(dst):])
			return nil, err
		}
	}
	return plain, nil
}

// readEnd reads the footer after the last frame, whose size is given, and the
// end. It returns the signature in the footer.
func (r *Reader) readEnd(size int64) (signature []byte, err error) {
	end := size
	if r.Verify != nil {
		if err := r.need(size, size+2, "signature length"); err != nil {
			return nil, err
		}
		end = size + 2 + int64(binary.BigEndian.Uint16(r.window[size:]))
		if err := r.need(size+2, end, "signature"); err != nil {
			return nil, err
		}
	}
	err = r.receive(end + 1)
	if err == nil {
		return nil, r.errorf(end, "end", "more bytes after the message")
	}
	if err != io.EOF {
		return nil, errtext.Errorf("reading message: %w", err)
	}
	return r.window[min(size+2, end):end], nil
}

func (r *Reader) checkSequence(sequence uint32, at int64) error {
	if want := uint64(r.sequence) + 1; uint64(sequence) != want {
		return r.errorf(at, "sequence number", "%d, need %d", sequence, want)
	}
	r.sequence = sequence
	return nil
}

// open verifies and decrypts a frame's ciphertext. It appends the plaintext to
// dst if it fits, and otherwise decrypts in place.
func (r *Reader) open(dst, iv, ciphertext []byte, aad format.BodyAAD) ([]byte, error) {
	length := len(ciphertext) - format.TagLength
	if cap(dst)-len(dst) < length {
		if len(dst) > 0 || r.src == nil {
			panic("internal error: no room for a frame")
		}
		dst = ciphertext[:0:length]
	}
	plain, err := r.opener.openFrame(dst, iv, ciphertext, aad.Frame(r.sequence, uint64(length)))
	if err != nil {
		return nil, err
	}
	r.total += int64(length)
	return plain, nil
}

// take removes a frame from the window and adds it to the digest, before the
// frame is opened in place.
func (r *Reader) take(n int) []byte {
	frame := r.window[:n]
	if r.Digest != nil {
		r.Digest.Write(frame)
	}
	r.window = r.window[n:]
	r.offset += int64(n)
	return frame
}

func (r *Reader) errorf(at int64, field, text string, args ...any) error {
	return &format.Error{Offset: r.offset + at, Field: field, Err: fmt.Errorf(text, args...)}
}

// need fills the window to n bytes, which end with a field that starts at an
// offset in it.
func (r *Reader) need(at, n int64, field string) error {
	if n > math.MaxInt-defaultBatch {
		return frameTooLong(n)
	}
	if err := r.receive(n); err != nil {
		return format.Truncated(r.offset+at, field, err)
	}
	return nil
}

// receive reads until the window holds n bytes. The buffer grows only with the
// bytes that have arrived, since a claimed length may be false.
func (r *Reader) receive(n int64) error {
	for int64(len(r.window)) < n {
		if r.src == nil {
			return io.EOF
		}
		if cap(r.window) == len(r.window) {
			r.makeRoom(n)
		}
		m, err := r.read(r.window[len(r.window):cap(r.window)])
		r.window = r.window[:len(r.window)+m]
		if err != nil && int64(len(r.window)) < n {
			return err
		}
	}
	return nil
}

// makeRoom makes room after the window, of which n bytes are needed. It moves
// the window to the first cache line of the buffer, or to a larger buffer if
// the window fills this one or if more has arrived than a short message holds.
func (r *Reader) makeRoom(n int64) {
	have, at := int64(len(r.buf)), 0
	switch {
	case have < n && len(r.window) == len(r.buf):
		size := max(2*have, minBuffer)
		if size > n {
			// No frame needs more than n. The extra bytes read ahead, and hold
			// the footer.
			size = n + minBuffer
		}
		r.grow(size)
	case have < int64(r.windowLength()):
		r.grow(min(4*have, int64(r.windowLength())))
	default:
		if have-n >= cacheLine {
			at = r.aligned()
		}
		copy(r.buf[at:], r.window)
	}
	r.window = r.buf[at : at+len(r.window)]
}

// aligned returns the least offset in a buffer at which the window is aligned
// as it is in the message. A source in memory mostly has the same alignment,
// and copies faster that way.
func (r *Reader) aligned() int { return int(r.offset % cacheLine) }

func (r *Reader) grow(size int64) { r.buf = append(make([]byte, 0, size), r.window...)[:size] }
