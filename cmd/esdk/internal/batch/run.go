// Package batch processes the inputs of a command and reports the results.
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
	// maxAhead is the number of inputs that may be finished or in progress
	// behind an unfinished one, since results are reported in order.
	maxAhead = 2048

	// gatherTime is how long a finished result waits for others to be synced
	// with it. A sync of a few results takes nearly as long as one of hundreds,
	// and holds up those that are being made.
	gatherTime = 100 * time.Millisecond

	// LongFile is the length from which a file may use several cores even while
	// others are processed, in bytes.
	LongFile = 16 << 20

	// objectJobs is the number of objects processed concurrently, since each
	// mostly waits for its store.
	objectJobs = 8

	// fileJobs is the number of files processed concurrently for each core:
	// while the results of others are synced, a file that is opened, made or
	// read may wait for the disk. Long files have one job for each core, and at
	// least two.
	fileJobs = 4

	// ballast is memory that is never touched, and so never resident, in bytes,
	// for a run that leads to no bucket. The garbage collector runs when the
	// heap has doubled, and a run's own heap is small: a fifth of the time of
	// an unsigned run went into collecting 20 KB for each file, twenty times.
	ballast = 32 << 20

	// threads is the number of threads for each core that run Go code. A thread
	// that waits for the disk counts until the runtime notices.
	threads = 2
)

// A Work does a job, except for committing its output. It returns the output if
// it opened one, even if it fails.
type Work func(context.Context, *place.Job, *Record) (place.Output, error)

// A Batch processes all inputs of a command.
type Batch struct {
	UI        *cli.UI
	Pending   *atomicfile.Pending
	Protected *atomicfile.Protected

	// Each, if not nil, is called for each job in order. If it returns an
	// error, the run ends.
	Each func(j *place.Job, r *Record, err error) error

	// Tally makes a run of several inputs end with their number.
	Tally bool

	// Resume says how to resume an interrupted run of several inputs. It is ""
	// if there is no way.
	Resume string

	// OwnProcess lets a run of several files use more threads than cores. It
	// must not be set in another program's process.
	OwnProcess bool

	// CountFiles makes the progress count files instead of bytes, for runs that
	// read only a part of each.
	CountFiles bool

	// Set while the batch runs.
	Progress   *Progress
	SideBySide bool // several inputs are processed concurrently
	cores      int
}

// A runner does the work of one run.
type runner struct {
	*Batch
	report *report
	work   Work
	plan   *place.Plan
	count  int // jobs so far
	taken  int // jobs that weren't skipped
	failed int
	err    error // of the job that failed last

	skipped map[string]int // skipped inputs of trees, by reason

	underWay sync.WaitGroup // the tasks in progress

	pace    *Pace
	objects *rate.Limiter // nil for no limit
	brake   *brake
	long    chan struct{} // has an entry for each long file in progress
	slowed  sync.Once     // see try

	reporting sync.Mutex // held while writing to the report
	// unreported is the error of writing the report. After it no more jobs
	// begin.
	unreported error
	stopped    atomic.Bool
	untold     int // results missing from the report

	eachErr error // error of Batch.Each; after it no more jobs begin, either

	calls *calls.Counter // of the whole run
}

// A task is a job in progress.
type task struct {
	*place.Job
	record Record
	calls  *calls.Counter
	start  time.Time
	out    place.Output
	err    error
	untold bool // the result isn't in the report

	tries, changes int       // see again
	throttled      time.Time // when it was first throttled
	done           chan struct{}
}

// Run processes the jobs of a plan, several at once, and prints their results
// in order. The report gets each result as soon as the job is done: otherwise
// one long job would delay the results of many others. A failed input doesn't
// stop the others.
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
	b.cores = runtime.GOMAXPROCS(0)
	if b.SideBySide && b.OwnProcess && !hasRemote(plan) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads * b.cores))
		defer runtime.KeepAlive(make([]byte, ballast))
	}
	b.Progress = newProgress(b.UI, plan.Ahead(), !plan.Complete(), b.CountFiles)
	objects, bytes := pace.Rate.limiters()
	b.Progress.ctx, b.Progress.bytes = ctx, bytes
	defer b.Pending.Last(b.Progress.interrupt)()
	defer b.Progress.stop()
	counter := calls.Of(ctx)
	if counter == nil {
		ctx, counter = calls.New(ctx)
	}
	r := &runner{
		Batch: b, report: report, work: work, plan: plan, skipped: make(map[string]int),
		pace: pace, objects: objects, brake: newBrake(parallel), calls: counter,
		long: make(chan struct{}, cmp.Or(pace.Jobs, max(2, b.cores))),
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
		return cli.NewError(cli.ExitError, "no messages found: nothing was verified")
	case r.leftOut():
		return cli.NewError(cli.ExitError, "no inputs left: all names were excluded")
	}
	if r.failed > 0 && plan.Several() {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d inputs failed", r.failed, r.count)
	}
	return r.err
}

// ofSingle adds the name of the input to the error of the only one.
func (r *runner) ofSingle(t *task) error {
	if r.plan.Several() || t.Source.Name() == cli.Standard {
		return t.err
	}
	return cli.OfInput(t.Source.Name(), t.err)
}

// parallelJobs returns the number of concurrent jobs. Inputs that aren't
// regular files need their order, and several names may lead to the same pipe,
// so they are processed one by one. The number is limited by the number of
// files that may be open.
func parallelJobs(plan *place.Plan, parallel int) int {
	jobs := plan.Ahead()
	if slices.ContainsFunc(jobs, alone) {
		return 1
	}
	usual := fileJobs * runtime.GOMAXPROCS(0)
	if hasRemote(plan) {
		usual = max(2, runtime.GOMAXPROCS(0), objectJobs)
	}
	parallel = cmp.Or(parallel, usual)
	if plan.Complete() {
		parallel = min(parallel, len(jobs))
	}
	return min(parallel, atomicfile.MaxJobs())
}

// hasRemote reports whether a plan leads to a bucket, which then is the limit.
func hasRemote(plan *place.Plan) bool {
	return slices.ContainsFunc(plan.Ahead(), func(j place.Job) bool { return j.Remote() })
}

// leftOut reports whether all inputs were excluded by name, which may be a
// mistake in a pattern.
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

// jobs yields the jobs of the plan until the report can't be written.
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

// sideBySide starts workers that begin jobs in order, while the results of
// other jobs are synced.
func (r *runner) sideBySide(ctx context.Context, workers int) {
	tasks := make(chan *task, maxAhead)
	begin, commit := make(chan *task), make(chan *task, workers)
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
	groups := make(chan []*task)
	go func() {
		defer close(groups)
		for t := range commit {
			groups <- gather(t, commit, r.Pending.MaxGroup())
		}
	}()
	for range 2 { // while the results of one group get their names, the next is synced
		go func() {
			for group := range groups {
				r.commitGroup(group)
			}
		}()
	}
	for t := range tasks {
		<-t.done
		r.tell(t)
	}
}

// feed passes each job to the goroutine that prints results and to a worker. A
// special file or stream found after the jobs that were planned ahead is
// processed alone.
func (r *runner) feed(tasks, begin chan<- *task) {
	for j := range r.jobs() {
		alone := alone(*j) // the receiver owns the job once it is sent
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

// gather returns a task together with others that are done soon after it, at
// most a given number. Tasks without a result to sync don't wait.
func gather(t *task, more <-chan *task, most int) []*task {
	group, wait := []*task{t}, t.grouped()
	late := time.NewTimer(gatherTime)
	defer late.Stop()
	for len(group) < most {
		var ok bool
		select {
		case t, ok = <-more:
		default:
			if !wait {
				return group
			}
			select {
			case t, ok = <-more:
			case <-late.C:
				return group
			}
		}
		if !ok {
			return group
		}
		group, wait = append(group, t), wait || t.grouped()
	}
	return group
}

// commitGroup ends tasks, and syncs the successful ones together.
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

// begin does a task, except for its part of a group commit.
func (r *runner) begin(ctx context.Context, t *task) {
	t.start = time.Now()
	t.record = r.report.newRecord(t.Job)
	ctx, t.calls = calls.New(ctx)
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

// try makes one attempt at a task when it's its turn.
func (r *runner) try(ctx context.Context, t *task) {
	if !t.Remote() && t.Size() >= LongFile {
		r.long <- struct{}{}
		defer func() { <-r.long }()
	}
	r.brake.enter()
	if t.err = await(ctx, r.objects, 1); t.err == nil {
		t.out, t.err = r.work(ctx, t.Job, &t.record)
	}
	t.commitApart()
	throttled := t.err != nil && cli.Kind(t.err) == cli.KindThrottled
	if r.brake.leave(throttled) {
		r.slowed.Do(func() {
			r.Progress.Aside(func() { r.UI.Note("a service is throttling requests: the run slows down") })
		})
	}
}

// again reports whether to retry a task, and waits before that. It retries if a
// service throttled the task, or if somebody else has changed the object in the
// meantime.
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

// grouped reports whether a task is yet to be committed with a group.
func (t *task) grouped() bool {
	_, ok := t.out.(*atomicfile.File)
	return ok && t.err == nil
}

// commitApart commits an output that takes long to commit, so that no group
// waits for it.
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

// end removes an incomplete output, and reports the task.
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

// tell prints the result of a task.
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
				cli.Printable(t.Source.Name())+": done, but not in the report")
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

// writeDown adds a task to the report. If that fails, the run ends after the
// tasks in progress, and their results are printed one by one.
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

// explainUnreported returns the error of a run whose report can't be written.
func (r *runner) explainUnreported(path string) error {
	err := r.unreported
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return cli.NewError(cli.ExitError, "cannot write the report %s: %v; %s missing from it, and no more inputs were started",
		cli.Printable(path), err, cli.Count(r.untold, "result is", "results are"))
}

// tellSummary prints the number of inputs, and why inputs of trees were
// skipped: results of an earlier run aren't listed one by one.
func (r *runner) tellSummary() {
	if r.UI.JSON {
		if r.tallied() || len(r.skipped) > 0 {
			r.UI.NoteObject("summary", r.summary())
		}
		return
	}
	if r.tallied() || len(r.skipped) > 0 {
		r.UI.Note("%s", r.figures(""))
	}
}

// figures returns the summary as text. The words follow the number of inputs.
func (r *runner) figures(words string) string {
	text := fmt.Sprintf("%s%s: %s", cli.Count(r.count, "input", "inputs"), words, r.counts())
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		reasons = append(reasons, fmt.Sprintf("%s (%d)", cli.Printable(reason), r.skipped[reason]))
	}
	if len(reasons) > 0 {
		text += ": " + strings.Join(reasons, ", ")
	}
	return text + r.callFigures()
}

// callFigures returns the requests to AWS KMS and the uses of caches as the end
// of a text, "" if there are none.
func (r *runner) callFigures() string {
	if calls := r.calls.Counts().String(); calls != "" {
		return "; " + calls
	}
	return ""
}

func (r *runner) tallied() bool { return r.Tally && r.plan.Several() && r.count > 0 }

// A Summary is the summary of a run in JSON.
type Summary struct {
	Inputs  int            `json:"inputs"`
	OK      int            `json:"ok"`
	Failed  int            `json:"failed"`
	Skipped int            `json:"skipped"`
	Reasons map[string]int `json:"skipped_reasons,omitempty"` // of inputs in directories, and of others if there are several

	calls.Counts

	Interrupted bool   `json:"interrupted,omitempty"`
	Resume      string `json:"resume,omitempty"` // of an interrupted run; see Batch.Resume
}

func (r *runner) summary() Summary {
	return Summary{
		Inputs: r.count, OK: r.taken - r.failed, Failed: r.failed, Skipped: r.count - r.taken,
		Reasons: r.skipped, Counts: r.calls.Counts(),
	}
}

// tellInterrupted prints the progress of an interrupted run of several inputs.
// It's called after Progress.interrupt, so that the counts don't change any
// more.
func (r *runner) tellInterrupted() {
	if !r.Tally || !r.plan.Several() {
		return
	}
	if r.UI.JSON {
		s := r.summary()
		s.Interrupted, s.Resume = true, r.Resume
		r.UI.NoteObject("summary", s)
		return
	}
	text := "nothing was done yet" + r.callFigures()
	if r.count > 0 {
		text = r.figures(" so far")
	}
	if r.Resume != "" {
		text += "; " + r.Resume
	}
	r.UI.Note("%s", text)
}

// counts returns the number of inputs for each result.
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

// Concurrency returns the number of cores that the library may use for a file.
func (b *Batch) Concurrency(f place.Input) int {
	if info, err := f.Stat(); !b.SideBySide || err == nil && info.Mode().IsRegular() && info.Size() >= LongFile {
		return b.cores
	}
	return 1
}
