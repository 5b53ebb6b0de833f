package esdk_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"esdk"
)

// Write and ReadFrom may be mixed on one Writer. A bug once made ReadFrom fill
// a buffer that Write had grown beyond a batch. Then two frames had one number,
// and so two plaintexts shared a key and IV.
func TestWriteThenReadFrom(t *testing.T) {
	for name, test := range map[string]struct {
		config esdk.Config
		write  func(t *testing.T, w io.Writer)
	}{
		"lines, then small pieces": {esdk.Config{}, func(t *testing.T, w io.Writer) {
			for range 100_000 {
				io.WriteString(w, "a line of a table of comma-separated values\n")
			}
			r, pipe := io.Pipe()
			go func() {
				for i := range 3000 {
					pipe.Write(bytes.Repeat([]byte{byte(i)}, 700))
				}
				pipe.Close()
			}()
			copyAll(t, w, r)
		}},
		"frames that no batch is made of": {esdk.Config{FrameLength: 1000}, func(t *testing.T, w io.Writer) {
			w.Write(make([]byte, 300<<10))
			copyAll(t, w, io.LimitReader(strings.NewReader(strings.Repeat("7", 2<<20)), 1<<20))
		}},
	} {
		for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384} {
			for _, workers := range []int{1, 2, 3, 8} {
				config := test.config
				config.Suite, config.Concurrency = suite, workers
				c := newClient(t, config)
				var message, plaintext bytes.Buffer
				w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
				test.write(t, writerTo{w, &plaintext})
				if err := w.Close(); err != nil {
					t.Fatalf("%s, %v, %d workers: %v", name, suite, workers, err)
				}
				checkNumbers(t, message.Bytes()[w.Header().Length:], int(w.Header().FrameLength))
				got, _, err := c.Decrypt(t.Context(), message.Bytes(), nil)
				if err != nil || !bytes.Equal(got, plaintext.Bytes()) {
					t.Errorf("%s, %v, %d workers: %d bytes of %d, %v", name, suite, workers, len(got), plaintext.Len(), err)
				}
			}
		}
	}
}

// writerTo is a Writer that keeps a copy of its input.
type writerTo struct {
	*esdk.Writer
	kept *bytes.Buffer
}

func (w writerTo) Write(p []byte) (int, error) {
	w.kept.Write(p)
	return w.Writer.Write(p)
}

func (w writerTo) ReadFrom(r io.Reader) (int64, error) {
	return w.Writer.ReadFrom(io.TeeReader(r, w.kept))
}

func copyAll(t *testing.T, w io.Writer, r io.Reader) {
	t.Helper()
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
}

// checkNumbers checks that the frames of a body are numbered 1, 2, 3 and so on,
// and have matching IVs.
func checkNumbers(t *testing.T, body []byte, frameLength int) {
	t.Helper()
	for want := uint32(1); ; want++ {
		final := binary.BigEndian.Uint32(body) == 0xFFFFFFFF
		if final {
			body = body[4:]
		}
		number, iv := binary.BigEndian.Uint32(body), body[4:16]
		if number != want || binary.BigEndian.Uint64(iv) != uint64(want)>>32 || binary.BigEndian.Uint32(iv[8:]) != want {
			t.Fatalf("frame %d has number %d and IV %x", want, number, iv)
		}
		if final {
			return
		}
		body = body[4+12+frameLength+16:]
	}
}
