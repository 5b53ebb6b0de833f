package lake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"esdk/cmd/esdk/bulk"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"gocloud.dev/gcerrors"
)

// patience is how long a service may be unreachable, and configPatience how
// long keys may be missing, before the job ends or the object fails.
const (
	patience       = time.Hour
	configPatience = 30 * time.Second
)

// Activities are the activities of a worker. They share keys and clients.
type Activities struct {
	client client.Client

	mu    sync.Mutex
	works map[string]*work // by kind and flags
}

// A work stays open as long as its worker.
type work struct {
	*bulk.Work

	mu         sync.Mutex
	told, read int64 // requests to AWS KMS, and bytes, that earlier chunks reported
}

// NewActivities returns the activities of a worker.
func NewActivities(c client.Client) *Activities {
	return &Activities{client: c, works: make(map[string]*work)}
}

// Close closes the keys. No activity may be running.
func (a *Activities) Close() {
	for _, w := range a.works {
		w.Close()
	}
}

// open returns the work with the keys of a task. It makes each work once.
func (a *Activities) open(ctx context.Context, t *Task) (*work, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, open := strings.Join(t.Flags, "\x00"), bulk.OpenRotation
	if t.Audit {
		id, open = "audit\x00"+id, bulk.OpenAudit
	}
	if w := a.works[id]; w != nil {
		return w, nil
	}
	opened, err := open(context.WithoutCancel(ctx), t.Flags)
	if err != nil {
		return nil, err
	}
	w := &work{Work: opened}
	a.works[id] = w
	return w, nil
}

// used adds the usage that no chunk has reported yet.
func (w *work) used(c *Counts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests, read := w.KMSRequests(), w.BytesRead()
	c.KMSRequests += requests - w.told
	c.BytesRead += read - w.read
	w.told, w.read = requests, read
}

// retryable returns an error after which Temporal retries an activity, unless
// it has failed for longer than patience. The time counts from the first
// failure, not from the start of the activity, which may have waited for a
// worker.
func retryable(kind string, since *time.Time, patience time.Duration, err error) error {
	if since.IsZero() {
		*since = time.Now()
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{NonRetryable: time.Since(*since) > patience})
}

// unavailable returns the error of an activity that can't reach a service.
func (a *Activities) unavailable(ctx context.Context, kind string, err error) error {
	mark := lastMark(ctx)
	err = retryable(kind, &mark.Stuck, patience, err)
	a.keep(ctx, mark)
	return err
}

// misconfigured returns the error of an activity whose worker lacks keys,
// credentials or the like. Another worker may have them.
func (a *Activities) misconfigured(ctx context.Context, kind string, err error) error {
	mark := lastMark(ctx)
	err = retryable(kind, &mark.Misconfigured, configPatience, err)
	a.keep(ctx, mark)
	return err
}

// keep stores a mark for the next attempt, for an activity without a lease.
func (a *Activities) keep(ctx context.Context, mark *Mark) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	a.client.RecordActivityHeartbeat(call, activity.GetInfo(ctx).TaskToken, mark) // on failure, the time starts anew
}

// lastMark returns the mark of the previous attempt.
func lastMark(ctx context.Context) *Mark {
	mark := new(Mark)
	if activity.HasHeartbeatDetails(ctx) {
		activity.GetHeartbeatDetails(ctx, mark) // an unreadable mark is as good as none
	}
	return mark
}

// A ListRequest requests the next chunks of a source.
type ListRequest struct {
	Task
	Cursor
	Objects int `json:"objects"` // per chunk
	Chunks  int `json:"chunks"`
}

// A Cursor is the start of a chunk.
type Cursor struct {
	After string `json:"after,omitempty"` // the key before it, in a directory
	File  int    `json:"file,omitempty"`  // the data file of an inventory
	From  int    `json:"from,omitempty"`  // the number of its lines before the chunk
}

// A ListResult contains only the names at the bounds of chunks.
type ListResult struct {
	Chunks []Bounds `json:"chunks,omitempty"`
	Next   *Cursor  `json:"next,omitempty"` // the start of the rest; nil if there is none
}

// Bounds are the bounds of a chunk.
type Bounds struct {
	Cursor
	Until   string `json:"until,omitempty"` // the last key, in a directory; "" for all keys up to the end
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
}

// ListChunks lists the next chunks.
func (a *Activities) ListChunks(ctx context.Context, in ListRequest) (*ListResult, error) {
	r, err := a.open(ctx, &in.Task)
	if err != nil {
		return nil, a.misconfigured(ctx, "Configuration", err)
	}
	mark := &Mark{Stuck: lastMark(ctx).Stuck}
	l, held := hold(ctx, a.client, mark)
	defer l.release()
	out := new(ListResult)
	for chunk, err := range r.split(held, &in) {
		if cause := cmp.Or(l.ended(), context.Cause(held)); cause != nil {
			return nil, ended(cause)
		}
		switch {
		case isAway(err):
			next := &Mark{Stuck: mark.Stuck}
			err = retryable("Unavailable", &next.Stuck, patience, err)
			l.note(ctx, next)
			return nil, err
		case err != nil:
			return nil, listFailure(err)
		}
		if len(out.Chunks) == in.Chunks {
			out.Next = &chunk.Cursor
			return out, nil
		}
		out.Chunks = append(out.Chunks, chunk)
	}
	return out, nil
}

// split yields the chunks of a source.
func (w *work) split(ctx context.Context, in *ListRequest) iter.Seq2[Bounds, error] {
	return func(yield func(Bounds, error) bool) {
		if in.Inventory == "" {
			for c, err := range w.Split(ctx, bulk.Range{Folder: in.Folder, After: in.After}, in.Objects) {
				if !yield(Bounds{Cursor{After: c.After}, c.Until, c.Objects, c.Bytes}, err) {
					return
				}
			}
			return
		}
		for p, err := range w.SplitInventory(ctx, bulk.Part{Manifest: in.Inventory, File: in.File, From: in.From, AllVersions: in.AllVersions}, in.Objects) {
			if !yield(Bounds{Cursor{File: p.File, From: p.From}, "", p.Objects, p.Bytes}, err) {
				return
			}
		}
	}
}

// listFailure returns the error of a list that can't succeed later.
func listFailure(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "Listing", nil)
}

// isAway reports whether a failed list may succeed later.
func isAway(err error) bool {
	list, ok := errors.AsType[*bulk.ListError](err)
	return ok && list.Retryable
}

// ended returns the error of interrupted work.
func ended(cause error) error {
	if errors.Is(cause, errCancelled) {
		return temporal.NewCanceledError()
	}
	return temporal.NewApplicationError(cause.Error(), "Ended")
}

// isGone reports whether the server no longer knows an activity.
func isGone(err error) bool {
	return errors.As(err, new(*serviceerror.NotFound)) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset)
}

// A ChunkRequest requests the work on a chunk.
type ChunkRequest struct {
	Task
	Bounds
	Results string `json:"results"` // the job's own directory
	Number  int    `json:"number"`
}

// A ChunkResult is the result of a chunk.
type ChunkResult struct {
	Counts
	Digest string `json:"digest"` // SHA-256 of its file
}

// A Mark is the progress of a chunk: the details of its heartbeats.
type Mark struct {
	After string   `json:"after"` // the last finished key, in a directory
	Parts []string `json:"parts"` // the files with the results of the keys up to After
	Counts

	// Stuck is the time since which a service is unreachable and the chunk
	// makes no progress.
	Stuck time.Time `json:"stuck,omitzero"`

	// Unwritten is the time since which the results are unreachable.
	Unwritten time.Time `json:"unwritten,omitzero"`

	// Misconfigured is the time since which no worker has had the job's
	// configuration.
	Misconfigured time.Time `json:"misconfigured,omitzero"`
}

// DoChunk performs the task on the objects of a chunk. A worker that takes over
// resumes after the mark of the previous one. A chunk that already has its file
// is done.
func (a *Activities) DoChunk(ctx context.Context, in ChunkRequest) (*ChunkResult, error) {
	into, err := openResults(ctx, in.Results)
	if err != nil {
		return nil, a.misconfigured(ctx, "Results", err)
	}
	defer into.Close()
	w := newChunkWriter(ctx, a.client, into, in)
	defer w.lease.release()
	content, err := into.read(ctx, chunkName(in.Number))
	switch {
	case err == nil:
		return w.end(ctx, content)
	case gcerrors.Code(err) != gcerrors.NotFound:
		return nil, w.failure(ctx, "Results", err)
	}
	r, err := a.open(ctx, &in.Task)
	if err != nil {
		return nil, w.misconfigured(ctx, err)
	}
	w.mark.Misconfigured = time.Time{}
	if in.Inventory == "" {
		err = r.DoRange(w.held, bulk.Range{Folder: in.Folder, After: w.mark.After, Until: in.Until}, w.add)
	} else {
		done := w.mark.Done() // it has a line for each object
		err = r.DoPart(w.held, bulk.Part{Manifest: in.Inventory, File: in.File, From: in.From + done, Objects: in.Objects - done, AllVersions: in.AllVersions}, w.add)
	}
	result, err := w.finish(ctx, err)
	if err != nil {
		return nil, err
	}
	r.used(&result.Counts)
	return result, nil
}

// end writes the failures, and returns the result of the chunk.
func (w *chunkWriter) end(ctx context.Context, content []byte) (*ChunkResult, error) {
	result, err := w.results.end(ctx, w.request.Number, content)
	if err != nil {
		return nil, w.failure(ctx, "Results", err)
	}
	return result, nil
}

// A SettleRequest lists chunks without a result, of a job that was ended.
type SettleRequest struct {
	Results string `json:"results"` // the job's own directory
	Numbers []int  `json:"numbers"`
}

// SettleChunks returns the results of the chunks that have a file or parts. It
// joins parts into the file. No worker may be working on them.
func (a *Activities) SettleChunks(ctx context.Context, in SettleRequest) (map[int]*ChunkResult, error) {
	into, err := openResults(ctx, in.Results)
	if err != nil {
		return nil, a.misconfigured(ctx, "Results", err)
	}
	defer into.Close()
	found := make(map[int]*ChunkResult)
	for _, number := range in.Numbers {
		result, err := into.settle(ctx, number)
		if err != nil {
			return nil, a.unavailable(ctx, "Results", err)
		}
		if result != nil {
			found[number] = result
		}
	}
	return found, nil
}

// WriteReport writes the report of a job.
func (a *Activities) WriteReport(ctx context.Context, report *Report) error {
	into, err := openResults(ctx, report.Results)
	if err != nil {
		return a.misconfigured(ctx, "Results", err)
	}
	defer into.Close()
	if err := into.writeReport(ctx, report); err != nil {
		return a.unavailable(ctx, "Results", err)
	}
	return nil
}

// A SummaryRequest asks for the summary of an audit.
type SummaryRequest struct {
	Report
	Last int `json:"last"` // the number of the last chunk
}

// A SummaryResult is the part of a summary that goes into the report.
type SummaryResult struct {
	// NoneUnder are the keys of --under without any message, if there are
	// messages at all: they may be misspelled. Keys lists the existing ones.
	NoneUnder []string `json:"none_under,omitempty"`
	Keys      string   `json:"keys,omitempty"`
}

// WriteSummary reads the findings, and writes the summary of an audit and its
// page.
func (a *Activities) WriteSummary(ctx context.Context, in SummaryRequest) (*SummaryResult, error) {
	into, err := openResults(ctx, in.Results)
	if err != nil {
		return nil, a.misconfigured(ctx, "Results", err)
	}
	defer into.Close()
	w, err := a.open(ctx, &in.Task)
	if err != nil {
		return nil, a.misconfigured(ctx, "Configuration", err)
	}
	mark := lastMark(ctx)
	l, held := hold(ctx, a.client, mark)
	defer l.release()
	result, err := into.summarize(held, w, &in)
	if cause := cmp.Or(l.ended(), context.Cause(held)); err != nil && cause != nil {
		return nil, ended(cause)
	}
	if err == nil {
		return result, nil
	}
	next := &Mark{Stuck: mark.Stuck}
	err = retryable("Results", &next.Stuck, patience, err)
	l.note(ctx, next)
	return nil, err
}

// A chunkWriter records the results of a chunk's objects.
type chunkWriter struct {
	request ChunkRequest
	results *results
	lease   *lease
	held    context.Context // ends with the lease
	attempt int32
	late    bool // a service has been unreachable for too long; reset by the next finished object
	moved   bool // an object was finished since the last flush

	mark    Mark // of the parts
	counts  Counts
	last    string // the key of the last line
	lines   bytes.Buffer
	flushed time.Time
}

func newChunkWriter(ctx context.Context, c client.Client, into *results, in ChunkRequest) *chunkWriter {
	w := &chunkWriter{request: in, results: into, mark: *lastMark(ctx), attempt: activity.GetInfo(ctx).Attempt, flushed: time.Now()}
	if w.mark.After == "" {
		w.mark.After = in.After
	}
	w.counts = w.mark.clone()
	w.last = w.mark.After
	w.late = w.stuck()
	w.lease, w.held = hold(ctx, c, w.mark)
	return w
}

const (
	flushTime = 5 * time.Second
	maxLines  = 4 << 20
)

// stuck reports whether the chunk has made no progress for too long.
func (w *chunkWriter) stuck() bool {
	return !w.mark.Stuck.IsZero() && time.Since(w.mark.Stuck) > patience
}

// failure returns an error after which Temporal resumes the chunk from its
// mark, unless the chunk has made no progress for too long.
func (w *chunkWriter) failure(ctx context.Context, kind string, err error) error {
	since := &w.mark.Stuck
	if kind == "Results" {
		since = &w.mark.Unwritten
	}
	err = retryable(kind, since, patience, err)
	w.lease.note(ctx, w.mark)
	return err
}

func (w *chunkWriter) misconfigured(ctx context.Context, err error) error {
	err = retryable("Configuration", &w.mark.Misconfigured, configPatience, err)
	w.lease.note(ctx, w.mark)
	return err
}

// errUnavailable ends an attempt at a chunk, which resumes later from its mark.
var errUnavailable = errors.New("out of reach")

func (w *chunkWriter) add(r bulk.Result) error {
	if context.Cause(w.held) != nil && r.Status == bulk.Failed {
		return w.held.Err()
	}
	if r.Status == bulk.Failed && r.Retryable && !w.late {
		return fmt.Errorf("%w: %s: %s", errUnavailable, r.Name, r.Error)
	}
	if r.Status != bulk.Failed || !r.Retryable {
		w.late, w.moved = false, true
	}
	l := &Line{Name: r.Name, Result: r.Status, Version: r.VersionAfter, Bytes: r.Bytes, Reason: r.Reason, Kind: r.Kind, Error: r.Error, Retryable: r.Retryable, Matches: r.Matches, Finding: r.Finding}
	w.lines.Write(l.text())
	w.counts.addLine(l)
	w.last = keyOf(r.Name)
	if w.lease.ended() != nil {
		return bulk.ErrStop
	}
	if time.Since(w.flushed) < flushTime && w.lines.Len() < maxLines {
		return nil
	}
	if err := w.flush(w.held); err != nil {
		return &resultsError{err}
	}
	return nil
}

// A resultsError means that results can't be written. The chunk is retried
// later.
type resultsError struct{ error }

func (e *resultsError) Unwrap() error { return e.error }

// keyOf returns the key of an object from its URL.
func keyOf(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return "" // can't happen: our own names parse
	}
	return strings.TrimPrefix(u.Path, "/")
}

// flush writes the lines to a part, and reports it in a heartbeat.
func (w *chunkWriter) flush(ctx context.Context) error {
	if w.lines.Len() > 0 {
		name := partName(w.request.Number, w.attempt, len(w.mark.Parts))
		if err := w.results.WriteAll(ctx, name, w.lines.Bytes(), nil); err != nil {
			return err
		}
		w.mark.Parts = append(slices.Clip(w.mark.Parts), name)
		w.lines.Reset()
		w.mark.Unwritten = time.Time{}
	}
	if w.moved { // and the progress is written
		w.mark.Stuck, w.moved = time.Time{}, false
	}
	w.mark.After, w.mark.Counts = w.last, w.counts.clone()
	w.flushed = time.Now()
	w.lease.note(ctx, w.mark)
	return nil
}

// finish writes the file of the chunk. If the chunk resumes elsewhere, finish
// leaves parts and a mark. The file of a cancelled chunk has the finished
// objects.
func (w *chunkWriter) finish(ctx context.Context, err error) (*ChunkResult, error) {
	cause := context.Cause(w.held)
	if errors.Is(err, bulk.ErrStop) {
		cause = w.lease.ended()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	switch {
	case errors.Is(cause, errLeaseLost):
		return nil, ended(cause)
	case err != nil && cause != nil && !errors.Is(cause, errCancelled):
		w.flush(ctx) // on failure, some objects are done twice, and then found to be done
		return nil, ended(cause)
	case cause == nil && err != nil:
		if unwritten := w.flush(ctx); unwritten != nil {
			return nil, w.failure(ctx, "Results", unwritten)
		}
		if results, ok := errors.AsType[*resultsError](err); ok {
			return nil, w.failure(ctx, "Results", results.error)
		}
		if errors.Is(err, errUnavailable) || isAway(err) {
			return nil, w.failure(ctx, "Unavailable", err)
		}
		return nil, listFailure(err)
	}
	content, err := w.content(ctx)
	if err == nil {
		content, err = w.results.keep(ctx, chunkName(w.request.Number), content)
	}
	if err != nil {
		return nil, w.failure(ctx, "Results", err)
	}
	for _, part := range w.mark.Parts {
		w.results.Delete(ctx, part) // leftover parts are harmless
	}
	return w.end(ctx, content)
}

// content returns all lines of the chunk.
func (w *chunkWriter) content(ctx context.Context) ([]byte, error) {
	var all []byte
	for _, part := range w.mark.Parts {
		content, err := w.results.read(ctx, part)
		if err != nil {
			return nil, err
		}
		all = append(all, content...)
	}
	return append(all, w.lines.Bytes()...), nil
}
