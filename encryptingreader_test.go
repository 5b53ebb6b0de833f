package esdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"esdk"
)

var (
	_ io.ReadCloser = (*esdk.EncryptingReader)(nil)
	_ io.WriterTo   = (*esdk.EncryptingReader)(nil)
)

// However a message is read, and however its source returns the plaintext, it
// decrypts to the whole plaintext and has the announced size.
func TestEncryptingReader(t *testing.T) {
	sources := map[string]func(p []byte) io.Reader{
		"bytes.Reader": func(p []byte) io.Reader { return bytes.NewReader(p) },
		"buffer":       func(p []byte) io.Reader { return bytes.NewBuffer(p) },
		"pieces":       func(p []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(p)) },
		"with the end": func(p []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(p)) },
	}
	reads := map[string]func(r *esdk.EncryptingReader) ([]byte, error){
		"Read": func(r *esdk.EncryptingReader) ([]byte, error) { return io.ReadAll(onlyReader{r}) },
		"bytes": func(r *esdk.EncryptingReader) ([]byte, error) {
			return io.ReadAll(iotest.OneByteReader(onlyReader{r}))
		},
		"WriteTo": func(r *esdk.EncryptingReader) ([]byte, error) {
			var b bytes.Buffer
			n, err := r.WriteTo(&b)
			if n != int64(b.Len()) {
				err = fmt.Errorf("WriteTo returned %d, and wrote %d: %w", n, b.Len(), err)
			}
			return b.Bytes(), err
		},
		"some, then WriteTo": func(r *esdk.EncryptingReader) ([]byte, error) {
			var b bytes.Buffer
			if _, err := io.CopyN(&b, r, 10); err != nil {
				return nil, err
			}
			_, err := r.WriteTo(&b)
			return b.Bytes(), err
		},
	}
	for _, c := range []esdk.Config{{Suite: unsigned}, {Suite: signed, FrameLength: 1000}, {Suite: unsigned, Concurrency: 1, FrameLength: 1 << 20}} {
		client := newClient(t, c)
		for _, n := range []int{0, 1, 1000, 5000, 1 << 20, 3<<20 + 7} {
			if testing.Short() && (n > 1<<20 || c.Suite == signed) {
				continue
			}
			for name, source := range sources {
				for how, read := range reads {
					if how == "bytes" && n > 5000 {
						continue
					}
					r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), source(pattern(n)), int64(n), sampleContext))
					size, ok := r.Size()
					message, err := read(r)
					if err != nil || !ok || size != int64(len(message)) {
						t.Fatalf("%d bytes, %s, %s: a message of %d bytes, said %d, %t; %v", n, name, how, len(message), size, ok, err)
					}
					wantDecrypts(t, client, message, sampleContext, pattern(n))
					if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("at the end: %d, %v", n, err)
					}
					if n, err := r.WriteTo(io.Discard); n != 0 || err != nil {
						t.Errorf("WriteTo at the end: %d, %v", n, err)
					}
				}
			}
		}
	}
}

// onlyReader hides WriteTo.
type onlyReader struct{ io.Reader }

// Reads of random lengths followed by a WriteTo yield one message.
func TestEncryptingReaderMixed(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 1))
	client := newClient(t, esdk.Config{Suite: unsigned})
	programs := 200
	if testing.Short() {
		programs = 30
	}
	for range programs {
		n := random.IntN(1 << random.IntN(22))
		r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), onlyReader{bytes.NewReader(pattern(n))}, -1, nil))
		if size, ok := r.Size(); ok {
			t.Fatalf("a size of %d out of nothing", size)
		}
		var message bytes.Buffer
		for range random.IntN(20) {
			b := make([]byte, random.IntN(1<<random.IntN(20)))
			m, err := r.Read(b)
			message.Write(b[:m])
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.WriteTo(&message); err != nil {
			t.Fatal(err)
		}
		wantDecrypts(t, client, message.Bytes(), nil, pattern(n))
	}
}

// The length needn't be given if the source knows it.
func TestEncryptingReaderLength(t *testing.T) {
	client := newClient(t, esdk.Config{})
	half := bytes.NewReader(pattern(1000))
	io.CopyN(io.Discard, half, 300)
	for name, c := range map[string]struct {
		src    io.Reader
		length int64
		want   int64 // -1: not known
	}{
		"bytes.Reader": {bytes.NewReader(pattern(1000)), -1, 1000}, "strings.Reader": {strings.NewReader("abc"), -1, 3},
		"Buffer": {bytes.NewBufferString("abc"), -1, 3}, "the rest": {half, -1, 700},
		"file": {must[*os.File](t)(os.Open("esdk.go")), -1, -1}, "given": {strings.NewReader("abc"), 3, 3},
	} {
		r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), c.src, c.length, nil))
		size, ok := r.Size()
		want, _ := r.Header().MessageSize(c.want)
		if ok != (c.want >= 0) || ok && size != want {
			t.Errorf("%s: %d, %t; want %d", name, size, ok, want)
		}
	}
	// A given length counts, even a length of 0 that the source contradicts.
	r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), strings.NewReader("abc"), 0, nil))
	if _, err := io.ReadAll(r); err == nil {
		t.Error("a source of 3 bytes is read as one of 0")
	}
	for _, length := range []int64{-2, -1 << 63} {
		if _, err := client.NewEncryptingReader(t.Context(), onlyReader{nil}, length, nil); err == nil {
			t.Errorf("length %d", length)
		}
	}
	if _, err := client.NewEncryptingReader(t.Context(), onlyReader{nil}, -1, esdk.EncryptionContext{publicKeyKey: ""}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("reserved key: %v", err)
	}
}

// A source that fails in any way never yields a message that decrypts, and the
// reader never ends as if it had.
func TestEncryptingReaderFails(t *testing.T) {
	errSource := errors.New("source failed")
	client := newClient(t, esdk.Config{Suite: unsigned})
	for name, c := range map[string]struct {
		src    func(p []byte) io.Reader
		length int64
		is     error
	}{
		"error": {func(p []byte) io.Reader { return io.MultiReader(bytes.NewReader(p), iotest.ErrReader(errSource)) }, -1, errSource},
		"wrapped EOF": {func(p []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(p), iotest.ErrReader(fmt.Errorf("x: %w", io.EOF)))
		}, -1, nil},
		"panic":         {func(p []byte) io.Reader { return io.MultiReader(bytes.NewReader(p), panics{}) }, -1, nil},
		"goexit":        {func(p []byte) io.Reader { return io.MultiReader(bytes.NewReader(p), exits{}) }, -1, nil},
		"too short":     {func(p []byte) io.Reader { return onlyReader{bytes.NewReader(p)} }, 600_001, io.ErrUnexpectedEOF},
		"too long":      {func(p []byte) io.Reader { return onlyReader{bytes.NewReader(p)} }, 599_999, esdk.ErrLimit},
		"much too long": {func(p []byte) io.Reader { return onlyReader{bytes.NewReader(p)} }, 0, esdk.ErrLimit},
	} {
		for how, read := range map[string]func(r *esdk.EncryptingReader, to io.Writer) error{
			"Read":    func(r *esdk.EncryptingReader, to io.Writer) error { return second2(io.Copy(to, onlyReader{r})) },
			"WriteTo": func(r *esdk.EncryptingReader, to io.Writer) error { return second2(r.WriteTo(to)) },
		} {
			var message bytes.Buffer
			r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), c.src(pattern(600_000)), c.length, nil))
			err := sheltered(func() error { return read(r, &message) })
			if err == nil || errors.Is(err, io.EOF) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			for range 2 {
				if n, err := r.Read(make([]byte, 100)); n != 0 || err == nil || errors.Is(err, io.EOF) {
					t.Errorf("%s, %s: a Read afterwards: %d, %v", name, how, n, err)
				}
				if n, err := r.WriteTo(&message); n != 0 || err == nil {
					t.Errorf("%s, %s: a WriteTo afterwards: %d, %v", name, how, n, err)
				}
			}
			if got, _, err := client.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
				t.Errorf("%s, %s: a message of %d bytes", name, how, len(got))
			}
		}
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("source") }

type exits struct{}

func (exits) Read([]byte) (int, error) { runtime.Goexit(); return 0, nil }

// sheltered calls a function that may panic or end its goroutine.
func sheltered(f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		err = errors.New("it did not return")
		defer close(done)
		defer func() { recover() }()
		err = f()
	}()
	<-done
	return err
}

// A failing sink ends the message too.
func TestEncryptingReaderSinkFails(t *testing.T) {
	errSink := errors.New("sink failed")
	client := newClient(t, esdk.Config{Suite: unsigned})
	for _, failure := range []error{errSink, nil, io.EOF, fmt.Errorf("x: %w", io.EOF)} {
		for _, read := range []int64{0, 1} { // with a rest that is encrypted but not yet read
			for _, after := range []int{0, 1, 100, 300_000} {
				r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), bytes.NewReader(pattern(1<<20)), -1, nil))
				io.CopyN(io.Discard, onlyReader{r}, read)
				n, err := r.WriteTo(&fullSink{left: after, err: failure})
				if err == nil || failure == errSink && !errors.Is(err, errSink) || errors.Is(err, io.EOF) || n > int64(after) {
					t.Errorf("sink of %d bytes, then %v: %d, %v", after, failure, n, err)
				}
				if m, err := r.Read(make([]byte, 1)); m != 0 || err == nil || errors.Is(err, io.EOF) {
					t.Errorf("sink of %d bytes, then %v: a Read afterwards: %d, %v", after, failure, m, err)
				}
			}
		}
	}
}

type fullSink struct {
	left int
	err  error
}

func (s *fullSink) Write(p []byte) (int, error) {
	if len(p) > s.left {
		n := s.left
		s.left = 0
		return n, s.err
	}
	s.left -= len(p)
	return len(p), nil
}

// Closing or dropping the reader leaves no goroutine, and no message.
func TestEncryptingReaderClose(t *testing.T) {
	client := newClient(t, esdk.Config{})
	before := runtime.NumGoroutine()
	r := must[*esdk.EncryptingReader](t)(client.NewEncryptingReader(t.Context(), onlyReader{bytes.NewReader(pattern(5 << 20))}, -1, nil))
	if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	waitForGoroutines(t, before) // goroutines end a moment after they are waited for
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("a Read afterwards: %d, %v", n, err)
	}
}

// Memory doesn't grow with the message.
func TestMemoryOfEncryptingReader(t *testing.T) {
	file := filepath.Join(t.TempDir(), "zeros")
	mustDo(t, os.WriteFile(file, nil, 0o600))
	mustDo(t, os.Truncate(file, 64<<20))
	src := must[*os.File](t)(os.Open(file))
	defer src.Close()
	r := must[*esdk.EncryptingReader](t)(newClient(t, esdk.Config{Suite: unsigned}).NewEncryptingReader(t.Context(), src, -1, nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mustDo(t, second2(io.Copy(io.Discard, onlyReader{r})))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("%d bytes of memory were allocated for 64 MiB", got)
	}
}

// emptyWrites counts empty writes.
type emptyWrites struct{ n int }

func (w *emptyWrites) Write(p []byte) (int, error) {
	if len(p) == 0 {
		w.n++
	}
	return len(p), nil
}

// A sink may treat an empty write as the end.
func TestEncryptingReaderNoEmptyWrites(t *testing.T) {
	r := must[*esdk.EncryptingReader](t)(newClient(t, esdk.Config{}).NewEncryptingReader(t.Context(), bytes.NewReader(pattern(1000)), -1, nil))
	w := new(emptyWrites)
	if _, err := r.WriteTo(w); err != nil || w.n > 0 {
		t.Errorf("%d empty writes, %v", w.n, err)
	}
}
