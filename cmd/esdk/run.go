package main

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
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/cmd/esdk/internal/object"
	"esdk/cmd/esdk/internal/place"
	"github.com/spf13/cobra"
)

const (
	// maxAhead is how many inputs may be done, or under way, behind one that is
	// not, since they are told of in order.
	maxAhead = 1024

	// longFile is the length of files that may have several cores even while
	// others are worked on.
	longFile = 16 << 20

	// objectJobs is how many objects are worked on at once, since each mostly waits
	// for its store.
	objectJobs = 8
)

func addJobsFlag(cmd *cobra.Command, value *int) {
	cmd.Flags().IntVar(value, "jobs", 0, "work on this `NUMBER` of files side by side (default one for each core)")
}

// A work does a job, but for committing its output. It returns that, if it opened
// one, even if it fails.
type work func(context.Context, *place.Job, *record) (place.Output, error)

// A runner does the work on all inputs of a command.
type runner struct {
	app    *app
	report *report
	work   work
	jobs   []place.Job
	failed int
	err    error // of the job that failed last

	skipped map[string]int // of trees, by the reason
}

// A task is a job that is under way.
type task struct {
	*place.Job
	record record
	start  time.Time
	out    place.Output
	err    error
	done   chan struct{}
}

// runJobs works on the jobs, so many side by side, and tells of them in their
// order. An error of one input does not stop the others.
func (a *app) runJobs(ctx context.Context, jobs []place.Job, parallel int, o *reportOptions, mode string, work work) (err error) {
	if parallel < 0 {
		return cli.UsageError("--jobs %d: want a number from 1, or 0 for one for each core", parallel)
	}
	defer a.pending.RemoveEmpty()
	report, err := a.openReport(o, mode, jobs)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, report.close()) }()
	parallel = parallelJobs(jobs, parallel)
	a.sideBySide = parallel > 1
	a.progress = a.newProgress(jobs)
	defer a.progress.stop()
	r := &runner{app: a, report: report, work: work, jobs: jobs, skipped: make(map[string]int)}
	if a.sideBySide {
		r.sideBySide(ctx, parallel)
	} else {
		r.oneByOne(ctx)
	}
	a.progress.aside(r.tellSkipped)
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
		t.out, t.err = r.work(keyspec.WithKeyUsed(ctx, &t.record.KeyUsed), t.Job, &t.record)
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
		if t.Size() >= longFile {
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
	r.app.progress.finished.Add(1)
	r.app.progress.aside(func() {
		switch {
		case t.err != nil:
		case t.Skip == "":
			if t.record.note != "" {
				r.app.Note("%s", t.record.note)
			}
		case t.Source.Below():
			r.skipped[t.Skip]++
			if t.Skip == place.SkipLink || t.Skip == place.SkipSpecial || t.Skip == place.SkipTemporary {
				r.app.Note("skipped %s: %s", cli.Printable(t.Source.Name()), t.Skip)
			}
		default:
			r.app.Note("%s exists, skipped %s", cli.Printable(t.Output()), cli.Printable(t.Source.Name()))
		}
		err := cmp.Or(t.err, r.report.write(&t.record, t.Skip, t.err))
		if err == nil {
			return
		}
		r.failed++
		r.err = err
		if len(r.jobs) > 1 {
			r.app.Report(t.Source.Name(), err)
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
		r.app.Note("skipped %d of %d: %s", count, len(r.jobs), strings.Join(reasons, ", "))
	}
}

// concurrency is how many cores the library may use for a file: 0 means all.
func (a *app) concurrency(f place.Input) int {
	if !a.sideBySide || fileLength(f) >= longFile {
		return 0
	}
	return 1
}
