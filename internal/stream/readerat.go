package stream

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sync"

	"esdk/internal/errtext"
	"esdk/internal/format"
)

const (
	// cachedBytes limits the plaintext that a ReaderAt caches, except for one
	// frame.
	cachedBytes = 1 << 20

	// cachedFrames limits the number of cached frames.
	cachedFrames = 64
)

// A ReaderAt decrypts any part of a framed body. It is safe for concurrent use
// if its source is.
type ReaderAt struct {
	Params // without the AEAD
	opener opener
	src    io.ReaderAt
	start  int64 // of the body in src
	end    int64 // of the body in src
	size   int64 // of the plaintext
	last   int64 // index of the final frame, which is also the number of regular ones

	mu    sync.Mutex
	cache []cachedFrame // most recently used last
}

type cachedFrame struct {
	index     int64
	plaintext []byte // not changed any more
}

// NewReaderAt returns a reader of the body in src between two offsets, without
// a footer after it. It checks the length of the body against its frames and
// authenticates the final one. After that, nothing can be missing or added.
func NewReaderAt(src io.ReaderAt, start, end int64, p Params) (*ReaderAt, error) {
	r := &ReaderAt{Params: p, src: src, start: start, end: end}
	r.ownMessageID(new(finalMemory))
	r.opener = newOpener(&r.Params)
	// All frames but the final one have the same size, so the length of the
	// body gives their number.
	rest := end - start - format.FinalOverhead
	if rest < 0 {
		return nil, r.wrongEnd()
	}
	r.last = rest / r.frameSize()
	final := rest % r.frameSize()
	if r.last >= format.MaxFrames || final > int64(p.FrameLength) {
		return nil, r.wrongEnd()
	}
	r.size = r.last*int64(p.FrameLength) + final
	if err := r.checkPlaintext(r.size); err != nil {
		return nil, err
	}
	plaintext, err := r.open(r.last, r.last+1)
	if err != nil {
		return nil, err
	}
	r.keep(r.last, plaintext)
	return r, nil
}

// wrongEnd returns a Reader's error for a body whose end doesn't fit its
// length. It finds the first frame that isn't a whole regular one, and a Reader
// goes on from there. None of it is authenticated, so the error is certain, but
// its offset isn't.
func (r *ReaderAt) wrongEnd() error {
	index, err := r.firstIrregular()
	if err != nil {
		return err
	}
	at := r.frameAt(index)
	rest := newReader(&Source{Params: r.Params, Offset: at})
	rest.opener = r.opener
	rest.src = io.NewSectionReader(r.src, at, r.end-at)
	rest.sequence, rest.total = uint32(index), index*int64(r.FrameLength)
	if rest.openNext(nil); rest.err != nil && rest.err != io.EOF {
		return rest.err
	}
	return &format.Error{Offset: at, Field: "final frame", Err: errors.New("not where the length of the message requires it")}
}

// firstIrregular returns the index of a frame that isn't a whole regular one
// with the right sequence number. It's the first one if all frames after it
// aren't either.
func (r *ReaderAt) firstIrregular() (int64, error) {
	first, end := int64(0), min((r.end-r.start)/r.frameSize(), format.MaxFrames-1)
	for first < end {
		middle := first + (end-first)/2
		found, err := readAt(r.src, r.frameAt(middle), 4)
		if err != nil {
			return 0, err
		}
		if int64(binary.BigEndian.Uint32(found)) == middle+1 {
			first = middle + 1
		} else {
			end = middle
		}
	}
	return first, nil
}

// Size returns the length of the plaintext in bytes.
func (r *ReaderAt) Size() int64 { return r.size }

// frameAt returns the offset of a frame in the source.
func (r *ReaderAt) frameAt(index int64) int64 { return r.start + index*r.frameSize() }

// ReadAt implements io.ReaderAt. It reads and opens only the frames that it
// needs, a batch at a time, with several workers if p is long.
func (r *ReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errtext.Errorf("negative offset")
	}
	if off >= r.size {
		return 0, io.EOF
	}
	if most := r.size - off; int64(len(p)) > most {
		p, err = p[:most], io.EOF
	}
	if int64(len(p)) <= r.toBatchEnd(off) {
		if partErr := r.readPart(p, off); partErr != nil {
			clear(p)
			return 0, partErr
		}
		return len(p), err
	}
	rest := p
	readErr := pipeline{
		stopped: func() error { return nil }, // readPart checks it
		fill: func(b *batch) error {
			b.out = rest[:min(int64(len(rest)), r.toBatchEnd(off))]
			if len(b.out) == 0 {
				return io.EOF
			}
			rest = rest[len(b.out):]
			b.offset = off
			off += int64(len(b.out))
			return nil
		},
		work: func(b *batch) { b.err = r.readPart(b.out, b.offset) },
		drain: func(b *batch) error {
			if b.err == nil {
				n += len(b.out)
			}
			return nil
		},
	}.run(new(pool), r.workersFor(int64(len(p))))
	if readErr != nil {
		clear(p[n:])
		return n, readErr
	}
	return n, err
}

// toBatchEnd returns the length of the plaintext from an offset to the end of
// its batch, or to the final frame, which is read alone.
func (r *ReaderAt) toBatchEnd(off int64) int64 {
	regular := r.last * int64(r.FrameLength)
	if off >= regular {
		return r.size - off
	}
	return min(r.batchLength()-off%r.batchLength(), regular-off)
}

// readPart fills p from frames of one batch.
func (r *ReaderAt) readPart(p []byte, off int64) error {
	if err := r.stopped(); err != nil {
		return err
	}
	frame := int64(r.FrameLength)
	index := min(off/frame, r.last)
	skip := off - index*frame
	if plaintext := r.cached(index); plaintext != nil {
		n := copy(p, plaintext[skip:])
		p, index, skip = p[n:], index+1, 0
	}
	if len(p) == 0 {
		return nil
	}
	end := index + max(1, (skip+int64(len(p))+frame-1)/frame)
	plaintext, err := r.open(index, end)
	if err != nil {
		return err
	}
	copy(p, plaintext[skip:])
	// The next read is likely to need the last frame.
	r.keep(end-1, plaintext[(end-1-index)*frame:])
	return nil
}

// open reads and opens frames; the final one only by itself.
func (r *ReaderAt) open(index, end int64) ([]byte, error) {
	if index == r.last {
		return r.openFinal()
	}
	size := r.frameSize()
	body, err := readAt(r.src, r.frameAt(index), (end-index)*size)
	if err != nil {
		return nil, err
	}
	b := &batch{
		sealed: r.sealedRun(uint32(index+1), int(end-index), body),
		out:    make([]byte, 0, (end-index)*int64(r.FrameLength)),
	}
	r.opener.open(b)
	if b.err == errIrregular {
		at := r.frameAt(index + int64(b.opened))
		return nil, &format.Error{Offset: at, Field: "sequence number", Err: errors.New("not the number of the expected frame")}
	}
	return b.out, b.err
}

func (r *ReaderAt) openFinal() ([]byte, error) {
	const fields = format.FinalOverhead - format.TagLength
	length := uint32(r.size - r.last*int64(r.FrameLength))
	frame, err := readAt(r.src, r.frameAt(r.last), format.FinalOverhead+int64(length))
	if err != nil {
		return nil, err
	}
	sequence := uint32(r.last + 1)
	if binary.BigEndian.Uint32(frame) != format.EndFrame ||
		binary.BigEndian.Uint32(frame[4:]) != sequence ||
		binary.BigEndian.Uint32(frame[fields-4:]) != length {
		return nil, r.wrongEnd()
	}
	aad := format.NewBodyAAD(r.MessageID, format.Final).Frame(sequence, uint64(length))
	return r.opener.openFrame(nil, frame[8:], frame[fields:], aad)
}

// readAt reads exactly length bytes. Its memory grows as they arrive: a frame
// may claim to be longer than the source.
func readAt(src io.ReaderAt, offset, length int64) ([]byte, error) {
	if length > math.MaxInt-defaultBatch {
		return nil, frameTooLong(length)
	}
	var buf []byte
	for int64(len(buf)) < length {
		n := len(buf)
		buf = slices.Grow(buf, int(min(length-int64(n), max(defaultBatch+1<<16, int64(n)))))
		part := buf[n:min(int64(cap(buf)), length)]
		m, err := src.ReadAt(part, offset+int64(n))
		if m < 0 || m > len(part) {
			return nil, errtext.Errorf("source returned an impossible count from ReadAt")
		}
		buf = buf[:n+m]
		if m < len(part) {
			if err == io.EOF || err == nil {
				err = io.ErrUnexpectedEOF // the source is shorter than its claimed size
			}
			return nil, errtext.Errorf("reading message: %w", format.NotEOF(err))
		}
	}
	return buf, nil
}

// cached returns the plaintext of a frame if it's in the cache.
func (r *ReaderAt) cached(index int64) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.cache, func(f cachedFrame) bool { return f.index == index })
	if i < 0 {
		return nil
	}
	f := r.cache[i]
	r.cache = append(slices.Delete(r.cache, i, i+1), f)
	return f.plaintext
}

// keep adds a frame to the cache, and makes room for it.
func (r *ReaderAt) keep(index int64, plaintext []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.cache, func(f cachedFrame) bool { return f.index == index }) {
		return
	}
	limit := max(1, min(cachedFrames, int(cachedBytes/int64(r.FrameLength))))
	if n := len(r.cache); n >= limit {
		r.cache = slices.Delete(r.cache, 0, n-limit+1)
	}
	r.cache = append(r.cache, cachedFrame{index, slices.Clone(plaintext)})
}
