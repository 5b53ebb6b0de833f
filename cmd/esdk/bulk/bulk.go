// Package bulk re-encrypts many messages in place, or audits them, in process,
// as "esdk reencrypt --in-place" and "esdk audit" do. It is for programs that
// divide the work of a run between machines.
//
// Flags name the keys in the syntax of the command, and the keys come from the
// same configuration:
//
//	work, err := bulk.OpenRotation(ctx, []string{"--from-key", "@old", "-k", "@new"})
//	defer work.Close()
//	err = work.Do(ctx, slices.Values(names), func(r bulk.Result) error {
//		fmt.Println(r.Name, r.Status, r.Error)
//		return nil
//	})
//
// [Work.Split] divides the objects under a prefix into ranges for
// [Work.DoRange], and [Work.SplitInventory] divides an S3 Inventory into parts
// for [Work.DoPart]. [OpenAudit] opens an audit instead, and a [Summary] sums
// up its results. [OpenClient] makes a client for single messages.
//
// The package ends no process, handles no signals, asks for no passphrase, and
// writes nothing to standard output or standard error.
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

// A Status is the outcome of an input.
type Status string

// These are the outcomes.
const (
	OK      Status = "ok"      // it was re-encrypted, or audited
	Skipped Status = "skipped" // there was nothing to do
	Failed  Status = "failed"  // it is unchanged, or couldn't be audited
)

// A Result is the outcome of an input. Its fields correspond to a line of the
// command's report.
type Result struct {
	Name      string // as given, or as "esdk reencrypt --files-from0" takes it
	Status    Status
	Reason    string // why it was skipped
	Kind      string // of the error, as listed in docs/cli.md
	Error     string
	Retryable bool  // a retry may succeed
	Bytes     int64 // of the message
	KeyUsed   string

	// VersionBefore and VersionAfter are the versions that the store keeps of
	// the old message and of the new one.
	VersionBefore, VersionAfter string

	// Finding is a line of "esdk audit --json", and Matches reports whether the
	// input matches the filter. Only an audit sets them.
	Finding []byte
	Matches bool
}

// A Work holds keys and clients for any number of inputs. It is safe for
// concurrent use.
type Work struct {
	*session
	buckets *object.Buckets
	pace    batch.Pace
	mode    string // the command: reencrypt or audit

	rotation *reencrypt.Reencryption // exactly one of these is set
	audit    *audit.Audit
}

// newWork makes a Work from the flags of a command. The function add adds these
// flags to a set.
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

// OpenRotation opens the keys that the flags of "esdk reencrypt" give, such as
// -k KEY and --from-key KEY. It takes all flags for reading and writing
// messages, and --config, --profile, --jobs, --rate and --retry-for. No flag
// takes a secret.
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

// Do processes the named files and objects. Objects are named by their URLs. It
// calls each with the result of each input, in the order of names, and
// continues if an input fails. It asks for further names in the meantime. Do
// returns an error if it didn't process all names. If each returns an error,
// that also ends the run. If ctx ends, Do abandons the inputs in progress and
// leaves them unchanged.
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

// A run is one call of Do, DoRange or DoPart.
type run struct {
	*Work
	*teller
	err error // the error that ended the search for inputs
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
	}) // Run returns the errors of inputs, which were already reported
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

// plan returns the jobs and the function that does them.
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

// The number of objects processed concurrently. Each mostly waits for its
// store. An audit makes one short request for an object.
const (
	rotationJobs = 8
	auditJobs    = 32
)
