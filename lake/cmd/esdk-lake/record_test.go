package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk/lake"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// A fakeServer has the same job under each id.
type fakeServer struct {
	client.Client
	t    *testing.T
	kind string // of the workflow
	job  lake.Job
	run  client.WorkflowRun

	queue string // where the job runs
	asked string // the queue of the last start
}

func (f *fakeServer) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	if o.WorkflowIDConflictPolicy != enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL || !o.WorkflowExecutionErrorWhenAlreadyStarted {
		f.t.Error("any job that runs under the id is joined")
		return f.run, nil
	}
	f.asked = o.TaskQueue
	return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("started", "", "run")
}

func (f *fakeServer) GetWorkflow(context.Context, string, string) client.WorkflowRun { return f.run }

func (f *fakeServer) GetWorkflowHistory(_ context.Context, _, _ string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	input, err := converter.GetDefaultDataConverter().ToPayloads(f.job)
	if err != nil {
		f.t.Fatal(err)
	}
	return &firstEvent{event: &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &commonpb.WorkflowType{Name: f.kind}, Input: input, FirstExecutionRunId: "first",
			TaskQueue: &taskqueuepb.TaskQueue{Name: f.queue},
		}}}}
}

type firstEvent struct{ event *historypb.HistoryEvent }

func (i *firstEvent) HasNext() bool { return i.event != nil }
func (i *firstEvent) Next() (*historypb.HistoryEvent, error) {
	e := i.event
	i.event = nil
	return e, nil
}

func testConnection() *connection {
	return &connection{converter: converter.GetDefaultDataConverter(), failures: temporal.GetDefaultFailureConverter()}
}

// TestBeginJoins joins a running job with the same id only if it is the same
// job.
func TestBeginJoins(t *testing.T) {
	job := lake.Job{
		Task:    lake.Task{Source: lake.Source{Folder: "s3://lake/data/?region=SECRET"}, Flags: []string{"--from-key", "@old", "-k", "@new"}},
		Results: "s3://audit/?region=SECRET",
	}
	for name, c := range map[string]struct {
		change func(*lake.Job)
		kind   string
		want   string
	}{
		"the same":             {func(*lake.Job) {}, "Rotate", ""},
		"without a slash":      {func(j *lake.Job) { j.Folder = "s3://lake/data?region=SECRET" }, "Rotate", ""},
		"other sizes":          {func(j *lake.Job) { j.Objects, j.Parallel, j.Lease = 7, 7, 7 }, "Rotate", ""},
		"a later run":          {func(j *lake.Job) { j.Progress = new(lake.Progress) }, "Rotate", ""},
		"another source":       {func(j *lake.Job) { j.Folder = "s3://lake/other/" }, "Rotate", "a rotation of s3://lake/other/ with the flags"},
		"an inventory":         {func(j *lake.Job) { j.Folder, j.Inventory = "", "s3://i/manifest.json" }, "Rotate", "other source"},
		"other flags":          {func(j *lake.Job) { j.Flags = j.Flags[:2] }, "Rotate", "other flags"},
		"other results":        {func(j *lake.Job) { j.Results = "s3://elsewhere/" }, "Rotate", "other results"},
		"an audit":             {func(j *lake.Job) { j.Flags = nil }, "Audit", "an audit of s3://lake/data/"},
		"kind, flags":          {func(j *lake.Job) { j.Flags = nil }, "Audit", "other kind, flags;"},
		"all versions":         {func(j *lake.Job) { j.AllVersions = true }, "Rotate", "other source"},
		"somebody's workflow":  {func(*lake.Job) {}, "Payments", `a workflow of the type "Payments"`},
		"an input of no parts": {func(j *lake.Job) { *j = lake.Job{} }, "Rotate", "other source, flags, results"},
	} {
		t.Run(name, func(t *testing.T) {
			running := job
			running.Flags = slices.Clone(job.Flags)
			c.change(&running)
			server := &fakeServer{t: t, kind: c.kind, job: running, run: new(ended)}
			o := &startOptions{job: job, id: "nightly"}
			run, err := o.begin(t.Context(), testConnection(), server)
			if c.want == "" {
				if err != nil || run != server.run {
					t.Errorf("it is not joined: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--id") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func (f *fakeServer) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	out := new(workflowservice.ListWorkflowExecutionsResponse)
	for _, id := range []string{"nightly", "abandoned"} {
		out.Executions = append(out.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}})
	}
	return out, nil
}

// TestLocalAlone doesn't work on other jobs whose history is in the directory,
// and lists them.
func TestLocalAlone(t *testing.T) {
	job := lake.Job{Results: "s3://audit/"}
	c := testConnection()
	c.queue = "queue"
	server := &fakeServer{t: t, kind: "Rotate", job: job, run: new(ended)}
	seen := make(map[string]bool)
	for _, id := range []string{"nightly", "abandoned"} {
		o := &startOptions{job: job, id: id, local: "dir"}
		if _, err := o.begin(t.Context(), c, server); err == nil || !strings.Contains(err.Error(), "task queue") {
			t.Errorf("a job of another queue is joined: %v", err)
		}
		server.queue = o.queue(c)
		if _, err := o.begin(t.Context(), c, server); err != nil || seen[server.asked] || server.asked == c.queue || server.asked != o.queue(c) {
			t.Errorf("%s: %v; it takes from %q, as other jobs do", id, err, server.asked)
		}
		seen[server.asked] = true
	}
	var notes bytes.Buffer
	(&startOptions{id: "nightly", local: "dir"}).noteOthers(t.Context(), server, &notes)
	if text := notes.String(); !strings.Contains(text, "abandoned has not ended") || strings.Contains(text, "nightly") {
		t.Errorf("the notes: %s", text)
	}
}

// TestTaken names the process that uses a directory.
func TestTaken(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "temporal.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := &server{log: log}
	if err := s.taken(); !strings.Contains(err.Error(), "another command") {
		t.Error(err)
	}
	s.writePID(4711)
	if err := s.taken(); !strings.Contains(err.Error(), "the process 4711 already uses") {
		t.Error(err)
	}
}

// TestCheckFailIf rejects uses that would always pass, or never.
func TestCheckFailIf(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, c := range []struct {
		task lake.Task
		want string
	}{
		{lake.Task{Flags: []string{"--from-key", "@old", "-k", "@new"}}, "this is a rotation"},
		{lake.Task{Audit: true}, "needs a filter"},
		{lake.Task{Audit: true, Flags: []string{"-k", "@old"}}, "needs a filter"},
		{lake.Task{Audit: true, Flags: []string{"--under", "@old"}}, ""},
		{lake.Task{Audit: true, Flags: []string{"--not-under", "@old"}}, ""},
		{lake.Task{Audit: true, Flags: []string{"--suite", "0x0578"}}, ""},
		{lake.Task{Audit: true, Flags: []string{"--not-a-message"}}, ""},
		{lake.Task{Audit: true, Flags: []string{"--uncommitted"}}, ""},
	} {
		err := checkFailIf(&c.task)
		if c.want == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.task, err)
			}
			continue
		}
		status, ok := errors.AsType[*statusError](err)
		if !ok || status.code != exitUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.task, err, c.want)
		}
	}
}
