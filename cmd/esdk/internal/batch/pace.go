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

// A Pace says how fast a run may go. The zero value is as fast as it can, and gives up an
// input as soon as a service asks for patience.
type Pace struct {
	Jobs int // side by side, or 0 for the usual

	// Rate bounds what is begun and read in a second.
	Rate Rate

	// RetryFor is how long an input is tried again that a service throttles. The run
	// slows down meanwhile.
	RetryFor time.Duration
}

// UsualPatience is how long an input is tried again that a service throttles.
const UsualPatience = 5 * time.Minute

// AddFlags adds those that say it.
func (p *Pace) AddFlags(flags *pflag.FlagSet) {
	flags.Var((*jobCount)(&p.Jobs), "jobs", "work on this `NUMBER` of files side by side; 0, the default, is one for each core, and 8 for objects")
	flags.Var(&p.Rate, "rate", "work on no more objects, and read no more bytes, in a second than these `LIMITS`, such as objects=100,bytes=20M")
	p.RetryFor = UsualPatience
	flags.Var((*patience)(&p.RetryFor), "retry-for", "how long to try an input again that a service throttles; 0 is not at all")
}

// A jobCount is a number of jobs.
type jobCount int

func (j *jobCount) String() string { return strconv.Itoa(int(*j)) }

// Type is for the help.
func (*jobCount) Type() string { return "int" }

func (j *jobCount) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return cli.UsageError("want a number from 1, or 0 for the usual")
	}
	*j = jobCount(n)
	return nil
}

// A patience is how long to wait.
type patience time.Duration

func (p *patience) String() string { return time.Duration(*p).String() }

// Type is for the help.
func (*patience) Type() string { return "duration" }

func (p *patience) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return cli.UsageError("want a duration such as 5m, or 0 to try once")
	}
	*p = patience(d)
	return nil
}

// A Rate is a number of inputs, and of bytes that are read of them, in a second; 0 is no
// bound.
type Rate struct{ Objects, Bytes int64 }

// String returns a text that Set takes.
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

// ErrRate is the error of a text that is no rate.
var ErrRate = cli.UsageError("want objects=NUMBER, bytes=BYTES or both with a comma between, each for a second")

// Type is for the help.
func (*Rate) Type() string { return "rate" }

// limiters are those of a rate, nil where there is no bound.
func (r Rate) limiters() (objects, bytes *rate.Limiter) {
	if r.Objects > 0 {
		objects = rate.NewLimiter(rate.Limit(r.Objects), 1)
	}
	if r.Bytes > 0 {
		bytes = rate.NewLimiter(rate.Limit(r.Bytes), int(min(r.Bytes, maxBurst)))
	}
	return objects, bytes
}

// maxBurst is how many bytes may be read at once.
const maxBurst = 1 << 20

// await waits until so many may be begun or read.
func await(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		part := min(n, l.Burst())
		turn := time.NewTimer(l.ReserveN(time.Now(), part).Delay()) // WaitN fails at once if ctx ends before
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

// A brake lets so many jobs work at once: half as many after a service has asked for
// patience, and one more each time that all of those went well for a while.
type brake struct {
	most int

	mu      sync.Mutex
	changed sync.Cond
	open    int
	working int
	well    int // that went well since open was changed
}

// calm is how many tasks of each that may work must go well before there is one more.
const calm = 10

func newBrake(most int) *brake {
	b := &brake{most: most, open: most}
	b.changed.L = &b.mu
	return b
}

// enter waits until one more may work.
func (b *brake) enter() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.working >= b.open {
		b.changed.Wait()
	}
	b.working++
}

// leave ends the work of one, and reports whether the brake was put on.
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
	// Those that worked at the same time tell of the same.
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

	// maxChanges is how often an input is looked at again that somebody else has
	// changed meanwhile.
	maxChanges = 3
)

// waitTime is how long to wait before a try, from 1: longer each time, and not as long as
// others do.
func waitTime(try int) time.Duration {
	most := min(longWait, firstWait<<min(try-1, 10))
	return most/2 + rand.N(most/2)
}
