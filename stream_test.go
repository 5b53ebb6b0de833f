package esdk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"esdk"
)

// The file left after a crash, or without a Close, must not decrypt.
func TestWriterWithoutClose(t *testing.T) {
	for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384} {
		for _, size := range []int{0, 15, 16, 17, 32, 1 << 20} {
			c := newClient(t, esdk.Config{Suite: suite, FrameLength: 16})
			var message bytes.Buffer
			w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
			if _, err := w.Write(pattern(size)); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, c, message.Bytes(), nil, io.ErrUnexpectedEOF)
		}
	}
}

func TestNewWriterWritesNothing(t *testing.T) {
	var message bytes.Buffer
	must[*esdk.Writer](t)(newClient(t, esdk.Config{}).NewWriter(t.Context(), &message, nil))
	if message.Len() > 0 {
		t.Errorf("%d bytes", message.Len())
	}
}

// limitedWriter fails after n bytes.
type limitedWriter struct {
	n   int
	err error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return w.n, w.err
	}
	w.n -= len(p)
	return len(p), nil
}

// An error of the underlying writer stays, no matter which method is called
// next.
func TestWriterErrorsStay(t *testing.T) {
	errFull := errors.New("disk is full")
	c := newClient(t, esdk.Config{FrameLength: 1000})
	total := len(encrypt(t, c, pattern(1<<20), nil))
	for _, room := range []int{0, 100, 300_000, 600_000, total - 1} {
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &limitedWriter{room, errFull}, nil))
		_, err := w.Write(pattern(1 << 20))
		if room < 600_000 && !errors.Is(err, errFull) {
			t.Errorf("room for %d: Write: %v", room, err)
		}
		if err != nil {
			if n, again := w.Write([]byte{1}); n != 0 || !errors.Is(again, errFull) {
				t.Errorf("room for %d: Write again: %d, %v", room, n, again)
			}
			if n, again := w.ReadFrom(strings.NewReader("x")); n != 0 || !errors.Is(again, errFull) {
				t.Errorf("room for %d: ReadFrom: %d, %v", room, n, again)
			}
		}
		for range 3 {
			if err := w.Close(); !errors.Is(err, errFull) {
				t.Errorf("room for %d: Close: %v", room, err)
			}
		}
	}
	// Some writers write less without an error.
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &limitedWriter{n: 100}, nil))
	if err := w.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: %v", err)
	}
}

func TestWriterClose(t *testing.T) {
	c := newClient(t, esdk.Config{})
	var message bytes.Buffer
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
	io.WriteString(w, "once")
	for range 3 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Write([]byte("more")); n != 0 || err == nil {
		t.Errorf("Write after Close: %d, %v", n, err)
	}
	if n, err := w.ReadFrom(strings.NewReader("more")); n != 0 || err == nil {
		t.Errorf("ReadFrom after Close: %d, %v", n, err)
	}
	wantDecrypts(t, c, message.Bytes(), nil, []byte("once"))
}

// The writer keeps no slice passed to Write.
func TestWriterCopies(t *testing.T) {
	c := newClient(t, esdk.Config{FrameLength: 10})
	var message bytes.Buffer
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
	buf := make([]byte, 7)
	for i := range 100 {
		for j := range buf {
			buf[j] = byte(i)
		}
		if _, err := w.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	clear(buf)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range 100 {
		want = append(want, bytes.Repeat([]byte{byte(i)}, 7)...)
	}
	wantDecrypts(t, c, message.Bytes(), nil, want)
}

func TestReadFromFailingReader(t *testing.T) {
	errSource := errors.New("source is ill")
	w := must[*esdk.Writer](t)(newClient(t, esdk.Config{}).NewWriter(t.Context(), io.Discard, nil))
	n, err := w.ReadFrom(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(errSource)))
	if n != 4 || !errors.Is(err, errSource) {
		t.Errorf("%d, %v", n, err)
	}
}

// A loop until errors.Is(err, io.EOF) ends only at the end of the message, even
// if the source's error wraps io.EOF.
func TestWrappedEOF(t *testing.T) {
	errStore := errors.New("store is gone")
	gone := iotest.ErrReader(fmt.Errorf("%w: %w", errStore, io.EOF))
	check := func(what string, err error) {
		t.Helper()
		if errors.Is(err, io.EOF) || !errors.Is(err, errStore) {
			t.Errorf("%s: %v; io.EOF: %t", what, err, errors.Is(err, io.EOF))
		}
	}
	c := newClient(t, esdk.Config{FrameLength: 100})
	message := encrypt(t, c, pattern(1000), nil)
	for _, n := range []int{0, 50, len(message) / 2, len(message)} {
		src := io.MultiReader(bytes.NewReader(message[:n]), gone)
		r, err := c.NewReader(t.Context(), src, nil)
		for err == nil && !errors.Is(err, io.EOF) {
			_, err = r.Read(make([]byte, 64))
		}
		check(fmt.Sprintf("after %d of %d bytes", n, len(message)), err)
	}
	_, err := esdk.ParseHeader(io.MultiReader(bytes.NewReader(message[:50]), gone))
	check("ParseHeader", err)
	w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, nil))
	_, err = w.ReadFrom(gone)
	check("ReadFrom", err)
	check("Close", w.Close())
}

// The last frame and the EOF are released only after the signature is verified.
func TestVerifyAtEOF(t *testing.T) {
	plaintext := pattern(100)
	for _, s := range samples(t) {
		framed := strings.HasSuffix(s.name, "/framed")
		if !s.suite.Signs() || !framed {
			continue
		}
		f := newForger(t, s.suite, 30, sampleContext)
		parts := [][]byte{f.regular(1, plaintext[:30]), f.regular(2, plaintext[30:60]), f.regular(3, plaintext[60:90]), f.final(4, plaintext[90:])}
		message := f.message(t, parts...)
		forged := bytes.Clone(message)
		forged[len(forged)-1] ^= 1
		got, err := decryptStream(t, reader(t), bytes.NewReader(forged), nil)
		if !errors.Is(err, esdk.ErrAuthentication) || !bytes.Equal(got, plaintext[:90]) {
			t.Errorf("%s: released %d bytes, %v; want 90 and ErrAuthentication", s.name, len(got), err)
		}
		// The first frames are released before the source has the last one.
		source, sink := io.Pipe()
		go sink.Write(append(f.head(), parts[0]...))
		r := must[*esdk.Reader](t)(reader(t).NewReader(t.Context(), source, nil))
		if n, err := io.ReadFull(r, make([]byte, 30)); err != nil {
			t.Errorf("%s: read %d bytes of the first frame, %v", s.name, n, err)
		}
		sink.Close()
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v at the end of what is not all", s.name, err)
		}
	}
}

// An unframed body is held back as a whole.
func TestNonFramedIsHeldBack(t *testing.T) {
	for _, s := range samples(t) {
		if !s.suite.Signs() || strings.HasSuffix(s.name, "/framed") {
			continue
		}
		s.message[len(s.message)-1] ^= 1
		got, err := decryptStream(t, reader(t), bytes.NewReader(s.message), nil)
		if !errors.Is(err, esdk.ErrAuthentication) || len(got) > 0 {
			t.Errorf("%s: released %d bytes, %v", s.name, len(got), err)
		}
	}
}

// seekCounter counts backward seeks of a source.
type seekCounter struct {
	io.ReadSeeker
	back int
}

func (s *seekCounter) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		s.back++
	}
	return s.ReadSeeker.Seek(offset, whence)
}

// noSeeker claims that it can seek, as an *os.File of a pipe does.
type noSeeker struct{ io.Reader }

func (noSeeker) Seek(int64, int) (int64, error) { return 0, errors.New("illegal seek") }

func TestVerifyFirst(t *testing.T) {
	first := newClient(t, esdk.Config{Release: esdk.VerifyFirst, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			bad := bytes.Clone(s.message)
			bad[len(bad)-1] ^= 1
			prefix := []byte("something else before the message")
			for name, source := range map[string]func(message []byte) io.Reader{
				"seekable":     func(m []byte) io.Reader { return &seekCounter{ReadSeeker: bytes.NewReader(m)} },
				"not seekable": func(m []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(m)) },
				"not really":   func(m []byte) io.Reader { return noSeeker{bytes.NewReader(m)} },
				"not at its start": func(m []byte) io.Reader {
					r := bytes.NewReader(append(bytes.Clone(prefix), m...))
					r.Seek(int64(len(prefix)), io.SeekStart)
					return r
				},
			} {
				source1 := source(s.message)
				got, err := decryptStream(t, first, source1, nil)
				if err != nil || !bytes.Equal(got, s.plaintext) {
					t.Errorf("%s: %q, %v", name, got, err)
				}
				if counter, ok := source1.(*seekCounter); ok && counter.back != 1 {
					t.Errorf("%s: went back %d times", name, counter.back)
				}
				if _, err := first.NewReader(t.Context(), source(bad), nil); !errors.Is(err, esdk.ErrAuthentication) {
					t.Errorf("%s: NewReader of a bad message: %v", name, err)
				}
				if _, err := first.NewReader(t.Context(), source(append(bytes.Clone(s.message), 0)), nil); err == nil {
					t.Errorf("%s: NewReader of a message with a byte behind it", name)
				}
			}
		})
	}
}

// Most users have a file.
func TestVerifyFirstFile(t *testing.T) {
	c := newClient(t, esdk.Config{Release: esdk.VerifyFirst})
	plaintext := pattern(1 << 20)
	path := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(path, encrypt(t, c, plaintext, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	f := must[*os.File](t)(os.Open(path))
	defer f.Close()
	if got, err := decryptStream(t, c, f, nil); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// If a source can't seek back after all, the reader fails and releases nothing.
func TestVerifyFirstSeekFails(t *testing.T) {
	c := newClient(t, esdk.Config{Release: esdk.VerifyFirst})
	errSeek := errors.New("tape is torn")
	source := &tornTape{Reader: bytes.NewReader(encrypt(t, c, pattern(10), nil)), err: errSeek}
	if _, err := c.NewReader(t.Context(), source, nil); !errors.Is(err, errSeek) {
		t.Errorf("got %v", err)
	}
}

type tornTape struct {
	*bytes.Reader
	err error
}

func (s *tornTape) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		return 0, s.err
	}
	return s.Reader.Seek(offset, whence)
}

// If a source changes between the passes, the second pass fails.
func TestVerifyFirstChangedSource(t *testing.T) {
	c := newClient(t, esdk.Config{Release: esdk.VerifyFirst, FrameLength: 16})
	message := encrypt(t, c, pattern(100), nil)
	r := must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(message), nil))
	message[len(message)-1] ^= 1
	got, err := io.ReadAll(r)
	if !errors.Is(err, esdk.ErrAuthentication) || !bytes.HasPrefix(pattern(100), got) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestReaderErrorsStay(t *testing.T) {
	c := newClient(t, esdk.Config{FrameLength: 16})
	message := encrypt(t, c, pattern(100), nil)
	r := must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(message[:len(message)-1]), nil))
	io.Copy(io.Discard, r)
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Read: %d, %v", n, err)
		}
		if n, err := r.WriteTo(io.Discard); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("WriteTo: %d, %v", n, err)
		}
	}
}

func TestWriteTo(t *testing.T) {
	c := newClient(t, esdk.Config{FrameLength: 1000})
	plaintext := pattern(1 << 20)
	message := encrypt(t, c, plaintext, nil)
	newReader := func() *esdk.Reader {
		return must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(message), nil))
	}
	// Read some bytes, then the rest at once.
	r := newReader()
	start := make([]byte, 1500)
	if _, err := io.ReadFull(r, start); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if n, err := r.WriteTo(&rest); n != int64(len(plaintext)-1500) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if !bytes.Equal(append(start, rest.Bytes()...), plaintext) {
		t.Error("another plaintext")
	}
	errFull := errors.New("disk is full")
	if n, err := newReader().WriteTo(&limitedWriter{1000, errFull}); n != 1000 || !errors.Is(err, errFull) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := newReader().WriteTo(&limitedWriter{n: 1000}); n != 1000 || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: %d, %v", n, err)
	}
}

func TestReadNothing(t *testing.T) {
	c := newClient(t, esdk.Config{})
	r := must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(encrypt(t, c, []byte("x"), nil)), nil))
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
