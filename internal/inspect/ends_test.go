package inspect_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"esdk"
	"esdk/internal/clienttest"
	"esdk/internal/inspect"
)

// bothWays measures a message by its ends and by a walk.
func bothWays(t *testing.T, message []byte) (ends, walked *inspect.Body) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(message))
	h := clienttest.Must[*esdk.Header](t)(esdk.ParseHeader(r))
	head := inspect.Header{Length: h.Length, FrameLength: h.FrameLength, Signed: h.Suite.Signed()}
	ends, err := inspect.Ends(bytes.NewReader(message), int64(len(message)), head)
	if err != nil {
		t.Fatal(err)
	}
	walked, err = inspect.Walk(r, head, false)
	if err != nil {
		walked = nil
	}
	return ends, walked
}

// The ends of a message give the same result as a walk. If the message is
// truncated or extended, or its end is changed, they accept nothing that a walk
// rejects.
func TestEnds(t *testing.T) {
	for _, id := range esdk.Suites() {
		for _, frame := range []uint32{1, 10, 1000} {
			c := clienttest.New(t, esdk.Config{Suite: id, CommitmentPolicy: clienttest.PolicyFor(id), FrameLength: frame})
			for _, size := range []int{0, 1, 9, 10, 11, 35, 999, 1000, 1001, 3000} {
				message := clienttest.Encrypt(t, c, clienttest.Pattern(size), nil)
				ends, walked := bothWays(t, message)
				if ends == nil || !reflect.DeepEqual(ends, walked) {
					t.Fatalf("%v, %d bytes in frames of %d: %+v, want %+v", id, size, frame, ends, walked)
				}
				if size != 35 {
					continue
				}
				h := clienttest.Must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
				for n := h.Length; n < len(message); n++ {
					if ends, _ := bothWays(t, message[:n]); ends != nil {
						t.Errorf("%v, %d of %d bytes: %+v", id, n, len(message), ends)
					}
				}
				if ends, _ := bothWays(t, append(message, 0)); ends != nil {
					t.Errorf("%v, a byte more: %+v", id, ends)
				}
			}
		}
	}
}

// The number of bytes read depends on the header's length, not on the
// message's.
func TestEndsReadLittle(t *testing.T) {
	for _, id := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512CommitECDSAP384, esdk.AES256GCMHKDFSHA512Commit} {
		for _, frame := range []uint32{1, 4096, 1 << 20} {
			message := clienttest.Encrypt(t, clienttest.New(t, esdk.Config{Suite: id, FrameLength: frame}), clienttest.Pattern(100_000), nil)
			h := clienttest.Must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
			r := &countingReaderAt{Reader: bytes.NewReader(message)}
			body, err := inspect.Ends(r, int64(len(message)), inspect.Header{Length: h.Length, FrameLength: frame, Signed: h.Suite.Signed()})
			if err != nil || body == nil || r.calls > 8 || r.bytes > 200 {
				t.Errorf("%v, frames of %d: %+v, %v; %d reads of %d bytes", id, frame, body, err, r.calls, r.bytes)
			}
		}
	}
	fails := &countingReaderAt{Reader: bytes.NewReader(make([]byte, 1000)), err: io.ErrClosedPipe}
	for _, h := range []inspect.Header{{Length: 100, FrameLength: 100}, {Length: 100}} {
		if _, err := inspect.Ends(fails, 1000, h); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a source that fails: %v", err)
		}
	}
}

type countingReaderAt struct {
	*bytes.Reader
	calls, bytes int
	err          error
}

func (c *countingReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	c.calls++
	c.bytes += len(p)
	if c.err != nil {
		return 0, c.err
	}
	return c.Reader.ReadAt(p, offset)
}

// For any bytes, the ends match a walk or there is no result.
func FuzzEnds(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint32(0), false)
	f.Add(bytes.Repeat([]byte{0xff}, 100), uint16(3), uint32(1), true)
	f.Fuzz(func(t *testing.T, message []byte, length uint16, frame uint32, signed bool) {
		if int(length) > len(message) {
			return
		}
		h := inspect.Header{Length: int(length), FrameLength: frame, Signed: signed}
		ends, err := inspect.Ends(bytes.NewReader(message), int64(len(message)), h)
		if err != nil {
			t.Fatal(err)
		}
		if ends == nil {
			return
		}
		walked, _ := inspect.Walk(bufio.NewReader(bytes.NewReader(message[length:])), h, false)
		if walked != nil && !reflect.DeepEqual(ends, walked) {
			t.Fatalf("%+v, want %+v", ends, walked)
		}
	})
}
