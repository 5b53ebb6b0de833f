package stream

import (
	"io"
	"math"
	"slices"
	"sync/atomic"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// Seal appends the whole body of a plaintext to dst. The spare capacity of dst
// must not overlap the plaintext. Seal takes the AEAD, so the params can't seal
// another body.
func Seal(dst, plaintext []byte, p *Params) ([]byte, error) {
	e := new(encryptor)
	e.init(p)
	if err := e.check(int64(len(plaintext))); err != nil {
		return nil, err
	}
	size, _ := format.BodySize(int64(len(plaintext)), e.FrameLength)
	if size > math.MaxInt {
		return nil, frameTooLong(size)
	}
	dst = slices.Grow(dst, int(size))
	if regular := e.regularLength(len(plaintext)); regular > 0 {
		var err error
		if dst, err = e.appendRegular(dst, plaintext[:regular]); err != nil {
			return nil, err
		}
		plaintext = plaintext[regular:]
	}
	return e.appendFinal(dst, plaintext)
}

// An encryptor encrypts one body: it cuts the plaintext into batches, which the
// sealer numbers and seals.
type encryptor struct {
	Params // without the AEAD
	frames sealer
	pool   pool
}

func (e *encryptor) init(p *Params) {
	if p.FrameLength == 0 || p.AEAD == nil {
		panic("internal error: only framed bodies are written, and each only once")
	}
	e.frames.init(p)
	e.Params = *p
}

// check rejects a plaintext that is too long, before any of it is sealed.
func (e *encryptor) check(n int64) error {
	if err := e.checkPlaintext(n); err != nil {
		return err
	}
	if _, ok := format.BodySize(n, e.FrameLength); !ok {
		return errtext.Errorf("%w: message needs more than 2^32-1 frames of %d bytes", format.ErrLimit, e.FrameLength)
	}
	return e.stopped()
}

// total returns the length in bytes of the plaintext in numbered frames.
func (e *encryptor) total() int64 { return int64(e.frames.numbered) * int64(e.FrameLength) }

// regularLength returns the length of the plaintext in regular frames. That's
// all but the final frame, which is empty only if the plaintext is.
func (e *encryptor) regularLength(n int) int {
	frame := int64(e.FrameLength)
	return int(max(0, int64(n)-1) / frame * frame)
}

// appendRegular appends regular frames to dst, which must have room for them.
func (e *encryptor) appendRegular(dst, plaintext []byte) ([]byte, error) {
	end := len(dst)
	err := pipeline{
		stopped: e.stopped,
		fill: func(b *batch) (err error) {
			if plaintext, err = e.cut(b, plaintext); err != nil {
				return err
			}
			size := e.frames.sealedLength(&b.run)
			b.out = dst[end : end : end+size]
			end += size
			return nil
		},
		work:    func(b *batch) { b.out = e.frames.seal(b.out, &b.run) },
		digest:  e.Digest,
		digests: func(b *batch) []byte { return b.out },
		drain:   func(*batch) error { return nil },
	}.run(&e.pool, e.workersFor(int64(len(plaintext))))
	return dst[:end], err
}

// cut numbers the first frames of the plaintext for the batch, and returns the
// rest.
func (e *encryptor) cut(b *batch, plaintext []byte) ([]byte, error) {
	if len(plaintext) == 0 {
		return nil, io.EOF
	}
	n := int(min(int64(len(plaintext)), e.batchLength()))
	err := e.frames.number(&b.run, int(int64(n)/int64(e.FrameLength)), plaintext[:n])
	return plaintext[n:], err
}

// appendFinal appends the final frame.
func (e *encryptor) appendFinal(dst, plaintext []byte) ([]byte, error) {
	start := len(dst)
	dst, err := e.frames.final(slices.Grow(dst, len(plaintext)+format.FinalOverhead), plaintext)
	if err == nil && e.Digest != nil {
		e.Digest.Write(dst[start:])
	}
	return dst, err
}

// A Writer encrypts its input. It is not safe for concurrent use.
//
// It seals the plaintext that it holds back only when more follows, since the
// last frame may be the final one.
type Writer struct {
	encryptor
	dst io.Writer
	in  buffer // plaintext not yet sealed
	out []byte // sealed frames not yet written
	err error  // sticky

	// busy is set during a call, and stays set if the call doesn't return.
	busy atomic.Bool
}

// NewWriter returns a writer that seals frames to dst, after head. It takes the
// AEAD, so the params can't seal another body.
func NewWriter(dst io.Writer, head []byte, p *Params) *Writer {
	p.limitWorkers()
	w := &Writer{dst: dst, out: head}
	w.init(p)
	w.in = buffer{frame: int64(w.FrameLength), limit: w.gatherLength()}
	return w
}

// begin starts a call. Until end, the writer is broken: if the sink, the source
// or the context panics or ends the goroutine, a partial message must not be
// completed. Two concurrent calls are the caller's mistake, but must not number
// frames twice.
func (w *Writer) begin() error {
	if !w.busy.CompareAndSwap(false, true) {
		return errInterrupted
	}
	if w.err != nil {
		return w.end(w.err)
	}
	return nil
}

func (w *Writer) end(err error) error {
	w.err = err
	w.busy.Store(false)
	return err
}

// Fail breaks the writer, unless it's broken or complete, and clears the
// plaintext that it holds.
func (w *Writer) Fail(err error) {
	if w.begin() == nil {
		clear(w.in.held)
		w.end(err)
	}
}

// Plaintext returns the number of bytes written. It must not be called during
// another call.
func (w *Writer) Plaintext() int64 { return w.total() + int64(len(w.in.held)) }

// Write seals p, except for the last frame, which may turn out to be the final
// one, and for a rest that is too short for the workers.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	if err := w.end(w.write(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *Writer) write(p []byte) error {
	// The limit is checked before anything is kept, so that no more than the
	// limit is ever held, for frames of any length.
	if err := w.check(w.Plaintext() + int64(len(p))); err != nil {
		return err
	}
	for {
		if w.isLong(p) {
			p = w.in.completeFrame(p)
		} else {
			p = w.in.add(p)
		}
		if len(p) == 0 {
			return nil
		}
		// More follows, so the plaintext held goes into regular frames.
		if err := w.seal(w.in.held); err != nil {
			return err
		}
		w.in.empty()
		if w.isLong(p) {
			regular := w.regularLength(len(p))
			if err := w.seal(p[:regular]); err != nil {
				return err
			}
			p = p[regular:]
		}
	}
}

// isLong reports whether p is worth sealing in place, once the plaintext held
// is whole frames.
func (w *Writer) isLong(p []byte) bool {
	if w.Workers > 1 {
		return int64(len(p)) > 2*w.batchLength()
	}
	return int64(len(p)) > int64(w.FrameLength)
}

// seal seals regular frames. Many frames go through the pipeline. Few go to
// out, so that a short message is written at once.
func (w *Writer) seal(plaintext []byte) error {
	if workers := w.workersFor(int64(len(plaintext))); workers > 1 {
		return w.sealToSink(workers, func(b *batch) (err error) {
			plaintext, err = w.cut(b, plaintext)
			return err
		})
	}
	for len(plaintext) > 0 {
		part := plaintext[:min(int64(len(plaintext)), w.batchLength())]
		plaintext = plaintext[len(part):]
		size := int64(len(part)) + int64(len(part))/int64(w.FrameLength)*format.FrameOverhead
		w.out = slices.Grow(w.out, int(size))
		var err error
		if w.out, err = w.appendRegular(w.out, part); err != nil {
			return err
		}
		if len(w.out) >= defaultBatch {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sealToSink seals batches and writes them to dst.
func (w *Writer) sealToSink(workers int, fill func(*batch) error) error {
	return pipeline{
		stopped: w.stopped,
		fill:    fill,
		work: func(b *batch) {
			b.outBuf = slices.Grow(b.outBuf[:0], w.frames.sealedLength(&b.run))
			b.out = w.frames.seal(b.outBuf, &b.run)
		},
		digest:  w.Digest,
		digests: func(b *batch) []byte { return b.out },
		drain: func(b *batch) error {
			if err := w.flush(); err != nil {
				return err
			}
			_, err := WriteAll(w.dst, b.out)
			return err
		},
	}.run(&w.pool, workers)
}

// flush writes the frames sealed before.
func (w *Writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := WriteAll(w.dst, w.out)
	w.out = w.out[:0]
	return err
}

// ReadFrom encrypts everything in r. An error of r stays, like an error of
// Write: the plaintext is incomplete, and the message must not be completed.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	if src := InMemory(r); src != nil {
		n, err := src.WriteTo(plainSink{w}) // without a copy
		return n, w.end(err)
	}
	src := &plainSource{r: r, w: w}
	err := w.end(w.readFrom(src))
	return src.n, err
}

func (w *Writer) readFrom(src *plainSource) error {
	if int64(len(w.in.held)) > w.batchLength() {
		regular := w.regularLength(len(w.in.held))
		if err := w.seal(w.in.held[:regular]); err != nil {
			return err
		}
		w.in.drop(regular)
	}
	w.in.setLimit(w.batchLength() + readAhead)
	if err := w.sealToSink(w.Workers, src.fill); err != nil {
		return err
	}
	w.in.setLimit(w.gatherLength())
	return nil
}

// A plainSink writes to the Writer during a call.
type plainSink struct{ w *Writer }

func (s plainSink) Write(p []byte) (int, error) {
	if err := s.w.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A plainSource reads a writer's plaintext, batch by batch.
type plainSource struct {
	r   io.Reader
	w   *Writer
	n   int64 // bytes read
	err error // follows the bytes that were read
}

// fill gives the batch a batch of plaintext once more has arrived; otherwise
// its last frame may be the final one.
func (s *plainSource) fill(b *batch) error {
	in, length := &s.w.in, s.w.batchLength()
	if cap(b.plain) > cap(in.held) {
		// This memory was sealed just now, so it's in a cache.
		b.plain, in.held = in.held, append(b.plain[:0], in.held...)
	}
	for int64(len(in.held)) <= length {
		if err := s.read(); err != nil {
			return err
		}
	}
	b.plain, in.held = in.held, append(b.plain[:0], in.held[length:]...)
	return s.w.frames.number(&b.run, int(s.w.batchFrames()), b.plain[:length])
}

// read reads into the writer's buffer. It returns io.EOF only without a byte.
func (s *plainSource) read() error {
	if s.err != nil {
		return s.err
	}
	n, err := s.w.in.readFrom(s.r)
	s.n += int64(n)
	s.err = err
	if n == 0 {
		return err
	}
	if err != nil && err != io.EOF {
		return err
	}
	return s.w.check(s.w.Plaintext())
}

// Finish seals the final frame and writes the rest, followed by the result of
// footer. footer may be nil; it's called once the digest is complete. Nothing
// can be written afterwards.
func (w *Writer) Finish(footer func() ([]byte, error)) error {
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.finish(footer); err != nil {
		return w.end(err)
	}
	w.end(errComplete)
	return nil
}

func (w *Writer) finish(footer func() ([]byte, error)) error {
	if err := w.stopped(); err != nil {
		return err
	}
	regular := w.regularLength(len(w.in.held))
	if err := w.seal(w.in.held[:regular]); err != nil {
		return err
	}
	var err error
	if w.out, err = w.appendFinal(w.out, w.in.held[regular:]); err != nil {
		return err
	}
	clear(w.in.held)
	w.in.held = nil
	if footer != nil {
		tail, err := footer()
		if err != nil {
			return err
		}
		w.out = append(w.out, tail...)
	}
	return w.flush()
}
