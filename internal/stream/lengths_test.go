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

// lengths are frame lengths at the bounds of 32-bit integers, alone and with
// the overhead of a frame. On a 32-bit machine, most don't fit into an int.
var lengths = []uint32{
	1<<31 - 1 - format.FrameOverhead, 1<<31 - format.FrameOverhead, 1<<31 - 1, 1 << 31, 1<<31 + 1,
	0xFFFFFFDF, 0xFFFFFFE0, 0xFFFFFFE1, 1<<32 - 1,
}

// sources are kinds of sources for a body.
var sources = map[string]func(body []byte) io.Reader{
	"bytes.Reader": func(body []byte) io.Reader { return bytes.NewReader(body) },
	"bytes.Buffer": func(body []byte) io.Reader { return bytes.NewBuffer(bytes.Clone(body)) },
	"any reader":   func(body []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(body)} },
	"in pieces":    func(body []byte) io.Reader { return &chunks{bytes.NewReader(body), 7} },
	"with its end": func(body []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(body)) },
}

// eachWayToRead calls f with the result of each way to read a body.
func eachWayToRead(body []byte, frame uint32, f func(how string, plaintext []byte, err error)) {
	for name, source := range sources {
		plaintext, err := readAll(NewReader(source(body), Source{Params: testParams(frame)}), 10)
		f("Read, "+name, plaintext, err)
		var out bytes.Buffer
		_, err = NewReader(source(body), Source{Params: testParams(frame)}).WriteTo(&out)
		f("WriteTo, "+name, out.Bytes(), err)
	}
	plaintext, err := Open(nil, body, Source{Params: testParams(frame)})
	f("Open", plaintext, err)
}

// A frame length is only an upper bound for the actual frames.
func TestLongFramesRoundTrip(t *testing.T) { eachVariant(t, testLongFramesRoundTrip) }

func testLongFramesRoundTrip(t *testing.T) {
	want := pattern(1000)
	for _, frame := range lengths {
		for how, body := range sealings(t, want, frame) {
			if got := int64(len(body)); got != int64(len(want))+format.FinalOverhead {
				t.Errorf("%d, %s: %d bytes", frame, how, got)
			}
			eachWayToRead(body, frame, func(read string, got []byte, err error) {
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d, %s, %s: %d bytes, %v", frame, how, read, len(got), err)
				}
			})
			got := make([]byte, len(want)+1)
			p := testParams(frame)
			r, err := NewReaderAt(bytes.NewReader(body), 0, int64(len(body)), p)
			if err != nil {
				t.Fatalf("%d, %s: NewReaderAt: %v", frame, how, err)
			}
			if n, err := r.ReadAt(got, 0); err != io.EOF || !bytes.Equal(got[:n], want) {
				t.Errorf("%d, %s: ReadAt: %d bytes, %v", frame, how, n, err)
			}
		}
	}
}

// sealings returns the body from each way to encrypt a plaintext.
func sealings(t *testing.T, plaintext []byte, frame uint32) map[string][]byte {
	t.Helper()
	bodies := make(map[string][]byte)
	p := testParams(frame)
	sealed, err := Seal(nil, plaintext, &p)
	if err != nil {
		t.Fatalf("%d: Seal: %v", frame, err)
	}
	bodies["Seal"] = sealed
	for name, write := range map[string]func(*Writer) error{
		"Write": func(w *Writer) error { _, err := w.Write(plaintext); return err },
		"Write, in pieces": func(w *Writer) error {
			_, err := io.CopyBuffer(struct{ io.Writer }{w}, &chunks{bytes.NewReader(plaintext), 99}, make([]byte, 100))
			return err
		},
		"ReadFrom, in memory": func(w *Writer) error { _, err := w.ReadFrom(bytes.NewReader(plaintext)); return err },
		"ReadFrom":            func(w *Writer) error { _, err := w.ReadFrom(&chunks{bytes.NewReader(plaintext), 99}); return err },
	} {
		var out bytes.Buffer
		p := testParams(frame)
		w := NewWriter(&out, nil, &p)
		if err := errors.Join(write(w), w.Finish(nil)); err != nil {
			t.Fatalf("%d: %s: %v", frame, name, err)
		}
		bodies[name] = out.Bytes()
	}
	return bodies
}

// fits reports whether the machine has memory for a frame. If not, the error
// says so; otherwise it says that the message is truncated.
func fits(length int64) bool { return length < math.MaxInt-1<<20 }

// A message of a few bytes may claim frames of any length.
func TestLongFramesCutOff(t *testing.T) { eachVariant(t, testLongFramesCutOff) }

func testLongFramesCutOff(t *testing.T) {
	check := func(what string, frame uint32, length int64, body []byte) {
		eachWayToRead(body, frame, func(read string, got []byte, err error) {
			isCut, isLong := errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, format.ErrLimit)
			if len(got) > 0 || !isCut && !isLong || isLong && fits(length) {
				t.Errorf("%s of %d bytes: %s: %d bytes, %v", what, length, read, len(got), err)
			}
		})
	}
	for _, frame := range lengths {
		check("regular frame", frame, int64(frame), append(format.AppendRegular(nil, 1), pattern(100)...))
		check("final frame", frame, int64(frame), append(format.AppendFinal(nil, 1, frame), pattern(100)...))
	}
	for _, length := range []int64{1<<31 - 1, 1 << 31, 0xFFFFFFE0, 1<<32 - 1, 1 << 32, format.MaxNonFramed} {
		body := binary.BigEndian.AppendUint64(make([]byte, format.IVLength), uint64(length))
		check("body without frames", 0, length, append(body, pattern(100)...))
	}
}

// longSource is a message of one regular frame with unreadable bytes, and a
// final frame.
type longSource struct {
	final []byte
	at    int64
}

var errNotThere = errors.New("the bytes are not there")

func (s *longSource) ReadAt(p []byte, off int64) (int, error) {
	if off < s.at {
		return 0, errNotThere
	}
	return bytes.NewReader(s.final).ReadAt(p, off-s.at)
}

func TestLongFramesReadAt(t *testing.T) {
	for _, frame := range lengths {
		want := pattern(100)
		p := testParams(frame)
		final := format.AppendFinal(nil, 2, uint32(len(want)))
		aad := format.NewBodyAAD(p.MessageID, format.Final).Frame(2, uint64(len(want)))
		final = p.AEAD.Seal(final, final[8:8+format.IVLength], want, aad)
		src := &longSource{final, int64(frame) + format.FrameOverhead}
		r, err := NewReaderAt(src, 0, src.at+int64(len(final)), p)
		if err != nil {
			t.Errorf("%d: NewReaderAt: %v", frame, err)
			continue
		}
		if got := r.Size(); got != int64(frame)+100 {
			t.Errorf("%d: Size is %d", frame, got)
		}
		got := make([]byte, 200)
		if n, err := r.ReadAt(got, int64(frame)); n != 100 || err != io.EOF || !bytes.Equal(got[:n], want) {
			t.Errorf("%d: behind the frame: %d bytes, %v", frame, n, err)
		}
		for _, off := range []int64{0, int64(frame) - 1} {
			n, err := r.ReadAt(got[:50], off)
			if n != 0 || !errors.Is(err, errNotThere) && (fits(int64(frame)) || !errors.Is(err, format.ErrLimit)) {
				t.Errorf("%d: at %d: %d bytes, %v", frame, off, n, err)
			}
		}
	}
}
