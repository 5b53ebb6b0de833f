package stream

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"

	"esdk/internal/format"
)

// sizesSink records the length of each write.
type sizesSink struct {
	bytes.Buffer
	sizes []int
}

func (s *sizesSink) Write(p []byte) (int, error) {
	s.sizes = append(s.sizes, len(p))
	return s.Buffer.Write(p)
}

// One worker seals in place everything but the frame that may be the final one.
// Two or more workers need more than two batches for that.
func TestIsLong(t *testing.T) {
	for _, c := range []struct {
		workers, n int
		want       bool
	}{{0, 10, false}, {0, 11, true}, {1, 10, false}, {1, 11, true}, {2, 11, false}, {2, 200, false}, {2, 201, true}, {8, 200, false}, {8, 201, true}} {
		useVariant(t, c.workers, 100)
		w := newWriter(io.Discard, nil, testParams(10))
		if got := w.isLong(pattern(c.n)); got != c.want {
			t.Errorf("%d bytes, %d workers: %v", c.n, c.workers, got)
		}
	}
}

// A message that is too short for several workers is written at once, with its
// head and footer. Batches of a longer message are written as they are sealed.
func TestShortMessageIsOneWrite(t *testing.T) {
	useVariant(t, 8, 1000)
	for size, short := range map[int]bool{0: true, 10: true, 1010: true, 2000: true, 2001: false, 2011: false, 3511: false} {
		var sink sizesSink
		w := newWriter(&sink, []byte("head"), testParams(10))
		w.Write(pattern(size))
		if err := w.Finish(func() ([]byte, error) { return []byte("footer"), nil }); err != nil {
			t.Fatal(err)
		}
		want := []int{sink.Len()}
		if !short {
			regular := (size - 1) / 10 * 10
			want = []int{4}
			for n := regular; n > 0; n -= 1000 {
				want = append(want, min(n, 1000)/10*(10+format.FrameOverhead))
			}
			want = append(want, size-regular+format.FinalOverhead+6)
		}
		if !slices.Equal(sink.sizes, want) {
			t.Errorf("%d bytes came in writes of %v, want %v", size, sink.sizes, want)
		}
	}
}

// One worker writes once it has a batch.
func TestWritesAreGathered(t *testing.T) {
	const frames, size = 100, 1024 + format.FrameOverhead
	useVariant(t, 1, 0)
	for missing, want := range map[int]int{-1: 1, 0: 1, 1: 0} {
		var sink sizesSink
		w := newWriter(&sink, make([]byte, defaultBatch-frames*size-missing), testParams(1024))
		if _, err := w.Write(pattern(frames*1024 + 1)); err != nil {
			t.Fatal(err)
		}
		if len(sink.sizes) != want {
			t.Errorf("%d bytes less than a batch: writes of %v", missing, sink.sizes)
		}
		if err := w.Finish(nil); err != nil || len(sink.sizes) != want+1 {
			t.Errorf("%d bytes less than a batch: writes of %v, %v", missing, sink.sizes, err)
		}
	}
}

// ReadFrom continues wherever Write stopped, and Write continues after it.
func TestReadFromBehindWrites(t *testing.T) { eachVariant(t, testReadFromBehindWrites) }

func testReadFromBehindWrites(t *testing.T) {
	plaintext := pattern(2000)
	want := seal(t, testParams(10), plaintext)
	for before := 0; before < 450; before++ {
		if before%25 > 1 && before%10 > 1 {
			continue
		}
		var out bytes.Buffer
		w := newWriter(&out, nil, testParams(10))
		for part := range slices.Chunk(plaintext[:before], 7) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		n, err := w.ReadFrom(slow{bytes.NewReader(plaintext[before:1900])})
		if n != int64(1900-before) || err != nil {
			t.Fatalf("behind %d bytes: %d, %v", before, n, err)
		}
		for part := range slices.Chunk(plaintext[1900:], 7) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(nil); err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("behind %d bytes: %d bytes, %v; want %d", before, out.Len(), err, len(want))
		}
	}
}

// Reads of a long plaintext by one worker go into the same memory, at the
// plaintext's own alignment to cache lines.
func TestReadFromMemory(t *testing.T) {
	useVariant(t, 1, 0)
	for _, frame := range []uint32{1024, 4096, 1 << 20} {
		src := bytes.NewReader(pattern(5 << 20))
		n, ends := 0, make(map[uintptr]bool)
		w := newWriter(io.Discard, nil, testParams(frame))
		_, err := w.ReadFrom(readFunc(func(p []byte) (int, error) {
			start := reflect.ValueOf(p).Pointer()
			if n >= 2<<20 && src.Len() > 0 {
				ends[start+uintptr(cap(p))] = true
				if len(p) < defaultBatch || start%64 != uintptr(n)%64 {
					t.Errorf("frames of %d: a read of %d bytes to %x, behind %d", frame, len(p), start, n)
				}
			}
			m, err := src.Read(p)
			n += m
			return m, err
		}))
		if err != nil || len(ends) != 1 {
			t.Errorf("frames of %d: %d buffers, %v", frame, len(ends), err)
		}
	}
}

// The last frame is held back until more follows, also at the end of a batch.
func TestReadFromLengths(t *testing.T) { eachVariant(t, testReadFromLengths) }

func testReadFromLengths(t *testing.T) {
	for size := range 310 {
		want := seal(t, testParams(10), pattern(size))
		for name, source := range plainSources {
			var out bytes.Buffer
			w := newWriter(&out, nil, testParams(10))
			if n, err := w.ReadFrom(source(pattern(size))); n != int64(size) || err != nil {
				t.Fatalf("%s, %d bytes: %d, %v", name, size, n, err)
			}
			if err := w.Finish(nil); err != nil || !bytes.Equal(out.Bytes(), want) {
				t.Errorf("%s, %d bytes: %d bytes, %v; want %d", name, size, out.Len(), err, len(want))
			}
		}
	}
}

// plainSources are kinds of sources for a plaintext.
var plainSources = map[string]func([]byte) io.Reader{
	"in memory":    func(b []byte) io.Reader { return bytes.NewReader(b) },
	"at once":      func(b []byte) io.Reader { return slow{bytes.NewReader(b)} },
	"in pieces":    pieces(7),
	"with its end": ended,
	"in pieces, with its end": func(b []byte) io.Reader {
		return iotest.DataErrReader(&chunks{bytes.NewReader(b), 7})
	},
}

// A plaintext over the limit is rejected as soon as that's known, and no byte
// beyond the limit is sealed.
func TestReadFromMaxPlaintext(t *testing.T) { eachVariant(t, testReadFromMaxPlaintext) }

func testReadFromMaxPlaintext(t *testing.T) {
	const limit = 90
	for _, before := range []int{0, 1, 10, 55, 90} {
		for size := before; size < 130; size++ {
			for name, source := range plainSources {
				p := testParams(10)
				p.MaxPlaintext = limit
				var out bytes.Buffer
				w := newWriter(&out, nil, p)
				if _, err := w.Write(pattern(before)); err != nil {
					t.Fatal(err)
				}
				_, err := w.ReadFrom(source(pattern(size)[before:]))
				if ok := size <= limit; ok != (err == nil) || !ok && !errors.Is(err, format.ErrLimit) {
					t.Fatalf("%s, %d bytes behind %d: %v", name, size-before, before, err)
				}
				if finish := w.Finish(nil); finish != err {
					t.Errorf("%s, %d bytes behind %d: Finish: %v", name, size-before, before, finish)
				}
				if sealed := out.Len() / (10 + format.FrameOverhead) * 10; sealed > limit {
					t.Errorf("%s, %d bytes behind %d: %d were sealed", name, size-before, before, sealed)
				}
			}
		}
	}
}

// An error of a source is returned, together with the count of all bytes read,
// and stays.
func TestReadFromErrors(t *testing.T) { eachVariant(t, testReadFromErrors) }

func testReadFromErrors(t *testing.T) {
	errSource := errors.New("source is ill")
	body := seal(t, testParams(10), pattern(100))
	for n := range 100 {
		for name, end := range map[string]io.Reader{
			"alone": iotest.ErrReader(errSource), "with data": iotest.DataErrReader(iotest.ErrReader(errSource)),
		} {
			src := io.MultiReader(bytes.NewReader(pattern(n)), end)
			if name == "with data" {
				src = iotest.DataErrReader(src)
			}
			var out bytes.Buffer
			w := newWriter(&out, nil, testParams(10))
			if got, err := w.ReadFrom(src); got != int64(n) || err != errSource {
				t.Errorf("%s, %d bytes: %d, %v", name, n, got, err)
			}
			for range 2 {
				if got, err := w.ReadFrom(bytes.NewReader(pattern(5))); got != 0 || err != errSource {
					t.Errorf("%s, %d bytes: then ReadFrom: %d, %v", name, n, got, err)
				}
				if got, err := w.Write(pattern(5)); got != 0 || err != errSource {
					t.Errorf("%s, %d bytes: then Write: %d, %v", name, n, got, err)
				}
				if err := w.Finish(nil); err != errSource {
					t.Errorf("%s, %d bytes: then Finish: %v", name, n, err)
				}
			}
			if !bytes.HasPrefix(body, out.Bytes()) || out.Len() > n/10*(10+format.FrameOverhead) {
				t.Errorf("%s, %d bytes: %d were written", name, n, out.Len())
			}
		}
	}
}

// A sink that takes nothing ends the message, no matter which call writes
// first.
func TestSinkTakesNothing(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		useVariant(t, workers, 100)
		full := func(w *Writer) {
			for range 60 {
				w.Write(pattern(5)) // less than several workers wait for
			}
		}
		for name, run := range map[string]func(*Writer) error{
			"Write": func(w *Writer) error { _, err := w.Write(pattern(1000)); return err },
			"Write, in pieces": func(w *Writer) error {
				_, err := io.Copy(struct{ io.Writer }{w}, &chunks{bytes.NewReader(pattern(1000)), 7})
				return err
			},
			"Write, after some": func(w *Writer) error { full(w); _, err := w.Write(pattern(1000)); return err },
			"ReadFrom":          func(w *Writer) error { _, err := w.ReadFrom(slow{bytes.NewReader(pattern(1000))}); return err },
			"ReadFrom, after some": func(w *Writer) error {
				full(w)
				_, err := w.ReadFrom(slow{bytes.NewReader(nil)})
				if workers == 1 && err == nil {
					err = w.Finish(nil)
				}
				return err
			},
			"ReadFrom, in memory": func(w *Writer) error { _, err := w.ReadFrom(bytes.NewReader(pattern(1000))); return err },
			"Finish":              func(w *Writer) error { full(w); return w.Finish(nil) },
		} {
			sink := &fullSink{t: t}
			// With such a long head, all sealed frames are written at once.
			w := newWriter(sink, make([]byte, defaultBatch), testParams(10))
			if err := run(w); err != errSink {
				t.Errorf("%s, %d workers: %v", name, workers, err)
			}
			if err := w.Finish(nil); err != errSink {
				t.Errorf("%s, %d workers: then: %v", name, workers, err)
			}
		}
	}
}

// Fail ends the message with its error, unless it has another one or is
// complete.
func TestFail(t *testing.T) {
	errFail, errLater := errors.New("told so"), errors.New("too late")
	var out bytes.Buffer
	w := newWriter(&out, []byte("head"), testParams(10))
	w.Write(pattern(1))
	w.Fail(errFail)
	w.Fail(errLater)
	if _, err := w.Write(pattern(1)); err != errFail {
		t.Errorf("Write: %v", err)
	}
	if _, err := w.ReadFrom(bytes.NewReader(nil)); err != errFail {
		t.Errorf("ReadFrom: %v", err)
	}
	if err := w.Finish(nil); err != errFail || out.Len() > 0 {
		t.Errorf("Finish: %v, %d bytes were written", err, out.Len())
	}

	w = newWriter(&out, nil, testParams(10))
	if err := w.Finish(nil); err != nil {
		t.Fatal(err)
	}
	w.Fail(errLater)
	if err := w.Finish(nil); err != errComplete {
		t.Errorf("a complete message: %v", err)
	}
}

// A sink's io.EOF isn't the end of a message, and a short write is an error
// even if the sink returns none.
func TestOddSinks(t *testing.T) {
	p := testParams(10)
	body := seal(t, p, pattern(35))
	for name, c := range map[string]struct {
		write func([]byte) (int, error)
		want  error // nil: any but io.EOF
	}{
		"EOF":           {func(b []byte) (int, error) { return 0, io.EOF }, nil},
		"EOF, with all": {func(b []byte) (int, error) { return len(b), io.EOF }, nil},
		"short":         {func(b []byte) (int, error) { return len(b) - 1, nil }, io.ErrShortWrite},
		"nothing":       {func(b []byte) (int, error) { return 0, nil }, io.ErrShortWrite},
		"an error":      {func(b []byte) (int, error) { return len(b), errSink }, errSink},
	} {
		w := newWriter(writeFunc(c.write), nil, p)
		_, readErr := NewReader(slow{bytes.NewReader(body)}, Source{Params: p}).WriteTo(writeFunc(c.write))
		for _, err := range []error{w.Finish(nil), w.Finish(nil), readErr} {
			if err == nil || err == io.EOF || c.want != nil && err != c.want {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A context's io.EOF isn't the end either.
func TestStoppedByEOF(t *testing.T) {
	p := testParams(10)
	body := seal(t, p, pattern(35))
	p.Context = errFunc(func() error { return io.EOF })
	for name, read := range readers {
		if got, err := read(body, Source{Params: p}); err == nil || err == io.EOF || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := sealBody(pattern(35), p); err == nil || err == io.EOF {
		t.Errorf("Seal: %v", err)
	}
}

// No final frame follows the last number, even if the count is wrong.
func TestFinishRefusesNumber(t *testing.T) {
	var out bytes.Buffer
	w := newWriter(&out, nil, testParams(10))
	w.frames.numbered = format.MaxFrames
	for range 2 {
		if err := w.Finish(nil); err == nil || out.Len() > 0 {
			t.Errorf("%v, %d bytes were written", err, out.Len())
		}
	}
	w = newWriter(io.Discard, nil, testParams(10))
	w.frames.numbered = format.MaxFrames - 1
	w.in.add(pattern(11))
	if err := w.Finish(nil); !errors.Is(err, format.ErrLimit) {
		t.Errorf("two frames where one fits: %v", err)
	}
	p := testParams(10)
	e := new(encryptor)
	e.init(&p)
	e.frames.numbered = format.MaxFrames
	if _, err := e.appendRegular(make([]byte, 0, 100), pattern(10)); !errors.Is(err, format.ErrLimit) {
		t.Errorf("a regular frame: %v", err)
	}
}
