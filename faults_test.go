package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"esdk"
	"esdk/caching"
	"esdk/internal/faulttest"
)

// These tests make sources and sinks fail, stall or fall short at every offset
// of messages with each kind of body.

var (
	errSource = errors.New("network is down")
	errSink   = errors.New("disk is full")
)

// bodies are the names of the samples with each kind of body.
var bodies = []string{"0578/framed", "0478/framed", "0478/non-framed", "0378/non-framed"}

// wantCause checks that an error is the error of a source or sink, and isn't
// reported as a fault of the message.
func wantCause(t *testing.T, what string, err error, want ...error) {
	t.Helper()
	var malformed *esdk.FormatError
	if errors.Is(err, esdk.ErrAuthentication) || errors.As(err, &malformed) {
		t.Errorf("%s: the message is blamed: %v", what, err)
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: %v, want one of %v", what, err, want)
}

// wantPart checks that the released plaintext is a part of the whole, and not
// all.
func wantPart(t *testing.T, what string, got, plaintext []byte) {
	t.Helper()
	if !bytes.HasPrefix(plaintext, got) || len(got) == len(plaintext) {
		t.Errorf("%s: released %q of %q", what, got, plaintext)
	}
}

// stutter returns no bytes before each read.
type stutter struct {
	io.Reader
	had bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.had = !s.had; s.had {
		return 0, nil
	}
	return s.Reader.Read(p)
}

// failing are sources of data that end in an error, each in its own way.
var failing = map[string]func(data []byte) io.Reader{
	"after the data":  failAfter,
	"with the data":   func(b []byte) io.Reader { return iotest.DataErrReader(failAfter(b)) },
	"byte by byte":    func(b []byte) io.Reader { return iotest.OneByteReader(failAfter(b)) },
	"with the byte":   func(b []byte) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(failAfter(b))) },
	"between nothing": func(b []byte) io.Reader { return &stutter{Reader: failAfter(b)} },
}

func failAfter(data []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(data), iotest.ErrReader(errSource))
}

// eachOffset runs a test with each kind of body. Then it checks that the client
// still works and that no goroutine is left.
func eachOffset(t *testing.T, test func(t *testing.T, c *esdk.Client, s sample)) {
	for _, name := range bodies {
		t.Run(name, func(t *testing.T) {
			s, c := sampleOf(t, name), reader(t)
			before := runtime.NumGoroutine()
			test(t, c, s)
			wantDecrypts(t, c, s.message, nil, s.plaintext)
			waitForGoroutines(t, before)
		})
	}
}

func TestSourceFailsAnywhere(t *testing.T) {
	eachOffset(t, func(t *testing.T, c *esdk.Client, s sample) {
		first := newClient(t, esdk.Config{Release: esdk.VerifyFirst, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
		for n := range len(s.message) + 1 {
			for how, source := range failing {
				what := fmt.Sprintf("byte %d, %s", n, how)
				got, err := decryptStream(t, c, source(s.message[:n]), nil)
				wantCause(t, what, err, errSource)
				wantPart(t, what, got, s.plaintext)
				var written bytes.Buffer
				err = copyPlaintext(t, c, &written, source(s.message[:n]))
				wantCause(t, what, err, errSource)
				wantPart(t, what, written.Bytes(), s.plaintext)
				r, err := first.NewReader(t.Context(), source(s.message[:n]), nil)
				if wantCause(t, what, err, errSource); r != nil {
					t.Errorf("%s: NewReader has a reader", what)
				}
			}
		}
	})
}

// copyPlaintext decrypts with WriteTo.
func copyPlaintext(t *testing.T, c *esdk.Client, dst io.Writer, src io.Reader) error {
	r, err := c.NewReader(t.Context(), src, nil)
	if err == nil {
		_, err = r.WriteTo(dst)
	}
	return err
}

// A source that returns short reads but everything in the end is as good as
// any.
func TestSourceFallsShort(t *testing.T) {
	eachOffset(t, func(t *testing.T, c *esdk.Client, s sample) {
		for name, source := range map[string]func(io.Reader) io.Reader{
			"bytes":      iotest.OneByteReader,
			"last byte":  func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
			"nothing":    func(r io.Reader) io.Reader { return &stutter{Reader: r} },
			"everything": iotest.DataErrReader,
		} {
			if got, err := decryptStream(t, c, source(bytes.NewReader(s.message)), nil); err != nil || !bytes.Equal(got, s.plaintext) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	})
}

// Ending the context and closing the source releases a stalled reader. It fails
// with either error.
func TestSourceStallsAnywhere(t *testing.T) {
	eachOffset(t, func(t *testing.T, c *esdk.Client, s sample) {
		for n := range s.message {
			ctx, cancel := context.WithCancel(t.Context())
			source, sink := io.Pipe()
			go func() {
				sink.Write(s.message[:n]) // returns once everything is read
				cancel()
				source.Close()
			}()
			var got bytes.Buffer
			r, err := c.NewReader(ctx, source, nil)
			if err == nil {
				_, err = r.WriteTo(&got)
			}
			wantCause(t, fmt.Sprint("byte ", n), err, io.ErrClosedPipe, context.Canceled)
			wantPart(t, fmt.Sprint("byte ", n), got.Bytes(), s.plaintext)
		}
	})
}

// brokenSink takes room bytes and then calls then. It must not be written to
// after that.
type brokenSink struct {
	bytes.Buffer
	room   int
	then   func(taken int, p []byte) (int, error)
	broken int // writes since
}

func (s *brokenSink) Write(p []byte) (int, error) {
	if len(p) > s.room || s.broken > 0 {
		s.broken++
		n, _ := s.Buffer.Write(p[:min(s.room, len(p))])
		return s.then(n, p)
	}
	s.room -= len(p)
	return s.Buffer.Write(p)
}

// breaks are ways in which a sink fails to take everything, and their errors.
var breaks = map[string]struct {
	then func(taken int, p []byte) (int, error)
	want error
}{
	"fails":               {func(n int, _ []byte) (int, error) { return n, errSink }, errSink},
	"fails and took none": {func(int, []byte) (int, error) { return 0, errSink }, errSink},
	"fails and took all":  {func(_ int, p []byte) (int, error) { return len(p), errSink }, errSink},
	"is silent":           {func(n int, _ []byte) (int, error) { return n, nil }, io.ErrShortWrite},
}

func TestSinkOfPlaintextFailsAnywhere(t *testing.T) {
	eachOffset(t, func(t *testing.T, c *esdk.Client, s sample) {
		for how, b := range breaks {
			for n := range s.plaintext {
				sink := &brokenSink{room: n, then: b.then}
				err := copyPlaintext(t, c, sink, bytes.NewReader(s.message))
				wantCause(t, how, err, b.want)
				wantPart(t, how, sink.Bytes(), s.plaintext)
				if sink.broken != 1 {
					t.Errorf("%s after %d bytes: written to %d times more", how, n, sink.broken-1)
				}
			}
		}
	})
}

// After a sink failed at any offset, its content doesn't decrypt, and every
// call of Close says so. A sink that fails late fails only in Close.
func TestSinkOfMessageFailsAnywhere(t *testing.T) {
	plaintext := pattern(100)
	// A signature on P-256 is fast.
	for _, id := range []esdk.SuiteID{unsigned, esdk.AES128GCMHKDFSHA256ECDSAP256} {
		c := newClient(t, esdk.Config{Suite: id, FrameLength: 16, CommitmentPolicy: policyOf(id)})
		before := runtime.NumGoroutine()
		total := len(encrypt(t, c, plaintext, nil))
		for how, b := range breaks {
			for n := range total {
				sink := &brokenSink{room: n, then: b.then}
				w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), sink, nil))
				if n%2 == 0 {
					w.Write(plaintext)
				} else {
					w.ReadFrom(iotest.HalfReader(bytes.NewReader(plaintext)))
				}
				for range 2 {
					wantCause(t, fmt.Sprint(how, " after ", n), w.Close(), b.want)
				}
				if sink.broken != 1 {
					t.Errorf("%s after %d bytes: written to %d times more", how, n, sink.broken-1)
				}
				wantRefused(t, c, sink.Bytes(), nil, io.ErrUnexpectedEOF)
			}
		}
		wantDecrypts(t, c, encryptStream(t, c, plaintext, nil), nil, plaintext)
		waitForGoroutines(t, before)
	}
}

func policyOf(id esdk.SuiteID) esdk.CommitmentPolicy {
	if id == unsigned || id == signed {
		return esdk.RequireEncryptRequireDecrypt
	}
	return esdk.ForbidEncryptAllowDecrypt
}

// A plaintext that ends in an error isn't mistaken for a complete one.
func TestSourceOfPlaintextFailsAnywhere(t *testing.T) {
	plaintext := pattern(100)
	for _, id := range []esdk.SuiteID{unsigned, signed} {
		c := newClient(t, esdk.Config{Suite: id, FrameLength: 16})
		before := runtime.NumGoroutine()
		for n := range len(plaintext) + 1 {
			for how, source := range failing {
				var out bytes.Buffer
				w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &out, nil))
				read, err := w.ReadFrom(source(plaintext[:n]))
				wantCause(t, how, err, errSource)
				wantCause(t, how, w.Close(), errSource)
				if read != int64(n) {
					t.Errorf("%s: read %d bytes of %d", how, read, n)
				}
				wantRefused(t, c, out.Bytes(), nil, io.ErrUnexpectedEOF)
			}
		}
		waitForGoroutines(t, before)
	}
}

// A stalled sink is released in the same way.
func TestSinkStallsAnywhere(t *testing.T) {
	stall := func(n int, run func(context.Context, io.Writer) error) (got []byte, err error) {
		ctx, cancel := context.WithCancel(t.Context())
		source, sink := io.Pipe()
		taken := make(chan []byte)
		go func() {
			part := make([]byte, n)
			io.ReadFull(source, part)
			cancel()
			source.Close()
			taken <- part
		}()
		err = run(ctx, sink)
		return <-taken, err
	}
	eachOffset(t, func(t *testing.T, c *esdk.Client, s sample) {
		for n := range s.plaintext {
			got, err := stall(n, func(ctx context.Context, sink io.Writer) error {
				r, err := c.NewReader(ctx, bytes.NewReader(s.message), nil)
				if err == nil {
					_, err = r.WriteTo(sink)
				}
				return err
			})
			wantCause(t, fmt.Sprint("byte ", n), err, io.ErrClosedPipe, context.Canceled)
			wantPart(t, fmt.Sprint("byte ", n), got, s.plaintext)
		}
	})
	c := newClient(t, esdk.Config{Suite: unsigned, FrameLength: 16})
	before := runtime.NumGoroutine()
	for n := range encrypt(t, c, pattern(50), nil) {
		got, err := stall(n, func(ctx context.Context, sink io.Writer) error {
			w, err := c.NewWriter(ctx, sink, nil)
			if err == nil {
				w.Write(pattern(50))
				err = w.Close()
			}
			return err
		})
		wantCause(t, fmt.Sprint("byte ", n), err, io.ErrClosedPipe, context.Canceled)
		wantRefused(t, c, got, nil, io.ErrUnexpectedEOF)
	}
	waitForGoroutines(t, before)
}

// holedReaderAt, while armed, fails every read that includes the byte at an
// offset.
type holedReaderAt struct {
	*bytes.Reader
	at    int64
	armed bool
	hit   bool
}

func (h *holedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if !h.armed || off > h.at || off+int64(len(p)) <= h.at {
		return h.Reader.ReadAt(p, off)
	}
	h.hit = true
	n, _ := h.Reader.ReadAt(p[:h.at-off], off)
	return n, errSource
}

// A part that can't be read now can be read later with the same ReaderAt.
func TestReaderAtSourceFailsAnywhere(t *testing.T) {
	s := sampleOf(t, "0478/framed")
	c := reader(t)
	for n := range s.message {
		what := fmt.Sprint("byte ", n)
		source := &holedReaderAt{Reader: bytes.NewReader(s.message), at: int64(n), armed: true}
		if _, err := c.NewReaderAt(t.Context(), source, int64(len(s.message)), nil); n < s.header || err != nil {
			wantCause(t, what, err, errSource)
		}
		source.armed = false
		r := must[*esdk.ReaderAt](t)(c.NewReaderAt(t.Context(), source, int64(len(s.message)), nil))
		for part := range s.plaintext {
			got := make([]byte, len(s.plaintext)-part)
			source.armed, source.hit = true, false
			if m, err := r.ReadAt(got, int64(part)); source.hit {
				wantCause(t, what, err, errSource)
				wantPart(t, what, got[:m], s.plaintext[part:])
			}
			source.armed = false
			if m, err := r.ReadAt(got, int64(part)); m != len(got) || err != nil || !bytes.Equal(got, s.plaintext[part:]) {
				t.Errorf("%s: again: %d bytes, %v", what, m, err)
			}
		}
	}
}

// A context that ends at any step ends the call with exactly its error. The
// next call works normally.
func TestContextEndsAnywhere(t *testing.T) {
	for name, config := range cancelled(t) {
		t.Run(name, func(t *testing.T) {
			plaintext := pattern(1000)
			if config.Concurrency = 2; name == "AES" || name == "signed" {
				plaintext = pattern(mib + mib/2) // some batches
			}
			c := newClient(t, config)
			message := encrypt(t, c, plaintext, sampleContext)
			for call, run := range calls(c, message, plaintext) {
				before := runtime.NumGoroutine()
				steps := 0
				for done := false; !done; steps++ {
					ctx := faulttest.NewCountdown(t.Context(), steps)
					got, err := run(ctx)
					ctx.Cancel()
					if done = err == nil; done {
						if !bytes.Equal(got, plaintext) {
							t.Errorf("%s: another plaintext after %d steps", call, steps)
						}
					} else {
						wantCause(t, call, err, context.Canceled)
						wantPart(t, call, got, plaintext)
					}
				}
				if _, err := run(t.Context()); err != nil {
					t.Errorf("%s: the next call: %v", call, err)
				}
				if steps < 2 {
					t.Errorf("%s never asks its context", call)
				}
				waitForGoroutines(t, before)
			}
		})
	}
}

// cancelled are the CMMs and keyrings that pass a context on.
func cancelled(t *testing.T) map[string]esdk.Config {
	kr := testKeyring(t)
	cachingCMM := func(cache caching.Cache) esdk.CMM {
		return must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: polite{kr}, Cache: cache, MaxAge: 2, MaxMessages: 1}))
	}
	return map[string]esdk.Config{
		"AES":           {Keyring: kr, Suite: unsigned},
		"signed":        {Keyring: kr, Suite: signed, Release: esdk.VerifyFirst},
		"multi":         {Keyring: must[esdk.Keyring](t)(esdk.NewMultiKeyring(polite{kr}, polite{kr})), Suite: unsigned},
		"required":      {CMM: must[esdk.CMM](t)(esdk.NewRequiredContextCMM(defaultCMM(t), "k")), Suite: unsigned},
		"cache":         {CMM: cachingCMM(must[caching.Cache](t)(caching.NewLRU(10))), Suite: unsigned, MaxPlaintextLength: mib},
		"storm's cache": {CMM: cachingCMM(must[caching.Cache](t)(caching.NewStormTracking(caching.StormTrackingConfig{GracePeriod: 1, GraceInterval: 1, InFlightTTL: 1}))), Suite: unsigned, MaxPlaintextLength: mib},
	}
}

// polite is a keyring that checks its context first, as key services do.
type polite struct{ esdk.Keyring }

func (p polite) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Keyring.Wrap(ctx, req)
}

func (p polite) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.Keyring.Unwrap(ctx, req)
}

// calls are all calls that take a context. Each returns the plaintext that it
// read or wrote, up to an error if there is one.
func calls(c *esdk.Client, message, plaintext []byte) map[string]func(context.Context) ([]byte, error) {
	return map[string]func(context.Context) ([]byte, error){
		"Encrypt": func(ctx context.Context) ([]byte, error) {
			_, _, err := c.Encrypt(ctx, plaintext, sampleContext)
			return unless(err, plaintext), err
		},
		"Decrypt": func(ctx context.Context) ([]byte, error) {
			got, _, err := c.Decrypt(ctx, message, sampleContext)
			return got, err
		},
		"Write": func(ctx context.Context) ([]byte, error) {
			return write(ctx, c, plaintext, func(w *esdk.Writer) error { _, err := w.Write(plaintext); return err })
		},
		"ReadFrom": func(ctx context.Context) ([]byte, error) {
			return write(ctx, c, plaintext, func(w *esdk.Writer) error {
				_, err := w.ReadFrom(struct{ io.Reader }{bytes.NewReader(plaintext)})
				return err
			})
		},
		"Read": func(ctx context.Context) ([]byte, error) {
			r, err := c.NewReader(ctx, strings.NewReader(string(message)), sampleContext)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		"WriteTo": func(ctx context.Context) ([]byte, error) {
			r, err := c.NewReader(ctx, strings.NewReader(string(message)), sampleContext)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			_, err = r.WriteTo(&out)
			return out.Bytes(), err
		},
		"ReadAt": func(ctx context.Context) ([]byte, error) {
			r, err := c.NewReaderAt(ctx, bytes.NewReader(message), int64(len(message)), sampleContext)
			if err != nil {
				return nil, err
			}
			got := make([]byte, r.Size())
			n, err := r.ReadAt(got, 0)
			return got[:n], err
		},
	}
}

func unless(err error, plaintext []byte) []byte {
	if err != nil {
		return nil
	}
	return plaintext
}

// write encrypts with a Writer and decrypts the result.
func write(ctx context.Context, c *esdk.Client, plaintext []byte, fill func(*esdk.Writer) error) ([]byte, error) {
	var out bytes.Buffer
	w, err := c.NewWriter(ctx, &out, sampleContext)
	if err != nil {
		return nil, err
	}
	err = errors.Join(fill(w), w.Close())
	got, _, decryptErr := c.Decrypt(context.Background(), out.Bytes(), sampleContext)
	if err == nil {
		err = decryptErr
	}
	return got, err
}
