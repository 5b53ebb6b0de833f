package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

func readerAt(t testing.TB, c *esdk.Client, message []byte) *esdk.ReaderAt {
	t.Helper()
	return must[*esdk.ReaderAt](t)(c.NewReaderAt(t.Context(), bytes.NewReader(message), int64(len(message)), nil))
}

func TestReaderAt(t *testing.T) {
	for _, cores := range []int{1, 2, 8} {
		for _, frame := range []int{1, 7, 4096, 100_000, 1_000_000} {
			client := newClient(t, esdk.Config{Suite: unsigned, FrameLength: uint32(frame), Concurrency: cores})
			for _, size := range []int{0, 1, frame - 1, frame, frame + 1, 3 * frame, 3*frame + frame/2, 1000 * frame} {
				if size > 4_000_000 {
					continue
				}
				plaintext := pattern(size)
				r := readerAt(t, client, encrypt(t, client, plaintext, nil))
				if r.Size() != int64(size) || r.Header().Suite != unsigned {
					t.Errorf("frame %d, %d bytes: size %d, %v", frame, size, r.Size(), r.Header().Suite)
				}
				checkParts(t, r, plaintext)
			}
		}
	}
}

// checkParts compares parts of a plaintext, from a byte to all of it.
func checkParts(t *testing.T, r io.ReaderAt, plaintext []byte) {
	t.Helper()
	size := len(plaintext)
	for range 50 {
		off := rand.IntN(size + 1)
		n := rand.IntN(min(size-off+10, 1<<(1+rand.IntN(22))))
		want := plaintext[off:min(off+n, size)]
		got := make([]byte, n)
		m, err := r.ReadAt(got, int64(off))
		if m != len(want) || !bytes.Equal(got[:m], want) {
			t.Fatalf("%d bytes from %d of %d: %d bytes", n, off, size, m)
		}
		if atEnd := m < n || off == size; (err == io.EOF) != atEnd || err != nil && err != io.EOF {
			t.Fatalf("%d bytes from %d of %d: %v", n, off, size, err)
		}
	}
	for _, off := range []int64{int64(size), int64(size) + 1, 1 << 62} {
		if n, err := r.ReadAt(make([]byte, 1), off); n != 0 || err != io.EOF {
			t.Errorf("from %d of %d: %d, %v", off, size, n, err)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("from -1: %v", err)
	}
}

func TestReaderAtAsReader(t *testing.T) {
	client := newClient(t, esdk.Config{Suite: unsigned, FrameLength: 10})
	plaintext := pattern(105)
	r := readerAt(t, client, encrypt(t, client, plaintext, nil))
	if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), plaintext); err != nil {
		t.Error(err)
	}
}

// All unsigned suites work, and so do messages of other SDKs, whose final frame
// may be empty.
func TestReaderAtMessages(t *testing.T) {
	for _, s := range suite.All {
		if s.Signs() {
			continue
		}
		f := newForger(t, s, 10, nil)
		plaintext := pattern(30)
		message := f.message(t, f.regular(1, plaintext[:10]), f.regular(2, plaintext[10:20]), f.regular(3, plaintext[20:]), f.final(4, nil))
		client := newClient(t, esdk.Config{CommitmentPolicy: policyFor(s)})
		checkParts(t, readerAt(t, client, message), plaintext)
	}
}

func TestReaderAtRefuses(t *testing.T) {
	refuse := func(what string, c esdk.Config, message []byte, size int64, want func(error) bool) {
		t.Helper()
		r, err := newClient(t, c).NewReaderAt(t.Context(), bytes.NewReader(message), size, nil)
		if r != nil || err == nil || !want(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	whole := func(b []byte) int64 { return int64(len(b)) }

	sign := encrypt(t, newClient(t, esdk.Config{}), pattern(100), nil)
	kr := &countingKeyring{Keyring: testKeyring(t)}
	refuse("signed", esdk.Config{Keyring: kr}, sign, whole(sign), is(esdk.ErrSigned))
	refuse("signed", esdk.Config{Keyring: kr, Release: esdk.RejectSigned}, sign, whole(sign), is(esdk.ErrSigned))
	if n := kr.unwraps.Load(); n != 0 {
		t.Errorf("%d calls of the keyring for a signed message", n)
	}
	client := newClient(t, esdk.Config{Suite: unsigned, FrameLength: 10})
	message := encrypt(t, client, pattern(105), nil)
	refuse("limit", esdk.Config{MaxPlaintextLength: 104}, message, whole(message), is(esdk.ErrLimit))
	refuse("frame limit", esdk.Config{MaxFrameLength: 9}, message, whole(message), is(esdk.ErrLimit))
	says := func(text string) func(error) bool {
		return func(err error) bool { return strings.Contains(err.Error(), text) }
	}
	refuse("negative size", esdk.Config{}, message, -1, says("negative size"))
	refuse("size beyond the source", esdk.Config{}, message, whole(message)+42, is(io.ErrUnexpectedEOF))
	f := newForger(t, suite.Lookup(0x0478), 0, nil)
	single := f.message(t, f.nonFramed(pattern(100)))
	refuse("not framed", esdk.Config{}, single, whole(single), says("not framed"))

	ctx, cancel := context.WithCancel(t.Context())
	r, err := client.NewReaderAt(ctx, bytes.NewReader(message), whole(message), nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := r.ReadAt(make([]byte, 50), 0); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %d, %v", n, err)
	}
}

// A truncated or extended message is rejected at once, with a Reader's error.
func TestReaderAtWrongLength(t *testing.T) {
	suites := map[string]esdk.Config{
		"version 1": {Suite: esdk.AES256GCMHKDFSHA256, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt, FrameLength: 10},
		"version 2": {Suite: unsigned, FrameLength: 10},
	}
	for version, config := range suites {
		for _, size := range []int{0, 5, 10, 30, 35} {
			client := newClient(t, config)
			message := encrypt(t, client, pattern(size), nil)
			check := func(what string, message []byte) {
				t.Helper()
				_, err := decryptStream(t, client, bytes.NewReader(message), nil)
				want, ok := errors.AsType[*esdk.FormatError](err)
				r, err := client.NewReaderAt(t.Context(), bytes.NewReader(message), int64(len(message)), nil)
				got, alsoOK := errors.AsType[*esdk.FormatError](err)
				if r != nil || !ok || !alsoOK || got.Error() != want.Error() {
					t.Errorf("%s, %s: %v, want %v", version, what, err, want)
				}
			}
			for n := range message {
				check(fmt.Sprintf("%d of %d bytes", n, len(message)), message[:n])
			}
			for more := range 200 {
				check(fmt.Sprintf("%d more bytes", more+1), append(bytes.Clone(message), make([]byte, more+1)...))
				again := message[len(message)-min(more+1, len(message)):]
				check(fmt.Sprintf("%d bytes of its end again", more+1), append(bytes.Clone(message), again...))
			}
		}
	}
}

// A changed byte spoils only its own frame, and none of that frame is returned.
func TestReaderAtFlippedBits(t *testing.T) {
	const frame = 10
	client := newClient(t, esdk.Config{Suite: unsigned, FrameLength: frame})
	plaintext := pattern(95)
	message := encrypt(t, client, plaintext, nil)
	head := readerAt(t, client, message).Header().Length
	for i := head; i < len(message); i++ {
		bad := bytes.Clone(message)
		bad[i] ^= 1
		spoiled := min((i-head)/(frame+format.FrameOverhead), 9)
		r, err := client.NewReaderAt(t.Context(), bytes.NewReader(bad), int64(len(bad)), nil)
		if spoiled == 9 {
			if err == nil {
				t.Errorf("byte %d of the final frame: no error", i)
			}
			continue
		}
		got := make([]byte, len(plaintext))
		n, err := r.ReadAt(got, 0)
		if err == nil || err == io.EOF || n > spoiled*frame || !bytes.Equal(got, append(bytes.Clone(plaintext[:n]), make([]byte, len(got)-n)...)) {
			t.Errorf("byte %d: %d bytes, %v: %q", i, n, err, got)
		}
		for k := range 10 {
			part := make([]byte, min(frame, len(plaintext)-k*frame))
			_, err := r.ReadAt(part, int64(k*frame))
			if ok := err == nil && bytes.Equal(part, plaintext[k*frame:][:len(part)]); ok == (k == spoiled) {
				t.Errorf("byte %d: frame %d: %v", i, k, err)
			}
		}
	}
}

// Under VerifyFirst, signed messages can be read too, after the whole message
// was verified.
func TestReaderAtVerifyFirst(t *testing.T) {
	for _, id := range []esdk.SuiteID{signed, unsigned} {
		client := newClient(t, esdk.Config{Suite: id, FrameLength: 10, Release: esdk.VerifyFirst})
		plaintext := pattern(105)
		message := encrypt(t, client, plaintext, nil)
		checkParts(t, readerAt(t, client, message), plaintext)
		// The source may be longer than the message.
		longer := bytes.NewReader(append(bytes.Clone(message), pattern(100)...))
		checkParts(t, must[*esdk.ReaderAt](t)(client.NewReaderAt(t.Context(), longer, int64(len(message)), nil)), plaintext)
		for i := range message {
			bad := bytes.Clone(message)
			bad[i] ^= 1
			if r, err := client.NewReaderAt(t.Context(), bytes.NewReader(bad), int64(len(bad)), nil); r != nil || err == nil {
				t.Errorf("%v: byte %d: no error", id, i)
			}
		}
	}
}

func TestReaderAtConcurrently(t *testing.T) {
	client := newClient(t, esdk.Config{Suite: unsigned})
	plaintext := pattern(1_500_000)
	r := readerAt(t, client, encrypt(t, client, plaintext, nil))
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { checkParts(t, r, plaintext) })
	}
	group.Wait()
}

// hugeMessage is a message of zeros that makes its frames when they are read,
// and counts the bytes read.
type hugeMessage struct {
	*forger
	plaintext int64
	read      atomic.Int64
}

const hugeFrame = 4096

func (m *hugeMessage) regularFrames() int64 { return (m.plaintext - 1) / hugeFrame }

func (m *hugeMessage) size() int64 {
	return int64(len(m.head())) + m.plaintext + m.regularFrames()*format.FrameOverhead + format.FinalOverhead
}

func (m *hugeMessage) ReadAt(p []byte, off int64) (n int, err error) {
	defer func() { m.read.Add(int64(n)) }()
	for n < len(p) {
		part := m.partAt(off + int64(n))
		if len(part) == 0 {
			return n, io.EOF
		}
		n += copy(p[n:], part)
	}
	return n, nil
}

// partAt returns the rest of the header or frame at an offset.
func (m *hugeMessage) partAt(off int64) []byte {
	head := m.head()
	if off < int64(len(head)) {
		return head[off:]
	}
	off -= int64(len(head))
	const size = hugeFrame + format.FrameOverhead
	index := min(off/size, m.regularFrames())
	zeros := make([]byte, min(hugeFrame, m.plaintext-index*hugeFrame))
	frame := m.regular(uint32(index+1), zeros)
	if index == m.regularFrames() {
		frame = m.final(uint32(index+1), zeros)
	}
	return frame[min(off-index*size, int64(len(frame))):]
}

// A short read of a 10 GiB message touches one or two frames.
func TestReaderAtReadsLittle(t *testing.T) {
	m := &hugeMessage{forger: newForger(t, suite.Lookup(0x0478), hugeFrame, nil), plaintext: 10 << 30}
	client := newClient(t, esdk.Config{})
	r, err := client.NewReaderAt(t.Context(), m, m.size(), nil)
	if err != nil || r.Size() != m.plaintext {
		t.Fatal(err)
	}
	if n := m.read.Swap(0); n > 4096+2*(hugeFrame+format.FinalOverhead) {
		t.Errorf("%d bytes to open the message", n)
	}
	for range 100 {
		got := bytes.Repeat([]byte{1}, 4096)
		off := rand.Int64N(m.plaintext - 4096)
		if n, err := r.ReadAt(got, off); n != 4096 || err != nil || !bytes.Equal(got, make([]byte, 4096)) {
			t.Fatalf("at %d: %d, %v", off, n, err)
		}
		if n := m.read.Swap(0); n > 2*(hugeFrame+format.FrameOverhead) {
			t.Errorf("%d bytes to read 4096 at %d", n, off)
		}
	}
	// Sequential reads continue where the last one ended, and read each frame
	// once.
	const total = 1 << 20
	if n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.NewSectionReader(r, 5<<30+17, total)}, make([]byte, 1000)); n != total || err != nil {
		t.Fatal(n, err)
	}
	if n := m.read.Swap(0); n > total+total/16 {
		t.Errorf("%d bytes to read %d in order", n, total)
	}
}

func FuzzReaderAt(f *testing.F) {
	client := newClient(f, esdk.Config{Suite: unsigned, FrameLength: 10})
	plaintext := pattern(45)
	message := encrypt(f, client, plaintext, nil)
	head := readerAt(f, client, message).Header().Length
	f.Add(message[head:], int64(0), uint8(100))
	f.Add(message[head:], int64(40), uint8(3))
	f.Add(message[head:len(message)-42], int64(12), uint8(20))
	f.Fuzz(func(t *testing.T, body []byte, off int64, n uint8) {
		m := append(bytes.Clone(message[:head]), body...)
		r, err := client.NewReaderAt(t.Context(), bytes.NewReader(m), int64(len(m)), nil)
		if err != nil {
			return
		}
		if r.Size() != int64(len(plaintext)) {
			t.Fatalf("another size: %d", r.Size())
		}
		got := make([]byte, n)
		read, err := r.ReadAt(got, off)
		if read > 0 && !bytes.Equal(got[:read], plaintext[off:][:read]) {
			t.Fatalf("%d bytes from %d: %q, %v", n, off, got[:read], err)
		}
	})
}
