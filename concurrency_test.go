package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"esdk"
	"esdk/internal/modeltest"
)

func TestAppend(t *testing.T) {
	for _, id := range []esdk.SuiteID{unsigned, signed} {
		client := newClient(t, esdk.Config{Suite: id})
		for _, size := range []int{0, 100, 3 * mib} {
			plaintext := pattern(size)
			for _, dst := range [][]byte{nil, []byte("prefix"), append(make([]byte, 0, 8*mib), "prefix"...)} {
				prefix := bytes.Clone(dst)
				message, h, err := client.AppendEncrypt(t.Context(), dst, plaintext, nil)
				if err != nil || !bytes.HasPrefix(message, prefix) || h.Suite != id {
					t.Fatalf("%v, %d bytes: %v", id, size, err)
				}
				if cap(dst) > len(message) && &message[0] != &dst[0] {
					t.Error("AppendEncrypt did not use the memory that it was given")
				}
				message = bytes.Clone(message[len(prefix):])
				got, _, err := client.AppendDecrypt(t.Context(), dst, message, nil)
				if err != nil || !bytes.Equal(got, append(prefix, plaintext...)) {
					t.Fatalf("%v, %d bytes: %d bytes, %v", id, size, len(got), err)
				}
				wantDecrypts(t, client, message, nil, plaintext)
			}
		}
	}
}

// Unverified plaintext isn't left in the caller's memory either.
func TestAppendDecryptFails(t *testing.T) {
	for _, id := range []esdk.SuiteID{unsigned, signed} {
		client := newClient(t, esdk.Config{Suite: id})
		plaintext := pattern(2 * mib)
		message := encrypt(t, client, plaintext, nil)
		for _, at := range []int{1 * mib, len(message) - 1} {
			bad := bytes.Clone(message)
			bad[at] ^= 1
			dst := append(make([]byte, 0, 3*mib), "prefix"...)
			got, _, err := client.AppendDecrypt(t.Context(), dst, bad, nil)
			if got != nil || err == nil || string(dst) != "prefix" || !bytes.Equal(dst[6:2*mib], make([]byte, 2*mib-6)) {
				t.Errorf("%v, byte %d: %d bytes, %v", id, at, len(got), err)
			}
		}
	}
}

func TestAppendOverlap(t *testing.T) {
	client := newClient(t, esdk.Config{Suite: unsigned})
	message := encrypt(t, client, pattern(100), nil)
	memory := make([]byte, 2000)
	for _, c := range []struct {
		start, end, input int // bounds of the spare memory, and the input's offset
		ok                bool
	}{
		{0, 2000, 0, false}, {0, 2000, 1500, false}, {0, 600, 500, false}, {600, 2000, 500, false}, {501, 502, 500, false},
		{0, 500, 500, true}, {500 + len(message), 2000, 500, true}, {0, 0, 0, true},
	} {
		input := append(memory[c.input:c.input], message...)
		dst := memory[c.start:c.start:c.end]
		_, _, encryptErr := client.AppendEncrypt(t.Context(), dst, input, nil)
		copy(input, message)
		_, _, decryptErr := client.AppendDecrypt(t.Context(), dst, input, nil)
		if c.ok != (encryptErr == nil) || c.ok != (decryptErr == nil) {
			t.Errorf("%+v: %v, %v", c, encryptErr, decryptErr)
		}
	}
}

func TestConcurrencyOfConfig(t *testing.T) {
	if _, err := esdk.New(esdk.Config{Keyring: testKeyring(t), Concurrency: -1}); err == nil {
		t.Error("accepted -1")
	}
	plaintext := pattern(3*mib + 5)
	for _, id := range []esdk.SuiteID{unsigned, signed} {
		for _, cores := range []int{0, 1, 2, 8, 1000} {
			client := newClient(t, esdk.Config{Suite: id, Concurrency: cores})
			roundTrip(t, client, plaintext)
		}
	}
}

// With one core, no call starts a goroutine.
func TestNoGoroutines(t *testing.T) {
	client := newClient(t, esdk.Config{Concurrency: 1})
	before, most := runtime.NumGoroutine(), 0
	count := writerFunc(func(p []byte) (int, error) {
		most = max(most, runtime.NumGoroutine())
		return len(p), nil
	})
	w := must[*esdk.Writer](t)(client.NewWriter(t.Context(), count, nil))
	if _, err := w.ReadFrom(io.LimitReader(zeros{}, 3*mib)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := must[*esdk.Reader](t)(client.NewReader(t.Context(), bytes.NewReader(encrypt(t, client, pattern(3*mib), nil)), nil))
	if _, err := r.WriteTo(count); err != nil {
		t.Fatal(err)
	}
	if most > before {
		t.Errorf("%d goroutines, of which %d were there before", most, before)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// If the context ends halfway, both encryption and decryption fail with its
// error and leave no goroutine.
func TestContextEndsHalfway(t *testing.T) {
	plaintext := pattern(8 * mib)
	for _, cores := range []int{1, 2, 8} {
		for _, id := range []esdk.SuiteID{unsigned, signed} {
			client := newClient(t, esdk.Config{Suite: id, Concurrency: cores})
			message := encrypt(t, client, plaintext, nil)
			before := runtime.NumGoroutine()

			ctx, cancel := context.WithCancel(t.Context())
			var out bytes.Buffer
			w := must[*esdk.Writer](t)(client.NewWriter(ctx, &out, nil))
			_, err := w.ReadFrom(&cancelling{bytes.NewReader(plaintext), cancel, 2 * mib})
			if !errors.Is(err, context.Canceled) || !errors.Is(w.Close(), context.Canceled) {
				t.Errorf("ReadFrom: %v", err)
			}
			wantRefused(t, client, out.Bytes(), nil, io.ErrUnexpectedEOF)

			ctx, cancel = context.WithCancel(t.Context())
			r := must[*esdk.Reader](t)(client.NewReader(ctx, &cancelling{bytes.NewReader(message), cancel, 2 * mib}, nil))
			out.Reset()
			if _, err := r.WriteTo(&out); !errors.Is(err, context.Canceled) || !bytes.HasPrefix(plaintext, out.Bytes()) {
				t.Errorf("WriteTo: %v", err)
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
				t.Errorf("Read after that: %d, %v", n, err)
			}
			waitForGoroutines(t, before)
		}
	}
}

// cancelling calls a function once the given number of bytes has been read.
type cancelling struct {
	io.Reader
	cancel func()
	left   int
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= n; c.left <= 0 {
		c.cancel()
	}
	return n, err
}

func waitForGoroutines(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, want %d", runtime.NumGoroutine(), want)
		}
	}
}

// A one-shot call allocates its output once, and less than 1 MiB besides, on
// any number of cores.
func TestMemoryOfOneShot(t *testing.T) {
	if modeltest.Race {
		t.Skip("the race detector has slices.Grow allocate twice")
	}
	plaintext := pattern(20 * mib)
	for _, id := range []esdk.SuiteID{unsigned, signed} {
		for _, cores := range []int{1, 2, 64} {
			client := newClient(t, esdk.Config{Suite: id, Concurrency: cores})
			message := encrypt(t, client, plaintext, nil)
			n := allocated(func() { encrypt(t, client, plaintext, nil) })
			if n > uint64(len(message))+mib {
				t.Errorf("%v on %d cores: encrypting %d bytes took %d", id, cores, len(message), n)
			}
			n = allocated(func() {
				if _, _, err := client.Decrypt(t.Context(), message, nil); err != nil {
					t.Error(err)
				}
			})
			if n > uint64(len(plaintext))+mib {
				t.Errorf("%v on %d cores: decrypting %d bytes took %d", id, cores, len(plaintext), n)
			}
		}
	}
}
