package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"esdk/cmd/esdk/internal/audit"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
)

// ErrStop makes a run stop cleanly. If each returns it, the run begins no more
// inputs, completes and reports those in progress, and returns ErrStop.
var ErrStop = errors.New("bulk: stopped")

// A teller reports results in the order of the inputs, which end in any order.
// It keeps a result until all earlier inputs have been reported. The number of
// kept results is bounded, since a batch has a bounded number of inputs in
// progress.
type teller struct {
	each func(Result) error

	mu     sync.Mutex
	err    error            // returned by each
	stop   bool             // begin no more inputs
	begun  map[string][]int // numbers of the inputs in progress, by name; a name may occur twice
	next   int              // number of the next input to report
	number int              // number of the next input to begin
	ended  map[int]Result   // finished, but not reported
}

func newTeller(each func(Result) error) *teller {
	return &teller{each: each, begun: make(map[string][]int), ended: make(map[int]Result)}
}

// begin must be called in the order of the inputs. It reports whether an input
// may begin.
func (t *teller) begin(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop {
		return false
	}
	t.begun[name] = append(t.begun[name], t.number)
	t.number++
	return true
}

// tell reports a result, or keeps it for later. It returns an error to end the
// run. A failure after the end of ctx is not a result.
func (t *teller) tell(ctx context.Context, r Result) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Status == Failed && ctx.Err() != nil {
		return nil // the later results aren't reported, either
	}
	switch numbers := t.begun[r.Name]; {
	case len(numbers) == 1:
		t.ended[numbers[0]] = r
		delete(t.begun, r.Name)
	case len(numbers) > 1 && r.Reason == place.SkipTwice: // it ends before the first input with this name
		last := len(numbers) - 1
		t.ended[numbers[last]] = r
		t.begun[r.Name] = numbers[:last]
	case len(numbers) > 1:
		t.ended[numbers[0]] = r
		t.begun[r.Name] = numbers[1:]
	}
	for t.err == nil {
		r, ok := t.ended[t.next]
		if !ok {
			break
		}
		delete(t.ended, t.next)
		t.next++
		if t.err = t.each(r); errors.Is(t.err, ErrStop) {
			t.stop, t.err = true, nil
		}
	}
	return t.err
}

// result converts a record to a result.
func (w *Work) result(rec *batch.Record, cause error) Result {
	out := Result{
		Name:      rec.Name,
		Status:    Status(rec.Result),
		Reason:    rec.Reason,
		Kind:      rec.Kind,
		Retryable: rec.Retryable,
		Bytes:     rec.Message,
		KeyUsed:   rec.KeyUsed,

		VersionBefore: rec.InputVersion,
		VersionAfter:  rec.OutputVersion,
	}
	if cause != nil {
		out.Error = w.message(cli.Errorf("%w", cause))
	}
	if w.audit != nil && out.Status != Skipped {
		f := audit.Found(rec, rec.Name, rec.Input, cause)
		out.Bytes, out.Matches = f.Bytes(), f.Matches
		out.Finding, _ = json.Marshal(f) // marshaling texts and numbers can't fail
	}
	return out
}
