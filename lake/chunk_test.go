package lake

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"esdk/cmd/esdk/bulk"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// newTestChunk returns the writer of a chunk with its results in memory.
func newTestChunk(t *testing.T, mark Mark) (*chunkWriter, *blob.Bucket) {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	w := &chunkWriter{request: ChunkRequest{Number: 1}, results: &results{bucket}, attempt: 1, mark: mark, counts: mark.clone(), last: mark.After, flushed: time.Now()}
	w.late = w.stuck()
	w.lease, w.held = newLease(t.Context(), &fakeServer{answer: func(context.Context) error { return nil }}, nil, time.Minute, mark, nil)
	t.Cleanup(w.lease.release)
	return w, bucket
}

var _ client.Client = (*fakeServer)(nil)

func nonRetryable(err error) bool {
	a, ok := errors.AsType[*temporal.ApplicationError](err)
	return !ok || a.NonRetryable()
}

// TestResultsOutOfReach retries a chunk whose results can't be written, for an
// hour.
func TestResultsOutOfReach(t *testing.T) {
	long := time.Now().Add(-patience - time.Minute)
	for name, c := range map[string]struct {
		mark Mark
		end  bool
	}{
		"the first time":          {Mark{}, false},
		"for a minute":            {Mark{Unwritten: time.Now().Add(-time.Minute)}, false},
		"for an hour":             {Mark{Unwritten: long}, true},
		"after objects were away": {Mark{Stuck: long}, false},
	} {
		w, bucket := newTestChunk(t, c.mark)
		bucket.Close() // makes each request fail
		err := w.add(bulk.Result{Name: "s3://lake/a", Status: bulk.OK})
		if err != nil {
			t.Fatal(err)
		}
		w.flushed = time.Time{}
		err = w.add(bulk.Result{Name: "s3://lake/b", Status: bulk.OK})
		if err == nil {
			t.Fatal("it was written")
		}
		for _, err := range []error{err, errUnavailable} {
			result, err := w.finish(t.Context(), err)
			if result != nil || err == nil || nonRetryable(err) != c.end {
				t.Errorf("%s: %v, %v", name, result, err)
			}
		}
		if since := c.mark.Unwritten; w.mark.Unwritten.IsZero() || !since.IsZero() && !w.mark.Unwritten.Equal(since) || w.mark.Done() != 0 {
			t.Errorf("%s: the mark is %+v", name, w.mark)
		}
	}
}

// TestResultsRefusedOnce resumes where a second attempt to write results
// succeeded.
func TestResultsRefusedOnce(t *testing.T) {
	w, _ := newTestChunk(t, Mark{Unwritten: time.Now().Add(-patience - time.Minute)})
	held := w.held
	refused, cancel := context.WithCancel(held)
	cancel()
	w.held, w.flushed = refused, time.Time{}
	err := w.add(bulk.Result{Name: "s3://lake/a", Status: bulk.OK})
	if err == nil {
		t.Fatal("it was written")
	}
	w.held = held
	_, err = w.finish(t.Context(), err)
	if err == nil || nonRetryable(err) || w.mark.Done() != 1 {
		t.Errorf("%v; the mark is %+v", err, w.mark)
	}
}

// TestStuckEnds: the hour starts anew with each finished object.
func TestStuckEnds(t *testing.T) {
	w, _ := newTestChunk(t, Mark{Stuck: time.Now().Add(-patience - time.Minute)})
	away := bulk.Result{Name: "s3://lake/a", Status: bulk.Failed, Retryable: true, Error: "503", Kind: "store"}
	for range 2 {
		if err := w.add(away); err != nil {
			t.Fatalf("after an hour, it fails: %v", err)
		}
	}
	if err := w.flush(w.held); err != nil || w.mark.Stuck.IsZero() {
		t.Fatalf("%v; failures that come of the service end the hour: %+v", err, w.mark)
	}
	if err := w.add(bulk.Result{Name: "s3://lake/b", Status: bulk.OK}); err != nil {
		t.Fatal(err)
	}
	if err := w.add(away); !errors.Is(err, errUnavailable) {
		t.Errorf("after an object that was done: %v", err)
	}
	if err := w.flush(w.held); err != nil || !w.mark.Stuck.IsZero() || w.mark.Done() != 3 {
		t.Errorf("%v; the mark is %+v", err, w.mark)
	}
	if err := w.failure(t.Context(), "Unavailable", errUnavailable); nonRetryable(err) || w.mark.Stuck.IsZero() {
		t.Errorf("%v; the mark is %+v", err, w.mark)
	}
}

// marks is a server that records the details of heartbeats.
type marks struct {
	client.Client
	last any
}

func (m *marks) RecordActivityHeartbeat(_ context.Context, _ []byte, details ...any) error {
	m.last = details[0]
	return nil
}

// TestMisconfigured retries for a while from the first failure on, for each
// activity, no matter how long it waited for a worker.
func TestMisconfigured(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("ESDK_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	away := []string{"--from-key", "@nothere", "-k", "@nothere"}
	for name, do := range map[string]func(*Activities, *testsuite.TestActivityEnvironment) error{
		"keys of a list": func(a *Activities, e *testsuite.TestActivityEnvironment) error {
			_, err := e.ExecuteActivity(a.ListChunks, ListRequest{Task: Task{Flags: away}})
			return err
		},
		"keys of a chunk": func(a *Activities, e *testsuite.TestActivityEnvironment) error {
			_, err := e.ExecuteActivity(a.DoChunk, ChunkRequest{Task: Task{Flags: away}, Results: "mem://x/"})
			return err
		},
		"results of a chunk": func(a *Activities, e *testsuite.TestActivityEnvironment) error {
			_, err := e.ExecuteActivity(a.DoChunk, ChunkRequest{Results: "nosuch://x/"})
			return err
		},
		"results of a report": func(a *Activities, e *testsuite.TestActivityEnvironment) error {
			_, err := e.ExecuteActivity(a.WriteReport, &Report{Results: "nosuch://x/"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := new(marks)
			a := NewActivities(server)
			run := func() error {
				e := new(testsuite.WorkflowTestSuite).NewTestActivityEnvironment()
				registerAll(e, a)
				if server.last != nil {
					e.SetHeartbeatDetails(server.last)
				}
				return do(a, e)
			}
			for range 2 {
				if err := run(); err == nil || nonRetryable(err) {
					t.Fatal(err)
				}
			}
			text, err := json.Marshal(server.last)
			var mark Mark
			if err != nil || json.Unmarshal(text, &mark) != nil || time.Since(mark.Misconfigured) > time.Minute {
				t.Fatalf("the mark is %s, %v", text, err)
			}
			mark.Misconfigured = mark.Misconfigured.Add(-configPatience)
			server.last = mark
			if err := run(); err == nil || !nonRetryable(err) {
				t.Errorf("later: %v", err)
			}
		})
	}
}

func registerAll(e interface{ RegisterActivity(any) }, a *Activities) {
	for _, f := range []any{a.ListChunks, a.DoChunk, a.WriteSummary, a.WriteReport} {
		e.RegisterActivity(f)
	}
}
