package stream

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"sync/atomic"
	"testing"

	"esdk/internal/format"
)

func TestVerifiedReader(t *testing.T) {
	want := pattern(1000)
	if got, err := readAll(NewVerifiedReader(want), 7); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Read: %d bytes, %v", len(got), err)
	}
	var out bytes.Buffer
	r := NewVerifiedReader(want)
	r.Read(make([]byte, 10))
	if n, err := r.WriteTo(&out); n != 990 || err != nil || !bytes.Equal(out.Bytes(), want[10:]) {
		t.Errorf("WriteTo: %d bytes, %v", n, err)
	}
	for range 2 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d bytes, %v", n, err)
		}
	}
	if n, err := NewVerifiedReader(nil).Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("nothing: %d bytes, %v", n, err)
	}
}

// A Read of zero bytes reads nothing, and isn't the end.
func TestReadNothing(t *testing.T) {
	src := readFunc(func([]byte) (int, error) { t.Error("the source was read"); return 0, io.EOF })
	for _, r := range []*Reader{NewReader(src, Source{Params: testParams(10)}), NewVerifiedReader(nil)} {
		if n, err := r.Read(nil); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
}

// The end of a body is the end of the final frame, without the footer.
func TestEnd(t *testing.T) { eachVariant(t, testEnd) }

func testEnd(t *testing.T) {
	for _, frame := range []uint32{0, 10, 100} {
		for _, signature := range []int{0, 7} {
			p := testParams(frame)
			message := seal(t, p, pattern(95))
			end := int64(len(message))
			s := Source{Params: p, Offset: 1000}
			if signature > 0 {
				s.Verify = func([]byte) error { return nil }
				message = format.AppendFooter(message, pattern(signature))
			}
			for _, read := range []func(*Reader) error{
				func(r *Reader) error { _, err := readAll(r, 10); return err },
				func(r *Reader) error { _, err := r.WriteTo(io.Discard); return err },
			} {
				for _, src := range []io.Reader{bytes.NewReader(message), slow{bytes.NewReader(message)}} {
					r := NewReader(src, s)
					if err := read(r); err != nil || r.End() != 1000+end {
						t.Errorf("frames of %d: the end is %d, want %d, %v", frame, r.End(), 1000+end, err)
					}
				}
			}
		}
	}
}

// The frames that have arrived are released in one piece. The first frame comes
// alone, so that a message of one frame needs memory only for one.
func TestReadOpensWhatArrived(t *testing.T) {
	const size = 10 + format.FrameOverhead
	body := seal(t, testParams(10), pattern(1005))
	for _, arrived := range []int{1, 2, 5, 50} {
		r := NewReader(&chunks{bytes.NewReader(body), arrived * size}, Source{Params: testParams(10)})
		for _, want := range []int{1, arrived - 1} {
			if want == 0 {
				continue
			}
			if n, err := r.Read(make([]byte, 1000)); n != 10*want || err != nil {
				t.Errorf("of %d frames, %d bytes came, %v; want %d", arrived, n, err, 10*want)
			}
		}
	}
}

// Frames of a source in memory are opened from there, into short memory, by as
// many workers as the frames are worth.
func TestWriteToFromMemory(t *testing.T) { eachVariant(t, testWriteToFromMemory) }

func testWriteToFromMemory(t *testing.T) {
	plaintext := pattern(1_000_003)
	body := seal(t, testParams(4096), plaintext)
	var sink sizesSink
	r := NewReader(bytes.NewReader(body), Source{Params: testParams(4096)})
	if n, err := r.WriteTo(&sink); n != int64(len(plaintext)) || err != nil || !bytes.Equal(sink.Bytes(), plaintext) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if len(r.buf) > 2*minBuffer {
		t.Errorf("%d bytes were copied", len(r.buf))
	}
	batch := int(r.batchLength())
	for i, n := range sink.sizes[:len(sink.sizes)-2] {
		if n != batch {
			t.Errorf("write %d of %d bytes has %d, want %d", i, len(plaintext), n, batch)
		}
	}
}

// A long message is read at its own alignment to cache lines, wherever its body
// begins.
func TestReadsAreAligned(t *testing.T) {
	plaintext := pattern(5 << 20)
	body := seal(t, testParams(1000), plaintext)
	for _, workers := range []int{1, 2} {
		useVariant(t, workers, 0)
		for _, offset := range []int{0, 63, 301} {
			for _, name := range []string{"Read", "WriteTo"} {
				n := 0
				var r io.Reader = NewReader(readFunc(func(p []byte) (int, error) {
					start := int(reflect.ValueOf(p).Pointer() % 64)
					if n >= 2<<20 && start != (offset+n)%64 {
						t.Errorf("%s, %d workers: a read of %d bytes to %d, behind %d", name, workers, len(p), start, offset+n)
					}
					m := copy(p, body[n:])
					if n += m; m == 0 {
						return 0, io.EOF
					}
					return m, nil
				}), Source{Params: testParams(1000), Offset: int64(offset)})
				if name == "Read" {
					r = struct{ io.Reader }{r}
				}
				var got bytes.Buffer
				if _, err := io.Copy(&got, r); err != nil || !bytes.Equal(got.Bytes(), plaintext) {
					t.Errorf("%s, %d workers: %d bytes, %v", name, workers, got.Len(), err)
				}
			}
		}
	}
}

// WriteTo continues wherever Read stopped: with any amount of unreleased
// plaintext and of unopened bytes.
func TestWriteToBehindReads(t *testing.T) { eachVariant(t, testWriteToBehindReads) }

func testWriteToBehindReads(t *testing.T) {
	plaintext := pattern(30_005)
	body := seal(t, testParams(100), plaintext)
	stops := map[string]func(*Reader) bool{
		"one byte":               func(*Reader) bool { return true },
		"as much as is unopened": func(r *Reader) bool { return len(r.plain) == len(r.window) },
		"all that is opened":     func(r *Reader) bool { return len(r.plain) == 0 },
		"a byte less":            func(r *Reader) bool { return len(r.plain) == 1 },
	}
	for name, stop := range stops {
		for source, open := range sources {
			r := NewReader(open(body), Source{Params: testParams(100)})
			var got bytes.Buffer
			for {
				if _, err := io.CopyN(&got, struct{ io.Reader }{r}, 1); err != nil {
					t.Fatal(err)
				}
				if stop(r) || got.Len() == len(plaintext) {
					break
				}
			}
			before := got.Len()
			n, err := r.WriteTo(&got)
			if n != int64(len(plaintext)-before) || err != nil || !bytes.Equal(got.Bytes(), plaintext) {
				t.Errorf("%s, %s: %d bytes behind %d, %v", name, source, n, before, err)
			}
		}
	}
}

// An error is reported at the wrong field.
func TestOffsetOfWrongField(t *testing.T) { eachVariant(t, testOffsetOfWrongField) }

func testOffsetOfWrongField(t *testing.T) {
	const size, final, end = 10 + format.FrameOverhead, 3 * (10 + format.FrameOverhead), 3*(10+format.FrameOverhead) + 5 + format.FinalOverhead
	for name, c := range map[string]struct {
		spoil func([]byte) []byte
		at    int64
		field string
	}{
		"a number":            {func(b []byte) []byte { b[size+3]++; return b }, size, "sequence number"},
		"the final number":    {func(b []byte) []byte { b[final+7]++; return b }, final + 4, "sequence number"},
		"the final length":    {func(b []byte) []byte { b[final+23] = 11; return b }, final + 20, "final frame length"},
		"a byte more":         {func(b []byte) []byte { return append(b, 0) }, end, "end"},
		"a frame more":        {func(b []byte) []byte { return append(b, b[:size]...) }, end, "end"},
		"a final frame twice": {func(b []byte) []byte { return append(b, b[final:]...) }, end, "end"},
	} {
		p := testParams(10)
		body := c.spoil(seal(t, p, pattern(35)))
		for how, read := range readers {
			_, err := read(body, Source{Params: p, Offset: 1000})
			e, ok := errors.AsType[*format.Error](err)
			if !ok || e.Offset != 1000+c.at || e.Field != c.field {
				t.Errorf("%s, %s: %v, want %s at %d", name, how, err, c.field, 1000+c.at)
			}
		}
	}
	body := binary.BigEndian.AppendUint64(make([]byte, format.IVLength), format.MaxNonFramed+1)
	for how, read := range readers {
		_, err := read(body, Source{Params: testParams(0), Offset: 1000})
		if e, ok := errors.AsType[*format.Error](err); !ok || e.Offset != 1000+format.IVLength {
			t.Errorf("length without frames, %s: %v", how, err)
		}
	}
}

// A final frame may be as long as a regular one.
func TestFullFinalFrame(t *testing.T) { eachVariant(t, testFullFinalFrame) }

func testFullFinalFrame(t *testing.T) {
	for _, n := range []int{10, 20, 1000} {
		p := testParams(10)
		body := seal(t, p, pattern(n))
		for how, read := range readers {
			if got, err := read(body, Source{Params: p}); err != nil || !bytes.Equal(got, pattern(n)) {
				t.Errorf("%s, %d bytes: %d, %v", how, n, len(got), err)
			}
		}
	}
}

// A fast source's plaintext is written a batch at a time.
func TestPumpWritesBatches(t *testing.T) {
	useVariant(t, 2, 1000)
	plaintext := pattern(100_005)
	body := seal(t, testParams(10), plaintext)
	var sink sizesSink
	if _, err := NewReader(slow{bytes.NewReader(body)}, Source{Params: testParams(10)}).WriteTo(&sink); err != nil || !bytes.Equal(sink.Bytes(), plaintext) {
		t.Fatalf("%d bytes, %v", sink.Len(), err)
	}
	batches := 0
	for _, n := range sink.sizes {
		if n == 1000 {
			batches++
		}
	}
	if batches < 95 {
		t.Errorf("writes of %v", sink.sizes)
	}
}

// changing is an AEAD that changes the number of the frame after the one that
// it opens. A source that keeps the memory it filled may do so at any time.
type changing struct {
	cipher.AEAD
	on atomic.Bool
}

func (a *changing) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	if next := ciphertext[len(ciphertext):cap(ciphertext)]; a.on.Load() && len(next) > 0 {
		next[0] ^= 1
	}
	return a.AEAD.Open(dst, nonce, ciphertext, aad)
}

// A frame that was counted as regular and has changed since ends the message.
// It must not be mistaken for the final frame.
func TestSourceChangesFrames(t *testing.T) {
	for _, workers := range []int{2, 4} {
		useVariant(t, workers, 1000)
		plaintext := pattern(100_005)
		p := testParams(10)
		body := seal(t, p, plaintext)
		aead := &changing{AEAD: p.AEAD}
		p.AEAD = aead
		var out bytes.Buffer
		r := NewReader(slow{bytes.NewReader(body)}, Source{Params: p})
		_, err := r.WriteTo(writeFunc(func(b []byte) (int, error) {
			aead.on.Store(out.Len() > 10_000)
			return out.Write(b)
		}))
		if err == nil || err == io.EOF || err == errIrregular || errors.As(err, new(*format.Error)) {
			t.Errorf("%d workers: %v", workers, err)
		}
		if !bytes.HasPrefix(plaintext, out.Bytes()) || out.Len() == len(plaintext) {
			t.Errorf("%d workers: %d bytes were written", workers, out.Len())
		}
		if n, again := r.Read(make([]byte, 10)); n != 0 || again != err {
			t.Errorf("%d workers: then %d bytes, %v", workers, n, again)
		}
	}
}
