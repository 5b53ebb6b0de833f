package batch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
)

// newTestBatch returns a Batch, and a function that plans jobs for a number of
// files of a given length.
func newTestBatch(t *testing.T, files, length int) (*Batch, func() *place.Plan) {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i := range files {
		names = append(names, filepath.Join(dir, fmt.Sprintf("f%04d", i)))
		if err := os.WriteFile(names[i], make([]byte, length), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	discard, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { discard.Close() })
	ui := &cli.UI{Stdin: discard, Stdout: discard, Stderr: discard}
	b := &Batch{UI: ui, Pending: atomicfile.NewPending(), Protected: new(atomicfile.Protected)}
	return b, func() *place.Plan {
		t.Helper()
		planner := &place.Planner{UI: ui, Buckets: object.NewBuckets(), Pending: b.Pending, Protected: b.Protected}
		plan, err := planner.Inputs(t.Context(), names, new(place.InputOptions))
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
}

// A service handles a limited number of calls at once, and throttles the
// others.
type service struct {
	capacity int

	mu      sync.Mutex
	working int
	done    map[string]int
	refused int
}

type status int

func (s status) Error() string       { return fmt.Sprint("status ", int(s)) }
func (s status) HTTPStatusCode() int { return int(s) }

func (s *service) work(_ context.Context, j *place.Job, _ *Record) (place.Output, error) {
	s.mu.Lock()
	if s.working >= s.capacity {
		s.refused++
		s.mu.Unlock()
		return nil, status(503)
	}
	s.working++
	s.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working--
	s.done[j.Source.Name()]++
	return nil, nil
}

// TestThrottled checks that throttled inputs are retried with fewer jobs at
// once, and that each input is done once.
func TestThrottled(t *testing.T) {
	const files = 300
	for _, capacity := range []int{1, 2, 5} {
		b, plan := newTestBatch(t, files, 1)
		synctest.Test(t, func(t *testing.T) {
			s := &service{capacity: capacity, done: make(map[string]int)}
			if err := b.Run(t.Context(), plan(), &Pace{Jobs: 16, RetryFor: time.Minute}, new(ReportOptions), "test", s.work); err != nil {
				t.Error(err)
			}
			for name, times := range s.done {
				if times != 1 {
					t.Errorf("%s was done %d times", name, times)
				}
			}
			if len(s.done) != files || s.refused > files/6 {
				t.Errorf("capacity %d: %d done, %d refused", capacity, len(s.done), s.refused)
			}
		})
	}
}

// TestJobs checks how many short and long files are in progress at once.
func TestJobs(t *testing.T) {
	cores := runtime.GOMAXPROCS(0)
	b, plan := newTestBatch(t, 8*cores+8, 1)
	b.OwnProcess = true
	for i, j := range plan().Ahead() {
		if i%2 == 0 {
			if err := os.Truncate(j.Source.Name(), LongFile); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct{ jobs, all, long int }{{0, fileJobs * cores, max(2, cores)}, {3, 3, 3}} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var all, long, mostAll, mostLong int
			add := func(j *place.Job, n int) {
				mu.Lock()
				defer mu.Unlock()
				if all += n; j.Size() >= LongFile {
					long += n
				}
				mostAll, mostLong = max(mostAll, all), max(mostLong, long)
			}
			b.Run(t.Context(), plan(), &Pace{Jobs: c.jobs}, new(ReportOptions), "test", func(_ context.Context, j *place.Job, _ *Record) (place.Output, error) {
				add(j, 1)
				defer add(j, -1)
				time.Sleep(time.Second)
				return nil, nil
			})
			if mostAll > c.all || mostLong > c.long || c.jobs == 0 && mostAll <= c.long {
				t.Errorf("--jobs %d: %d files at once, want at most %d; of these %d long ones, want at most %d", c.jobs, mostAll, c.all, mostLong, c.long)
			}
		})
	}
	if n := runtime.GOMAXPROCS(0); n != cores {
		t.Errorf("a run left %d threads, from %d", n, cores)
	}
}

// TestThrottledForever checks that an input fails after its time for retries,
// or at once if there is none.
func TestThrottledForever(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Second, time.Minute} {
		b, plan := newTestBatch(t, 3, 1)
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			s := &service{done: make(map[string]int)}
			err := b.Run(t.Context(), plan(), &Pace{Jobs: 3, RetryFor: patience}, new(ReportOptions), "test", s.work)
			if cli.ExitStatus(err) != cli.ExitSomeFailed || time.Since(start) > patience || patience > 10*time.Second && time.Since(start) < patience/3 || patience == 0 && s.refused != 3 {
				t.Errorf("%v after %v and %d tries", err, time.Since(start), s.refused)
			}
		})
	}
}

// TestNotAgain checks that other errors aren't retried.
func TestNotAgain(t *testing.T) {
	for _, fault := range []error{status(500), status(403), os.ErrNotExist, cli.NewError(cli.ExitError, "x").OfKind(cli.KindChanged)} {
		b, plan := newTestBatch(t, 4, 1)
		var mu sync.Mutex
		tries := 0
		b.Run(t.Context(), plan(), &Pace{RetryFor: time.Minute}, new(ReportOptions), "test", func(context.Context, *place.Job, *Record) (place.Output, error) {
			mu.Lock()
			defer mu.Unlock()
			tries++
			return nil, fault
		})
		if tries != 4 {
			t.Errorf("%v: %d tries", fault, tries)
		}
	}
}

// TestRate checks that no more inputs begin and no more bytes are read per
// second than the rate allows, and not many fewer.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		rate          Rate
		files, length int
		want          time.Duration
	}{
		{Rate{Objects: 10}, 101, 1, 10 * time.Second},
		{Rate{Bytes: 1 << 20}, 10, 1 << 20, 9 * time.Second},
		{Rate{Bytes: 1000}, 5, 1000, 4 * time.Second},
		{Rate{Objects: 1, Bytes: 1 << 20}, 5, 100, 4 * time.Second},
		{Rate{Bytes: 10 << 20}, 1, 20 << 20, 1900 * time.Millisecond},
		{Rate{}, 100, 1000, 0},
	} {
		b, plan := newTestBatch(t, test.files, test.length)
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := b.Run(t.Context(), plan(), &Pace{Jobs: 3, Rate: test.rate}, new(ReportOptions), "test", func(ctx context.Context, j *place.Job, _ *Record) (place.Output, error) {
				in, err := j.Open(ctx)
				if err != nil {
					return nil, err
				}
				defer in.Close()
				n, err := io.Copy(new(bytes.Buffer), b.Progress.Watch(in))
				if n != int64(test.length) {
					t.Errorf("%d bytes", n)
				}
				return nil, err
			})
			if took := time.Since(start); err != nil || took < test.want || took > test.want*11/10 {
				t.Errorf("%v: %d of %d bytes took %v, want %v; %v", &test.rate, test.files, test.length, took, test.want, err)
			}
		})
	}
}

func TestRateText(t *testing.T) {
	for text, want := range map[string]Rate{
		"objects=100":           {Objects: 100},
		"bytes=20M":             {Bytes: 20 << 20},
		"objects=1,bytes=2":     {1, 2},
		"bytes=1G,objects=1000": {1000, 1 << 30},
	} {
		var got, again Rate
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if err := again.Set(got.String()); err != nil || again != got {
			t.Errorf("%s: %v, %v", got.String(), again, err)
		}
	}
	for _, text := range []string{"", "100", "objects", "objects=", "objects=0", "objects=-1", "bytes=x", "objects=1,", "rows=1", "objects=1.5"} {
		if err := new(Rate).Set(text); err != ErrRate {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestBrake checks the limit of a brake after failures and successes.
func TestBrake(t *testing.T) {
	b := newBrake(8)
	for range 8 {
		b.enter()
	}
	if b.leave(true); b.open != 4 {
		t.Errorf("%d after one", b.open)
	}
	for range 7 {
		b.leave(true)
	}
	if b.open < 1 || b.open > 2 {
		t.Errorf("%d after all", b.open)
	}
	for range 400 {
		b.enter()
		b.leave(false)
	}
	if b.open != 8 {
		t.Errorf("%d after many that went well", b.open)
	}
}

// TestAwaitEnds checks that a wait ends with its context and not before.
func TestAwaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, bytes := Rate{Bytes: 100}.limiters()
		if err := await(ctx, bytes, 10_000); err != context.DeadlineExceeded || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := await(t.Context(), bytes, 1000); err != nil {
			t.Error(err)
		}
	})
}

// TestThrottledLate checks that the time for retries begins when an input is
// first throttled.
func TestThrottledLate(t *testing.T) {
	b, plan := newTestBatch(t, 1, 1)
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := b.Run(t.Context(), plan(), &Pace{RetryFor: time.Minute}, new(ReportOptions), "test", func(context.Context, *place.Job, *Record) (place.Output, error) {
			if tries++; tries == 1 {
				time.Sleep(10 * time.Minute)
				return nil, status(503)
			}
			return nil, nil
		})
		if err != nil || tries != 2 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}
