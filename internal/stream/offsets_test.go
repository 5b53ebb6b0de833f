package stream

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"esdk/internal/format"
)

// fieldsOf returns where each field of a body starts that an error can name: the
// frames, or the fields of a body that is not framed, and the footer's fields.
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

// The offset of an error is where the field starts that is cut, and not where the
// bytes end.
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

// A reader of parts names the start of a frame, too.
func TestOffsetOfCutAt(t *testing.T) {
	const size = 35
	p := testParams(10)
	body := seal(t, p, pattern(size))
	starts := fieldsOf(10, size, 0)
	message := append(pattern(1000), body...)
	for cut := range len(body) {
		_, err := NewReaderAt(bytes.NewReader(message[:1000+cut]), 1000, int64(1000+cut), p)
		e, ok := errors.AsType[*format.Error](err)
		if !ok && !errors.Is(err, ErrAuthentication) {
			t.Errorf("%d bytes: %v", cut, err)
		}
		if ok {
			found := false
			for _, start := range starts {
				found = found || e.Offset == 1000+start
			}
			if !found || e.Offset > int64(1000+cut) {
				t.Errorf("%d bytes: %v, which is no start of a frame", cut, err)
			}
		}
	}
}
