// Package bulk has many messages encrypted again, each in its place, or looked at, in
// process: it does what "esdk reencrypt --in-place" and "esdk audit" do, with keys by the
// same grammar and from the same configuration. It is for programs that share the work of a
// run between machines. It ends no process, handles no signals, asks nobody for a
// passphrase, and writes nothing to standard output or standard error.
package bulk

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/audit"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"esdk/cmd/esdk/internal/reencrypt"
	"github.com/spf13/pflag"
)

// A Status is what has become of an input.
type Status string

const (
	OK      Status = "ok"      // it was encrypted again, or looked at
	Skipped Status = "skipped" // there was nothing to do
	Failed  Status = "failed"  // it is as it was, or could not be looked at
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

	// Of an audit: a line of "esdk audit --json", and whether the input matches the filter.
	Finding []byte
	Matches bool
}

// A Work has keys and clients for any number of inputs. It is safe for concurrent use.
type Work struct {
	*session
	buckets *object.Buckets
	pace    batch.Pace
	mode    string // which command it is

	rotation *reencrypt.Reencryption // either of the two
	audit    *audit.Audit
}

// newWork makes one of the flags of a command, which add adds.
func newWork(mode string, args []string, usualJobs int, add func(*pflag.FlagSet), open func(*Work, *pflag.FlagSet) error) (*Work, error) {
	s, err := newSession()
	if err != nil {
		return nil, err
	}
	w := &Work{session: s, buckets: object.NewBuckets(), mode: mode}
	flags := pflag.NewFlagSet(mode, pflag.ContinueOnError)
	add(flags)
	w.pace.AddFlags(flags)
	if err = s.parse(flags, args); err == nil {
		w.pace.Jobs = cmp.Or(w.pace.Jobs, usualJobs)
		err = open(w, flags)
	}
	if err != nil {
		s.Close()
		return nil, errors.New(s.message(err))
	}
	return w, nil
}

// OpenRotation makes keyrings of the keys that flags of "esdk reencrypt" name, such as
// -k KEY and --from-key KEY: all flags that say how messages are read and written, with
// --config, --profile, --jobs, --rate and --retry-for. No flag is for a secret.
func OpenRotation(ctx context.Context, flags []string) (*Work, error) {
	o := &reencrypt.Options{InPlace: true}
	return newWork("reencrypt", flags, rotationJobs, o.AddFlags, func(w *Work, flags *pflag.FlagSet) (err error) {
		if err := w.settings.ApplyProfile(flags); err != nil {
			return err
		}
		w.rotation, err = reencrypt.New(ctx, w.settings, o)
		return err
	})
}

// Do takes what names name: files, or objects by their URLs. It tells each result, in the
// order of names, and goes on if an input fails; the next names are asked for meanwhile. The
// error is why not all was done: an error of each ends the run, too. If ctx ends, Do gives up
// what is under way, which is then as it was.
func (w *Work) Do(ctx context.Context, names iter.Seq[string], each func(Result) error) error {
	t := newTeller(each)
	run := &run{Work: w, teller: t}
	return run.do(ctx, place.InputOptions{Unseen: w.audit != nil, Names: func(yield func(string) bool) {
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
	*Work
	*teller
	err error // that ended the search for inputs
}

func (r *run) do(ctx context.Context, in place.InputOptions) error {
	pending, protected := atomicfile.NewPending(), r.settings.Keys.Protected
	b := &batch.Batch{UI: r.settings.UI, Pending: pending, Protected: protected}
	planner := &place.Planner{UI: r.settings.UI, Buckets: r.buckets, Pending: pending, Protected: protected}
	plan, work, err := r.plan(ctx, planner, b, in)
	if err != nil {
		return errors.New(r.message(err))
	}
	report := &batch.ReportOptions{Each: func(rec *batch.Record, cause error) error { return r.tell(ctx, r.result(rec, cause)) }}
	b.Run(ctx, plan, &r.pace, report, r.mode, func(ctx context.Context, j *place.Job, rec *batch.Record) (place.Output, error) {
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

// plan returns the jobs, and what does them.
func (w *Work) plan(ctx context.Context, p *place.Planner, b *batch.Batch, in place.InputOptions) (*place.Plan, batch.Work, error) {
	if w.audit != nil {
		plan, err := p.Inputs(ctx, nil, &in)
		return plan, w.audit.Job, err
	}
	plan, err := p.Plan(ctx, nil, &place.OutputOptions{
		InputOptions: in,
		InPlace:      true,
		Name:         func(input string) string { return input },
		OneToOne:     true,
	})
	return plan, w.rotation.Work(b), err
}

// How many objects are worked on at once, since each mostly waits for its store. A look is
// one short request.
const (
	rotationJobs = 8
	auditJobs    = 32
)
