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

// ErrStop is returned by a function that is told results, to end the run with no input cut
// off: no more are begun, and what is under way ends and is told. The run returns it then.
var ErrStop = errors.New("bulk: stopped")

// A teller tells results in the order of inputs, which end in any order. It holds those
// that have others in front of them: a batch has a bounded number of them under way.
type teller struct {
	each func(Result) error

	mu     sync.Mutex
	err    error            // of each
	stop   bool             // no more inputs are to be begun
	begun  map[string][]int // inputs that are under way, by their names, which may be twice there
	next   int              // to be told
	number int              // to begin
	ended  map[int]Result   // and not told
}

func newTeller(each func(Result) error) *teller {
	return &teller{each: each, begun: make(map[string][]int), ended: make(map[int]Result)}
}

// begin is called in the order of inputs. It reports whether one is to be begun.
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

// tell returns an error to end the run. What failed since ctx has ended is not a result.
func (t *teller) tell(ctx context.Context, r Result) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Status == Failed && ctx.Err() != nil {
		return nil // and so is nothing that comes behind it
	}
	switch numbers := t.begun[r.Name]; {
	case len(numbers) == 1:
		t.ended[numbers[0]] = r
		delete(t.begun, r.Name)
	case len(numbers) > 1 && r.Reason == place.SkipTwice: // which ends before the first does
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

// result makes a result of a record.
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
		out.Finding, _ = json.Marshal(f) // of texts and numbers cannot fail
	}
	return out
}
