package stream

import (
	"encoding/binary"
	"io"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

// This file has the part of Reader that opens runs of regular frames in
// batches.

// openArrived opens the regular frames that follow in the window and fit after
// plain, up to the first bad one.
func (r *Reader) openArrived() {
	frames := min(r.framesIn(len(r.window)), int64(cap(r.plain)-len(r.plain))/int64(max(1, r.FrameLength)))
	if frames == 0 {
		return
	}
	frame := int(r.FrameLength)
	rest, out := r.cutter(frames, r.window), r.plain[len(r.plain):]
	opened := 0
	r.err = regular(pipeline{
		stopped: r.stopped,
		fill: func(b *batch) error {
			if !rest.cut(b) {
				return io.EOF
			}
			n := b.sealed.count * frame
			b.out, out = out[:0:n], out[n:cap(out)]
			return nil
		},
		work:    r.opener.open,
		digest:  r.Digest,
		digests: r.hashed,
		drain: func(b *batch) error {
			opened += b.opened
			return nil
		},
	}.run(&r.pool, r.workersFor(frames*int64(frame))))
	r.window = r.window[opened*int(r.frameSize()):]
	r.plain = r.plain[:len(r.plain)+opened*frame]
	r.count(opened)
}

// A cutter hands out regular frames in memory, batch by batch.
type cutter struct {
	params *Params
	next   uint32 // number of the first remaining frame
	left   int64  // frames
	in     []byte
}

// cutter returns a cutter for the next frames of the body, which are in in.
func (r *Reader) cutter(frames int64, in []byte) *cutter {
	return &cutter{&r.Params, r.sequence + 1, frames, in}
}

// cut assigns the next frames to the batch. It reports whether there are any.
func (c *cutter) cut(b *batch) bool {
	frames := min(c.params.batchFrames(), c.left)
	if frames == 0 {
		return false
	}
	n := frames * c.params.frameSize()
	b.sealed = c.params.sealedRun(c.next, int(frames), c.in[:n])
	c.next, c.left, c.in = c.next+uint32(frames), c.left-frames, c.in[n:]
	return true
}

// framesIn returns the maximum number of regular frames in n bytes, within the
// limits.
func (r *Reader) framesIn(n int) int64 {
	if r.FrameLength == 0 {
		return 0
	}
	// The last sequence number is reserved for the final frame.
	frames := min(int64(n)/r.frameSize(), format.MaxFrames-1-int64(r.sequence))
	if r.MaxPlaintext > 0 {
		frames = min(frames, (r.MaxPlaintext-r.total)/int64(r.FrameLength))
	}
	return max(0, frames)
}

// count counts opened regular frames.
func (r *Reader) count(frames int) {
	r.sequence += uint32(frames)
	r.total += int64(frames) * int64(r.FrameLength)
	r.offset += int64(frames) * r.frameSize()
}

// hashed returns the part of a batch that the digest covers: no frame after a
// wrong one.
func (r *Reader) hashed(b *batch) []byte {
	return b.sealed.frames[:b.opened*int(r.frameSize())]
}

// openApart opens a batch into its own memory.
func (r *Reader) openApart(b *batch) {
	b.outBuf = slices.Grow(b.outBuf[:0], int(r.batchLength()))
	b.out = b.outBuf
	r.opener.open(b)
}

// regular filters the error of a pipeline that ends at an irregular frame.
func regular(err error) error {
	if err == errIrregular {
		return nil
	}
	return err
}

// worthPumping reports whether frames arrive so fast that reading ahead is
// worthwhile. A slow source must not be read again until its bytes have been
// written: its next bytes may depend on that.
func (r *Reader) worthPumping() bool {
	return r.Workers > 1 && r.err == nil && r.src != nil && r.isFast() && r.FrameLength > 0 &&
		r.batchLength() > int64(r.FrameLength) && int64(len(r.window)) < r.frameSize()
}

// isFast reports whether the last read of the source returned many bytes.
func (r *Reader) isFast() bool { return int64(r.lastRead) >= r.batchLength()/8 && r.srcErr == nil }

// pump writes plaintext to w for as long as the source is fast and has only
// regular frames.
func (r *Reader) pump(w io.Writer) (n int64, err error) {
	more := true
	r.err = pipeline{
		stopped: r.stopped,
		fill: func(b *batch) error {
			if !more {
				return io.EOF
			}
			if more = r.receiveBatch(b); b.sealed.count == 0 {
				return io.EOF
			}
			return nil
		},
		work:    r.openApart,
		digest:  r.Digest,
		digests: r.hashed,
		drain: func(b *batch) error {
			m, err := WriteAll(w, b.out)
			n += int64(m)
			return err
		},
	}.run(&r.pool, r.Workers)
	if r.err == errIrregular {
		// The frame was regular when it arrived, and is already counted.
		r.err = errtext.Errorf("the source changed what it had brought")
	}
	// The remaining bytes are in the memory of a batch.
	r.buf = append(r.buf[:0], r.window...)
	r.window = r.buf
	r.buf = r.buf[:cap(r.buf)]
	return n, r.err
}

// feed writes the plaintext of the regular frames to w if the source has them
// in memory, without copying them.
func (r *Reader) feed(w io.Writer) (n int64, err error) {
	src := InMemory(r.src)
	if src == nil || r.FrameLength == 0 || r.err != nil {
		return 0, nil
	}
	// The source keeps the bytes that aren't taken, and reports a short write.
	src.WriteTo(writerFunc(func(body []byte) int {
		frames := r.framesIn(len(body))
		if frames == 0 {
			return 0
		}
		rest, opened := r.cutter(frames, body), 0
		r.err = regular(pipeline{
			stopped: r.stopped,
			fill: func(b *batch) error {
				if !rest.cut(b) {
					return io.EOF
				}
				return nil
			},
			work:    r.openApart,
			digest:  r.Digest,
			digests: r.hashed,
			drain: func(b *batch) error {
				opened += b.opened
				m, err := WriteAll(w, b.out)
				n += int64(m)
				return err
			},
		}.run(&r.pool, r.workersFor(frames*int64(r.FrameLength))))
		r.count(opened)
		return int(int64(opened) * r.frameSize())
	}))
	return n, r.err
}

// A writerFunc takes a part of each write.
type writerFunc func([]byte) int

func (f writerFunc) Write(p []byte) (int, error) { return f(p), nil }

// receiveBatch reads from the source into the batch. The batch gets the regular
// frames, and the window keeps the rest. It reports whether to go on.
func (r *Reader) receiveBatch(b *batch) bool {
	size := int(r.frameSize())
	if b.inBuf == nil {
		b.inBuf = make([]byte, int(r.batchFrames())*size+cacheLine)
	}
	buf := b.inBuf[r.aligned():][:int(r.batchFrames())*size]
	have := copy(buf, r.window)
	m, err := r.read(buf[have:])
	buf = buf[:have+m]
	frames, most := 0, int(r.framesIn(len(buf)))
	for frames < most && binary.BigEndian.Uint32(buf[frames*size:]) == r.sequence+1+uint32(frames) {
		frames++
	}
	b.sealed = r.sealedRun(r.sequence+1, frames, buf[:frames*size])
	r.window = buf[frames*size:]
	r.count(frames)
	return err == nil && r.isFast() && len(r.window) < size
}
