package stream

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"esdk/internal/format"
)

// variants are ways to process a body. They must not make a difference.
var variants = []struct{ workers, batch int }{{1, 0}, {2, 0}, {2, 25}, {8, 0}, {1, 25}, {8, 100}, {3, 5000}}

var variant = variants[0]

func eachVariant(t *testing.T, test func(*testing.T)) {
	for i, v := range variants {
		if testing.Short() && i%2 == 1 {
			continue
		}
		setVariant(v.workers, v.batch)
		t.Run(fmt.Sprintf("workers=%d,batch=%d", v.workers, v.batch), test)
	}
	setVariant(1, 0)
}

// setVariant sets the workers and the bytes of a batch; 0 means the default
// outside of tests.
func setVariant(workers, batch int) {
	variant.workers, variant.batch = workers, batch
	batchBytes = int64(cmp.Or(batch, defaultBatch))
}

func testParams(frameLength uint32) Params {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return Params{AEAD: aead, MessageID: []byte("message id"), FrameLength: frameLength, Workers: variant.workers}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*131 + i>>8*7)
	}
	return b
}

// An errFunc is a context that only has an error.
type errFunc func() error

func (f errFunc) Err() error { return f() }

// newWriter and sealBody leave the params to the caller, unlike the functions
// that they call.
func newWriter(dst io.Writer, head []byte, p Params) *Writer { return NewWriter(dst, head, &p) }

func sealBody(plaintext []byte, p Params) ([]byte, error) { return Seal(nil, plaintext, &p) }

// seal makes a body, framed or not.
func seal(t testing.TB, p Params, plaintext []byte) []byte {
	t.Helper()
	if p.FrameLength == 0 {
		return single(p, plaintext)
	}
	body, err := sealBody(plaintext, p)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// single makes an unframed body.
func single(p Params, plaintext []byte) []byte {
	body := binary.BigEndian.AppendUint64(make([]byte, format.IVLength), uint64(len(plaintext)))
	aad := format.NewBodyAAD(p.MessageID, format.Single).Frame(1, uint64(len(plaintext)))
	return p.AEAD.Seal(body, body[:format.IVLength], plaintext, aad)
}

// readAll reads with a buffer of the given size.
func readAll(r io.Reader, size int) ([]byte, error) {
	var all []byte
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// chunks is a source that returns at most size bytes at once.
type chunks struct {
	r    io.Reader
	size int
}

func (c *chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.size)]) }

// stutter returns no bytes before each read.
type stutter struct {
	r      io.Reader
	silent bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.silent = !s.silent; s.silent {
		return 0, nil
	}
	return s.r.Read(p)
}

// frameLengths returns short frame lengths, lengths of more than a batch, and
// lengths near the bound that decides how frames are opened.
func frameLengths() []uint32 {
	if testing.Short() {
		return []uint32{1, 7, 4096, defaultBatch / 4, defaultBatch/4 + 1, defaultBatch + 1}
	}
	return []uint32{1, 7, 4096, defaultBatch/4 - 1, defaultBatch / 4, defaultBatch/4 + 1, defaultBatch, defaultBatch + 1, 3 * defaultBatch}
}

func TestReaderChunkings(t *testing.T) { eachVariant(t, testReaderChunkings) }

func testReaderChunkings(t *testing.T) {
	for _, frame := range frameLengths() {
		p := testParams(frame)
		sizes := []int{0, 1, int(frame) - 1, int(frame), int(frame) + 1, 2 * int(frame), 2*int(frame) + 3}
		if frame <= 4096 {
			sizes = append(sizes, 30*int(frame)-1, 30*int(frame))
		}
		for _, size := range sizes {
			plaintext := pattern(size)
			body := seal(t, p, plaintext)
			for name, source := range map[string]func() io.Reader{
				"at once":       func() io.Reader { return bytes.NewReader(body) },
				"1000 bytes":    func() io.Reader { return &chunks{bytes.NewReader(body), 1000} },
				"halves":        func() io.Reader { return iotest.HalfReader(bytes.NewReader(body)) },
				"data with EOF": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(body)) },
				"stuttering":    func() io.Reader { return &stutter{r: bytes.NewReader(body)} },
				"bytes":         func() io.Reader { return iotest.OneByteReader(bytes.NewReader(body)) },
			} {
				if name == "bytes" && len(body) > 20_000 {
					continue
				}
				t.Run(fmt.Sprintf("%d/%d/%s", frame, size, name), func(t *testing.T) {
					for _, buffer := range []int{1 << 20, 1000, 1} {
						if buffer == 1 && size > 10_000 {
							continue
						}
						got, err := readAll(NewReader(source(), Source{Params: p}), buffer)
						if err != nil || !bytes.Equal(got, plaintext) {
							t.Errorf("reading %d bytes at once: %d bytes, %v", buffer, len(got), err)
						}
					}
					var out bytes.Buffer
					if n, err := NewReader(source(), Source{Params: p}).WriteTo(&out); err != nil || n != int64(size) || !bytes.Equal(out.Bytes(), plaintext) {
						t.Errorf("WriteTo: %d bytes, %v", n, err)
					}
				})
			}
			before := bytes.Clone(body)
			if got, err := Open(nil, body, Source{Params: p}); err != nil || !bytes.Equal(got, plaintext) || !bytes.Equal(body, before) {
				t.Errorf("%d/%d: Open: %d bytes, %v", frame, size, len(got), err)
			}
		}
	}
}

func TestReaderNonFramed(t *testing.T) { eachVariant(t, testReaderNonFramed) }

func testReaderNonFramed(t *testing.T) {
	p := testParams(0)
	for _, size := range []int{0, 1, 1000, defaultBatch - 36, defaultBatch, 3*defaultBatch + 1} {
		plaintext := pattern(size)
		body := single(p, plaintext)
		for _, chunk := range []int{1 << 30, 1000} {
			got, err := readAll(NewReader(&chunks{bytes.NewReader(body), chunk}, Source{Params: p}), 1000)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%d: %d bytes, %v", size, len(got), err)
			}
		}
		if got, err := Open(nil, body, Source{Params: p}); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d: Open: %d bytes, %v", size, len(got), err)
		}
	}
}

func TestWriterChunkings(t *testing.T) { eachVariant(t, testWriterChunkings) }

func testWriterChunkings(t *testing.T) {
	for _, frame := range frameLengths() {
		p := testParams(frame)
		size := 2*int(frame) + 3
		if frame <= 4096 {
			size += 40 * int(frame)
		}
		plaintext := pattern(size)
		want := append([]byte("head"), seal(t, p, plaintext)...)
		for _, chunk := range []int{1, 5, 1000, int(frame), int(frame) + 1, size} {
			if chunk < 1000 && size > 100_000 {
				continue
			}
			var out bytes.Buffer
			w := newWriter(&out, []byte("head"), p)
			for part := range slices.Chunk(plaintext, chunk) {
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if err := w.Finish(nil); err != nil || !bytes.Equal(out.Bytes(), want) {
				t.Errorf("frame %d, writing %d: %d bytes, %v; want %d", frame, chunk, out.Len(), err, len(want))
			}
			for name, source := range map[string]io.Reader{
				"chunks": &chunks{bytes.NewReader(plaintext[1:]), chunk}, "memory": bytes.NewReader(plaintext[1:]), "buffer": bytes.NewBuffer(plaintext[1:]),
			} {
				out.Reset()
				w = newWriter(&out, []byte("head"), p)
				if _, err := w.Write(plaintext[:1]); err != nil {
					t.Fatal(err)
				}
				if n, err := w.ReadFrom(source); n != int64(size-1) || err != nil {
					t.Fatalf("ReadFrom: %d, %v", n, err)
				}
				if err := w.Finish(nil); err != nil || !bytes.Equal(out.Bytes(), want) {
					t.Errorf("frame %d, reading %d of %s: %d bytes, %v; want %d", frame, chunk, name, out.Len(), err, len(want))
				}
			}
		}
	}
}

// An empty Write changes nothing, nor does a Write of a nil slice.
func TestEmptyWrites(t *testing.T) { eachVariant(t, testEmptyWrites) }

func testEmptyWrites(t *testing.T) {
	p := testParams(4)
	var out bytes.Buffer
	w := newWriter(&out, nil, p)
	for _, part := range []string{"", "abcd", "", "efgh", ""} {
		if n, err := io.WriteString(w, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Finish(nil); err != nil || !bytes.Equal(out.Bytes(), seal(t, p, []byte("abcdefgh"))) {
		t.Error(err)
	}
}

// The message ends at 2^32-1 frames, including the final one.
func TestFrameCount(t *testing.T) { eachVariant(t, testFrameCount) }

func testFrameCount(t *testing.T) {
	p := testParams(2)
	var out bytes.Buffer
	w := newWriter(&out, nil, p)
	w.frames.numbered = format.MaxFrames - 2
	if _, err := w.Write([]byte("abef")); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(nil); err != nil {
		t.Fatal(err)
	}
	frame, final := out.Bytes()[:2+format.FrameOverhead], out.Bytes()[2+format.FrameOverhead:]
	if binary.BigEndian.Uint32(frame) != format.MaxFrames-1 || binary.BigEndian.Uint32(final[4:]) != format.MaxFrames {
		t.Fatalf("%x, %x", frame, final)
	}

	r := NewReader(bytes.NewReader(slices.Concat(frame, final)), Source{Params: p})
	r.sequence = format.MaxFrames - 2
	if got, err := readAll(r, 10); err != nil || string(got) != "abef" {
		t.Errorf("%q, %v", got, err)
	}
	// No number follows the last one; it doesn't wrap around to 0.
	r = NewReader(bytes.NewReader(final), Source{Params: p})
	r.sequence = format.MaxFrames
	if _, err := readAll(r, 10); !errors.As(err, new(*format.Error)) {
		t.Errorf("the number wraps: %v", err)
	}

	// The writer reports it when the frame comes, and from then on.
	w = newWriter(io.Discard, nil, p)
	w.frames.numbered = format.MaxFrames - 1
	if _, err := w.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := w.Write([]byte("c")); !errors.Is(err, format.ErrLimit) {
			t.Errorf("Write: %v", err)
		}
	}
	if err := w.Finish(nil); !errors.Is(err, format.ErrLimit) {
		t.Errorf("Finish: %v", err)
	}
}

func TestMaxPlaintext(t *testing.T) { eachVariant(t, testMaxPlaintext) }

func testMaxPlaintext(t *testing.T) {
	p := testParams(10)
	bodies := map[int][]byte{25: seal(t, p, pattern(25)), 26: seal(t, p, pattern(26)), 30: seal(t, p, pattern(30)), 31: seal(t, p, pattern(31))}
	p.MaxPlaintext = 25
	for size, body := range bodies {
		_, err := Open(nil, body, Source{Params: p})
		got, streamErr := readAll(NewReader(bytes.NewReader(body), Source{Params: p}), 100)
		for _, err := range []error{err, streamErr} {
			if ok := size <= 25; ok != (err == nil) || !ok && !errors.Is(err, format.ErrLimit) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if len(got) > 25 {
			t.Errorf("released %d bytes", len(got))
		}
	}
	w := newWriter(io.Discard, nil, p)
	if n, err := w.Write(pattern(26)); n != 0 || !errors.Is(err, format.ErrLimit) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if _, err := sealBody(pattern(26), p); !errors.Is(err, format.ErrLimit) {
		t.Errorf("AppendBody: %v", err)
	}
	// The claim is enough to reject it: none of its bytes need have arrived.
	p = testParams(0)
	claim := binary.BigEndian.AppendUint64(make([]byte, format.IVLength), 26)
	p.MaxPlaintext = 25
	if _, err := Open(nil, append(claim, 0), Source{Params: p}); !errors.Is(err, format.ErrLimit) {
		t.Errorf("not framed: %v", err)
	}
}

// Each error of a source is reported unchanged, after all authentic frames.
func TestSourceErrors(t *testing.T) { eachVariant(t, testSourceErrors) }

func testSourceErrors(t *testing.T) {
	errSource := errors.New("source is ill")
	for _, p := range []Params{testParams(10), testParams(defaultBatch / 2), testParams(0)} {
		plaintext := pattern(35)
		body := seal(t, p, plaintext)
		for n := range len(body) + 1 {
			for name, end := range map[string]io.Reader{
				"source": iotest.ErrReader(errSource), "with data": iotest.DataErrReader(iotest.ErrReader(errSource)),
			} {
				got, err := readAll(NewReader(io.MultiReader(bytes.NewReader(body[:n]), end), Source{Params: p}), 100)
				if !errors.Is(err, errSource) || errors.As(err, new(*format.Error)) || !bytes.HasPrefix(plaintext, got) || len(got) == len(plaintext) {
					t.Errorf("%s after %d bytes: %d bytes, %v", name, n, len(got), err)
				}
				if p.FrameLength == 10 && len(got) != min(30, n/42*10) {
					t.Errorf("%s after %d bytes: released %d bytes", name, n, len(got))
				}
			}
			if n == len(body) {
				continue
			}
			got, err := readAll(NewReader(bytes.NewReader(body[:n]), Source{Params: p, Offset: 1000}), 100)
			var malformed *format.Error
			if !errors.As(err, &malformed) || !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(plaintext, got) {
				t.Errorf("%d bytes: %d bytes, %v", n, len(got), err)
			} else if malformed.Offset < 1000 || malformed.Offset > 1000+int64(n) {
				t.Errorf("%d bytes: offset %d", n, malformed.Offset)
			}
		}
	}
}

// An error that wraps io.EOF isn't the end of a message, wherever it comes
// from.
func TestErrorsAreNotEOF(t *testing.T) { eachVariant(t, testErrorsAreNotEOF) }

func testErrorsAreNotEOF(t *testing.T) {
	errStore := errors.New("store")
	gone := fmt.Errorf("%w: %w", errStore, io.EOF)
	check := func(what string, n int, err error) {
		t.Helper()
		if errors.Is(err, io.EOF) || !errors.Is(err, errStore) || !strings.Contains(err.Error(), gone.Error()) {
			t.Errorf("%s after %d bytes: %v, is io.EOF: %t", what, n, err, errors.Is(err, io.EOF))
		}
	}
	plaintext := pattern(35)
	for _, frame := range []uint32{10, 0} {
		p := testParams(frame)
		body := seal(t, p, plaintext)
		for n := range len(body) + 1 {
			source := func() io.Reader { return io.MultiReader(bytes.NewReader(body[:n]), iotest.ErrReader(gone)) }
			_, err := readAll(NewReader(source(), Source{Params: p}), 7)
			check("Read", n, err)
			_, err = NewReader(source(), Source{Params: p}).WriteTo(io.Discard)
			check("WriteTo", n, err)
		}
		_, err := NewReader(bytes.NewReader(body), Source{Params: p}).WriteTo(writeFunc(func([]byte) (int, error) { return 0, gone }))
		check("WriteTo a sink", 0, err)
		if frame == 0 {
			continue // Open doesn't check before a single frame
		}
		stopped := p
		stopped.Context = errFunc(func() error { return gone })
		for name, read := range readers {
			_, err := read(body, Source{Params: stopped})
			check(name+" of a stopped body", 0, err)
		}
	}
	p := testParams(10)
	body := seal(t, p, plaintext)
	for n := range len(body) {
		_, err := NewReaderAt(brokenAt{bytes.NewReader(body), int64(n), gone}, 0, int64(len(body)), p)
		if n >= len(body)-5-format.FinalOverhead {
			check("NewReaderAt", n, err)
		} else if err != nil {
			t.Errorf("NewReaderAt, broken at %d: %v", n, err)
		} else {
			r, _ := NewReaderAt(brokenAt{bytes.NewReader(body), int64(n), gone}, 0, int64(len(body)), p)
			_, err = r.ReadAt(make([]byte, len(plaintext)), 0)
			check("ReadAt", n, err)
		}
	}
	for n := range len(plaintext) {
		w := newWriter(io.Discard, nil, p)
		_, err := w.ReadFrom(io.MultiReader(bytes.NewReader(plaintext[:n]), iotest.ErrReader(gone)))
		check("ReadFrom", n, err)
		check("Finish", n, w.Finish(nil))
	}
	w := newWriter(writeFunc(func([]byte) (int, error) { return 0, gone }), nil, p)
	w.Write(plaintext)
	check("Finish into a sink", 0, w.Finish(nil))
}

// A brokenAt fails to read one byte.
type brokenAt struct {
	io.ReaderAt
	at  int64
	err error
}

func (s brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if n := s.at - off; 0 <= n && n < int64(len(p)) {
		n, _ := s.ReaderAt.ReadAt(p[:n], off)
		return n, s.err
	}
	return s.ReaderAt.ReadAt(p, off)
}

type silence struct{}

func (silence) Read([]byte) (int, error) { return 0, nil }

func TestNoProgress(t *testing.T) { eachVariant(t, testNoProgress) }

func testNoProgress(t *testing.T) {
	r := NewReader(silence{}, Source{Params: testParams(10)})
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v", err)
	}
}

// A batch that ends in a bad frame releases the good frames before it.
func TestGoodFramesOfBadBatch(t *testing.T) { eachVariant(t, testGoodFramesOfBadBatch) }

func testGoodFramesOfBadBatch(t *testing.T) {
	p := testParams(10)
	plaintext := pattern(100)
	body := seal(t, p, plaintext)
	for i := range body {
		bad := bytes.Clone(body)
		bad[i] ^= 1
		got, err := readAll(NewReader(bytes.NewReader(bad), Source{Params: p}), 1000)
		if err == nil || !bytes.Equal(got, plaintext[:min(i/42, 9)*10]) {
			t.Errorf("byte %d: %d bytes, %v", i, len(got), err)
		}
		if got, err := Open(nil, bad, Source{Params: p}); err == nil || got != nil {
			t.Errorf("byte %d: Open: %d bytes, %v", i, len(got), err)
		}
	}
}

// The footer covers the digest's input: the whole body and nothing else.
func TestFooter(t *testing.T) { eachVariant(t, testFooter) }

func testFooter(t *testing.T) {
	for _, p := range []Params{testParams(10), testParams(3 * defaultBatch), testParams(0)} {
		plaintext := pattern(25)
		digest := sha256.New()
		p.Digest = digest
		var message []byte
		if p.FrameLength == 0 {
			message = single(p, plaintext)
			digest.Write(message)
			message = format.AppendFooter(message, digest.Sum(nil))
		} else {
			var out bytes.Buffer
			w := newWriter(&out, []byte("head"), p)
			w.Write(plaintext)
			footer := func() ([]byte, error) { return format.AppendFooter(nil, digest.Sum(nil)), nil }
			if err := w.Finish(footer); err != nil {
				t.Fatal(err)
			}
			message = out.Bytes()[len("head"):]
			body := message[:len(message)-2-sha256.Size]
			if want := sha256.Sum256(body); !bytes.HasSuffix(message, want[:]) {
				t.Error("the writer's digest is not of the body")
			}
		}
		source := func(errVerify error) Source {
			s := Source{Params: p}
			h := sha256.New()
			s.Digest = h
			s.Verify = func(signature []byte) error {
				if !bytes.Equal(signature, h.Sum(nil)) {
					t.Error("the digest is not of the body")
				}
				return errVerify
			}
			return s
		}
		for name, open := range map[string]func(Source) ([]byte, error){
			"Open":   func(s Source) ([]byte, error) { return Open(nil, message, s) },
			"Reader": func(s Source) ([]byte, error) { return readAll(NewReader(bytes.NewReader(message), s), 7) },
			"bytes": func(s Source) ([]byte, error) {
				return readAll(NewReader(iotest.OneByteReader(bytes.NewReader(message)), s), 7)
			},
		} {
			if got, err := open(source(nil)); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			got, err := open(source(ErrAuthentication))
			if err != ErrAuthentication || len(got) > 20 {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
	}
}

func TestFooterFails(t *testing.T) { eachVariant(t, testFooterFails) }

func testFooterFails(t *testing.T) {
	errSign := errors.New("no signature")
	var out bytes.Buffer
	w := newWriter(&out, []byte("head"), testParams(10))
	w.Write(pattern(5))
	for range 2 {
		if err := w.Finish(func() ([]byte, error) { return nil, errSign }); !errors.Is(err, errSign) {
			t.Errorf("got %v", err)
		}
	}
	if out.Len() > 0 {
		t.Errorf("wrote %d bytes", out.Len())
	}
}

// A claimed frame takes memory only as its bytes arrive.
func TestMemoryOfClaims(t *testing.T) { eachVariant(t, testMemoryOfClaims) }

func testMemoryOfClaims(t *testing.T) {
	huge := testParams(1<<32 - 1)
	start := append(format.AppendRegular(nil, 1), pattern(100)...)
	body := binary.BigEndian.AppendUint64(make([]byte, format.IVLength), format.MaxNonFramed)
	for name, c := range map[string]struct {
		p    Params
		body []byte
	}{
		"frame":      {huge, start},
		"final":      {huge, append(format.AppendFinal(nil, 1, 1<<32-1), pattern(100)...)},
		"not framed": {testParams(0), append(body, pattern(100)...)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, streamErr := readAll(NewReader(bytes.NewReader(c.body), Source{Params: c.p}), 10)
		_, err := Open(nil, c.body, Source{Params: c.p})
		runtime.ReadMemStats(&after)
		want := io.ErrUnexpectedEOF
		if math.MaxInt == math.MaxInt32 {
			want = format.ErrLimit // before any of it is read
		}
		if !errors.Is(err, want) || !errors.Is(streamErr, want) {
			t.Errorf("%s: %v, %v", name, err, streamErr)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
	}
	body = binary.BigEndian.AppendUint64(make([]byte, format.IVLength), format.MaxNonFramed+1)
	var malformed *format.Error
	if _, err := Open(nil, body, Source{Params: testParams(0)}); !errors.As(err, &malformed) || malformed.Field != "body length" {
		t.Errorf("more than AES-GCM encrypts: %v", err)
	}
}

// The memory of a stream doesn't depend on its length.
func TestMemoryOfStream(t *testing.T) {
	p := testParams(4096)
	const size = 64 << 20
	source, sink := io.Pipe()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		w := newWriter(sink, nil, p)
		_, err := w.ReadFrom(io.LimitReader(zeros{}, size))
		if err == nil {
			err = w.Finish(nil)
		}
		sink.CloseWithError(err)
	}()
	n, err := NewReader(source, Source{Params: p}).WriteTo(io.Discard)
	runtime.ReadMemStats(&after)
	if n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes of memory", n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// FuzzStreamReader checks that a Reader and Open agree on any bytes and in any
// chunks. Only the start of the plaintext is released, and all of it only for
// the sealed body.
func FuzzStreamReader(f *testing.F) {
	plaintext := pattern(100)
	for _, frame := range []uint32{1, 10, 99, 100, 101} {
		body := seal(f, testParams(frame), plaintext)
		f.Add(body, frame, uint8(0))
		f.Add(body[:len(body)-1], frame, uint8(3))
		f.Add(append(bytes.Clone(body), 0), frame, uint8(50))
	}
	f.Add(single(testParams(0), plaintext), uint32(0), uint8(9))
	f.Add(format.AppendFinal(nil, 1, 1<<32-1), uint32(1<<32-1), uint8(1))
	f.Add([]byte(strings.Repeat("\xff", 100)), uint32(7), uint8(0))
	f.Fuzz(func(t *testing.T, body []byte, frame uint32, chunk uint8) {
		p := testParams(frame)
		valid := seal(t, p, plaintext)
		opened, openErr := Open(nil, body, Source{Params: p})
		var released []byte
		for _, v := range variants {
			setVariant(v.workers, v.batch)
			p := testParams(frame)
			source := io.Reader(bytes.NewReader(body))
			if chunk > 0 {
				source = &chunks{source, int(chunk)}
			}
			var streamErr error
			released, streamErr = readAll(NewReader(source, Source{Params: p}), 1+int(chunk))
			if (openErr == nil) != (streamErr == nil) || openErr != nil && openErr.Error() != streamErr.Error() {
				t.Fatalf("Open: %v; Reader: %v", openErr, streamErr)
			}
			if openErr == nil && !bytes.Equal(opened, released) {
				t.Fatalf("Open: %q; Reader: %q", opened, released)
			}
			var written bytes.Buffer
			source = bytes.NewReader(body)
			if chunk > 0 {
				source = &chunks{source, int(chunk)}
			}
			_, writeErr := NewReader(source, Source{Params: p}).WriteTo(&written)
			if (writeErr == nil) != (streamErr == nil) || writeErr != nil && writeErr.Error() != streamErr.Error() || !bytes.Equal(written.Bytes(), released) {
				t.Fatalf("WriteTo: %q, %v; Read: %q, %v", written.Bytes(), writeErr, released, streamErr)
			}
		}
		setVariant(1, 0)
		if openErr == nil && !bytes.Equal(body, valid) {
			t.Fatalf("accepted %x, sealed was %x", body, valid)
		}
		if openErr != nil && (opened != nil || !bytes.HasPrefix(plaintext, released) || len(released) == len(plaintext)) {
			t.Fatalf("released %q of %q", released, plaintext)
		}
	})
}
