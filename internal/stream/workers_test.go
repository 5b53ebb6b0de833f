package stream

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// useVariant sets the workers and the bytes of a batch for one test.
func useVariant(t *testing.T, workers, batch int) {
	setVariant(workers, batch)
	t.Cleanup(func() { setVariant(1, 0) })
}

// A batch is whole frames: as many as fit, but at least one. A digest doubles
// it.
func TestBatchFrames(t *testing.T) {
	for _, c := range []struct {
		frame        uint32
		digest       bool
		want, length int64
	}{
		{1, false, defaultBatch, defaultBatch},
		{3, false, 87381, 262143},
		{4096, false, 64, defaultBatch},
		{4096, true, 128, 2 * defaultBatch},
		{defaultBatch/2 + 1, false, 1, defaultBatch/2 + 1},
		{defaultBatch, false, 1, defaultBatch},
		{defaultBatch, true, 2, 2 * defaultBatch},
		{defaultBatch + 1, false, 1, defaultBatch + 1},
		{2*defaultBatch + 1, true, 1, 2*defaultBatch + 1},
		{1<<32 - 1, true, 1, 1<<32 - 1},
	} {
		p := Params{FrameLength: c.frame}
		if c.digest {
			p.Digest = sha256.New()
		}
		if frames, length := p.batchFrames(), p.batchLength(); frames != c.want || length != c.length {
			t.Errorf("frames of %d, digest %v: %d frames, %d bytes; want %d, %d", c.frame, c.digest, frames, length, c.want, c.length)
		}
	}
}

// A worker is worth starting for a whole batch, not for a part of one.
func TestWorkersFor(t *testing.T) {
	const batch = defaultBatch
	for _, c := range []struct {
		workers int
		n       int64
		want    int
	}{
		{8, 0, 0}, {8, batch - 1, 0}, {8, batch, 1}, {8, 2*batch - 1, 1}, {8, 2 * batch, 2},
		{8, 8*batch - 1, 7}, {8, 8 * batch, 8}, {8, 100 * batch, 8}, {1, 100 * batch, 1}, {0, 100 * batch, 0},
		{1 << 30, 1 << 40, 1 << 22},
	} {
		p := Params{FrameLength: 4096, Workers: c.workers}
		if got := p.workersFor(c.n); got != c.want {
			t.Errorf("%d bytes, at most %d: %d workers, want %d", c.n, c.workers, got, c.want)
		}
	}
}

// Only several workers need more than one batch at once. Batches of one frame
// are long enough to be started one by one.
func TestGatherLength(t *testing.T) {
	for _, c := range []struct {
		workers int
		frame   uint32
		want    int64
	}{
		{0, 4096, 64}, {1, 4096, 64}, {2, 4096, 256}, {8, 4096, 256},
		{2, defaultBatch / 2, 8}, {2, defaultBatch, 1}, {1, defaultBatch, 1}, {8, 1<<32 - 1, 1},
	} {
		p := Params{FrameLength: c.frame, Workers: c.workers}
		if got := p.gatherLength(); got != c.want*int64(c.frame) {
			t.Errorf("frames of %d, %d workers: %d bytes, want %d frames", c.frame, c.workers, got, c.want)
		}
	}
}

// The workers of a stream have at most 8 MiB of frames at once, or one frame.
func TestLimitWorkers(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		workers int
		frame   uint32
		digest  bool
		want    int
	}{
		{0, 4096, false, 0}, {1, 4096, false, 1}, {7, 4096, false, 7}, {8, 4096, false, 8}, {1000, 4096, false, 8},
		{1000, mib, false, 8}, {1000, mib + 1, false, 7}, {1000, 4 * mib, false, 2}, {1000, 4*mib + 1, false, 1},
		{1000, 8 * mib, false, 1}, {1000, 8*mib + 1, false, 1}, {1000, 1<<32 - 1, false, 1}, {1000, 0, false, 8},
		{1000, 4096, true, 3}, {3, 4096, true, 3}, {2, 4096, true, 2}, {1000, 4 * mib, true, 2},
	} {
		p := Params{FrameLength: c.frame, Workers: c.workers}
		if c.digest {
			p.Digest = sha256.New()
		}
		if p.limitWorkers(); p.Workers != c.want {
			t.Errorf("frames of %d, digest %v, %d workers: %d, want %d", c.frame, c.digest, c.workers, p.Workers, c.want)
		}
	}
}

// The number of batches in work equals the number of workers, including the
// caller.
func TestPipelineStartsWorkers(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		awaitNoGoroutines()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var mu sync.Mutex
		running, filled, started := 0, 0, 0
		all := make(chan struct{})
		err := pipeline{
			stopped: func() error { return nil },
			fill: func(*batch) error {
				if filled++; filled > 20 {
					return io.EOF
				}
				return nil
			},
			work: func(*batch) {
				mu.Lock()
				if running++; running == workers {
					started = startedGoroutines()
					close(all)
				}
				mu.Unlock()
				select {
				case <-all:
				case <-ctx.Done(): // too few came
				}
			},
			drain: func(*batch) error { return nil },
		}.run(new(pool), workers)
		if err != nil || running != 20 || started != workers-1 {
			t.Errorf("%d workers: %d batches, %d goroutines were started, %v", workers, running, started, err)
		}
	}
}

// awaitNoGoroutines waits for the goroutines of earlier calls, which may end a
// moment after Wait returns.
func awaitNoGoroutines() {
	for startedGoroutines() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// startedGoroutines returns the number of goroutines of wait groups.
func startedGoroutines() int {
	stacks := make([]byte, 1<<16)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("created by sync.(*WaitGroup).Go"))
}

// While a sink is slow, at most two more batches than workers are held: memory
// must not depend on the length of a message.
func TestPipelineHoldsFewBatches(t *testing.T) {
	for _, workers := range []int{2, 3} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var mu sync.Mutex
		filled, drained, most := 0, 0, 0
		full := make(chan struct{})
		err := pipeline{
			stopped: func() error { return nil },
			fill: func(*batch) error {
				mu.Lock()
				defer mu.Unlock()
				if filled == 50 {
					return io.EOF
				}
				filled++
				if most = max(most, filled-drained); filled == workers+2 {
					close(full)
				}
				return nil
			},
			work: func(*batch) {},
			drain: func(*batch) error {
				select {
				case <-full:
				case <-ctx.Done(): // too few came
				}
				time.Sleep(time.Millisecond) // for others that may come
				mu.Lock()
				defer mu.Unlock()
				drained++
				return nil
			},
		}.run(new(pool), workers)
		if err != nil || most != workers+2 {
			t.Errorf("%d workers: %d batches were held, %v", workers, most, err)
		}
	}
}

// recorder is a hash that keeps its input.
type recorder struct {
	hash.Hash
	bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.Buffer.Write(p) }
func (r *recorder) Reset()                      { r.Buffer.Reset() }

// A failed batch is hashed and drained up to its bad part, and no later batch
// is.
func TestPipelineEndsWithError(t *testing.T) {
	errWork := errors.New("a batch is bad")
	for _, workers := range []int{1, 2, 4} {
		for _, bad := range []byte{0, 1, 4, 9, 10} {
			digest := new(recorder)
			var drained []byte
			next := byte(0)
			err := pipeline{
				stopped: func() error { return nil },
				fill: func(b *batch) error {
					if next == 10 {
						return io.EOF
					}
					b.out = []byte{next}
					next++
					return nil
				},
				work: func(b *batch) {
					if b.out[0] >= bad {
						b.err = errWork
					}
				},
				digest:  digest,
				digests: func(b *batch) []byte { return b.out },
				drain: func(b *batch) error {
					drained = append(drained, b.out...)
					return nil
				},
			}.run(new(pool), workers)
			want := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}[:min(bad+1, 10)]
			if bad < 10 != (err == errWork) || bad == 10 && err != nil {
				t.Errorf("%d workers, batch %d is bad: %v", workers, bad, err)
			}
			if !slices.Equal(drained, want) || !slices.Equal(digest.Bytes(), want) {
				t.Errorf("%d workers, batch %d is bad: %v were hashed, %v drained", workers, bad, digest.Bytes(), drained)
			}
		}
	}
}

// The digest covers the body in order, however it's sealed or opened.
func TestDigestInBatches(t *testing.T) { eachVariant(t, testDigestInBatches) }

func testDigestInBatches(t *testing.T) {
	for _, size := range []int{0, 9, 10, 11, 1005} {
		plaintext := pattern(size)
		body := seal(t, testParams(10), plaintext)
		check := func(how string, digest *recorder, err error) {
			t.Helper()
			if err != nil || !bytes.Equal(digest.Bytes(), body) {
				t.Errorf("%s, %d bytes: %d of %d were hashed, %v", how, size, digest.Len(), len(body), err)
			}
		}
		for name, read := range readers {
			p, digest := testParams(10), new(recorder)
			p.Digest = digest
			_, err := read(body, Source{Params: p})
			check(name, digest, err)
		}
		for name, write := range map[string]func(*Writer) error{
			"Write":    func(w *Writer) error { _, err := w.Write(plaintext); return err },
			"ReadFrom": func(w *Writer) error { _, err := w.ReadFrom(slow{bytes.NewReader(plaintext)}); return err },
		} {
			p, digest := testParams(10), new(recorder)
			p.Digest = digest
			w := newWriter(io.Discard, []byte("head"), p)
			check(name, digest, errors.Join(write(w), w.Finish(nil)))
		}
		p, digest := testParams(10), new(recorder)
		p.Digest = digest
		_, err := sealBody(plaintext, p)
		check("Seal", digest, err)
	}
}

// watched is an AEAD that records the maximum number of started goroutines.
type watched struct {
	cipher.AEAD
	mu   sync.Mutex
	most int
}

func (a *watched) watch() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.most = max(a.most, startedGoroutines())
}

func (a *watched) Seal(dst, nonce, plaintext, aad []byte) []byte {
	a.watch()
	return a.AEAD.Seal(dst, nonce, plaintext, aad)
}

func (a *watched) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	a.watch()
	return a.AEAD.Open(dst, nonce, ciphertext, aad)
}

// Each way to process regular frames in memory uses one worker for each batch,
// including the caller.
func TestWorkersOfBatches(t *testing.T) {
	useVariant(t, 3, 100)
	for _, c := range []struct{ frames, want int }{{0, 0}, {19, 0}, {20, 1}, {25, 1}, {30, 2}, {100, 2}} {
		plaintext := pattern(10*c.frames + 1)
		body := seal(t, testParams(10), plaintext)
		for name, run := range map[string]func(Params) error{
			"Seal":  func(p Params) error { _, err := sealBody(plaintext, p); return err },
			"Open":  func(p Params) error { _, err := Open(nil, body, Source{Params: p}); return err },
			"Write": func(p Params) error { _, err := newWriter(io.Discard, nil, p).Write(append(plaintext, 0)); return err },
			"WriteTo": func(p Params) error {
				_, err := NewReader(bytes.NewReader(body), Source{Params: p}).WriteTo(io.Discard)
				return err
			},
			"ReadAt": func(p Params) error {
				r, err := NewReaderAt(bytes.NewReader(body), 0, int64(len(body)), p)
				if err == nil {
					_, err = r.ReadAt(make([]byte, 10*c.frames), 0)
				}
				return err
			},
		} {
			p := testParams(10)
			aead := &watched{AEAD: p.AEAD}
			p.AEAD = aead
			want := c.want
			if name == "Open" && c.frames%10 == 0 && c.frames < 40 {
				// The first frame is opened alone.
				want = max(0, want-1)
			}
			awaitNoGoroutines()
			if err := run(p); err != nil || aead.most != want {
				t.Errorf("%s, %d frames: %d goroutines were started, want %d, %v", name, c.frames, aead.most, want, err)
			}
		}
	}
}
