// Package bulk encrypts many messages again, each in its place, in process: it does what
// "esdk reencrypt --in-place" does, with keys by the same grammar and from the same
// configuration. It is for programs that share the work of a run between machines. It ends
// no process, handles no signals, asks nobody for a passphrase, and writes nothing to
// standard output or standard error.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/reencrypt"
	"github.com/spf13/pflag"
)

// A Status is what has become of an input.
type Status string

const (
	OK      Status = "ok"      // it was encrypted again
	Skipped Status = "skipped" // there was nothing to do
	Failed  Status = "failed"  // it is as it was
)

// A Result is what has become of an input. Its fields are those of a line of the command's
// report.
type Result struct {
	Name      string // as it was given, or as "esdk reencrypt --files-from0" takes it
	Status    Status
	Reason    string // why it was skipped
	Kind      string // of the error, as docs/cli.md lists them
	Error     string
	Retryable bool  // the same may go well later
	Bytes     int64 // of the message
	KeyUsed   string

	// The names under which a store keeps the message before and the one after.
	VersionBefore, VersionAfter string
}

// A Rotation has keys and clients for any number of inputs. It is safe for concurrent use.
type Rotation struct {
	*session
	buckets *object.Buckets
	work    *reencrypt.Reencryption
	pace    batch.Pace
}

// Open makes keyrings of the keys that flags of "esdk reencrypt" name, such as -k KEY and
// --from-key KEY: all flags that say how messages are read and written, with --config,
// --profile, --jobs, --rate and --retry-for. No flag is for a secret.
func Open(ctx context.Context, flags []string) (*Rotation, error) {
	s, err := newSession()
	if err != nil {
		return nil, err
	}
	r := &Rotation{session: s, buckets: object.NewBuckets()}
	if err := r.open(ctx, flags); err != nil {
		s.Close()
		return nil, errors.New(s.message(err))
	}
	return r, nil
}

func (r *Rotation) open(ctx context.Context, args []string) error {
	o := reencrypt.Options{InPlace: true}
	flags := pflag.NewFlagSet("reencrypt", pflag.ContinueOnError)
	o.AddFlags(flags)
	r.pace.AddFlags(flags)
	if err := r.parse(flags, args); err != nil {
		return err
	}
	if err := r.settings.ApplyProfile(flags); err != nil {
		return err
	}
	if r.pace.Jobs < 0 {
		return cli.UsageError("--jobs %d: want a number from 1, or 0 for the usual", r.pace.Jobs)
	}
	r.pace.Jobs = cmp.Or(r.pace.Jobs, usualJobs)
	var err error
	r.work, err = reencrypt.New(ctx, r.settings, &o)
	return err
}

// Do encrypts what names name: files, or objects by their URLs. It tells each result, in the
// order of names, and goes on if an input fails; the next names are asked for meanwhile. The
// error is why not all was done: an error of each ends the run, too. If ctx ends, Do gives up what is under way, which is then
// as it was.
func (r *Rotation) Do(ctx context.Context, names iter.Seq[string], each func(Result) error) error {
	t := newTeller(each)
	run := &run{Rotation: r, teller: t}
	return run.do(ctx, place.InputOptions{Names: func(yield func(string) bool) {
		for name := range names {
			if ctx.Err() != nil {
				return
			}
			if !t.begin(name) || !yield(name) {
				return
			}
		}
	}})
}

// A run is one call of Do or DoRange.
type run struct {
	*Rotation
	*teller
	err error // that ended the search for inputs
}

func (r *run) do(ctx context.Context, in place.InputOptions) error {
	pending, protected := atomicfile.NewPending(), r.settings.Keys.Protected
	planner := &place.Planner{UI: r.settings.UI, Buckets: r.buckets, Pending: pending, Protected: protected, LookAhead: 1}
	plan, err := planner.Plan(ctx, nil, &place.OutputOptions{
		InputOptions: in,
		InPlace:      true,
		Name:         func(input string) string { return input },
		OneToOne:     true,
	})
	if err != nil {
		return errors.New(r.message(err))
	}
	b := &batch.Batch{UI: r.settings.UI, Pending: pending, Protected: protected}
	work := r.work.Work(b)
	report := &batch.ReportOptions{Each: func(rec *batch.Record, cause error) error { return r.tell(ctx, r.result(rec, cause)) }}
	b.Run(ctx, plan, &r.pace, report, "reencrypt", func(ctx context.Context, j *place.Job, rec *batch.Record) (place.Output, error) {
		return work(keyspec.WithKeyUsed(ctx, &rec.KeyUsed), j, rec)
	}) // which returns the errors of inputs, that were told
	switch {
	case r.teller.err != nil:
		return r.teller.err
	case ctx.Err() != nil:
		return ctx.Err()
	case r.err != nil:
		return r.err
	case r.stop:
		return ErrStop
	}
	return nil
}

// usualJobs is how many objects are worked on at once, since each mostly waits for its
// store.
const usualJobs = 8
