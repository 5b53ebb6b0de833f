package esdk_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"esdk"
)

// If a source or sink panics or ends its goroutine, no Close, not even a
// deferred one, may complete a message from a part of the plaintext.
func TestInterruptedWriter(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 5 << 20} {
		for how, interrupt := range map[string]func(){"panic": func() { panic("user's code") }, "Goexit": runtime.Goexit} {
			for _, concurrency := range []int{1, 2} {
				var message bytes.Buffer
				c := newClient(t, esdk.Config{Concurrency: concurrency})
				w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { recover() }()
					defer w.Close()
					w.ReadFrom(io.MultiReader(slowReader{bytes.NewReader(pattern(size))}, readerFunc(func([]byte) (int, error) {
						interrupt()
						return 0, nil
					})))
				}()
				<-done
				if err := w.Close(); err == nil {
					t.Errorf("%s after %d bytes: Close says that the message is complete", how, size)
				}
				if plaintext, _, err := c.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
					t.Errorf("%s after %d bytes: decrypts to %d bytes", how, size, len(plaintext))
				}
			}
		}
	}
}

// A sink that panics in Close leaves an incomplete message, and a second Close
// says so.
func TestInterruptedClose(t *testing.T) {
	w := must[*esdk.Writer](t)(newClient(t, esdk.Config{}).NewWriter(t.Context(), writerFunc(func([]byte) (int, error) { panic("user's code") }), nil))
	func() {
		defer func() { recover() }()
		w.Close()
	}()
	if err := w.Close(); err == nil {
		t.Error("Close after a Close that panicked returns no error")
	}
}

// A Reader doesn't continue past bytes that a sink didn't take.
func TestInterruptedReader(t *testing.T) {
	c := newClient(t, esdk.Config{})
	message := encrypt(t, c, pattern(1<<20), nil)
	for name, sink := range map[string]io.Writer{
		"panic": writerFunc(func([]byte) (int, error) { panic("user's code") }),
		"error": writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }),
	} {
		r := must[*esdk.Reader](t)(c.NewReader(t.Context(), slowReader{bytes.NewReader(message)}, nil))
		func() {
			defer func() { recover() }()
			r.WriteTo(sink)
		}()
		if n, err := r.WriteTo(io.Discard); n != 0 || err == nil {
			t.Errorf("%s: then %d bytes, %v", name, n, err)
		}
		if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
			t.Errorf("%s: then %d bytes, %v", name, n, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// slowReader hides all other methods of a reader.
type slowReader struct{ io.Reader }

// A Reader whose sink failed returns the error again, and releases nothing
// twice.
func TestReaderAfterFailedSink(t *testing.T) {
	errFull := errors.New("disk is full")
	message := encrypt(t, newClient(t, esdk.Config{FrameLength: 1000}), pattern(3000), nil)
	inMemory := func() io.Reader { return bytes.NewReader(message) }
	plain := func() io.Reader { return iotest.HalfReader(bytes.NewReader(message)) }
	for name, test := range map[string]struct {
		release esdk.ReleasePolicy
		open    func() io.Reader
	}{
		"bytes.Reader":              {esdk.VerifyAtEOF, inMemory},
		"reader":                    {esdk.VerifyAtEOF, plain},
		"bytes.Reader, VerifyFirst": {esdk.VerifyFirst, inMemory},
		"reader, VerifyFirst":       {esdk.VerifyFirst, plain},
	} {
		c := newClient(t, esdk.Config{Release: test.release})
		for _, room := range []int{0, 100, 1000, 2999} {
			r := must[*esdk.Reader](t)(c.NewReader(t.Context(), test.open(), nil))
			if n, err := r.WriteTo(&limitedWriter{room, errFull}); n != int64(room) || err != errFull {
				t.Errorf("%s: WriteTo with room for %d: %d, %v", name, room, n, err)
			}
			if rest, err := io.ReadAll(r); len(rest) > 0 || err != errFull {
				t.Errorf("%s: after %d bytes came %d more, %v", name, room, len(rest), err)
			}
		}
	}
}

// A stalled source returns no bytes after a start.
type stalled struct {
	io.Reader
	reads int
}

func (s *stalled) Read(p []byte) (int, error) {
	if n, _ := s.Reader.Read(p); n > 0 {
		return n, nil
	}
	if s.reads++; s.reads > 10_000 {
		return 0, errors.New("read ten thousand times")
	}
	return 0, nil
}

// A source that keeps returning no bytes is given up: no call loops.
func TestStalledSource(t *testing.T) {
	c := newClient(t, esdk.Config{FrameLength: 1000})
	message := encrypt(t, c, pattern(3000), nil)
	for _, n := range []int{0, 1, 20, len(message) / 2, len(message) - 1} {
		if _, err := decryptStream(t, c, &stalled{Reader: bytes.NewReader(message[:n])}, nil); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("reading after %d bytes: %v", n, err)
		}
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, nil))
		if _, err := w.ReadFrom(&stalled{Reader: bytes.NewReader(message[:n])}); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("writing after %d bytes: %v", n, err)
		}
	}
}
