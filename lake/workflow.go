package lake

import (
	"cmp"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// maxRunChunks bounds the history of a run, in which each chunk has six
	// events, unless the server asks for a new run earlier.
	maxRunChunks = 2000

	// maxQueued is the number of chunks listed at once. Their keys are in the
	// history.
	maxQueued = 100

	// maxMissing bounds the list of chunks without a file in a report.
	maxMissing = 100

	// recentTime is the interval of the rate.
	recentTime = time.Minute
)

// These are the query and the signal of a workflow: it answers the query with a
// [Status], and the signal takes a bool.
const (
	StatusQuery = "status"
	PauseSignal = "pause"
)

// Progress is the state that a run of the workflow passes to the next.
type Progress struct {
	Started time.Time `json:"started"`
	Paused  bool      `json:"paused,omitempty"`
	Counts

	Listed      int    `json:"listed"` // objects, so far
	ListedBytes int64  `json:"listed_bytes"`
	All         bool   `json:"all,omitempty"` // everything is listed
	Next        Cursor `json:"next,omitzero"` // where listing resumes

	Queue  []Bounds `json:"queue,omitempty"`  // chunks not started yet
	Number int      `json:"number"`           // of the chunk started last
	Recent []moment `json:"recent,omitempty"` // the last minute

	Sum []byte `json:"sum,omitempty"` // over the digests of all chunks so far
}

// A moment records how many objects were done at a time.
type moment struct {
	At   time.Time `json:"at"`
	Done int       `json:"done"`
}

// run is a run of the workflow.
type run struct {
	*Progress
	in      Job
	results string
	work    workflow.Context // of chunks and lists
	stop    workflow.CancelFunc

	began   int // chunks, in this run
	running int
	listing bool
	err     error

	sum     hash.Hash
	summed  int            // chunks
	digests map[int]string // of chunks after one in progress
	missing []int          // earlier chunks without a file
}

// Rotate is the workflow that re-encrypts objects.
func Rotate(ctx workflow.Context, in Job) (*Report, error) {
	in.Audit = false
	return do(ctx, in)
}

// Audit is the workflow that audits objects.
func Audit(ctx workflow.Context, in Job) (*Report, error) {
	in.Audit = true
	return do(ctx, in)
}

func do(ctx workflow.Context, in Job) (*Report, error) {
	in.setDefaults()
	r, err := newRun(ctx, in)
	if err != nil {
		return nil, err
	}
	for !r.idle(ctx) {
		err := workflow.Await(ctx, func() bool {
			return r.err != nil || r.mayBegin(ctx) || r.mayList(ctx) || r.idle(ctx)
		})
		r.err = cmp.Or(r.err, err)
		switch {
		case r.err != nil:
			return r.giveUp(ctx)
		case r.mayBegin(ctx):
			r.begin(ctx)
		case r.mayList(ctx):
			r.list(ctx)
		}
	}
	if !r.finished() {
		return nil, r.continueAsNew(ctx)
	}
	return r.report(ctx, Complete)
}

func newRun(ctx workflow.Context, in Job) (*run, error) {
	info := workflow.GetInfo(ctx)
	r := &run{Progress: in.Progress, in: in, results: in.OwnResults(info.WorkflowExecution.ID, info.FirstRunID), sum: sha256.New(), digests: make(map[int]string)}
	if r.Progress == nil {
		r.Progress = &Progress{Started: workflow.Now(ctx)}
	}
	r.summed = r.Number
	if len(r.Sum) > 0 {
		if err := r.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(r.Sum); err != nil {
			return nil, err
		}
	}
	r.work, r.stop = workflow.WithCancel(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 7 * 24 * time.Hour, // an object may have terabytes
		HeartbeatTimeout:    in.Lease,
		WaitForCancellation: true,
		RetryPolicy:         retries(),
	}))
	signals := workflow.GetSignalChannel(ctx, PauseSignal)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for signals.Receive(ctx, &r.Paused) {
		}
	})
	return r, workflow.SetQueryHandler(ctx, StatusQuery, r.status)
}

// full reports whether the history is long enough.
func (r *run) full(ctx workflow.Context) bool {
	return r.began >= r.in.RunChunks || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
}

func (r *run) mayBegin(ctx workflow.Context) bool {
	return !r.Paused && len(r.Queue) > 0 && r.running < r.in.Parallel && !r.full(ctx)
}

// mayList keeps as many chunks in the queue as can start at once.
func (r *run) mayList(ctx workflow.Context) bool {
	return !r.Paused && !r.All && !r.listing && len(r.Queue) < r.in.Parallel && !r.full(ctx)
}

func (r *run) finished() bool { return r.All && len(r.Queue) == 0 && r.running == 0 }

// idle reports whether nothing is running, and nothing will start.
func (r *run) idle(ctx workflow.Context) bool {
	return r.running == 0 && !r.listing && (r.finished() || r.full(ctx))
}

// begin starts the next chunk.
func (r *run) begin(ctx workflow.Context) {
	next := r.Queue[0]
	r.Queue = r.Queue[1:]
	r.Number++
	r.began++
	r.running++
	number := r.Number
	future := workflow.ExecuteActivity(r.work, (*Activities).DoChunk, ChunkRequest{
		Task: r.in.Task, Bounds: next, Results: r.results, Number: number,
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		var result ChunkResult
		err := future.Get(ctx, &result)
		r.running--
		if err != nil {
			r.err = cmp.Or(r.err, err)
			return
		}
		r.add(ctx, number, &result)
	})
}

// add counts finished objects. Digests are summed in the order of chunks.
func (r *run) add(ctx workflow.Context, number int, result *ChunkResult) {
	r.Counts.add(&result.Counts)
	now := workflow.Now(ctx)
	r.Recent = append(r.Recent, moment{now, r.Done()})
	for len(r.Recent) > 2 && now.Sub(r.Recent[1].At) > recentTime {
		r.Recent = r.Recent[1:]
	}
	for r.digests[number] = result.Digest; r.digests[r.summed+1] != ""; {
		r.sumNext()
	}
}

// sumNext adds the digest of the next chunk to the sum, if it has a file.
func (r *run) sumNext() {
	r.summed++
	digest, ok := r.digests[r.summed]
	if !ok {
		r.missing = append(r.missing, r.summed)
		return
	}
	fmt.Fprintf(r.sum, "%s  %s\n", digest, chunkName(r.summed))
	delete(r.digests, r.summed)
}

// settle sums all chunks that have a file, once no chunk is running. It joins
// the parts of ended chunks into files.
func (r *run) settle(ctx workflow.Context) error {
	var open []int
	for number := r.summed + 1; number <= r.Number; number++ {
		if r.digests[number] == "" {
			open = append(open, number)
		}
	}
	var err error
	if len(open) > 0 {
		var found map[int]*ChunkResult
		err = workflow.ExecuteActivity(r.reporting(ctx), (*Activities).SettleChunks, SettleRequest{Results: r.results, Numbers: open}).Get(ctx, &found)
		for _, number := range open {
			if result := found[number]; result != nil {
				r.Counts.add(&result.Counts)
				r.digests[number] = result.Digest
			}
		}
	}
	for r.summed < r.Number {
		r.sumNext()
	}
	return err
}

// list starts the listing of the next chunks.
func (r *run) list(ctx workflow.Context) {
	r.listing = true
	future := workflow.ExecuteActivity(r.work, (*Activities).ListChunks, ListRequest{
		Task: r.in.Task, Cursor: r.Next, Objects: r.in.Objects, Chunks: maxQueued,
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		var result ListResult
		err := future.Get(ctx, &result)
		r.listing = false
		if err != nil {
			r.err = cmp.Or(r.err, err)
			return
		}
		for _, chunk := range result.Chunks {
			r.Queue = append(r.Queue, chunk)
			r.Listed += chunk.Objects
			r.ListedBytes += chunk.Bytes
		}
		if r.All = result.Next == nil; !r.All {
			r.Next = *result.Next
		}
	})
}

func (r *run) status() (*Status, error) {
	files := r.summed - len(r.missing) + len(r.digests)
	s := &Status{
		Results: r.results, Started: r.Started, Paused: r.Paused, Audit: r.in.Audit, Counts: r.clone(),
		Listed: r.Listed, ListedBytes: r.ListedBytes, AllListed: r.All,
		Chunks: files, Missing: r.Number - r.running - files, Running: r.running, Queued: len(r.Queue),
	}
	if len(r.Recent) > 1 {
		first, last := r.Recent[0], r.Recent[len(r.Recent)-1]
		if took := last.At.Sub(first.At); took > 0 {
			s.Rate = float64(last.Done-first.Done) / took.Seconds()
		}
	}
	if s.AllListed && s.Rate > 0 && !r.Paused {
		s.Remaining = time.Duration(float64(max(0, s.Listed-s.Done())) / s.Rate * float64(time.Second)).Round(time.Second)
	}
	return s, nil
}

// continueAsNew continues in a run with a new history.
func (r *run) continueAsNew(ctx workflow.Context) error {
	for workflow.GetSignalChannel(ctx, PauseSignal).ReceiveAsync(&r.Paused) { // otherwise they would be lost
	}
	sum, err := r.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	r.Sum = sum
	next := r.in
	next.Progress = r.Progress
	if r.in.Audit {
		return workflow.NewContinueAsNewError(ctx, Audit, next)
	}
	return workflow.NewContinueAsNewError(ctx, Rotate, next)
}

// giveUp ends running activities, and reports the finished work.
func (r *run) giveUp(ctx workflow.Context) (*Report, error) {
	r.stop()
	detached, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(detached, func() bool { return r.running == 0 && !r.listing }); err != nil {
		return nil, err
	}
	if err := r.settle(detached); err != nil {
		workflow.GetLogger(ctx).Error("chunks that were ended could not be looked at", "error", err)
	}
	if _, err := r.report(detached, Reason(r.err)); err != nil {
		workflow.GetLogger(ctx).Error("the report could not be written", "error", err)
	}
	return nil, r.err
}

func (r *run) report(ctx workflow.Context, end string) (*Report, error) {
	info := workflow.GetInfo(ctx)
	report := &Report{
		Workflow: info.WorkflowExecution.ID, Run: info.FirstRunID,
		Task: r.in.Task, Results: r.results,
		Started: r.Started, Ended: workflow.Now(ctx), End: end,
		Counts: r.clone(), Objects: r.Done(), Chunks: r.summed - len(r.missing),
		Missing: r.missing[:min(len(r.missing), maxMissing)], Digest: hex.EncodeToString(r.sum.Sum(nil)),
	}
	var err error
	if r.in.Audit {
		err = workflow.ExecuteActivity(r.summing(ctx), (*Activities).WriteSummary, SummaryRequest{*report, r.summed}).Get(ctx, &report.SummaryResult)
	}
	unwritten := workflow.ExecuteActivity(r.reporting(ctx), (*Activities).WriteReport, report).Get(ctx, nil)
	return report, cmp.Or(err, unwritten)
}

// These bound the attempts of the activities at the end of a job: for about an
// hour, or for four minutes if the job didn't complete, which often has the
// same cause. The bound is on attempts instead of time, since part of the time
// may pass without a worker.
const (
	endAttempts     = 70
	givenUpAttempts = 10
)

// reporting is the context of short activities at the end of a job.
func (r *run) reporting(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		RetryPolicy:         r.endRetries(),
	})
}

// summing is the context of activities that read all results.
func (r *run) summing(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    r.in.Lease,
		RetryPolicy:         r.endRetries(),
	})
}

func (r *run) endRetries() *temporal.RetryPolicy {
	policy := retries()
	policy.MaximumAttempts = endAttempts
	if r.err != nil {
		policy.MaximumAttempts = givenUpAttempts
	}
	return policy
}

func retries() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: time.Minute}
}
