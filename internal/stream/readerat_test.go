package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"esdk/internal/format"
)

// span is a part of a source.
type span struct{ start, end int64 }

// spanSource is a source that records which of its parts were read.
type spanSource struct {
	b []byte

	mu    sync.Mutex
	spans []span
}

func (s *spanSource) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, span{off, off + int64(len(p))})
	return bytes.NewReader(s.b).ReadAt(p, off)
}

// take returns the parts read since the last call, in order, and joins adjacent
// ones.
func (s *spanSource) take() []span {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.spans, func(a, b span) int { return int(a.start - b.start) })
	var joined []span
	for _, p := range s.spans {
		if n := len(joined); n > 0 && joined[n-1].end == p.start {
			joined[n-1].end = p.end
		} else {
			joined = append(joined, p)
		}
	}
	s.spans = nil
	return joined
}

// bodyStart is the offset of the body in the messages of these tests.
const bodyStart = 1000

// spanMessage is a message whose body has the given plaintext.
func spanMessage(t *testing.T, p Params, plaintext []byte) *spanSource {
	t.Helper()
	return &spanSource{b: append(pattern(bodyStart), seal(t, p, plaintext)...)}
}

func openAt(t *testing.T, src *spanSource, p Params) *ReaderAt {
	t.Helper()
	r, err := NewReaderAt(src, bodyStart, int64(len(src.b)), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each part of a plaintext is read from its own frames, and each frame at most
// once.
func TestReadAtAnyPart(t *testing.T) { eachVariant(t, testReadAtAnyPart) }

func testReadAtAnyPart(t *testing.T) {
	for _, frame := range []int{1, 10, 4096, 350_000} {
		for _, size := range []int{0, 1, frame - 1, frame, frame + 1, 3 * frame, 3*frame + 1, 40*min(frame, 10_000) + 7} {
			p := testParams(uint32(frame))
			plaintext := pattern(size)
			src := spanMessage(t, p, plaintext)
			r := openAt(t, src, p)
			if r.Size() != int64(size) {
				t.Fatalf("frames of %d: the size is %d, want %d", frame, r.Size(), size)
			}
			src.take()
			reads := 30
			if frame > 4096 {
				reads = 5
			}
			for range reads {
				off := rand.IntN(size + 2)
				n := rand.IntN(size + 2)
				if rand.IntN(2) == 0 {
					n = rand.IntN(min(size, 2*frame) + 2)
				}
				checkReadAt(t, src, r, plaintext, off, n)
			}
			checkReadAt(t, src, r, plaintext, 0, size)
			checkReadAt(t, src, r, plaintext, 0, size+1)
		}
	}
}

func checkReadAt(t *testing.T, src *spanSource, r *ReaderAt, plaintext []byte, off, n int) {
	t.Helper()
	what := fmt.Sprintf("frames of %d: %d bytes at %d of %d", r.FrameLength, n, off, len(plaintext))
	got := bytes.Repeat([]byte{0xEE}, n)
	m, err := r.ReadAt(got, int64(off))
	want := plaintext[min(off, len(plaintext)):min(off+n, len(plaintext))]
	if m != len(want) || !bytes.Equal(got[:m], want) {
		t.Errorf("%s: got %d", what, m)
	}
	// A part that ends with the plaintext is complete.
	if wantErr := off >= len(plaintext) || m < n; wantErr != (err == io.EOF) || !wantErr && err != nil {
		t.Errorf("%s: %v", what, err)
	}
	frame, size := int64(r.FrameLength), r.frameSize()
	last := r.start + r.last*size
	parts := src.take()
	for i, s := range parts {
		first, end := (s.start-r.start)/size, (s.end-r.start+size-1)/size
		if s.end == int64(len(src.b)) {
			end = r.last + 1
		}
		if (s.start-r.start)%size != 0 || s.end < last && (s.end-r.start)%size != 0 {
			t.Errorf("%s: read %v, which are not whole frames", what, s)
		}
		if len(want) == 0 && m == 0 && off >= len(plaintext) {
			t.Errorf("%s: read %v for nothing", what, s)
		} else if n > 0 && (first < min(int64(off)/frame, r.last) || end > min(int64(off+len(want)-1)/frame, r.last)+1) {
			t.Errorf("%s: read frames %d to %d", what, first, end-1)
		}
		if i > 0 && s.start < parts[i-1].end {
			t.Errorf("%s: read %v and %v", what, parts[i-1], s)
		}
	}
}

// The last frame read is cached, so that a sequential read doesn't open it
// again.
func TestReadAtKeepsFrames(t *testing.T) {
	useVariant(t, 1, 0)
	p := testParams(10)
	src := spanMessage(t, p, pattern(1005))
	r := openAt(t, src, p)
	frames := func(first, end int64) span {
		if end > r.last {
			return span{r.frameAt(first), int64(len(src.b))}
		}
		return span{r.frameAt(first), r.frameAt(end)}
	}
	if got, want := src.take(), []span{frames(100, 101)}; !slices.Equal(got, want) {
		t.Errorf("opening reads %v, want %v", got, want)
	}
	for _, step := range []struct {
		off, n int64
		want   []span
	}{
		{1000, 5, nil},                 // the final frame was authenticated
		{0, 1, []span{frames(0, 1)}},   // a byte takes its frame
		{0, 1, nil},                    // which is cached,
		{5, 5, nil},                    // all of it
		{5, 6, []span{frames(1, 2)}},   // and only the next one is read
		{0, 20, []span{frames(1, 2)}},  // the last of several frames isn't looked up
		{15, 20, []span{frames(2, 4)}}, // the first one is
		{30, 10, nil},                  // and the last one is cached
		{20, 10, []span{frames(2, 3)}}, // but none in between
		{50, 10, []span{frames(5, 6)}},
		{995, 6, []span{frames(99, 100)}}, // the final frame is still cached
		{1005, 1, nil},
	} {
		r.ReadAt(make([]byte, step.n), step.off)
		if got := src.take(); !slices.Equal(got, step.want) {
			t.Errorf("%d bytes at %d: read %v, want %v", step.n, step.off, got, step.want)
		}
	}
}

// At most 64 frames and at most 1 MiB are cached, but at least one frame. The
// least recently used one is dropped first.
func TestReadAtForgetsFrames(t *testing.T) {
	useVariant(t, 1, 0)
	for _, c := range []struct {
		frame uint32
		kept  int
	}{
		{10, 64}, {1 << 14, 64}, {1<<14 + 1, 63}, {1 << 15, 32}, {1 << 19, 2}, {1<<19 + 1, 1}, {1 << 20, 1}, {1<<20 + 1, 1},
	} {
		p := testParams(c.frame)
		r := &ReaderAt{Params: p}
		for i := range int64(100) {
			r.keep(i, []byte{byte(i)})
			// Frame 0 is used repeatedly.
			if got := r.cached(0); c.kept > 1 && !bytes.Equal(got, []byte{0}) {
				t.Fatalf("frames of %d: frame 0 is %v", c.frame, got)
			}
			if want := min(int(i+1), c.kept); len(r.cache) != want {
				t.Fatalf("frames of %d: %d are kept of %d, want %d", c.frame, len(r.cache), i+1, want)
			}
		}
		for i := range int64(100) {
			want := i >= 100-int64(c.kept)
			if c.kept > 1 {
				want = i == 0 || i > 100-int64(c.kept)
			}
			if got := r.cached(i); want != (got != nil) || want && got[0] != byte(i) {
				t.Errorf("frames of %d: frame %d is %v, want it kept: %v", c.frame, i, got, want)
			}
		}
	}
}

// Two concurrent reads of a frame cache it once, and cache a copy.
func TestReadAtKeepsOnce(t *testing.T) {
	r := &ReaderAt{Params: testParams(1 << 19)}
	plaintext := []byte("abc")
	r.keep(1, plaintext)
	clear(plaintext)
	r.keep(2, []byte("def"))
	r.keep(1, []byte("abc"))
	for i, want := range map[int64]string{0: "", 1: "abc", 2: "def"} {
		if got := r.cached(i); string(got) != want {
			t.Errorf("frame %d: %q, want %q", i, got, want)
		}
	}
}

// A cached frame is read without the machinery for several batches, even if it
// fills one.
func TestReadAtOfKeptFrame(t *testing.T) {
	useVariant(t, 2, 10)
	p := testParams(10)
	r := openAt(t, spanMessage(t, p, pattern(35)), p)
	buf := make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() { r.ReadAt(buf, 10) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func TestToBatchEnd(t *testing.T) {
	useVariant(t, 1, 30)
	for _, c := range []struct{ last, size, off, want int64 }{
		{7, 75, 0, 30}, {7, 75, 1, 29}, {7, 75, 29, 1}, {7, 75, 30, 30}, {7, 75, 59, 1}, {7, 75, 60, 10}, {7, 75, 69, 1},
		{7, 75, 70, 5}, {7, 75, 74, 1}, {7, 75, 75, 0}, {6, 70, 59, 1}, {6, 70, 60, 10}, {0, 7, 0, 7}, {0, 0, 0, 0},
	} {
		r := &ReaderAt{Params: Params{FrameLength: 10}, last: c.last, size: c.size}
		if got := r.toBatchEnd(c.off); got != c.want {
			t.Errorf("at %d of %d: %d, want %d", c.off, c.size, got, c.want)
		}
	}
}

func TestReadAtOutside(t *testing.T) {
	p := testParams(10)
	src := spanMessage(t, p, pattern(1000))
	r := openAt(t, src, p)
	for off := int64(0); off < 1000; off += 10 {
		r.ReadAt(make([]byte, 10), off) // so that the final frame isn't cached
	}
	src.take()
	for off, want := range map[int64]error{1000: io.EOF, 1001: io.EOF, math.MaxInt64: io.EOF} {
		for _, n := range []int{0, 1, 100} {
			if n, err := r.ReadAt(make([]byte, n), off); n != 0 || err != want {
				t.Errorf("at %d: %d, %v", off, n, err)
			}
		}
	}
	for _, off := range []int64{-1, math.MinInt64} {
		if n, err := r.ReadAt(make([]byte, 1), off); n != 0 || err == nil || err == io.EOF {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	if got := src.take(); got != nil {
		t.Errorf("read %v", got)
	}
}

// If a batch fails, all batches before it are read, and none of its own
// plaintext is left.
func TestReadAtErrors(t *testing.T) {
	errSource := errors.New("source is ill")
	errStopped := errors.New("stopped")
	const size = 10 + format.FrameOverhead
	plaintext := pattern(95)
	for _, workers := range []int{1, 2, 4} {
		useVariant(t, workers, 30)
		for bad := range int64(9) {
			at := bodyStart + bad*size
			// A frame in another's place has the wrong number.
			isFormat := func(err error) bool {
				e, ok := errors.AsType[*format.Error](err)
				return ok && e.Offset == at && e.Field == "sequence number"
			}
			for name, c := range map[string]struct {
				spoil func(frame []byte)
				fail  error
				is    func(error) bool
			}{
				"tag":       {func(f []byte) { f[len(f)-1] ^= 1 }, nil, func(err error) bool { return err == ErrAuthentication }},
				"text":      {func(f []byte) { f[20] ^= 1 }, nil, func(err error) bool { return err == ErrAuthentication }},
				"number":    {func(f []byte) { f[0] ^= 1 }, nil, isFormat},
				"the final": {func(f []byte) { binary.BigEndian.PutUint32(f, format.EndFrame) }, nil, isFormat},
				"source":    {func([]byte) {}, errSource, func(err error) bool { return errors.Is(err, errSource) }},
			} {
				p := testParams(10)
				src := spanMessage(t, p, plaintext)
				c.spoil(src.b[at:][:size])
				failing := readAtFunc(func(b []byte, off int64) (int, error) {
					if c.fail != nil && off <= at && off+int64(len(b)) > at {
						return 0, c.fail
					}
					return src.ReadAt(b, off)
				})
				r, err := NewReaderAt(failing, bodyStart, int64(len(src.b)), p)
				if err != nil {
					t.Fatal(err)
				}
				got := bytes.Repeat([]byte{0xEE}, 100)
				n, err := r.ReadAt(got, 0)
				want := int(bad / 3 * 30)
				if n != want || !c.is(err) || !bytes.Equal(got[:n], plaintext[:n]) {
					t.Errorf("%s of frame %d: %d bytes, %v; want %d", name, bad, n, err, want)
				}
				if i := slices.IndexFunc(got[n:95], func(b byte) bool { return b != 0 }); i >= 0 {
					t.Errorf("%s of frame %d: byte %d is left", name, bad, n+i)
				}
				got = bytes.Repeat([]byte{0xEE}, 10)
				if n, err := r.ReadAt(got, bad*10); n != 0 || !c.is(err) || !bytes.Equal(got, make([]byte, 10)) {
					t.Errorf("%s of frame %d: that alone: %d bytes %x, %v", name, bad, n, got, err)
				}
			}
		}
		p := testParams(10)
		src := spanMessage(t, p, plaintext)
		calls := 0
		var mu sync.Mutex
		p.Context = errFunc(func() error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls > 2 {
				return errStopped
			}
			return nil
		})
		r := openAt(t, src, p)
		src.take()
		if n, err := r.ReadAt(make([]byte, 95), 0); n > 60 || n%30 != 0 || err != errStopped {
			t.Errorf("%d workers, stopped: %d bytes, %v", workers, n, err)
		}
		if n, err := r.ReadAt(make([]byte, 5), 0); n != 0 || err != errStopped {
			t.Errorf("%d workers, stopped: %d bytes, %v", workers, n, err)
		}
	}
}

type readAtFunc func([]byte, int64) (int, error)

func (f readAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// The final frame is authenticated before any other is read.
func TestReadAtAuthenticatesEnd(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 11, 20, 35} {
		p := testParams(10)
		src := spanMessage(t, p, pattern(n))
		openAt(t, src, p)
		final := bodyStart + max(0, n-1)/10*(10+format.FrameOverhead)
		for i := final + 8; i < len(src.b); i++ {
			if i >= final+20 && i < final+24 {
				continue // these bytes are the length
			}
			src.b[i] ^= 1
			if _, err := NewReaderAt(src, bodyStart, int64(len(src.b)), p); err != ErrAuthentication {
				t.Errorf("%d bytes, byte %d of the final frame: %v", n, i-final, err)
			}
			src.b[i] ^= 1
		}
	}
}

// A final frame that is right only on the second look doesn't count as the end.
func TestReadAtOfChangedEnd(t *testing.T) {
	p := testParams(10)
	src := spanMessage(t, p, pattern(35))
	final := int64(len(src.b) - 5 - format.FinalOverhead)
	calls := 0
	_, err := NewReaderAt(readAtFunc(func(b []byte, off int64) (int, error) {
		n, err := src.ReadAt(b, off)
		if calls++; calls == 1 {
			b[0] ^= 1
		}
		return n, err
	}), bodyStart, int64(len(src.b)), p)
	if e, ok := errors.AsType[*format.Error](err); !ok || e.Field != "final frame" || e.Offset != final {
		t.Errorf("%v, want the final frame at %d", err, final)
	}
}

// farSource is a message of one-byte frames, which are empty except for their
// numbers, and of a final frame at an offset.
type farSource struct {
	final []byte
	at    int64
}

func (s farSource) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.at {
		return bytes.NewReader(s.final).ReadAt(p, off-s.at)
	}
	const size = 1 + format.FrameOverhead
	n := int(min(int64(len(p)), s.at-off))
	clear(p[:n])
	if off%size == 0 && n >= 4 {
		binary.BigEndian.PutUint32(p, uint32(off/size+1))
	}
	m, err := bytes.NewReader(s.final).ReadAt(p[n:], 0)
	return n + m, err
}

// The last number is 2^32-1. After it, 0 would come.
func TestReadAtFrameCount(t *testing.T) {
	for last, ok := range map[int64]bool{format.MaxFrames - 2: true, format.MaxFrames - 1: true, format.MaxFrames: false, format.MaxFrames + 1: false} {
		p := testParams(1)
		sequence := uint32(last + 1)
		final := format.AppendFinal(nil, sequence, 1)
		final = p.AEAD.Seal(final, final[8:8+format.IVLength], []byte("x"), format.NewBodyAAD(p.MessageID, format.Final).Frame(sequence, 1))
		src := farSource{final, last * (1 + format.FrameOverhead)}
		r, err := NewReaderAt(src, 0, src.at+int64(len(final)), p)
		// The mark of a final frame equals the last number, which no regular
		// frame has.
		e, isFormat := errors.AsType[*format.Error](err)
		if isFormat == ok || isFormat && e.Offset != (format.MaxFrames-1)*(1+format.FrameOverhead)+4 {
			t.Errorf("%d regular frames: %v", last, err)
		}
		if ok && (err != nil || r.Size() != last+1) {
			t.Errorf("%d regular frames: %v, or another size", last, err)
		}
	}
}

func TestReadAtMaxPlaintext(t *testing.T) {
	p := testParams(10)
	src := spanMessage(t, p, pattern(35))
	for limit, ok := range map[int64]bool{0: true, 1: false, 34: false, 35: true, 36: true} {
		q := p
		q.MaxPlaintext = limit
		src.take()
		_, err := NewReaderAt(src, bodyStart, int64(len(src.b)), q)
		if (err == nil) != ok || !ok && (!errors.Is(err, format.ErrLimit) || src.take() != nil) {
			t.Errorf("at most %d bytes: %v", limit, err)
		}
	}
	// The frames that a truncated body does have can exceed the limit.
	for limit, long := range map[int64]bool{0: false, 9: true, 39: true, 40: false} {
		q := testParams(10)
		body := seal(t, q, pattern(100))[:3*(10+format.FrameOverhead)+20]
		q.MaxPlaintext = limit
		_, err := NewReaderAt(bytes.NewReader(body), 0, int64(len(body)), q)
		if errors.Is(err, format.ErrLimit) != long || errors.Is(err, io.ErrUnexpectedEOF) == long {
			t.Errorf("cut off, at most %d bytes: %v", limit, err)
		}
	}
}

// A batch of frames of 128 or more bytes is read at once. The memory for a
// longer frame grows as its bytes arrive.
func TestReadAtOfSource(t *testing.T) {
	const once = defaultBatch / 128 * (128 + format.FrameOverhead)
	want := pattern(2_000_000)
	for _, length := range []int64{0, 1, once - 1, once, once + 1, 2*once + 1, 1_000_000} {
		var reads []span
		got, err := readAt(readAtFunc(func(p []byte, off int64) (int, error) {
			reads = append(reads, span{off, off + int64(len(p))})
			return bytes.NewReader(want).ReadAt(p, off)
		}), 77, length)
		if err != nil || !bytes.Equal(got, want[77:77+length]) {
			t.Errorf("%d bytes: %d, %v", length, len(got), err)
		}
		if int64(cap(got)) > length+length/2+512 {
			t.Errorf("%d bytes: memory for %d", length, cap(got))
		}
		end := int64(77)
		for _, s := range reads {
			if s.start != end || s.end-77 > max(once+once/8, 3*(s.start-77)) {
				t.Errorf("%d bytes: read %v", length, reads)
			}
			end = s.end
		}
		if length > 0 && reads[0].end-77 < min(length, once) {
			t.Errorf("%d bytes: read %v", length, reads)
		}
	}
	for _, length := range []int64{math.MaxInt - defaultBatch, math.MaxInt - defaultBatch + 1} {
		_, err := readAt(readAtFunc(func([]byte, int64) (int, error) { return 0, errNotThere }), 0, length)
		if long := length > math.MaxInt-defaultBatch; errors.Is(err, format.ErrLimit) != long || errors.Is(err, errNotThere) == long {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

// If a source returns fewer bytes, its message was truncated meanwhile.
func TestReadAtOfOddSources(t *testing.T) {
	errSource := errors.New("source is ill")
	for name, c := range map[string]struct {
		n    int
		err  error
		want error // nil: any but the others
		ok   bool
	}{
		"all":                 {100, nil, nil, true},
		"all, and the end":    {100, io.EOF, nil, true},
		"all, and an error":   {100, errSource, nil, true},
		"fewer":               {99, nil, io.ErrUnexpectedEOF, false},
		"fewer, and the end":  {99, io.EOF, io.ErrUnexpectedEOF, false},
		"fewer, and an error": {99, errSource, errSource, false},
		"nothing":             {0, nil, io.ErrUnexpectedEOF, false},
		"less than nothing":   {-1, nil, nil, false},
		"more than there is":  {101, nil, nil, false},
	} {
		got, err := readAt(readAtFunc(func(p []byte, _ int64) (int, error) {
			clear(p)
			return c.n, c.err
		}), 0, 100)
		if c.ok != (err == nil) || c.ok && len(got) != 100 || !c.ok && got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		for _, is := range []error{io.EOF, io.ErrUnexpectedEOF, errSource} {
			if errors.Is(err, is) != (c.want == is) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

// A source's own error doesn't become an error of the message.
func TestReadAtSourceErrors(t *testing.T) {
	errSource := errors.New("source is ill")
	p := testParams(10)
	body := seal(t, p, pattern(35))
	for _, length := range []int{len(body), len(body) - 1, len(body) - 5, len(body) + 1, len(body) + 20, len(body) + 40} {
		_, err := NewReaderAt(readAtFunc(func([]byte, int64) (int, error) { return 0, errSource }), 0, int64(length), p)
		if !errors.Is(err, errSource) || errors.As(err, new(*format.Error)) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

// A part needs memory only for its own frames, at any offset, allocated at
// once.
func TestReadAtTakesMemory(t *testing.T) {
	p := testParams(10)
	r := openAt(t, spanMessage(t, p, pattern(1005)), p)
	for index := range int64(90) {
		for n := int64(1); n <= 10; n++ {
			got, err := r.open(index, index+n)
			if err != nil || cap(got) != int(10*n) || !bytes.Equal(got, pattern(1005)[10*index:][:10*n]) {
				t.Errorf("%d frames at %d: %d bytes, room for %d, %v", n, index, len(got), cap(got), err)
			}
		}
	}
	allocations := func(frames int64) float64 {
		return testing.AllocsPerRun(100, func() { r.open(0, frames) })
	}
	if one, ten := allocations(1), allocations(10); one != ten {
		t.Errorf("%v allocations for a frame, %v for ten", one, ten)
	}
}
