package stream

import (
	"fmt"
	"io"
	"slices"

	"esdk/internal/format"
)

// Seal appends the whole body of a plaintext to dst, whose spare memory must
// not overlap it.
func Seal(dst, plaintext []byte, p Params) ([]byte, error) {
	s := newSealer(p)
	if err := s.check(int64(len(plaintext))); err != nil {
		return nil, err
	}
	size, _ := format.BodySize(int64(len(plaintext)), p.FrameLength)
	dst = slices.Grow(dst, int(size))
	if regular := s.regularLength(len(plaintext)); regular > 0 {
		var err error
		if dst, err = s.appendRegular(dst, plaintext[:regular]); err != nil {
			return nil, err
		}
		plaintext = plaintext[regular:]
	}
	return s.appendFinal(dst, plaintext), nil
}

// A sealer encrypts the frames of one body in their order.
type sealer struct {
	Params
	final format.BodyAAD
	total int64 // plaintext bytes so far; whole frames, until the final one
	pipe  pipeline
}

func newSealer(p Params) *sealer {
	if p.FrameLength == 0 {
		panic("internal error: only framed bodies are written")
	}
	s := &sealer{Params: p}
	s.final = s.ownMessageID()
	return s
}

// check refuses a plaintext that is too long, before any of it is sealed.
func (s *sealer) check(n int64) error {
	if err := s.checkPlaintext(n); err != nil {
		return err
	}
	if _, ok := format.BodySize(n, s.FrameLength); !ok {
		return fmt.Errorf("%w: message needs more than 2^32-1 frames of %d bytes", format.ErrLimit, s.FrameLength)
	}
	return s.stopped()
}

// regularLength is how much of a plaintext goes into regular frames: all but
// the final one, which is never empty unless the plaintext is.
func (s *sealer) regularLength(n int) int {
	frame := int64(s.FrameLength)
	return int(max(0, int64(n)-1) / frame * frame)
}

// sealedLength is the length of regular frames of so much plaintext.
func (s *sealer) sealedLength(n int) int {
	return n + int(int64(n)/int64(s.FrameLength))*format.FrameOverhead
}

// advance counts plaintext and returns the sequence number of its first frame.
func (s *sealer) advance(n int) uint32 {
	first := uint32(s.total/int64(s.FrameLength)) + 1
	s.total += int64(n)
	return first
}

// appendRegular appends regular frames to dst, which has room for them.
func (s *sealer) appendRegular(dst, plaintext []byte) ([]byte, error) {
	end := len(dst)
	s.begin(len(plaintext), func(b *batch) bool {
		if plaintext = s.cut(b, plaintext); len(b.in) == 0 {
			return false
		}
		b.out = dst[end:end:cap(dst)]
		end += s.sealedLength(len(b.in))
		return true
	})
	s.pipe.drain = func(*batch) error { return nil }
	err := s.pipe.run()
	return dst[:end], err
}

// begin sets up the pipeline, for so much plaintext, but for where the frames go.
func (s *sealer) begin(n int, fill func(*batch) bool) {
	s.pipe.workers = s.workersFor(int64(n))
	s.pipe.stopped = s.stopped
	s.pipe.fill = fill
	s.pipe.work = s.sealBatch
	s.pipe.digest = s.Digest
	s.pipe.digests = func(b *batch) []byte { return b.out }
}

// cut has the batch seal the start of the plaintext, and returns the rest.
func (s *sealer) cut(b *batch, plaintext []byte) []byte {
	n := int(min(int64(len(plaintext)), s.batchLength()))
	b.in, b.first = plaintext[:n], s.advance(n)
	return plaintext[n:]
}

// sealBatch appends the frames of a batch to its out.
func (s *sealer) sealBatch(b *batch) {
	if b.aad == nil {
		b.aad = format.NewBodyAAD(s.MessageID, format.Regular)
	}
	frame := int(s.FrameLength)
	for sequence := b.first; b.used < len(b.in); sequence++ {
		b.out = format.AppendRegular(b.out, sequence)
		iv := b.out[len(b.out)-format.IVLength:]
		b.out = s.AEAD.Seal(b.out, iv, b.in[b.used:b.used+frame], b.aad.Frame(sequence, uint64(frame)))
		b.used += frame
	}
}

// appendFinal appends the final frame, whose plaintext has at most the frame
// length.
func (s *sealer) appendFinal(dst, plaintext []byte) []byte {
	start, sequence := len(dst), s.advance(len(plaintext))
	dst = slices.Grow(dst, len(plaintext)+format.FinalOverhead)
	dst = format.AppendFinal(dst, sequence, uint32(len(plaintext)))
	iv := dst[start+8 : start+8+format.IVLength]
	dst = s.AEAD.Seal(dst, iv, plaintext, s.final.Frame(sequence, uint64(len(plaintext))))
	if s.Digest != nil {
		s.Digest.Write(dst[start:])
	}
	return dst
}

// A Writer encrypts what is written to it. It is not safe for concurrent use.
type Writer struct {
	sealer
	dst io.Writer
	in  []byte // plaintext not yet sealed: the last of it may turn out to be final
	out []byte // sealed frames not yet written
	err error
}

// NewWriter returns a writer that seals frames into dst, after head.
func NewWriter(dst io.Writer, head []byte, p Params) *Writer {
	p.limitWorkers()
	return &Writer{sealer: *newSealer(p), dst: dst, out: head}
}

// Write seals p but for the last frame, which may turn out to be final, and
// but for what is too little for the workers.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n := len(p)
	// The limit is checked before anything is kept, so that no more than it is
	// ever held, however long a frame is.
	if w.err = w.check(w.total + int64(len(w.in)) + int64(n)); w.err != nil {
		return 0, w.err
	}
	for len(p) > 0 && w.err == nil {
		limit := w.gatherLength()
		if w.isLong(p) {
			limit = roundUp(int64(len(w.in)), int64(w.FrameLength))
		}
		take := int(min(int64(len(p)), limit-int64(len(w.in))))
		w.in = append(w.in, p[:take]...)
		if p = p[take:]; len(p) == 0 {
			break
		}
		// More follows, so that all that was kept goes into regular frames.
		w.seal(w.in)
		w.in = w.in[:0]
		if w.isLong(p) {
			regular := w.regularLength(len(p))
			w.seal(p[:regular])
			p = p[regular:]
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return n, nil
}

// isLong reports whether p is worth sealing where it is, once what was kept
// before is a whole frame.
func (w *Writer) isLong(p []byte) bool {
	if w.Workers > 1 {
		return int64(len(p)) > 2*w.batchLength()
	}
	return int64(len(p)) > int64(w.FrameLength)
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// seal seals regular frames: through the pipeline if they are many, else into
// out, so that a short message is written at once.
func (w *Writer) seal(plaintext []byte) {
	if w.err != nil || len(plaintext) == 0 {
		return
	}
	if w.workersFor(int64(len(plaintext))) > 1 {
		w.begin(len(plaintext), func(b *batch) bool {
			plaintext = w.cut(b, plaintext)
			return len(b.in) > 0
		})
		w.err = w.runToSink()
		return
	}
	for len(plaintext) > 0 && w.err == nil {
		part := plaintext[:min(int64(len(plaintext)), w.batchLength())]
		w.out = slices.Grow(w.out, w.sealedLength(len(part)))
		if w.out, w.err = w.appendRegular(w.out, part); w.err == nil && len(w.out) >= defaultBatch {
			w.flush()
		}
		plaintext = plaintext[len(part):]
	}
}

// runToSink runs the pipeline into dst.
func (w *Writer) runToSink() error {
	w.pipe.work = func(b *batch) {
		b.outBuf = slices.Grow(b.outBuf[:0], w.sealedLength(len(b.in)))
		b.out = b.outBuf
		w.sealBatch(b)
	}
	w.pipe.drain = func(b *batch) error {
		if len(w.out) > 0 {
			if _, err := writeAll(w.dst, w.out); err != nil {
				return err
			}
			w.out = w.out[:0]
		}
		_, err := writeAll(w.dst, b.out)
		return err
	}
	return w.pipe.run()
}

func (w *Writer) flush() {
	_, w.err = writeAll(w.dst, w.out)
	w.out = w.out[:0]
}

// ReadFrom encrypts all of r. An error of r is kept, as one of Write is: what was
// read until then is not all, and must not be completed.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	if w.err != nil {
		return 0, w.err
	}
	if src := InMemory(r); src != nil {
		return src.WriteTo(struct{ io.Writer }{w}) // not copied
	}
	src := &plainSource{r: r, w: w}
	if regular := w.regularLength(len(w.in)); int64(len(w.in)) > w.batchLength() {
		w.seal(w.in[:regular])
		w.in = append(w.in[:0], w.in[regular:]...)
	}
	if w.err == nil {
		w.begin(0, src.fill)
		w.pipe.workers = w.Workers
		w.err = w.runToSink()
	}
	if w.err == nil {
		w.err = src.err
	}
	return src.n, w.err
}

// A plainSource reads a writer's plaintext, batch by batch.
type plainSource struct {
	r   io.Reader
	w   *Writer
	n   int64 // bytes read
	end bool
	err error
}

// fill has the batch hold a batch of plaintext, once more is known to follow:
// before, its last frame may be the final one.
func (s *plainSource) fill(b *batch) bool {
	w, length := s.w, s.w.batchLength()
	for int64(len(w.in)) < length {
		if !s.read(&w.in, length, 0) {
			return false
		}
	}
	b.inBuf = b.inBuf[:0]
	if !s.read(&b.inBuf, length, length) {
		return false
	}
	b.inBuf, w.in = w.in, b.inBuf
	b.in, b.first = b.inBuf, w.advance(len(b.inBuf))
	return true
}

// read appends what r has to buf, up to a limit. What is held besides counts too
// for the limit on the plaintext.
func (s *plainSource) read(buf *[]byte, limit, besides int64) bool {
	if s.end {
		return false
	}
	b := room(*buf, limit)
	// The memory may have been another's before, and have more room than that.
	n, err := readSome(s.r, b[len(b):min(int64(cap(b)), limit)])
	*buf = b[:len(b)+n]
	s.n += int64(n)
	s.end = err != nil
	if err != io.EOF {
		s.err = err
	}
	if n > 0 && s.err == nil {
		s.err = s.w.check(s.w.total + besides + int64(len(*buf)))
	}
	return n > 0 && s.err == nil
}

// Finish seals the final frame and writes what is left, with the footer that
// the function makes, if any, once the digest is complete.
func (w *Writer) Finish(footer func() ([]byte, error)) error {
	if w.err == nil {
		w.err = w.stopped()
	}
	if w.err != nil {
		return w.err
	}
	regular := w.regularLength(len(w.in))
	w.seal(w.in[:regular])
	if w.err != nil {
		return w.err
	}
	w.out = w.appendFinal(w.out, w.in[regular:])
	clear(w.in)
	w.in = nil
	if footer != nil {
		var tail []byte
		if tail, w.err = footer(); w.err != nil {
			return w.err
		}
		w.out = append(w.out, tail...)
	}
	w.flush()
	return w.err
}
