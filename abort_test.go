package esdk_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"esdk"
)

// With a deferred Abort, a function that returns early leaves no message that
// decrypts.
func TestAbort(t *testing.T) {
	errHalfway := errors.New("half-way")
	for _, c := range []esdk.Config{{}, {Suite: unsigned}, {Suite: unsigned, Concurrency: 1, FrameLength: 10}} {
		client := newClient(t, c)
		for _, n := range []int{0, 1, 10, 5000, 2 << 20} {
			var message bytes.Buffer
			write := func(halfway bool) (err error) {
				w := must[*esdk.Writer](t)(client.NewWriter(t.Context(), &message, nil))
				defer w.Abort()
				if _, err := w.Write(pattern(n)); err != nil {
					return err
				}
				if halfway {
					return errHalfway
				}
				return w.Close()
			}
			if err := write(false); err != nil {
				t.Fatal(err)
			}
			wantDecrypts(t, client, message.Bytes(), nil, pattern(n))
			message.Reset()
			if err := write(true); err != errHalfway {
				t.Fatal(err)
			}
			if got, _, err := client.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
				t.Errorf("%d bytes, given up: a message of %d", n, len(got))
			}
		}
	}
}

func TestAbortEndsWriter(t *testing.T) {
	var message bytes.Buffer
	w := must[*esdk.Writer](t)(newClient(t, esdk.Config{}).NewWriter(t.Context(), &message, nil))
	mustDo(t, second2(w.Write(pattern(10_000))))
	w.Abort()
	before := message.Len()
	w.Abort()
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("Write after Abort")
	}
	if _, err := w.ReadFrom(bytes.NewReader([]byte("x"))); err == nil {
		t.Error("ReadFrom after Abort")
	}
	if first, again := w.Close(), w.Close(); first == nil || first != again {
		t.Errorf("Close after Abort: %v, then %v", first, again)
	}
	if message.Len() != before {
		t.Errorf("%d bytes were written after Abort", message.Len()-before)
	}

	// An earlier failure keeps its own error.
	ctx, cancel := context.WithCancelCause(t.Context())
	w = must[*esdk.Writer](t)(newClient(t, esdk.Config{}).NewWriter(ctx, io.Discard, nil))
	cancel(nil)
	_, writeErr := w.Write(make([]byte, 1<<20))
	w.Abort()
	if closeErr := w.Close(); writeErr == nil || closeErr == nil {
		t.Errorf("Write: %v; Close after Abort: %v", writeErr, closeErr)
	}
}

// An unreadable file leaves half an archive. tar.Writer.Close and Writer.Close
// would turn it into a complete message.
func TestAbortUnderTar(t *testing.T) {
	client := newClient(t, esdk.Config{})
	var message bytes.Buffer
	archive := func() error {
		w := must[*esdk.Writer](t)(client.NewWriter(t.Context(), &message, nil))
		defer w.Abort()
		tw := tar.NewWriter(w)
		defer tw.Close()
		if err := tw.WriteHeader(&tar.Header{Name: "file", Size: 100_000}); err != nil {
			return err
		}
		if _, err := io.CopyN(tw, bytes.NewReader(pattern(50_000)), 100_000); err != nil {
			return err
		}
		return errors.Join(tw.Close(), w.Close())
	}
	if err := archive(); err == nil {
		t.Fatal("no error")
	}
	if got, _, err := client.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
		t.Errorf("half an archive decrypts to %d bytes", len(got))
	}
}

func TestSizedWriter(t *testing.T) {
	for _, c := range []esdk.Config{{Suite: unsigned}, {Suite: signed, FrameLength: 10}} {
		client := newClient(t, c)
		for _, n := range []int{0, 1, 9, 10, 11, 5000, 300_000} {
			if testing.Short() && n > 5000 {
				continue
			}
			for _, more := range []int{-1, 0, 1} {
				if n+more < 0 {
					continue
				}
				for _, write := range []func(w *esdk.Writer, p []byte) error{
					func(w *esdk.Writer, p []byte) error { return second2(w.Write(p)) },
					func(w *esdk.Writer, p []byte) error { return second2(w.ReadFrom(bytes.NewBuffer(p))) },
					func(w *esdk.Writer, p []byte) error { return second2(w.ReadFrom(io.MultiReader(bytes.NewReader(p)))) },
				} {
					var message bytes.Buffer
					w := must[*esdk.Writer](t)(client.NewSizedWriter(t.Context(), &message, int64(n), nil))
					writeErr := write(w, pattern(n+more))
					closeErr := w.Close()
					switch {
					case more == 0:
						if size, ok := w.Header().MessageSize(int64(n)); writeErr != nil || closeErr != nil || !ok || size != int64(message.Len()) {
							t.Errorf("%d bytes: %v, %v; message of %d, said %d, %t", n, writeErr, closeErr, message.Len(), size, ok)
						}
						wantDecrypts(t, client, message.Bytes(), nil, pattern(n))
						continue
					case more > 0 && (!errors.Is(writeErr, esdk.ErrLimit) || closeErr == nil):
						t.Errorf("a byte more than %d: %v, %v", n, writeErr, closeErr)
					case more < 0 && (writeErr != nil || !errors.Is(closeErr, io.ErrUnexpectedEOF)):
						t.Errorf("a byte less than %d: %v, %v", n, writeErr, closeErr)
					}
					if got, _, err := client.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
						t.Errorf("%d bytes of %d decrypt", len(got), n)
					}
				}
			}
		}
	}
}

// The CMM gets the length, and limits are checked before it's asked.
func TestDeclaredLength(t *testing.T) {
	asked := int64(-2)
	cmm := requestCMM{defaultCMM(t), func(req *esdk.EncryptionRequest) { asked = req.PlaintextLength }}
	client := newClient(t, esdk.Config{CMM: cmm, MaxPlaintextLength: 100, FrameLength: 1})
	must[*esdk.Writer](t)(client.NewSizedWriter(t.Context(), io.Discard, 50, nil))
	if asked != 50 {
		t.Errorf("the CMM was told a length of %d", asked)
	}
	asked = -2
	for length, want := range map[int64]error{101: esdk.ErrLimit, -1: nil} {
		if w, err := client.NewSizedWriter(t.Context(), io.Discard, length, nil); w != nil || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	unlimited := newClient(t, esdk.Config{CMM: cmm, FrameLength: 1})
	if _, err := unlimited.NewSizedWriter(t.Context(), io.Discard, 1<<33, nil); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("more frames than there are numbers: %v", err)
	}
	if asked != -2 {
		t.Error("the CMM was asked")
	}
}

type requestCMM struct {
	esdk.CMM
	see func(*esdk.EncryptionRequest)
}

func (c requestCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	c.see(req)
	return c.CMM.EncryptionMaterials(ctx, req)
}

func second2[T any](_ T, err error) error { return err }
