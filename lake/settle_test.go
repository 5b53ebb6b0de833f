package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/bulk"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"gocloud.dev/blob/memblob"
)

// sumOf returns the output of "sha256sum chunks/*.jsonl | sha256sum".
func sumOf(files map[int]string) string {
	var numbers []int
	for number := range files {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var text strings.Builder
	for _, number := range numbers {
		fmt.Fprintf(&text, "%s  chunks/%08d.jsonl\n", files[number], number)
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:])
}

// TestGiveUp reports all chunks with a file, even after chunks without one, and
// the numbers of the latter.
func TestGiveUp(t *testing.T) {
	for name, c := range map[string]struct {
		settled map[int]*ChunkResult
		broken  bool
		missing []int
	}{
		"none of it":       {nil, false, []int{1}},
		"some of it":       {map[int]*ChunkResult{1: {Counts{OK: 5}, "digest-1"}}, false, nil},
		"no store for now": {nil, true, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			e := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
			register := func(name string, f any) {
				e.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
			}
			var report *Report
			register("ListChunks", func(context.Context, ListRequest) (*ListResult, error) {
				return &ListResult{Chunks: make([]Bounds, 4)}, nil
			})
			ended := make(chan struct{}, 4)
			register("DoChunk", func(_ context.Context, in ChunkRequest) (*ChunkResult, error) {
				if in.Number == 1 {
					for range 3 {
						<-ended
					}
					time.Sleep(100 * time.Millisecond) // so that the others are reported first
					return nil, temporal.NewNonRetryableApplicationError("broken", "Test", nil)
				}
				ended <- struct{}{}
				return &ChunkResult{Counts{OK: 1}, fmt.Sprint("digest-", in.Number)}, nil
			})
			register("SettleChunks", func(_ context.Context, in SettleRequest) (map[int]*ChunkResult, error) {
				if !slices.Equal(in.Numbers, []int{1}) {
					t.Errorf("settled %v", in.Numbers)
				}
				if c.broken {
					return nil, temporal.NewNonRetryableApplicationError("broken", "Test", nil)
				}
				return c.settled, nil
			})
			register("WriteReport", func(_ context.Context, r *Report) error {
				report = r
				return nil
			})
			e.ExecuteWorkflow(Rotate, Job{Task: Task{Source: Source{Folder: "s3://b/f/"}}, Results: "s3://c/"})
			if err := e.GetWorkflowError(); err == nil || report == nil {
				t.Fatalf("%v, report %+v", err, report)
			}
			answer, err := e.QueryWorkflow(StatusQuery)
			var s Status
			if err != nil || answer.Get(&s) != nil || s.Chunks != 4-len(c.missing) || s.Missing != len(c.missing) || s.Running != 0 {
				t.Errorf("the status: %+v, %v", s, err)
			}
			if report.End != "broken" {
				t.Errorf("the end: %s", report.End)
			}
			files, ok := map[int]string{2: "digest-2", 3: "digest-3", 4: "digest-4"}, 3
			for number, result := range c.settled {
				files[number] = result.Digest
				ok += result.OK
			}
			if report.Chunks != len(files) || report.OK != ok || !slices.Equal(report.Missing, c.missing) || report.Digest != sumOf(files) {
				t.Errorf("the report: %+v, want %d files with digest %s", report, len(files), sumOf(files))
			}
		})
	}
}

// TestGiveUpEnds: if the results stay unreachable, the job fails after some
// attempts to write its report, with the first cause as the reason.
func TestGiveUpEnds(t *testing.T) {
	for name, c := range map[string]struct {
		list error
		want string
		most int
	}{
		"after a failure": {temporal.NewNonRetryableApplicationError("access denied", "Listing", nil), "access denied", 15},
		"at a good end":   {nil, "wrong endpoint", 100},
	} {
		t.Run(name, func(t *testing.T) {
			e := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
			e.SetTestTimeout(time.Minute)
			register := func(name string, f any) {
				e.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
			}
			attempts := make(map[string]int)
			again := func(name string) error {
				if attempts[name]++; attempts[name] > 1000 {
					return temporal.NewNonRetryableApplicationError("endless", "Test", nil)
				}
				return errors.New("wrong endpoint")
			}
			register("ListChunks", func(context.Context, ListRequest) (*ListResult, error) { return new(ListResult), c.list })
			register("WriteSummary", func(context.Context, SummaryRequest) error { return again("WriteSummary") })
			register("WriteReport", func(context.Context, *Report) error { return again("WriteReport") })
			e.ExecuteWorkflow(Audit, Job{Task: Task{Source: Source{Folder: "s3://b/f/"}}, Results: "s3://c/"})
			if err := e.GetWorkflowError(); err == nil || Reason(err) != c.want {
				t.Errorf("the job ended with %v, want %s", err, c.want)
			}
			for _, name := range []string{"WriteSummary", "WriteReport"} {
				if n := attempts[name]; n < 5 || n > c.most {
					t.Errorf("%s was tried %d times", name, n)
				}
			}
		})
	}
}

// TestNoneUnder: the report includes the summary's keys of --under without
// messages.
func TestNoneUnder(t *testing.T) {
	e := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
	register := func(name string, f any) {
		e.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	want := SummaryResult{NoneUnder: []string{"lake/odl"}, Keys: "lake/old"}
	var written *Report
	register("ListChunks", func(context.Context, ListRequest) (*ListResult, error) { return new(ListResult), nil })
	register("WriteSummary", func(context.Context, SummaryRequest) (*SummaryResult, error) { return &want, nil })
	register("WriteReport", func(_ context.Context, r *Report) error {
		written = r
		return nil
	})
	e.ExecuteWorkflow(Audit, Job{Task: Task{Source: Source{Folder: "s3://b/f/"}}, Results: "s3://c/"})
	returned := new(Report)
	if err := e.GetWorkflowResult(returned); err != nil || !reflect.DeepEqual(returned.SummaryResult, want) || !reflect.DeepEqual(written.SummaryResult, want) {
		t.Errorf("%v; the report %+v, written %+v", err, returned, written)
	}
}

// TestSettle makes the file of a chunk from its leftovers.
func TestSettle(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	r := &results{bucket}
	line := func(name string, status bulk.Status) string {
		return string((&Line{Name: name, Result: status}).text())
	}
	for name, content := range map[string]string{
		chunkName(1):       line("a", bulk.OK),
		partName(1, 1, 0):  line("a", bulk.OK) + line("b", bulk.OK),
		partName(2, 2, 0):  line("c", bulk.OK),
		partName(2, 2, 10): line("e", bulk.OK), // unknown to the next worker
		partName(2, 2, 2):  line("d", bulk.Failed),
		partName(2, 10, 3): line("d", bulk.OK) + line("e", bulk.Skipped) + line("f", bulk.Failed),
		partName(21, 1, 0): line("x", bulk.OK),
		"parts/00000002-x": "other",
	} {
		if err := bucket.WriteAll(t.Context(), name, []byte(content), nil); err != nil {
			t.Fatal(err)
		}
	}
	for number, want := range map[int]string{
		1: line("a", bulk.OK),
		2: line("c", bulk.OK) + line("d", bulk.OK) + line("e", bulk.OK) + line("f", bulk.Failed),
		3: "",
	} {
		for range 2 {
			result, err := r.settle(t.Context(), number)
			content, readErr := r.read(t.Context(), chunkName(number))
			if err != nil || string(content) != want || (readErr != nil) != (want == "") || (result == nil) != (want == "") {
				t.Errorf("chunk %d: %+v, %v; its file: %s", number, result, err, content)
			}
			if sum := sha256.Sum256(content); result != nil && (result.Digest != hex.EncodeToString(sum[:]) || result.Done() != strings.Count(want, "\n")) {
				t.Errorf("chunk %d: %+v", number, result)
			}
		}
	}
	failed, err := r.read(t.Context(), failuresName(2))
	if err != nil || string(failed) != line("f", bulk.Failed) {
		t.Errorf("failures: %s, %v", failed, err)
	}
	if left, err := r.partNames(t.Context(), 2); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	bucket.Close()
	if _, err := r.settle(t.Context(), 3); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a store that is away: %v", err)
	}
}
