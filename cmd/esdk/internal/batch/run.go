// Package batch works on the inputs of a command, and tells what came of them.
package batch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
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

	// While it runs:
	Progress   *Progress
	SideBySide bool // several inputs are worked on at once
}

// A runner does the work of one run.
type runner struct {
	*Batch
	report *report
	work   Work
	jobs   []place.Job
	failed int
	err    error // of the job that failed last

	skipped map[string]int // of trees, by the reason
}

// A task is a job that is under way.
type task struct {
	*place.Job
	record Record
	start  time.Time
	out    place.Output
	err    error
	done   chan struct{}
}

// Run works on the jobs, so many side by side, and tells of them in their order. An
// error of one input does not stop the others.
func (b *Batch) Run(ctx context.Context, jobs []place.Job, parallel int, o *ReportOptions, mode string, work Work) (err error) {
	if parallel < 0 {
		return cli.UsageError("--jobs %d: want a number from 1, or 0 for one for each core", parallel)
	}
	defer b.Pending.RemoveEmpty()
	report, err := b.openReport(o, mode, jobs)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, report.close()) }()
	parallel = parallelJobs(jobs, parallel)
	b.SideBySide = parallel > 1
	b.Progress = newProgress(b.UI, jobs)
	defer b.Progress.stop()
	r := &runner{Batch: b, report: report, work: work, jobs: jobs, skipped: make(map[string]int)}
	if b.SideBySide {
		r.sideBySide(ctx, parallel)
	} else {
		r.oneByOne(ctx)
	}
	b.Progress.Aside(r.tellSkipped)
	if r.failed > 0 && len(jobs) > 1 {
		return cli.NewError(cli.ExitSomeFailed, "%d of %d inputs failed", r.failed, len(jobs))
	}
	return r.err
}

// parallelJobs is how many jobs to work on at once. What is no regular file has
// its order, and may be the same pipe under several names. Even on one core, two
// can wait for the disk together.
func parallelJobs(jobs []place.Job, parallel int) int {
	if slices.ContainsFunc(jobs, func(j place.Job) bool { return j.Stream() || j.Special() }) {
		return 1
	}
	usual := max(2, runtime.GOMAXPROCS(0))
	if slices.ContainsFunc(jobs, func(j place.Job) bool { return j.Remote() }) {
		usual = max(usual, objectJobs)
	}
	return min(cmp.Or(parallel, usual), len(jobs))
}

func (r *runner) oneByOne(ctx context.Context) {
	for i := range r.jobs {
		t := &task{Job: &r.jobs[i]}
		r.begin(ctx, t)
		t.commit()
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
		for i := range r.jobs {
			t := &task{Job: &r.jobs[i], done: make(chan struct{})}
			tasks <- t
			begin <- t
		}
	}()
	for range workers {
		go func() {
			for t := range begin {
				r.begin(ctx, t)
				t.commitApart()
				commit <- t
			}
		}()
	}
	go func() {
		for t := range commit {
			commitGroup(gather(t, commit))
		}
	}()
	for t := range tasks {
		<-t.done
		r.tell(t)
	}
}

// gather returns a task and those that wait by now. While a group is being put on
// the disk the next one gathers: nothing waits for more to come.
func gather(t *task, more <-chan *task) []*task {
	group := []*task{t}
	for len(group) < atomicfile.MaxGroup {
		select {
		case t := <-more:
			group = append(group, t)
		default:
			return group
		}
	}
	return group
}

// commitGroup ends tasks, and puts those that went well on the disk together.
func commitGroup(group []*task) {
	var files []*atomicfile.File
	var owners []*task
	for _, t := range group {
		if o, ok := t.out.(*atomicfile.File); ok && t.err == nil {
			files, owners = append(files, o), append(owners, t)
		}
	}
	for i, err := range atomicfile.CommitAll(files) {
		owners[i].err = err
	}
	for _, t := range group {
		t.end()
		close(t.done)
	}
}

func (r *runner) begin(ctx context.Context, t *task) {
	t.start = time.Now()
	t.record = r.report.newRecord(t.Job)
	if t.err = t.Job.Err; t.err == nil && t.Skip == "" {
		t.out, t.err = r.work(ctx, t.Job, &t.record)
	}
}

// commitApart commits what takes long, so that a group does not wait for it.
func (t *task) commitApart() {
	if t.err != nil {
		return
	}
	switch o := t.out.(type) {
	case *object.Writer:
		t.err = o.Commit()
	case *atomicfile.File:
		if t.Size() >= LongFile {
			t.err = o.Sync()
		}
	}
}

func (t *task) commit() {
	if t.out != nil && t.err == nil {
		t.err = t.out.Commit()
	}
	t.end()
}

// end removes what did not become a result.
func (t *task) end() {
	if t.out != nil {
		t.out.Abort()
	}
	t.record.DurationMS = float64(time.Since(t.start).Microseconds()) / 1000
}

// tell says and writes down what came of a task.
func (r *runner) tell(t *task) {
	r.Progress.finished.Add(1)
	r.Progress.Aside(func() {
		switch {
		case t.err != nil:
		case t.Skip == "":
			if t.record.Note != "" {
				r.UI.Note("%s", t.record.Note)
			}
		case t.Source.Below():
			r.skipped[t.Skip]++
			if t.Skip == place.SkipLink || t.Skip == place.SkipSpecial || t.Skip == place.SkipTemporary {
				r.UI.Note("skipped %s: %s", cli.Printable(t.Source.Name()), t.Skip)
			}
		default:
			r.UI.Note("%s exists, skipped %s", cli.Printable(t.Output()), cli.Printable(t.Source.Name()))
		}
		err := cmp.Or(t.err, r.report.write(&t.record, t.Skip, t.err))
		if err == nil {
			return
		}
		r.failed++
		r.err = err
		if len(r.jobs) > 1 {
			r.UI.Report(t.Source.Name(), err)
		}
	})
}

// tellSkipped says how much of trees was skipped. What a run before has done is
// not told of one by one.
func (r *runner) tellSkipped() {
	var reasons []string
	count := 0
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		count += r.skipped[reason]
		reasons = append(reasons, fmt.Sprintf("%s (%d)", cli.Printable(reason), r.skipped[reason]))
	}
	if count > 0 {
		r.UI.Note("skipped %d of %d: %s", count, len(r.jobs), strings.Join(reasons, ", "))
	}
}

// Concurrency is how many cores the library may use for a file: 0 means all.
func (b *Batch) Concurrency(f place.Input) int {
	if info, err := f.Stat(); !b.SideBySide || err == nil && info.Mode().IsRegular() && info.Size() >= LongFile {
		return 0
	}
	return 1
}
