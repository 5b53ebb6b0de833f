package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"esdk/internal/format"
)

// checkGoroutines fails the test if it leaves a goroutine that it started.
func checkGoroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<16)
				t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// slow hides all other methods of a reader, so that it's read in pieces.
type slow struct{ io.Reader }

// readers are all ways to get the plaintext of a body.
var readers = map[string]func(body []byte, s Source) ([]byte, error){
	"Open": func(body []byte, s Source) ([]byte, error) { return Open(nil, body, s) },
	"Read": func(body []byte, s Source) ([]byte, error) { return readAll(NewReader(bytes.NewReader(body), s), 1000) },
	"WriteTo": func(body []byte, s Source) ([]byte, error) {
		var out bytes.Buffer
		_, err := NewReader(slow{bytes.NewReader(body)}, s).WriteTo(&out)
		return out.Bytes(), err
	},
	"WriteTo from memory": func(body []byte, s Source) ([]byte, error) {
		var out bytes.Buffer
		_, err := NewReader(bytes.NewReader(body), s).WriteTo(&out)
		return out.Bytes(), err
	},
}

// If two frames are wrong in different ways, the first one determines the
// error, and no frame from it on is released.
func TestFirstErrorInOrder(t *testing.T) { eachVariant(t, testFirstErrorInOrder) }

func testFirstErrorInOrder(t *testing.T) {
	checkGoroutines(t)
	const frame, frames, size = 10, 300, 10 + format.FrameOverhead
	p := testParams(frame)
	plaintext := pattern(frame * frames)
	body := seal(t, p, plaintext)
	spoil := map[string]func(frame []byte){
		"tag":      func(f []byte) { f[len(f)-1] ^= 1 },
		"sequence": func(f []byte) { binary.BigEndian.PutUint32(f, 7777) },
		"end":      func(f []byte) { binary.BigEndian.PutUint32(f, format.EndFrame) },
	}
	for range 30 {
		first := rand.IntN(frames - 2)
		second := first + 1 + rand.IntN(frames-2-first)
		for kind, spoilFirst := range spoil {
			for _, spoilSecond := range spoil {
				bad := bytes.Clone(body)
				spoilFirst(bad[first*size:][:size])
				spoilSecond(bad[second*size:][:size])
				for name, read := range readers {
					got, err := read(bad, Source{Params: p})
					if tag := errors.Is(err, ErrAuthentication); err == nil || tag != (kind == "tag") {
						t.Errorf("%s: frames %d (%s) and %d: %v", name, first, kind, second, err)
					}
					if want := plaintext[:first*frame]; name != "Open" && !bytes.Equal(got, want) {
						t.Errorf("%s: frames %d (%s) and %d: released %d bytes, want %d", name, first, kind, second, len(got), len(want))
					}
				}
			}
		}
	}
}

var errSink = errors.New("sink is full")

// fullSink takes room bytes, and then fails for good.
type fullSink struct {
	bytes.Buffer
	room   int
	failed bool
	t      *testing.T
}

func (s *fullSink) Write(p []byte) (int, error) {
	if s.failed {
		s.t.Error("written to after it failed")
	}
	if len(p) > s.room {
		s.failed = true
		n, _ := s.Buffer.Write(p[:s.room])
		return n, errSink
	}
	s.room -= len(p)
	return s.Buffer.Write(p)
}

func TestSinkErrors(t *testing.T) { eachVariant(t, testSinkErrors) }

func testSinkErrors(t *testing.T) {
	checkGoroutines(t)
	p := testParams(10)
	plaintext := pattern(1005)
	body := seal(t, p, plaintext)
	for _, source := range []func([]byte) io.Reader{
		func(b []byte) io.Reader { return bytes.NewReader(b) },
		func(b []byte) io.Reader { return slow{bytes.NewReader(b)} },
	} {
		for room := 0; room < len(plaintext); room += 13 {
			sink := &fullSink{room: room, t: t}
			r := NewReader(source(body), Source{Params: p})
			n, err := r.WriteTo(sink)
			if err != errSink || n != int64(room) || !bytes.Equal(sink.Bytes(), plaintext[:room]) {
				t.Errorf("WriteTo, %d bytes: %d, %v", room, n, err)
			}
		}
		for room := 0; room < len(body); room += 37 {
			sink := &fullSink{room: room, t: t}
			w := newWriter(sink, nil, p)
			_, err := w.ReadFrom(source(plaintext))
			if finishErr := w.Finish(nil); finishErr != errSink || err != nil && err != errSink || !bytes.Equal(sink.Bytes(), body[:room]) {
				t.Errorf("ReadFrom, %d bytes: %v, %v", room, err, finishErr)
			}
			sink = &fullSink{room: room, t: t}
			w = newWriter(sink, nil, p)
			w.Write(plaintext)
			if err := w.Finish(nil); err != errSink || !bytes.Equal(sink.Bytes(), body[:room]) {
				t.Errorf("Write, %d bytes: %v", room, err)
			}
		}
	}
}

// A body ends with the error of its context, wherever the context ends.
func TestStopped(t *testing.T) { eachVariant(t, testStopped) }

func testStopped(t *testing.T) {
	checkGoroutines(t)
	plaintext := pattern(3000)
	p := testParams(10)
	body := seal(t, p, plaintext)
	cancelAfter := func(n int) Params {
		ctx, cancel := context.WithCancel(t.Context())
		q := p
		left := make(chan struct{}, n)
		for range n {
			left <- struct{}{}
		}
		q.Context = errFunc(func() error {
			select {
			case <-left:
			default:
				cancel()
			}
			return ctx.Err()
		})
		return q
	}
	for n := range 100 {
		for name, read := range readers {
			got, err := read(body, Source{Params: cancelAfter(n)})
			if err == nil && bytes.Equal(got, plaintext) {
				continue // it was faster
			}
			if err != context.Canceled || !bytes.HasPrefix(plaintext, got) || len(got) == len(plaintext) {
				t.Errorf("%s: after %d: %d bytes, %v", name, n, len(got), err)
			}
		}
		for name, write := range map[string]func(*Writer) error{
			"Write":    func(w *Writer) error { _, err := w.Write(plaintext); return err },
			"ReadFrom": func(w *Writer) error { _, err := w.ReadFrom(slow{bytes.NewReader(plaintext)}); return err },
		} {
			var out bytes.Buffer
			w := newWriter(&out, nil, cancelAfter(n))
			err := write(w)
			if finishErr := w.Finish(nil); err == nil {
				err = finishErr
			}
			if err == nil && bytes.Equal(out.Bytes(), body) {
				continue
			}
			if err != context.Canceled || !bytes.HasPrefix(body, out.Bytes()) || w.Finish(nil) != context.Canceled {
				t.Errorf("%s: after %d: %d bytes, %v", name, n, out.Len(), err)
			}
		}
		if got, err := sealBody(plaintext, cancelAfter(n)); err != context.Canceled && !bytes.Equal(got, body) {
			t.Errorf("Seal: after %d: %v", n, err)
		}
	}
}

// readFunc and writeFunc are users' sources and sinks.
type (
	readFunc  func([]byte) (int, error)
	writeFunc func([]byte) (int, error)
)

func (f readFunc) Read(p []byte) (int, error)   { return f(p) }
func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// The caller can recover from a panic of a source or sink. If they end the
// goroutine, that isn't mistaken for success.
func TestPanics(t *testing.T) { eachVariant(t, testPanics) }

func testPanics(t *testing.T) {
	checkGoroutines(t)
	p := testParams(10)
	body := seal(t, p, pattern(3000))
	if variant.batch == 0 {
		t.Skip("as the small batches, but slow")
	}
	for _, how := range []string{"panic", "Goexit"} {
		for _, n := range []int{0, 1, 4, 19} {
			interrupt := func(calls *int) {
				if *calls++; *calls > n {
					if how == "Goexit" {
						runtime.Goexit()
					}
					panic("user's code")
				}
			}
			calls := 0
			source := readFunc(func(b []byte) (int, error) {
				interrupt(&calls)
				return copy(b, pattern(1000)), nil
			})
			sinkCalls := 0
			sink := writeFunc(func(b []byte) (int, error) {
				interrupt(&sinkCalls)
				return len(b), nil
			})
			w := newWriter(io.Discard, nil, p)
			sinkWriter := newWriter(sink, nil, p)
			r := NewReader(slow{bytes.NewReader(body)}, Source{Params: p})
			sourceReader := NewReader(readFunc(func(b []byte) (int, error) {
				interrupt(&calls)
				return copy(b, body), nil
			}), Source{Params: p})
			for name, test := range map[string]struct{ run, then func() error }{
				"source": {
					func() error { _, err := w.ReadFrom(source); return err },
					func() error { return w.Finish(nil) }},
				"sink": {
					func() error { _, err := sinkWriter.ReadFrom(slow{zeros{}}); return err },
					func() error { return sinkWriter.Finish(nil) }},
				"reader's sink": {
					func() error { _, err := r.WriteTo(sink); return err },
					func() error { _, err := r.Read(make([]byte, 1)); return err }},
				"reader's source": {
					func() error { _, err := readAll(sourceReader, 100); return err },
					func() error { _, err := sourceReader.WriteTo(io.Discard); return err }},
			} {
				calls, sinkCalls = 0, 0
				got := outcome(test.run)
				if got == "success" && name == "reader's sink" || got == "error" && name == "reader's source" {
					continue // not that many calls
				}
				if got != how && (how != "Goexit" || got != "error") {
					t.Errorf("%s of %s after %d calls: %s", how, name, n, got)
				}
				// A partial message must not be completed, and a gap not be
				// skipped.
				for range 2 {
					if err := test.then(); got == how && err != errInterrupted || err == nil || err == io.EOF {
						t.Errorf("%s of %s after %d calls, and then: %v", how, name, n, err)
					}
				}
			}
		}
	}
}

// An Open that doesn't return leaves no plaintext in the caller's memory: the
// end of the message wasn't verified.
func TestInterruptedOpenClears(t *testing.T) { eachVariant(t, testInterruptedOpenClears) }

func testInterruptedOpenClears(t *testing.T) {
	checkGoroutines(t)
	const size = 600_000
	plaintext := bytes.Repeat([]byte{'x'}, size)
	p := testParams(1000)
	body := seal(t, p, plaintext)
	for _, how := range []string{"panic", "Goexit", "error"} {
		for n := range 4 {
			var calls atomic.Int64
			s := Source{Params: p}
			s.Context = errFunc(func() error {
				if calls.Add(1) <= int64(n) {
					return nil
				}
				switch how {
				case "panic":
					panic("user's code")
				case "Goexit":
					runtime.Goexit()
				}
				return errors.New("ended")
			})
			dst := append(make([]byte, 0, 6+len(body)), "before"...)
			got := outcome(func() error { _, err := Open(dst, body, s); return err })
			if got != how && (how != "Goexit" || got != "error") && got != "success" {
				t.Errorf("%s after %d calls: %s", how, n, got)
			}
			if got != "success" && bytes.Contains(dst[:cap(dst)], plaintext[:100]) {
				t.Errorf("%s after %d calls: plaintext is left", how, n)
			}
			if string(dst) != "before" {
				t.Errorf("%s after %d calls: %q is left of what was before", how, n, dst)
			}
		}
	}
}

// outcome describes how a function ends, which may be with its goroutine.
func outcome(run func() error) (how string) {
	done := make(chan struct{})
	go func() {
		how = "Goexit"
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				how = "panic"
			}
		}()
		how = "success"
		finished := false
		defer func() {
			if !finished {
				how = "Goexit"
			}
		}()
		if err := run(); err != nil {
			how = "error"
		}
		finished = true
	}()
	<-done
	return how
}

// If the source then has no more bytes, its earlier ones are written before
// it's read again: the next bytes may be an answer.
func TestWriteToDoesNotWait(t *testing.T) { eachVariant(t, testWriteToDoesNotWait) }

func testWriteToDoesNotWait(t *testing.T) {
	checkGoroutines(t)
	const frame, size = 10, 10 + format.FrameOverhead
	p := testParams(frame)
	plaintext := pattern(100 * frame)
	body := seal(t, p, plaintext)
	for _, step := range []int{size, 3 * size, 10 * size, 40 * size, 5*size + 7} {
		r, w := io.Pipe()
		written := make(chan int, 1000)
		go func() {
			total := 0
			_, err := NewReader(r, Source{Params: p}).WriteTo(writeFunc(func(b []byte) (int, error) {
				total += len(b)
				written <- total
				return len(b), nil
			}))
			if err != nil {
				t.Error(err)
			}
			close(written)
		}()
		sent, total := 0, 0
		for sent < len(body)-step {
			if _, err := w.Write(body[sent : sent+step]); err != nil {
				t.Fatal(err)
			}
			sent += step
			for want := min(sent/size, 99) * frame; total < want; {
				select {
				case total = <-written:
				case <-time.After(10 * time.Second):
					t.Fatalf("%d of %d bytes arrived, of the plaintext came %d, want %d", sent, len(body), total, want)
				}
			}
		}
		go func() {
			w.Write(body[sent:])
			w.Close()
		}()
		for total = range written {
		}
		if total != len(plaintext) {
			t.Errorf("%d bytes", total)
		}
	}
}

// Long and short frames, with and without a digest, from fast and slow sources,
// give the same results as with one worker.
func TestWorkersAgree(t *testing.T) {
	checkGoroutines(t)
	for _, frame := range []uint32{1, 100, 4096, 70_000, 300_000} {
		plaintext := pattern(2_000_003)
		if frame == 1 {
			plaintext = plaintext[:20_000]
		}
		want := seal(t, testParams(frame), plaintext)
		eachVariant(t, func(t *testing.T) {
			p := testParams(frame)
			if got := seal(t, p, plaintext); !bytes.Equal(got, want) {
				t.Error("Seal: another body")
			}
			for name, read := range readers {
				if got, err := read(want, Source{Params: p}); err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
}

// Config.Concurrency promises that short plaintexts use one core.
func TestShortBodiesUseOneCore(t *testing.T) {
	const oneShot, streamed = 256 << 10, 16 << 10
	setVariant(8, 0)
	defer setVariant(1, 0)
	before := runtime.NumGoroutine()
	for _, frame := range []uint32{1000, 4096, streamed / 2, defaultBatch/3 + 1, defaultBatch / 2, defaultBatch/2 + 1, defaultBatch + 1} {
		for _, digest := range []bool{false, true} {
			p := testParams(frame)
			most := 0
			p.Context = errFunc(func() error {
				most = max(most, runtime.NumGoroutine())
				return nil
			})
			params := func() Params {
				if digest {
					p.Digest = sha256.New()
				}
				return p
			}
			check := func(what string, n int, err error) {
				t.Helper()
				if err != nil || most > before {
					t.Errorf("%s of %d bytes in frames of %d: %d goroutines more, %v", what, n, frame, most-before, err)
				}
			}
			for _, n := range []int{streamed, oneShot} {
				plaintext := pattern(n)
				body, err := sealBody(plaintext, params())
				check("Seal", n, err)
				_, err = Open(nil, body, Source{Params: params()})
				check("Open", n, err)
				r, err := NewReaderAt(bytes.NewReader(body), 0, int64(len(body)), params())
				if err == nil {
					_, err = r.ReadAt(make([]byte, n), 0)
				}
				check("ReadAt", n, err)
				if n > streamed {
					continue
				}
				for name, read := range readers {
					_, err := read(body, Source{Params: params()})
					check(name, n, err)
				}
				w := newWriter(io.Discard, nil, params())
				_, err = w.Write(plaintext)
				check("Write", n, err)
				_, err = w.ReadFrom(slow{bytes.NewReader(plaintext)})
				check("ReadFrom", n, err)
				check("Finish", n, w.Finish(nil))
			}
		}
	}
}

// The memory of one call doesn't depend on the number of cores, beyond the
// first few.
func TestMemoryOfWorkers(t *testing.T) {
	p := testParams(4096)
	p.Workers = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := newWriter(io.Discard, nil, p)
	if _, err := w.ReadFrom(io.LimitReader(zeros{}, 256<<20)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 12<<20 {
		t.Errorf("%s of memory", fmt.Sprint(n))
	}
}
