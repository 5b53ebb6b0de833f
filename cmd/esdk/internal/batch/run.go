// Package batch works on the inputs of a command, and tells what came of them.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"golang.org/x/time/rate"
)

const (
	// maxAhead is how many inputs may be done, or under way, behind one that is
	// not, since they are told of in order.
	maxAhead = 1024

	// LongFile is the length of files that may have several cores even while
	// others are worked on.
	LongFile = 16 << 20

	// objectJobs is how many objects are worked on at once, since each mostly waits
	// for its store.
	objectJobs = 8
)

// A Work does a job, but for committing its output. It returns that, if it opened
// one, even if it fails.
type Work func(context.Context, *place.Job, *Record) (place.Output, error)

// A Batch works on all inputs of a command.
type Batch struct {
	UI        *cli.UI
	Pending   *atomicfile.Pending
	Protected *atomicfile.Protected

	// Each is told of each job, in their order, unless it is nil. Its error ends the run.
	Each func(j *place.Job, r *Record, err error) error

	// Tally has a run of several inputs end with how many there were.
	Tally bool

	// Resume says how to go on with a run of several inputs that was interrupted, "" for no way.
	Resume string

	// CountFiles has the progress be that of files, of which a part is read.
	CountFiles bool

	// While it runs:
	Progress   *Progress
	SideBySide bool // several inputs are worked on at once
}

// A runner does the work of one run.
type runner struct {
	*Batch
	report *report
	work   Work
	plan   *place.Plan
	count  int // of jobs, so far
	taken  int // of those that were not skipped
	failed int
	err    error // of the job that failed last

	skipped map[string]int // of trees, by the reason

	underWay sync.WaitGroup // the tasks that are

	pace    *Pace
	objects *rate.Limiter // nil for no bound
	brake   *brake
	slowed  sync.Once // see again

	reporting sync.Mutex // whoever writes to the report has it
	// unreported is why the report cannot be written, and so no more jobs are begun.
	unreported error
	stopped    atomic.Bool
	untold     int // results that are not in the report

	eachErr error // of Batch.Each, and so no more jobs are begun either

	calls *calls.Counter // of the whole run
}

// A task is a job that is under way.
type task struct {
	*place.Job
	record Record
	calls  calls.Counter
	start  time.Time
	out    place.Output
	err    error
	untold bool // it is not in the report

	tries, changes int       // see again
	throttled      time.Time // first
	done           chan struct{}
}

// Run works on the jobs of a plan, so many side by side, and tells of them in their
// order. The report has each as soon as it is done: else one that takes long would keep
// many that are done out of it. An error of one input does not stop the others.
func (b *Batch) Run(ctx context.Context, plan *place.Plan, pace *Pace, o *ReportOptions, mode string, work Work) (err error) {
	defer plan.Close()
	defer b.Pending.RemoveEmpty()
	report, err := b.openReport(o, mode, plan.Ahead())
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, report.close()) }()
	parallel := parallelJobs(plan, pace.Jobs)
	b.SideBySide = parallel > 1
	b.Progress = newProgress(b.UI, plan.Ahead(), !plan.Complete(), b.CountFiles)
	objects, bytes := pace.Rate.limiters()
	b.Progress.ctx, b.Progress.bytes = ctx, bytes
	defer b.Pending.Last(b.Progress.interrupt)()
	defer b.Progress.stop()
	counter := calls.Of(ctx)
	if counter == nil {
		counter = new(calls.Counter)
		ctx = counter.In(ctx)
	}
	r := &runner{
		Batch: b, report: report, work: work, plan: plan, skipped: make(map[string]int),
		pace: pace, objects: objects, brake: newBrake(parallel), calls: counter,
	}
	defer b.Pending.Last(r.tellInterrupted)()
	if b.SideBySide {
		r.sideBySide(ctx, parallel)
	} else {
		r.oneByOne(ctx)
	}
	b.Progress.Aside(r.tellSummary)
	switch {
	case r.eachErr != nil:
		return r.eachErr
	case r.unreported != nil:
		return r.explainUnreported(o.Path)
	case r.taken > 0 || r.err != nil || plan.Part():
	case mode == "verify":
		return cli.NewError(cli.ExitError, "there is no message: nothing was verified")
	case r.leftOut():
		return cli.NewError(cli.ExitError, "nothing was taken: all was left out by name")
	}
	if r.failed > 0 && plan.Several() {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d inputs failed", r.failed, r.count)
	}
	return r.err
}

// ofSingle says which input the error of the only one is of.
func (r *runner) ofSingle(t *task) error {
	if r.plan.Several() || t.Source.Name() == cli.Standard {
		return t.err
	}
	return cli.OfInput(t.Source.Name(), t.err)
}

// parallelJobs is how many jobs to work on at once. What is no regular file has
// its order, and may be the same pipe under several names. Even on one core, two
// can wait for the disk together. They are no more than there may be files open.
func parallelJobs(plan *place.Plan, parallel int) int {
	jobs := plan.Ahead()
	if slices.ContainsFunc(jobs, alone) {
		return 1
	}
	usual := max(2, runtime.GOMAXPROCS(0))
	if slices.ContainsFunc(jobs, func(j place.Job) bool { return j.Remote() }) {
		usual = max(usual, objectJobs)
	}
	parallel = cmp.Or(parallel, usual)
	if plan.Complete() {
		parallel = min(parallel, len(jobs))
	}
	return min(parallel, atomicfile.MaxJobs())
}

// leftOut reports whether all that could have been taken was left out by its name, which
// may be a mistake in a pattern.
func (r *runner) leftOut() bool {
	some := false
	for reason := range r.skipped {
		switch {
		case place.LeftOut(reason):
			some = true
		case place.Done(reason):
			return false
		}
	}
	return some
}

func alone(j place.Job) bool { return j.Stream() || j.Special() }

// jobs yields those of the plan until the report cannot be written.
func (r *runner) jobs() iter.Seq[*place.Job] {
	return func(yield func(*place.Job) bool) {
		for j := range r.plan.All() {
			if r.stopped.Load() || !yield(j) {
				return
			}
		}
	}
}

func (r *runner) oneByOne(ctx context.Context) {
	for j := range r.jobs() {
		t := &task{Job: j}
		r.begin(ctx, t)
		if t.grouped() {
			t.commit()
		}
		r.end(t)
		r.tell(t)
	}
}

// sideBySide has so many workers begin jobs, in their order, while the results of
// others are put on the disk.
func (r *runner) sideBySide(ctx context.Context, workers int) {
	tasks := make(chan *task, maxAhead)
	begin, commit := make(chan *task), make(chan *task, atomicfile.MaxGroup)
	go func() {
		defer close(tasks)
		defer close(begin)
		r.feed(tasks, begin)
	}()
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for t := range begin {
				r.begin(ctx, t)
				if !t.grouped() {
					r.end(t)
				}
				commit <- t
			}
		})
	}
	go func() {
		working.Wait()
		close(commit)
	}()
	go func() {
		for t := range commit {
			r.commitGroup(gather(t, commit))
		}
	}()
	for t := range tasks {
		<-t.done
		r.tell(t)
	}
}

// feed gives each job to who tells of it and to a worker. What has its order, and comes
// up behind the jobs that were looked at before, is worked on alone.
func (r *runner) feed(tasks, begin chan<- *task) {
	for j := range r.jobs() {
		alone := alone(*j) // the job is another's once it is sent
		if alone {
			r.underWay.Wait()
		}
		t := &task{Job: j, done: make(chan struct{})}
		r.underWay.Add(1)
		tasks <- t
		begin <- t
		if alone {
			<-t.done
		}
	}
}

// gather returns a task and those that wait by now. While a group is being put on
// the disk the next one gathers: nothing waits for more to come.
func gather(t *task, more <-chan *task) []*task {
	group := []*task{t}
	for len(group) < atomicfile.MaxGroup {
		select {
		case t, ok := <-more:
			if !ok {
				return group
			}
			group = append(group, t)
		default:
			return group
		}
	}
	return group
}

// commitGroup ends tasks, and puts those that went well on the disk together.
func (r *runner) commitGroup(group []*task) {
	var files []*atomicfile.File
	var owners []*task
	for _, t := range group {
		if t.grouped() {
			files, owners = append(files, t.out.(*atomicfile.File)), append(owners, t)
		}
	}
	for i, err := range atomicfile.CommitAll(files) {
		owners[i].err = err
		r.end(owners[i])
	}
	for _, t := range group {
		close(t.done)
		r.underWay.Done()
	}
}

// begin does a task, but for what is committed with others.
func (r *runner) begin(ctx context.Context, t *task) {
	t.start = time.Now()
	t.record = r.report.newRecord(t.Job)
	ctx = t.calls.In(ctx)
	t.Look(ctx)
	if t.err = cmp.Or(t.Job.Err, r.report.check(t.Job)); t.err != nil || t.Skip != "" {
		return
	}
	for {
		r.try(ctx, t)
		if !r.again(ctx, t) {
			return
		}
	}
}

// try does a task once, in its turn.
func (r *runner) try(ctx context.Context, t *task) {
	r.brake.enter()
	if t.err = await(ctx, r.objects, 1); t.err == nil {
		t.out, t.err = r.work(ctx, t.Job, &t.record)
	}
	t.commitApart()
	throttled := t.err != nil && cli.Kind(t.err) == cli.KindThrottled
	if r.brake.leave(throttled) {
		r.slowed.Do(func() {
			r.Progress.Aside(func() { r.UI.Note("a service asks for patience: the run slows down") })
		})
	}
}

// again waits before a task is tried once more, and reports whether it is to be: if a
// service throttled it, or somebody else has changed the object meanwhile.
func (r *runner) again(ctx context.Context, t *task) bool {
	if t.err == nil || t.Stream() || t.Special() {
		return false
	}
	switch kind := cli.Kind(t.err); {
	case kind == cli.KindChanged && t.Source.Remote() && t.changes < maxChanges:
		t.changes++
	case kind == cli.KindThrottled:
		if t.tries++; t.tries == 1 {
			t.throttled = time.Now()
		}
		wait := waitTime(t.tries)
		if time.Since(t.throttled)+wait > r.pace.RetryFor {
			return false
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false
		}
	default:
		return false
	}
	t.Renew()
	if t.out != nil {
		t.out.Abort()
	}
	t.out, t.record = nil, r.report.newRecord(t.Job)
	return true
}

// grouped reports whether a task is still to be committed, with others.
func (t *task) grouped() bool {
	_, ok := t.out.(*atomicfile.File)
	return ok && t.err == nil
}

// commitApart commits what takes long, so that a group does not wait for it.
func (t *task) commitApart() {
	if t.err != nil {
		return
	}
	o, ok := t.out.(*atomicfile.File)
	switch {
	case !ok:
		t.commit()
	case t.Size() >= LongFile:
		t.err = o.Sync()
	}
}

func (t *task) commit() {
	if t.out != nil && t.err == nil {
		t.err = t.out.Commit()
	}
}

// end removes what did not become a result, and writes the rest down.
func (r *runner) end(t *task) {
	if t.out != nil {
		t.out.Abort()
	}
	t.record.InputVersion = t.Job.End()
	t.record.Counts = t.calls.Counts()
	if made, ok := t.out.(interface{ VersionID() string }); ok && t.err == nil {
		t.record.OutputVersion = made.VersionID()
	}
	t.record.DurationMS = float64(time.Since(t.start).Microseconds()) / 1000
	r.Progress.Aside(func() { r.writeDown(t) })
}

// tell says what came of a task.
func (r *runner) tell(t *task) {
	r.Progress.finished.Add(1)
	r.Progress.Aside(func() {
		r.count++
		if t.Skip == "" {
			r.taken++
		}
		switch {
		case t.err != nil:
		case t.Skip == "":
			if t.record.Note != "" {
				r.UI.Note("%s", t.record.Note)
			}
			if t.record.Warning != "" {
				r.UI.Note("%s: warning: %s", cli.Printable(t.Source.Name()), cli.Printable(t.record.Warning))
			}
		case t.Source.Below() || (t.Skip == place.SkipDone || t.Skip == place.SkipTwice) && r.plan.Several():
			r.skipped[t.Skip]++
			if t.Skip == place.SkipLink || t.Skip == place.SkipSpecial || t.Skip == place.SkipTemporary {
				r.UI.Note("skipped %s: %s", cli.Printable(t.Source.Name()), t.Skip)
			}
		case t.Skip == place.SkipDone:
			r.UI.Note("skipped %s: %s", cli.Printable(t.Source.Name()), t.Skip)
		default:
			r.UI.Note("%s exists, skipped %s", cli.Printable(t.Output()), cli.Printable(t.Source.Name()))
		}
		if t.untold {
			r.untold++
		}
		if t.untold && t.err == nil && t.Skip == "" {
			r.UI.Announce("not_reported", map[string]string{"input": t.Source.Name(), "output": t.Output()},
				cli.Printable(t.Source.Name())+": done, and not in the report")
		}
		r.tellEach(t)
		if t.err == nil {
			return
		}
		r.failed++
		r.err = r.ofSingle(t)
		if r.plan.Several() || t.untold {
			r.UI.Report(t.Source.Name(), t.err)
		}
	})
}

func (r *runner) tellEach(t *task) {
	if r.Each == nil || r.eachErr != nil {
		return
	}
	if r.eachErr = r.Each(t.Job, &t.record, t.err); r.eachErr != nil {
		r.stopped.Store(true)
	}
}

// writeDown adds a task to the report. If it cannot, what is under way is ended, and
// told of one by one.
func (r *runner) writeDown(t *task) {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	if r.unreported == nil {
		r.unreported = r.report.write(&t.record, t.Skip, t.err)
	}
	if r.unreported != nil {
		t.untold = true
		r.stopped.Store(true)
	}
}

// explainUnreported says what has become of the rest.
func (r *runner) explainUnreported(path string) error {
	err := r.unreported
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return cli.NewError(cli.ExitError, "the report %s cannot be written: %v; %d results are not in it, and nothing more was begun", cli.Printable(path), err, r.untold)
}

// tellSummary says how many inputs there were, and why some of a tree were skipped: what a run
// before has done is not told of one by one.
func (r *runner) tellSummary() {
	if r.UI.JSON {
		if r.tallied() || len(r.skipped) > 0 {
			r.UI.NoteObject("summary", r.summary())
		}
		return
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		reasons = append(reasons, fmt.Sprintf("%s (%d)", cli.Printable(reason), r.skipped[reason]))
	}
	if len(reasons) == 0 && !r.tallied() {
		return
	}
	inputs := "inputs"
	if r.count == 1 {
		inputs = "input"
	}
	text := fmt.Sprintf("%d %s: %s", r.count, inputs, r.counts())
	if len(reasons) > 0 {
		text += ": " + strings.Join(reasons, ", ")
	}
	if calls := r.calls.Counts().String(); calls != "" {
		text += "; " + calls
	}
	r.UI.Note("%s", text)
}

func (r *runner) tallied() bool { return r.Tally && r.plan.Several() && r.count > 0 }

// A Summary tells what came of the inputs of a run, in JSON.
type Summary struct {
	Inputs  int            `json:"inputs"`
	OK      int            `json:"ok"`
	Failed  int            `json:"failed"`
	Skipped int            `json:"skipped"`
	Reasons map[string]int `json:"skipped_reasons,omitempty"` // of directories

	calls.Counts
}

func (r *runner) summary() Summary {
	return Summary{r.count, r.taken - r.failed, r.failed, r.count - r.taken, r.skipped, r.calls.Counts()}
}

// tellInterrupted says how far a run of several inputs came. It's called behind
// Progress.interrupt, so that nobody counts any more.
func (r *runner) tellInterrupted() {
	if !r.Tally || !r.plan.Several() {
		return
	}
	text := "nothing was done yet"
	if r.count > 0 {
		text = fmt.Sprintf("%d inputs so far: %s", r.count, r.counts())
	}
	if r.Resume != "" {
		text += "; " + r.Resume
	}
	r.UI.Note("%s", text)
}

// counts says what has become of the inputs.
func (r *runner) counts() string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{{r.taken - r.failed, "ok"}, {r.failed, "failed"}, {r.count - r.taken, "skipped"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

// Concurrency is how many cores the library may use for a file: 0 means all.
func (b *Batch) Concurrency(f place.Input) int {
	if info, err := f.Stat(); !b.SideBySide || err == nil && info.Mode().IsRegular() && info.Size() >= LongFile {
		return 0
	}
	return 1
}
