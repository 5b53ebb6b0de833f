package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"esdk/internal/format"
)

// fieldsOf returns the offset of each field of a body that an error can name:
// the frames, or the fields of an unframed body, and the footer's fields.
func fieldsOf(frame uint32, plaintext, signature int) (starts []int64) {
	end := int64(0)
	if frame == 0 {
		starts = []int64{0, format.IVLength, format.IVLength + 8}
		end = int64(plaintext) + format.NonFramedOverhead
	} else {
		for left := int64(plaintext); ; left -= int64(frame) {
			starts = append(starts, end)
			if left <= int64(frame) {
				end += left + format.FinalOverhead
				break
			}
			end += int64(frame) + format.FrameOverhead
		}
	}
	if signature > 0 {
		starts = append(starts, end, end+2)
	}
	return starts
}

// The offset of an error is the start of the truncated field, not the end of
// the bytes.
func TestOffsetOfCut(t *testing.T) { eachVariant(t, testOffsetOfCut) }

func testOffsetOfCut(t *testing.T) {
	const at, size = 1000, 35
	for _, frame := range []uint32{0, 10, 100} {
		for _, signature := range []int{0, 7} {
			p := testParams(frame)
			body := seal(t, p, pattern(size))
			s := Source{Params: p, Offset: at}
			if signature > 0 {
				s.Verify = func([]byte) error { return nil }
				body = format.AppendFooter(body, pattern(signature))
			}
			starts := fieldsOf(frame, size, signature)
			for cut := range int64(len(body)) {
				want := int64(at)
				for _, start := range starts {
					if start <= cut {
						want = at + start
					}
				}
				for name, read := range readers {
					_, err := read(body[:cut], s)
					e, ok := errors.AsType[*format.Error](err)
					if !ok || !errors.Is(err, io.ErrUnexpectedEOF) || e.Offset != want {
						t.Fatalf("%s, frames of %d, %d of %d bytes: %v, want offset %d", name, frame, cut, len(body), err, want)
					}
				}
			}
		}
	}
}

// A ReaderAt reports a truncated or extended body as a Reader does: with the
// same field and the same offset.
func TestOffsetsOfReaderAt(t *testing.T) {
	const at = 1000
	for _, frame := range []uint32{1, 7, 8, 10, 100} {
		p := testParams(frame)
		for _, size := range []int{0, 1, 9, 10, 11, 20, 35, 100} {
			body := seal(t, p, pattern(size))
			check := func(body []byte, what string) {
				t.Helper()
				_, err := readAll(NewReader(bytes.NewReader(body), Source{Params: p, Offset: at}), 100)
				want, ok := errors.AsType[*format.Error](err)
				if !ok {
					t.Fatalf("frames of %d, %s: Reader: %v", frame, what, err)
				}
				message := append(pattern(at), body...)
				_, err = NewReaderAt(bytes.NewReader(message), at, int64(len(message)), p)
				got, ok := errors.AsType[*format.Error](err)
				if !ok || got.Error() != want.Error() || errors.Is(got, io.ErrUnexpectedEOF) != errors.Is(want, io.ErrUnexpectedEOF) {
					t.Errorf("frames of %d, %s: %v, want %v", frame, what, err, want)
				}
			}
			for cut := range len(body) {
				check(body[:cut], fmt.Sprintf("%d of %d bytes", cut, len(body)))
			}
			for more := range 150 {
				what := fmt.Sprintf("%d bytes behind %d of plaintext", more+1, size)
				check(append(bytes.Clone(body), make([]byte, more+1)...), what)
				check(append(bytes.Clone(body), body[len(body)-min(more+1, len(body)):]...), what+", the last ones again")
				check(append(bytes.Clone(body), body[:min(more+1, len(body))]...), what+", the first ones again")
			}
			starts := fieldsOf(frame, size, 0)
			final := int(starts[len(starts)-1])
			for _, changedAt := range []int{0, 3, 4, 7, 8 + format.IVLength} {
				changed := bytes.Clone(body)
				changed[final+changedAt] ^= 1
				check(changed, fmt.Sprintf("byte %d of the final frame of %d", changedAt, size))
			}
		}
	}
}

// An error about the end of a long body costs only a few short reads.
func TestWrongEndReadsLittle(t *testing.T) {
	p := testParams(10)
	body := seal(t, p, pattern(100_000))
	for _, cut := range []int{len(body) / 2, len(body) - 1} {
		src := &countingAt{r: bytes.NewReader(body)}
		if _, err := NewReaderAt(src, 0, int64(cut), p); !errors.Is(err, io.ErrUnexpectedEOF) || src.calls > 30 || src.bytes > 2*minBuffer {
			t.Errorf("%d of %d bytes: %d calls, %d bytes, %v", cut, len(body), src.calls, src.bytes, err)
		}
	}
}

// A countingAt counts the calls and bytes of reads.
type countingAt struct {
	r            io.ReaderAt
	calls, bytes int
}

func (c *countingAt) ReadAt(p []byte, off int64) (int, error) {
	c.calls++
	c.bytes += len(p)
	return c.r.ReadAt(p, off)
}
