package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"testing/iotest"

	"esdk/internal/format"
)

// The bound subtracts the overhead of all frames, and is exact for most bodies.
// It leaves room for regular frames without a final one, too.
func TestPlaintextBound(t *testing.T) {
	for _, c := range []struct {
		frame      uint32
		body, want int
	}{
		{0, 0, 0}, {0, 36, 0}, {0, 50, 14},
		{10, 0, 0}, {10, 41, 0}, {10, 42, 10}, {10, 83, 10}, {10, 84, 20}, {10, 134, 30},
		{1, 33, 1}, {1, 66, 2}, {1<<32 - 1, 100, 0},
	} {
		r := &Reader{Source: Source{Params: Params{FrameLength: c.frame}}, window: make([]byte, c.body)}
		if got := r.plaintextBound(); got != c.want {
			t.Errorf("frames of %d, %d bytes without a final frame: %d, want %d", c.frame, c.body, got, c.want)
		}
	}
	for size := range 100 {
		for _, footer := range []int{0, 1, 2, 41, 42, 43, 105, 1000} {
			body := append(seal(t, testParams(10), pattern(size)), make([]byte, footer)...)
			r := &Reader{Source: Source{Params: testParams(10)}, window: body}
			if got := r.plaintextBound(); got != size {
				t.Errorf("a plaintext of %d bytes, %d behind it: %d", size, footer, got)
			}
		}
	}
}

// A claimed length counts only up to a frame and to the bytes that are there.
func TestPlaintextBoundOfClaims(t *testing.T) {
	for _, c := range []struct{ frame, rest, claimed, want uint32 }{
		{100, 100, 100, 100}, {100, 100, 99, 99}, {100, 200, 101, 100}, {100, 99, 100, 99}, {100, 0, 1<<32 - 1, 0},
		{1, 0, 1, 0}, {1<<32 - 1, 7, 1<<32 - 1, 7},
	} {
		body := append(format.AppendFinal(nil, 1, c.claimed), make([]byte, c.rest+format.TagLength)...)
		r := &Reader{Source: Source{Params: Params{FrameLength: c.frame}}, window: body}
		if got := r.plaintextBound(); got != int(c.want) {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// Opened frames get as much memory as the buffer has, at least a frame's, and
// at most a long message's. Long frames are opened in place.
func TestMakeOut(t *testing.T) {
	const long = defaultBatch
	for _, c := range []struct {
		frame              uint32
		buffer, workers, n int
	}{
		{4096, 0, 1, 4096}, {4096, 4095, 1, 4096}, {4096, minBuffer, 1, minBuffer},
		{4096, long - 1, 1, long - 1}, {4096, 4 * long, 1, long}, {4096, 4 * long, 2, 4 * long}, {4096, 5 * long, 8, 4 * long},
		{long / 4, minBuffer, 1, long / 4}, {long/4 + 1, 4 * long, 8, 0}, {1<<32 - 1, 4 * long, 8, 0}, {0, 4 * long, 1, 0},
	} {
		r := &Reader{Source: Source{Params: Params{FrameLength: c.frame, Workers: c.workers}}, buf: make([]byte, c.buffer)}
		r.makeOut()
		if len(r.out) != 0 || cap(r.out) != c.n {
			t.Errorf("frames of %d, %d bytes, %d workers: room for %d, want %d", c.frame, c.buffer, c.workers, cap(r.out), c.n)
		}
		if c.n == 0 {
			continue
		}
		// Plaintext is cleared before other memory replaces it.
		before := r.out[:1]
		before[0] = 1
		if r.makeOut(); &r.out[:1][0] != &before[0] || before[0] != 1 {
			t.Errorf("frames of %d, %d bytes: memory that has room was replaced", c.frame, c.buffer)
		}
		r.out = r.out[:0:1]
		if r.makeOut(); cap(r.out) != c.n || before[0] != 0 {
			t.Errorf("frames of %d, %d bytes: then room for %d, and %d is left", c.frame, c.buffer, cap(r.out), before[0])
		}
	}
}

func TestWindowLength(t *testing.T) {
	for workers, want := range map[int]int{0: defaultBatch, 1: defaultBatch, 2: gathered * defaultBatch, 8: gathered * defaultBatch} {
		r := &Reader{Source: Source{Params: Params{Workers: workers}}}
		if got := r.windowLength(); got != want {
			t.Errorf("%d workers: %d, want %d", workers, got, want)
		}
	}
}

// A full buffer doubles, up to a little more than needed. If it isn't full,
// more has arrived than a short message holds: it grows faster, up to the
// length for long messages.
func TestMakeRoom(t *testing.T) {
	const long = defaultBatch
	for name, c := range map[string]struct {
		buffer, window int
		need           int64
		workers, want  int
	}{
		"a field":               {0, 0, 4, 1, 4 + minBuffer},
		"almost the first":      {0, 0, minBuffer - 1, 1, 2*minBuffer - 1},
		"the first":             {0, 0, minBuffer, 1, minBuffer},
		"more than the first":   {0, 0, minBuffer + 1, 1, minBuffer},
		"a claim":               {0, 0, 1 << 40, 1, minBuffer},
		"full":                  {minBuffer, minBuffer, 1 << 40, 1, 2 * minBuffer},
		"full, with few to go":  {minBuffer, minBuffer, minBuffer + 1, 1, 2*minBuffer + 1},
		"full, and large":       {long, long, 1 << 40, 1, 2 * long},
		"full, with all needed": {minBuffer, minBuffer, minBuffer, 1, 4 * minBuffer},
		"a frame is left":       {minBuffer, 10, 42, 1, 4 * minBuffer},
		"nothing is left":       {minBuffer, 0, 42, 1, 4 * minBuffer},
		"much is left":          {minBuffer, minBuffer - 1, 2 * minBuffer, 1, 4 * minBuffer},
		"near the length":       {long - 1, 10, 42, 1, long},
		"the length":            {long, 10, 42, 1, long},
		"of several workers":    {long, 10, 42, 2, 4 * long},
		"their length":          {4 * long, 10, 42, 2, 4 * long},
	} {
		buf := pattern(c.buffer)
		r := &Reader{Source: Source{Params: Params{Workers: c.workers}}, buf: buf, window: buf[c.buffer-c.window:]}
		want := bytes.Clone(r.window)
		r.makeRoom(c.need)
		if len(r.buf) != c.want || !bytes.Equal(r.window, want) {
			t.Errorf("%s: %d bytes, want %d", name, len(r.buf), c.want)
		}
		if cap(r.window) != cap(r.buf) {
			t.Errorf("%s: the window isn't at the start", name)
		}
		if c.buffer > 0 && (&r.buf[0] == &buf[0]) != (c.want == c.buffer) {
			t.Errorf("%s: the buffer was copied, or not", name)
		}
	}
}

// In a buffer for long messages, the window is aligned as in the message,
// unless the rest has no room for all that's needed.
func TestMakeRoomAligns(t *testing.T) {
	for _, c := range []struct {
		buffer, window int
		offset, need   int64
		want           int
	}{
		{defaultBatch, 1000, 301, 4000, 45}, {defaultBatch, 1000, 64, 4000, 0}, {defaultBatch, 0, 63, 4000, 63},
		{defaultBatch, 30, 301, defaultBatch - cacheLine, 45}, {defaultBatch, 30, 301, defaultBatch - cacheLine + 1, 0},
		{defaultBatch, 30, 301, 2 * defaultBatch, 0}, {defaultBatch - 1, 1000, 301, 4000, 0},
	} {
		buf := pattern(c.buffer)
		r := &Reader{buf: buf, window: buf[c.buffer-c.window:], offset: c.offset}
		want := bytes.Clone(r.window)
		r.makeRoom(c.need)
		if at := cap(r.buf) - cap(r.window); at != c.want || !bytes.Equal(r.window, want) {
			t.Errorf("%+v: the window is at %d", c, at)
		}
	}
}

// A buffer grows faster while it's short, and never beyond its limit.
func TestBufferGrowth(t *testing.T) {
	const long = defaultBatch
	for _, c := range []struct{ held, room, limit, want int }{
		{0, 0, 1 << 30, minBuffer}, {0, 0, minBuffer - 1, minBuffer - 1}, {1, 1, 1 << 30, minBuffer},
		{minBuffer, minBuffer, 1 << 30, 4 * minBuffer}, {minBuffer, minBuffer, 10_000, 10_000},
		{long - 1, long - 1, 1 << 30, 4*long - 4}, {long, long, 1 << 30, 2*long + readAhead}, {long + 1, long + 1, 1 << 30, 2*long + 2 + readAhead},
		{readAhead, readAhead, 1 << 30, minBuffer}, {minBuffer - 1, minBuffer, 1 << 30, minBuffer}, {100, 100, 100, 100}, {100, 200, 100, 200},
	} {
		held := make([]byte, c.held, c.room)
		copy(held, pattern(c.held))
		b := buffer{held: held, frame: int64(c.limit), limit: int64(c.limit)}
		if err := b.grow(); err != nil || cap(b.held) != c.want || !bytes.Equal(b.held, pattern(c.held)) {
			t.Errorf("%d of %d, up to %d: room for %d, %v; want %d", c.held, c.room, c.limit, cap(b.held), err, c.want)
		}
	}
}

// The last number is reserved for the final frame, and the limit counts
// plaintext that was released before.
func TestFramesIn(t *testing.T) {
	for _, c := range []struct {
		n          int
		sequence   uint32
		max, total int64
		want       int64
	}{
		{0, 0, 0, 0, 0}, {41, 0, 0, 0, 0}, {42, 0, 0, 0, 1}, {83, 0, 0, 0, 1}, {84, 0, 0, 0, 2}, {4200, 7, 0, 0, 100}, {4200, 7, 0, 70, 100},
		{84, format.MaxFrames - 3, 0, 0, 2}, {84, format.MaxFrames - 2, 0, 0, 1}, {84, format.MaxFrames - 1, 0, 0, 0}, {84, format.MaxFrames, 0, 0, 0},
		{4200, 0, 1, 0, 0}, {4200, 0, 9, 0, 0}, {4200, 0, 10, 0, 1}, {4200, 0, 29, 0, 2}, {4200, 0, 29, 10, 1}, {4200, 0, 29, 20, 0}, {4200, 0, 29, 50, 0},
	} {
		r := &Reader{Source: Source{Params: Params{FrameLength: 10, MaxPlaintext: c.max}}, sequence: c.sequence, total: c.total}
		if got := r.framesIn(c.n); got != c.want {
			t.Errorf("%d bytes behind frame %d, %d of %d bytes before: %d, want %d", c.n, c.sequence, c.total, c.max, got, c.want)
		}
	}
	if got := new(Reader).framesIn(1000); got != 0 {
		t.Errorf("%d frames in a body without", got)
	}
}

func TestSealedRunRefuses(t *testing.T) {
	for _, c := range []struct {
		first         uint32
		count, length int
		ok            bool
	}{
		{1, 2, 84, true}, {1, 2, 83, false}, {1, 2, 85, false}, {1, 3, 84, false}, {1, 1, 84, false},
		{format.MaxFrames - 2, 2, 84, true}, {format.MaxFrames - 1, 1, 42, true}, {format.MaxFrames - 1, 2, 84, false}, {format.MaxFrames, 1, 42, false},
	} {
		p := Params{FrameLength: 10}
		how := outcome(func() error { p.sealedRun(c.first, c.count, make([]byte, c.length)); return nil })
		if (how == "success") != c.ok {
			t.Errorf("%d bytes as %d frames from %d on: %s", c.length, c.count, c.first, how)
		}
	}
}

// A frame that memory can't hold is rejected before its bytes are read.
func TestNeedRefusesLongFrames(t *testing.T) {
	for n, long := range map[int64]bool{100: false, math.MaxInt - defaultBatch: false, math.MaxInt - defaultBatch + 1: true, math.MaxInt: true} {
		err := newReader(&Source{Params: testParams(10)}).need(0, n, "frame")
		if errors.Is(err, format.ErrLimit) != long || errors.Is(err, io.ErrUnexpectedEOF) == long {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// A frame is never opened behind others into memory that is too short for it,
// since the others would move.
func TestOpenRefusesShortMemory(t *testing.T) {
	for _, c := range []struct {
		held, room int
		stream, ok bool
	}{
		{0, 10, true, true}, {10, 20, true, true}, {0, 0, true, true}, {0, 9, true, true}, {1, 10, true, false},
		{6, 10, true, false}, {0, 10, false, true}, {0, 9, false, false}, {6, 10, false, false},
	} {
		p := testParams(10)
		body := seal(t, p, pattern(20))
		r := newReader(&Source{Params: p})
		if c.stream {
			r.src = bytes.NewReader(nil)
		}
		r.sequence = 1
		dst := make([]byte, c.held, c.room)
		var got []byte
		how := outcome(func() (err error) {
			got, err = r.open(dst, body[4:], body[4+format.IVLength:42], format.NewBodyAAD(p.MessageID, format.Regular))
			return err
		})
		if c.ok != (how == "success") || !c.ok && how != "panic" || c.ok && !bytes.Equal(got[max(0, len(got)-10):], pattern(10)) {
			t.Errorf("%d of %d bytes are held: %s, %x", c.held, c.room, how, got)
		}
	}
}

// A source is fast if it returns an eighth of a batch at once.
func TestIsFast(t *testing.T) {
	useVariant(t, 2, 1000)
	for _, c := range []struct {
		read int
		err  error
		want bool
	}{{124, nil, false}, {125, nil, true}, {126, nil, true}, {1000, io.EOF, false}} {
		r := &Reader{Source: Source{Params: Params{FrameLength: 10}}, lastRead: c.read, srcErr: c.err}
		if got := r.isFast(); got != c.want {
			t.Errorf("%d bytes, %v: %v", c.read, c.err, got)
		}
	}
}

// Reading ahead needs several workers, batches of several frames, and a fast
// source whose earlier frames are all opened.
func TestWorthPumping(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Reader)
		want   bool
	}{
		"":                     {func(*Reader) {}, true},
		"one worker":           {func(r *Reader) { r.Workers = 1 }, false},
		"the end":              {func(r *Reader) { r.err = io.EOF }, false},
		"no source":            {func(r *Reader) { r.src = nil }, false},
		"a slow source":        {func(r *Reader) { r.lastRead = 124 }, false},
		"a source that ended":  {func(r *Reader) { r.srcErr = io.EOF }, false},
		"two frames a batch":   {func(r *Reader) { r.FrameLength = 500; r.lastRead = 600 }, true},
		"one frame a batch":    {func(r *Reader) { r.FrameLength = 501; r.lastRead = 600 }, false},
		"a frame that is left": {func(r *Reader) { r.window = make([]byte, 42) }, false},
		"a part of a frame":    {func(r *Reader) { r.window = make([]byte, 41) }, true},
	} {
		useVariant(t, 2, 1000)
		r := NewReader(bytes.NewReader(nil), Source{Params: testParams(10)})
		r.lastRead = 125
		if c.change(r); r.worthPumping() != c.want {
			t.Errorf("%s: not %v", name, c.want)
		}
	}
}

// A batch gets the regular frames of one read. Reading continues while the
// source is fast and returns only regular frames.
func TestReceiveBatch(t *testing.T) {
	useVariant(t, 2, 250)
	const size = 10 + format.FrameOverhead
	long := seal(t, testParams(10), pattern(1005))
	short := seal(t, testParams(10), pattern(32)) // its final frame is as long as a regular one
	wrong := bytes.Clone(long)
	binary.BigEndian.PutUint32(wrong[3*size:], 77)
	for name, c := range map[string]struct {
		body   []byte
		source func([]byte) io.Reader
		window int // bytes from earlier reads
		frames int
		left   int
		more   bool
	}{
		"a batch":              {long, nil, 0, 25, 0, true},
		"behind some bytes":    {long, nil, 17, 25, 0, true},
		"fewer":                {long, pieces(10 * size), 0, 10, 0, true},
		"parts of frames":      {long, pieces(10*size + 41), 0, 10, 41, true},
		"just fast":            {long, pieces(31), 0, 0, 31, true},
		"too slow":             {long, pieces(30), 0, 0, 30, false},
		"slow, but whole":      {long, pieces(30), 20, 1, 8, false},
		"with the end":         {long[:10*size], ended, 0, 10, 0, false},
		"with the final frame": {short, nil, 0, 3, size, false},
		"a wrong number":       {wrong, pieces(10 * size), 0, 3, 7 * size, false},
	} {
		source := c.source
		if source == nil {
			source = pieces(1 << 30)
		}
		r := NewReader(source(c.body[c.window:]), Source{Params: testParams(10), Offset: 1000})
		r.window = bytes.Clone(c.body[:c.window])
		var b batch
		more := r.receiveBatch(&b)
		if more != c.more || b.sealed.count != c.frames || len(r.window) != c.left {
			t.Errorf("%s: %d frames, %d bytes are left, more: %v; want %d, %d, %v", name, b.sealed.count, len(r.window), more, c.frames, c.left, c.more)
		}
		if !bytes.Equal(b.sealed.frames, c.body[:c.frames*size]) || b.sealed.first != 1 {
			t.Errorf("%s: other frames", name)
		}
		if !bytes.Equal(r.window, c.body[c.frames*size:][:c.left]) {
			t.Errorf("%s: other bytes are left", name)
		}
		if r.sequence != uint32(c.frames) || r.total != int64(10*c.frames) || r.offset != 1000+int64(size*c.frames) {
			t.Errorf("%s: frame %d, %d bytes, at %d", name, r.sequence, r.total, r.offset)
		}
	}
}

// ended is a source that returns io.EOF with its last bytes.
func ended(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) }

// pieces is a source that returns at most n bytes at once.
func pieces(n int) func([]byte) io.Reader {
	return func(b []byte) io.Reader { return &chunks{bytes.NewReader(b), n} }
}
