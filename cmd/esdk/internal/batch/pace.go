package batch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"
)

// A Pace limits the speed of a run. The zero value sets no limit, and fails a
// throttled input at once.
type Pace struct {
	Jobs int // concurrent jobs, or 0 for the default

	// Rate limits the inputs begun and the bytes read per second.
	Rate Rate

	// RetryFor is the time for which a throttled input is retried. The run
	// slows down in the meantime.
	RetryFor time.Duration
}

// UsualPatience is the default of Pace.RetryFor.
const UsualPatience = 5 * time.Minute

// AddFlags adds the flags for the pace.
func (p *Pace) AddFlags(flags *pflag.FlagSet) {
	flags.Var((*jobCount)(&p.Jobs), "jobs", "process this `NUMBER` of files concurrently; 0, the default, is four for each core, and 8 for objects")
	flags.Var(&p.Rate, "rate", "process no more objects, and read no more bytes, per second than these `LIMITS`, such as objects=100,bytes=20M")
	p.RetryFor = UsualPatience
	flags.Var((*patience)(&p.RetryFor), "retry-for", "how long to retry an input that a service throttles; 0 means not at all")
}

// A jobCount is a flag value for a number of jobs.
type jobCount int

func (j *jobCount) String() string { return strconv.Itoa(int(*j)) }

// Type returns the type shown in the help.
func (*jobCount) Type() string { return "int" }

func (j *jobCount) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return cli.UsageError("must be at least 1, or 0 for the default")
	}
	*j = jobCount(n)
	return nil
}

// A patience is a flag value for a time to wait.
type patience time.Duration

func (p *patience) String() string { return time.Duration(*p).String() }

// Type returns the type shown in the help.
func (*patience) Type() string { return "duration" }

func (p *patience) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return cli.UsageError("must be a duration such as 5m, or 0 to try once")
	}
	*p = patience(d)
	return nil
}

// A Rate is a number of inputs, and of bytes read from them, per second. Zero
// means no limit.
type Rate struct{ Objects, Bytes int64 }

// String returns a text that Set accepts.
func (r *Rate) String() string {
	var limits []string
	if r.Objects > 0 {
		limits = append(limits, fmt.Sprintf("objects=%d", r.Objects))
	}
	if r.Bytes > 0 {
		limits = append(limits, fmt.Sprintf("bytes=%d", r.Bytes))
	}
	return strings.Join(limits, ",")
}

// Set parses a text such as objects=100,bytes=20M.
func (r *Rate) Set(text string) error {
	*r = Rate{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		var n int64
		var err error
		switch name {
		case "objects":
			n, err = strconv.ParseInt(value, 10, 64)
			r.Objects = n
		case "bytes":
			n, err = cli.ParseBytes(value)
			r.Bytes = n
		}
		if err != nil || n <= 0 {
			return ErrRate
		}
	}
	return nil
}

// ErrRate is the error for a malformed rate.
var ErrRate = cli.UsageError("must be objects=NUMBER, bytes=BYTES or both with a comma between, each per second")

// Type returns the type shown in the help.
func (*Rate) Type() string { return "rate" }

// limiters returns the limiters of a rate. A limiter is nil if there is no
// limit.
func (r Rate) limiters() (objects, bytes *rate.Limiter) {
	if r.Objects > 0 {
		objects = rate.NewLimiter(rate.Limit(r.Objects), 1)
	}
	if r.Bytes > 0 {
		bytes = rate.NewLimiter(rate.Limit(r.Bytes), int(min(r.Bytes, maxBurst)))
	}
	return objects, bytes
}

// maxBurst is the most bytes that may be read at once.
const maxBurst = 1 << 20

// await waits until n more inputs may begin, or n more bytes may be read.
func await(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		part := min(n, l.Burst())
		turn := time.NewTimer(l.ReserveN(time.Now(), part).Delay()) // WaitN fails at once if ctx would end first
		select {
		case <-turn.C:
		case <-ctx.Done():
			turn.Stop()
			return context.Cause(ctx)
		}
		n -= part
	}
	return nil
}

// A brake limits the number of jobs working at once. It halves the limit if a
// service throttles, and raises it by one after all of the allowed jobs went
// well for a while.
type brake struct {
	most int

	mu      sync.Mutex
	changed sync.Cond
	open    int
	working int
	well    int // successful jobs since open was changed
}

// calm is the number of tasks per allowed job that must go well before the
// limit is raised.
const calm = 10

func newBrake(most int) *brake {
	b := &brake{most: most, open: most}
	b.changed.L = &b.mu
	return b
}

// enter waits until one more job may work.
func (b *brake) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.working >= b.open {
		b.changed.Wait()
	}
	b.working++
}

// leave ends the work of a job, and reports whether the limit was lowered.
func (b *brake) leave(throttled bool) (slower bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.working--
	defer b.changed.Broadcast()
	if !throttled {
		if b.well++; b.well >= calm*b.open && b.open < b.most {
			b.open, b.well = b.open+1, 0
		}
		return false
	}
	// Jobs that worked at the same time report the same overload, so only the
	// first of them counts.
	slower = b.working < b.open
	if slower {
		b.open = max(1, b.open/2)
	}
	b.well = 0
	return slower
}

const (
	firstWait = time.Second
	longWait  = 30 * time.Second

	// maxChanges is how often an input is retried because somebody else has
	// changed it in the meantime.
	maxChanges = 3
)

// waitTime returns the time to wait before a retry. The first retry is number
// 1. The time grows with each retry, and has a random part so that jobs don't
// retry together.
func waitTime(try int) time.Duration {
	most := min(longWait, firstWait<<min(try-1, 10))
	return most/2 + rand.N(most/2)
}
