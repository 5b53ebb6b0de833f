package place

import (
	"cmp"
	"context"
	"iter"
	"os"
	"slices"

	"esdk/cmd/esdk/internal/cli"
)

// defaultLookAhead is the number of inputs that are checked before any work,
// together with their outputs and against each other.
const defaultLookAhead = 10_000

// A Plan is a sequence of jobs, of any length. A mistake in the first jobs
// stops the run before any work. Later jobs are found while the run goes on,
// and a mistake in one of them fails only its input.
type Plan struct {
	ahead   []Job
	more    bool
	several bool // there could be more than one job
	part    bool // the inputs are one shard of several
	next    func() (Job, bool)
	stop    func()
}

// Ahead returns the jobs that were planned before any work.
func (p *Plan) Ahead() []Job { return p.ahead }

// Complete reports whether Ahead returns all jobs.
func (p *Plan) Complete() bool { return !p.more }

// Part reports whether other runs have the other inputs. Then it's no mistake
// if there are none.
func (p *Plan) Part() bool { return p.part }

// Several reports whether there is more than one job, or could be. A user who
// gives a directory, a list, an inventory or a shard may not know how many
// inputs it has, so a single one is reported like many.
func (p *Plan) Several() bool { return p.several }

// Close ends the search for inputs.
func (p *Plan) Close() { p.stop() }

// All yields the jobs, once. The jobs in Ahead are gone afterwards.
func (p *Plan) All() iter.Seq[*Job] {
	return func(yield func(*Job) bool) {
		defer p.stop()
		for i := range p.ahead {
			j := p.ahead[i]
			p.ahead[i] = Job{} // frees the memory of finished jobs
			if !yield(&j) {
				return
			}
		}
		for p.more {
			j, ok := p.next()
			if !ok || !yield(&j) {
				return
			}
		}
	}
}

// Each calls f for each job before it's done. An error of f counts as the
// user's mistake.
func (p *Plan) Each(f func(*Job) error) error {
	for i := range p.ahead {
		if err := f(&p.ahead[i]); err != nil {
			p.stop()
			return err
		}
	}
	p.later(f)
	return nil
}

// later calls f for each job after those in Ahead.
func (p *Plan) later(f func(*Job) error) {
	next := p.next
	p.next = func() (Job, bool) {
		j, ok := next()
		if ok {
			j.fail(f(&j))
		}
		return j, ok
	}
}

// fail makes a mistake the failure of one input.
func (j *Job) fail(err error) {
	if err != nil {
		j.Err, j.Skip = err, ""
	}
}

// Inputs plans a command that writes no results.
func (p *Planner) Inputs(ctx context.Context, inputs []string, o *InputOptions) (*Plan, error) {
	o.real = make(realPaths)
	return p.begin(ctx, inputs, o)
}

// begin finds the first inputs.
func (p *Planner) begin(ctx context.Context, inputs []string, o *InputOptions) (*Plan, error) {
	if err := cmp.Or(o.check(), o.checkNamed(inputs)); err != nil {
		return nil, err
	}
	var err error
	if o.shard, err = parseShard(o.Shard, os.Getenv); err != nil {
		return nil, err
	}
	found, err := p.found(ctx, inputs, o)
	if err != nil {
		return nil, err
	}
	next, stop := iter.Pull2(found)
	plan := &Plan{stop: stop, more: true, part: o.Shard != ""}
	for plan.more && len(plan.ahead) < p.lookAhead(o) {
		j, err, ok := next()
		if err != nil {
			stop()
			return nil, err
		}
		if plan.more = ok; ok {
			plan.ahead = append(plan.ahead, j)
		}
	}
	plan.several = len(plan.ahead) > 1 || plan.more || o.List != "" || o.Inventory != "" || plan.part || slices.ContainsFunc(plan.ahead, below)
	plan.next = func() (Job, bool) {
		j, err, ok := next()
		j.fail(err)
		return j, ok
	}
	return plan, nil
}

// lookAhead returns the number of inputs that are checked before any work. A
// caller that gives them one by one gets the mistakes one by one too.
func (p *Planner) lookAhead(o *InputOptions) int {
	if o.Names != nil || o.Found != nil {
		return 0
	}
	return cmp.Or(p.LookAhead, defaultLookAhead)
}

func below(j Job) bool { return j.Source.Below() }

func (p *Planner) found(ctx context.Context, inputs []string, o *InputOptions) (iter.Seq2[Job, error], error) {
	if o.Command {
		if len(inputs) == 0 {
			return nil, cli.UsageError("no program given: put it after --command --")
		}
		return p.findCommand(inputs), nil
	}
	if o.Found != nil {
		return func(yield func(Job, error) bool) {
			o.Found(func(j Job) bool { return yield(j, nil) })
		}, nil
	}
	named, err := p.names(inputs, o)
	if err != nil {
		return nil, err
	}
	return o.shard.of(func(yield func(Job, error) bool) {
		for j, err := range p.find(ctx, named, o) {
			if !yield(j, err) {
				return
			}
		}
		if o.Inventory != "" {
			p.findInventory(ctx, o, yield)
		}
	}), nil
}

// check rejects options that contradict each other.
func (o *OutputOptions) check() error {
	if o.Force && o.NoClobber {
		return cli.UsageError("--force and --no-clobber cannot be used together")
	}
	if o.Update && (o.Force || o.NoClobber || o.InPlace) {
		return cli.UsageError("--update cannot be used with --force, --no-clobber or --in-place")
	}
	if o.InPlace && (o.Path != "" || o.Force || o.NoClobber) {
		return cli.UsageError("--in-place cannot be used with -o, --force or --no-clobber")
	}
	return nil
}

// Resume says how to continue an interrupted run, "" if it has to start over.
func (o *OutputOptions) Resume() string {
	const again = "to resume, repeat the command"
	switch {
	case o.InPlace || o.NoClobber || o.Update:
		return again
	case o.Force:
		return ""
	}
	return again + " with --no-clobber"
}

// Plan finds the inputs and plans an output for each. Before any work, it
// rejects outputs that can't be written.
func (p *Planner) Plan(ctx context.Context, inputs []string, options *OutputOptions) (*Plan, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	if options.Force || options.Update || options.NoClobber || options.InPlace {
		p.Pending.RememberResults()
	}
	options.real = make(realPaths)
	o := &outputs{Planner: p, OutputOptions: options, several: options.several(len(inputs))}
	if err := o.open(ctx); err != nil {
		return nil, err
	}
	options.admit, options.isResults = o.admitFolder, o.madeFor
	plan, err := p.begin(ctx, inputs, &options.InputOptions)
	if err != nil {
		return nil, err
	}
	if err := o.planAhead(ctx, plan.ahead); err != nil {
		plan.stop()
		return nil, err
	}
	plan.later(func(j *Job) error { return o.planLater(ctx, j) })
	return plan, nil
}

// several reports whether an input may occur twice: in a list, or if more than
// one thing has inputs. In an inventory, as in a directory, each occurs once.
func (o *InputOptions) several(inputs int) bool {
	if o.Inventory != "" {
		inputs++
	}
	return inputs > 1 || o.List != "" || o.Names != nil
}

// planAhead plans the first jobs, each by itself and then together.
func (o *outputs) planAhead(ctx context.Context, jobs []Job) error {
	if err := o.settle(jobs); err != nil {
		return err
	}
	for i := range jobs {
		if err := o.plan(ctx, &jobs[i]); err != nil {
			return err
		}
	}
	if err := checkCollisions(jobs, o.OutputOptions); err != nil {
		return err
	}
	for i := range jobs {
		if err := o.take(&jobs[i]); err != nil {
			return err
		}
	}
	return nil
}

// planLater plans a job after those.
func (o *outputs) planLater(ctx context.Context, j *Job) error {
	err := o.plan(ctx, j)
	if o.again(j) {
		j.Skip, j.Err = SkipTwice, nil // its result exists by now
		return nil
	}
	if err != nil {
		return err
	}
	return o.take(j)
}
