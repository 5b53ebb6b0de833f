package esdk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"

	"esdk"
	"esdk/internal/modeltest"
)

// eofContext ends with io.EOF, once or for good. No context should do that.
type eofContext struct {
	context.Context
	left, times int
}

func (c *eofContext) Err() error {
	if c.left--; c.left < 0 && c.times > 0 {
		c.times--
		return io.EOF
	}
	return nil
}

func decryptsTo(t *testing.T, c *esdk.Client, message, plaintext []byte) bool {
	got, _, err := c.Decrypt(t.Context(), message, nil)
	return err == nil && bytes.Equal(got, plaintext)
}

// A context's io.EOF isn't mistaken for the end of a plaintext or message.
func TestContextOfEOF(t *testing.T) {
	for _, concurrency := range []int{1, 2} {
		c := newClient(t, esdk.Config{Suite: unsigned, Concurrency: concurrency})
		verifying := newClient(t, esdk.Config{Suite: unsigned, Concurrency: concurrency, Release: esdk.VerifyFirst})
		plaintext := pattern(2 << 20)
		message := encrypt(t, c, plaintext, nil)
		spoiled := bytes.Clone(message)
		spoiled[len(spoiled)-1] ^= 1
		for left := range 12 {
			for _, times := range []int{1, 1 << 30} {
				ctx := func() context.Context { return &eofContext{t.Context(), left, times} }
				got, _, err := c.Encrypt(ctx(), plaintext, nil)
				if err == nil && !decryptsTo(t, c, got, plaintext) {
					t.Errorf("Encrypt: %v", err)
				}
				var out bytes.Buffer
				if w, err := c.NewWriter(ctx(), &out, nil); err == nil {
					_, err := w.ReadFrom(slowReader{bytes.NewReader(plaintext)})
					if w.Close() == nil && (err != nil || !decryptsTo(t, c, out.Bytes(), plaintext)) {
						t.Errorf("a part is complete: %v", err)
					}
				}
				if r, err := c.NewReader(ctx(), slowReader{bytes.NewReader(message)}, nil); err == nil {
					if got, err := io.ReadAll(r); err == nil && !bytes.Equal(got, plaintext) {
						t.Errorf("read %d bytes without an error", len(got))
					}
				}
				if _, err := verifying.NewReader(ctx(), bytes.NewReader(spoiled), nil); err == nil {
					t.Error("a message that was changed is verified")
				}
			}
		}
	}
}

// A sink's io.EOF is an error like any other.
func TestSinkOfEOF(t *testing.T) {
	c := newClient(t, esdk.Config{})
	message := encrypt(t, c, pattern(1<<20), nil)
	r := must[*esdk.Reader](t)(c.NewReader(t.Context(), slowReader{bytes.NewReader(message)}, nil))
	if _, err := r.WriteTo(writerFunc(func([]byte) (int, error) { return 0, io.EOF })); err == nil || err == io.EOF {
		t.Errorf("WriteTo: %v", err)
	}
	if got, err := io.ReadAll(r); err == nil {
		t.Errorf("then %d bytes without an error", len(got))
	}
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), writerFunc(func([]byte) (int, error) { return 0, io.EOF }), nil))
	if err := w.Close(); err == nil || err == io.EOF {
		t.Errorf("Close: %v", err)
	}
}

// Re-encrypting a message that isn't read to its end doesn't complete the new
// one.
func TestReencryptPart(t *testing.T) {
	c := newClient(t, esdk.Config{Suite: unsigned})
	message := encrypt(t, c, pattern(2<<20), nil)
	message[len(message)/2] ^= 1
	for name, source := range map[string]func() io.Reader{
		"memory": func() io.Reader { return bytes.NewReader(message) },
		"pieces": func() io.Reader { return slowReader{bytes.NewReader(message)} },
		"panic": func() io.Reader {
			return io.MultiReader(slowReader{bytes.NewReader(message[:1<<20])}, readerFunc(func([]byte) (int, error) { panic("user's code") }))
		},
	} {
		var out bytes.Buffer
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &out, nil))
		r := must[*esdk.Reader](t)(c.NewReader(t.Context(), source(), nil))
		func() {
			defer func() { recover() }()
			if _, err := io.Copy(w, r); err == nil {
				t.Errorf("%s: copied", name)
			}
		}()
		if err := w.Close(); err == nil {
			t.Errorf("%s: a part of the message is complete", name)
		}
	}
}

// A source that panics before its first byte leaves no complete message.
func TestNilSource(t *testing.T) {
	c := newClient(t, esdk.Config{})
	for name, source := range map[string]io.Reader{"bytes.Reader": (*bytes.Reader)(nil), "bytes.Buffer": (*bytes.Buffer)(nil)} {
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, nil))
		panicked := true
		func() {
			defer func() { recover() }()
			w.Write([]byte("half"))
			w.ReadFrom(source)
			panicked = false
		}()
		if err := w.Close(); panicked && err == nil {
			t.Errorf("%s: a part is complete", name)
		}
	}
}

// A source that keeps its slice and changes the bytes in it doesn't make the
// reader skip a frame.
func TestSourceThatChanges(t *testing.T) {
	if modeltest.Race {
		t.Skip("the source races with the library on purpose")
	}
	c := newClient(t, esdk.Config{Suite: unsigned, Concurrency: 4, FrameLength: 1000})
	plaintext := pattern(8 << 20)
	message := encrypt(t, c, plaintext, nil)
	for range 10 {
		src := bytes.NewReader(message)
		var kept []byte
		r := must[*esdk.Reader](t)(c.NewReader(t.Context(), readerFunc(func(p []byte) (int, error) {
			for i := range len(kept) / 4 {
				binary.BigEndian.PutUint32(kept[4*i:], 0x12345678)
			}
			n, err := src.Read(p)
			if kept = nil; n > 200_000 {
				kept = p[n/2 : n]
			}
			return n, err
		}), nil))
		var out bytes.Buffer
		if _, err := r.WriteTo(&out); err == nil && !bytes.Equal(out.Bytes(), plaintext) {
			t.Fatal("frames were passed over without an error")
		} else if !bytes.HasPrefix(plaintext, out.Bytes()) {
			t.Fatalf("misplaced plaintext, and %v", err)
		}
	}
}

// countAt is a source that returns a wrong byte count.
type countAt struct {
	*bytes.Reader
	count func(n int) int
	after int
}

func (s *countAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Reader.ReadAt(p, off)
	if s.after--; s.after < 0 {
		return s.count(len(p)), nil
	}
	return n, err
}

func TestReaderAtImpossibleCounts(t *testing.T) {
	c := newClient(t, esdk.Config{Suite: unsigned, FrameLength: 1000})
	message := encrypt(t, c, pattern(10_000), nil)
	for _, count := range []func(int) int{
		func(int) int { return -1 }, func(n int) int { return n + 1 }, func(int) int { return 0 },
	} {
		for after := range 4 {
			src := &countAt{bytes.NewReader(message), count, after}
			r, err := c.NewReaderAt(t.Context(), src, int64(len(message)), nil)
			if err == nil {
				_, err = r.ReadAt(make([]byte, 5000), 100)
			}
			if asked := src.after < 0; asked && (err == nil || err == io.EOF) {
				t.Errorf("after %d reads: %v", after, err)
			}
		}
	}
}
