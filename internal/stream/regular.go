package stream

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"esdk/internal/format"
)

// What a Reader does with runs of regular frames, batch by batch.

// openArrived opens the regular frames that follow in the window and have room
// behind plain, as far as they are good.
func (r *Reader) openArrived() {
	frames := min(r.framesIn(len(r.window)), int64(cap(r.plain)-len(r.plain))/int64(max(1, r.FrameLength)))
	if frames == 0 {
		return
	}
	size, frame := int(r.frameSize()), int(r.FrameLength)
	in, out := r.window[:int(frames)*size], r.plain[len(r.plain):]
	next, opened := r.sequence+1, 0
	r.begin(r.workersFor(frames*int64(frame)), func(b *batch) bool {
		n := r.cut(b, &in, &next)
		b.out, out = out[:0:n*frame], out[n*frame:cap(out)]
		return n > 0
	})
	r.pipe.drain = func(b *batch) error {
		opened += b.used
		return nil
	}
	r.err = r.runRegular()
	n := opened / size
	r.count(n)
	r.window = r.window[opened:]
	r.plain = r.plain[:len(r.plain)+n*frame]
}

// cut has the batch open the first frames of in, which it removes from there. It
// returns how many.
func (r *Reader) cut(b *batch, in *[]byte, next *uint32) int {
	size := int(r.frameSize())
	frames := min(int(r.batchLength()/int64(r.FrameLength)), len(*in)/size)
	b.in, *in = (*in)[:frames*size], (*in)[frames*size:]
	b.first = *next
	*next += uint32(frames)
	return frames
}

// framesIn returns how many regular frames there can be in so many bytes, and
// within the limits.
func (r *Reader) framesIn(n int) int64 {
	if r.FrameLength == 0 {
		return 0
	}
	// The last sequence number is left to the final frame.
	frames := min(int64(n)/r.frameSize(), format.MaxFrames-1-int64(r.sequence))
	if r.MaxPlaintext > 0 {
		frames = min(frames, (r.MaxPlaintext-r.total)/int64(r.FrameLength))
	}
	return max(0, frames)
}

// count counts regular frames that were opened.
func (r *Reader) count(frames int) {
	r.sequence += uint32(frames)
	r.total += int64(frames) * int64(r.FrameLength)
	r.offset += int64(frames) * r.frameSize()
}

// begin sets up the pipeline, but for what comes of the frames.
func (r *Reader) begin(workers int, fill func(*batch) bool) {
	r.pipe.workers = workers
	r.pipe.stopped = r.stopped
	r.pipe.fill = fill
	r.pipe.work = func(b *batch) { openFrames(&r.Params, b) }
	r.pipe.digest = r.Digest
	r.pipe.digests = func(b *batch) []byte { return b.in[:b.used] }
}

// runRegular runs the pipeline up to a frame that is not regular.
func (r *Reader) runRegular() error {
	err := r.pipe.run()
	if err == errIrregular {
		return nil
	}
	return err
}

// errIrregular says that a frame is not the regular one that was expected: it
// may be the final one, or wrong.
var errIrregular = errors.New("irregular frame")

// openFrames opens the frames of a batch and appends their plaintext to its out.
func openFrames(p *Params, b *batch) {
	if b.aad == nil {
		b.aad = format.NewBodyAAD(p.MessageID, format.Regular)
	}
	size := int(p.frameSize())
	for sequence := b.first; b.used < len(b.in); sequence++ {
		frame := b.in[b.used : b.used+size]
		if got := binary.BigEndian.Uint32(frame); got != sequence || got == format.EndFrame {
			b.err = errIrregular
			return
		}
		iv := frame[4 : 4+format.IVLength]
		out, err := p.AEAD.Open(b.out, iv, frame[4+format.IVLength:], b.aad.Frame(sequence, uint64(p.FrameLength)))
		if err != nil {
			b.err = ErrAuthentication
			return
		}
		b.out = out
		b.used += size
	}
}

// worthPumping reports whether frames come so fast that it is worth to read
// ahead. If a source is slow it must not be read before what it brought has been
// written: its next bytes may depend on that.
func (r *Reader) worthPumping() bool {
	return r.Workers > 1 && r.err == nil && r.src != nil && r.isFast() && r.FrameLength > 0 &&
		r.batchLength() > int64(r.FrameLength) && int64(len(r.window)) < r.frameSize()
}

// isFast reports whether the source had much when it was read last.
func (r *Reader) isFast() bool { return int64(r.lastRead) >= r.batchLength()/8 && r.srcErr == nil }

// pump writes plaintext to w for as long as the source is fast and has nothing
// but regular frames.
func (r *Reader) pump(w io.Writer) (n int64, err error) {
	more := true
	r.begin(r.Workers, func(b *batch) bool {
		if !more {
			return false
		}
		more = r.receiveBatch(b)
		return len(b.in) > 0
	})
	r.drainTo(w, &n)
	r.err = r.runRegular()
	// What is left is in the memory of a batch.
	r.buf = append(r.buf[:0], r.window...)
	r.window = r.buf
	r.buf = r.buf[:cap(r.buf)]
	return n, r.err
}

// drainTo has the pipeline write plaintext to w, and count it.
func (r *Reader) drainTo(w io.Writer, n *int64) {
	r.pipe.work = func(b *batch) {
		b.outBuf = slices.Grow(b.outBuf[:0], int(r.batchLength()))
		b.out = b.outBuf
		openFrames(&r.Params, b)
	}
	r.pipe.drain = func(b *batch) error {
		m, err := writeAll(w, b.out)
		*n += int64(m)
		return err
	}
}

// feed writes the plaintext of the regular frames to w if the source has them in
// memory, from where they need not be copied.
func (r *Reader) feed(w io.Writer) (n int64, err error) {
	src := InMemory(r.src)
	if src == nil || r.FrameLength == 0 || r.err != nil {
		return 0, nil
	}
	// The source keeps what is not taken, and calls that a short write.
	src.WriteTo(writerFunc(func(body []byte) int {
		frames := r.framesIn(len(body))
		in, next, used := body[:frames*r.frameSize()], r.sequence+1, 0
		r.begin(r.workersFor(frames*int64(r.FrameLength)), func(b *batch) bool { return r.cut(b, &in, &next) > 0 })
		r.drainTo(w, &n)
		drain := r.pipe.drain
		r.pipe.drain = func(b *batch) error {
			used += b.used
			return drain(b)
		}
		r.err = r.runRegular()
		r.count(used / int(r.frameSize()))
		return used
	}))
	return n, r.err
}

// A writerFunc takes some of what is written to it.
type writerFunc func([]byte) int

func (f writerFunc) Write(p []byte) (int, error) { return f(p), nil }

// receiveBatch reads what the source has into the batch, which gets the regular
// frames of it; the window keeps the rest. It reports whether to go on.
func (r *Reader) receiveBatch(b *batch) bool {
	size := int(r.frameSize())
	if b.inBuf == nil {
		b.inBuf = make([]byte, int(r.batchLength()/int64(r.FrameLength))*size)
	}
	have := copy(b.inBuf, r.window)
	m, err := r.read(b.inBuf[have:])
	buf := b.inBuf[:have+m]
	frames, regular := 0, int(r.framesIn(len(buf)))
	for frames < regular && binary.BigEndian.Uint32(buf[frames*size:]) == r.sequence+1+uint32(frames) {
		frames++
	}
	b.in, b.first = buf[:frames*size], r.sequence+1
	r.window = buf[frames*size:]
	r.count(frames)
	return err == nil && r.isFast() && len(r.window) < size
}
