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

// patience is how long a service may be out of reach, and configPatience how long keys may
// not be there, before that is the end of the job, or the failure of an object.
const (
	patience       = time.Hour
	configPatience = 30 * time.Second
)

// Activities are what a worker does. They share keys and clients.
type Activities struct {
	client client.Client

	mu    sync.Mutex
	works map[string]*work // by what they are, and flags
}

// A work is open for as long as the worker is there.
type work struct {
	*bulk.Work

	mu         sync.Mutex
	told, read int64 // requests to AWS KMS and bytes that a chunk has told of
}

// NewActivities returns those of a worker.
func NewActivities(c client.Client) *Activities {
	return &Activities{client: c, works: make(map[string]*work)}
}

// Close closes keys. No activity may be under way.
func (a *Activities) Close() {
	for _, w := range a.works {
		w.Close()
	}
}

// open returns what has the keys of a task, and is made once.
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

// used adds what was used that no chunk has told of.
func (w *work) used(c *Counts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests, read := w.KMSRequests(), w.BytesRead()
	c.KMSRequests += requests - w.told
	c.BytesRead += read - w.read
	w.told, w.read = requests, read
}

// retryable returns an error after which Temporal tries an activity again, unless it has
// failed so for too long. That counts from the first failure and not from when the activity
// was scheduled, since it may have waited for a worker until then.
func retryable(kind string, since *time.Time, patience time.Duration, err error) error {
	if since.IsZero() {
		*since = time.Now()
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{NonRetryable: time.Since(*since) > patience})
}

// unavailable is the error of an activity that cannot reach a service.
func (a *Activities) unavailable(ctx context.Context, kind string, err error) error {
	mark := lastMark(ctx)
	err = retryable(kind, &mark.Stuck, patience, err)
	a.keep(ctx, mark)
	return err
}

// misconfigured is the error of one whose worker lacks keys, credentials or the like, which
// another worker may have.
func (a *Activities) misconfigured(ctx context.Context, kind string, err error) error {
	mark := lastMark(ctx)
	err = retryable(kind, &mark.Misconfigured, configPatience, err)
	a.keep(ctx, mark)
	return err
}

// keep keeps a mark for the next attempt, of an activity that holds no lease.
func (a *Activities) keep(ctx context.Context, mark *Mark) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	a.client.RecordActivityHeartbeat(call, activity.GetInfo(ctx).TaskToken, mark) // else the time begins anew
}

// lastMark returns the mark of the attempt before.
func lastMark(ctx context.Context) *Mark {
	mark := new(Mark)
	if activity.HasHeartbeatDetails(ctx) {
		activity.GetHeartbeatDetails(ctx, mark) // none is as good as one that cannot be read
	}
	return mark
}

// A ListRequest asks for the next chunks of a source.
type ListRequest struct {
	Task
	Cursor
	Objects int `json:"objects"` // of a chunk
	Chunks  int `json:"chunks"`
}

// A Cursor is where a chunk begins.
type Cursor struct {
	After string `json:"after,omitempty"` // the key in front of it in a folder
	File  int    `json:"file,omitempty"`  // the data file of an inventory
	From  int    `json:"from,omitempty"`  // how many of its lines are in front
}

// A ListResult has no names but those around chunks.
type ListResult struct {
	Chunks []Bounds `json:"chunks,omitempty"`
	Next   *Cursor  `json:"next,omitempty"` // where the list goes on; nil if these are all
}

// Bounds are of a chunk.
type Bounds struct {
	Cursor
	Until   string `json:"until,omitempty"` // the last key in a folder; "" for all up to the end
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

// listFailure is for good if the list cannot go well later.
func listFailure(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "Listing", nil)
}

// isAway reports whether a list failed that may go well later.
func isAway(err error) bool {
	list, ok := errors.AsType[*bulk.ListError](err)
	return ok && list.Retryable
}

// ended is the error of work that was ended.
func ended(cause error) error {
	if errors.Is(cause, errCancelled) {
		return temporal.NewCanceledError()
	}
	return temporal.NewApplicationError(cause.Error(), "Ended")
}

// isGone reports whether the server knows of an activity no more.
func isGone(err error) bool {
	return errors.As(err, new(*serviceerror.NotFound)) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset)
}

// A ChunkRequest asks for a chunk to be done.
type ChunkRequest struct {
	Task
	Bounds
	Results string `json:"results"` // the job's own folder
	Number  int    `json:"number"`
}

// A ChunkResult is what has become of a chunk.
type ChunkResult struct {
	Counts
	Digest string `json:"digest"` // SHA-256 of its file
}

// A Mark is how far a chunk has come: the details of its heartbeats.
type Mark struct {
	After string   `json:"after"` // the last key that is done, in a folder
	Parts []string `json:"parts"` // the files that say what has become of those up to it
	Counts

	// Stuck is since when the chunk has come no further, since something is out of reach.
	Stuck time.Time `json:"stuck,omitzero"`

	// Unwritten is since when the results have been out of reach.
	Unwritten time.Time `json:"unwritten,omitzero"`

	// Misconfigured is since when no worker has had what the job needs.
	Misconfigured time.Time `json:"misconfigured,omitzero"`
}

// DoChunk does the task to the objects of a chunk. A worker that takes over goes on behind
// the mark of the one before it; a chunk that has its file already was done.
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
		done := w.mark.Done() // which has a line for each
		err = r.DoPart(w.held, bulk.Part{Manifest: in.Inventory, File: in.File, From: in.From + done, Objects: in.Objects - done, AllVersions: in.AllVersions}, w.add)
	}
	result, err := w.finish(ctx, err)
	if err != nil {
		return nil, err
	}
	r.used(&result.Counts)
	return result, nil
}

// end writes what failed, and returns what the chunk has come to.
func (w *chunkWriter) end(ctx context.Context, content []byte) (*ChunkResult, error) {
	result, err := w.results.end(ctx, w.request.Number, content)
	if err != nil {
		return nil, w.failure(ctx, "Results", err)
	}
	return result, nil
}

// A SettleRequest names chunks of a job that was ended, which have no result.
type SettleRequest struct {
	Results string `json:"results"` // the job's own folder
	Numbers []int  `json:"numbers"`
}

// SettleChunks returns the results of those chunks that have a file, or have left parts, of
// which it makes the file. No worker may work on them.
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

// A SummaryResult is what a summary has to tell.
type SummaryResult struct {
	// NoneUnder are the keys of --under that no message is under, though there are messages:
	// they may be misspelled. Keys says which there are.
	NoneUnder []string `json:"none_under,omitempty"`
	Keys      string   `json:"keys,omitempty"`
}

// WriteSummary reads what was found, and writes the summary of an audit and its page.
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

// A chunkWriter keeps what becomes of the objects of a chunk.
type chunkWriter struct {
	request ChunkRequest
	results *results
	lease   *lease
	held    context.Context // for as long as there is the lease
	attempt int32
	late    bool // a service has been out of reach for too long, up to the first object that is done
	moved   bool // an object was done since the last flush

	mark    Mark // of what is in the parts
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

// stuck reports whether the chunk has come no further for too long.
func (w *chunkWriter) stuck() bool {
	return !w.mark.Stuck.IsZero() && time.Since(w.mark.Stuck) > patience
}

// failure is an error after which Temporal has the chunk go on from its mark, unless it has
// come no further for too long.
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

// errUnavailable ends a chunk that is to be tried again from there on.
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

// A resultsError is returned if results cannot be written. The chunk is tried again later.
type resultsError struct{ error }

func (e *resultsError) Unwrap() error { return e.error }

// keyOf returns the key of an object by its URL.
func keyOf(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return "" // which a name of ours is not
	}
	return strings.TrimPrefix(u.Path, "/")
}

// flush puts lines into a part, and says so.
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
	if w.moved { // and what it has moved by is written
		w.mark.Stuck, w.moved = time.Time{}, false
	}
	w.mark.After, w.mark.Counts = w.last, w.counts.clone()
	w.flushed = time.Now()
	w.lease.note(ctx, w.mark)
	return nil
}

// finish makes the file of the chunk. If the chunk is to go on elsewhere, it leaves parts
// and a mark; one that was cancelled has what was done.
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
		w.flush(ctx) // else some are done twice, and found to be done
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
		w.results.Delete(ctx, part) // what is left over harms nobody
	}
	return w.end(ctx, content)
}

// content is all lines of the chunk.
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
