package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"esdk/lake"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// A describedServer has a job with pending activities.
type describedServer struct {
	client.Client
	state   enumspb.WorkflowExecutionStatus
	pending []*workflowpb.PendingActivityInfo
	pollers []*taskqueuepb.PollerInfo
	end     error
	answer  *lake.Status // nil if no worker answers
}

func (d *describedServer) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	return &client.WorkflowExecutionDescription{RawResponse: &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: d.state},
		ExecutionConfig:       &workflowpb.WorkflowExecutionConfig{TaskQueue: &taskqueuepb.TaskQueue{Name: "queue"}},
		PendingActivities:     d.pending,
	}}, nil
}

func (d *describedServer) DescribeTaskQueue(context.Context, string, enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	return &workflowservice.DescribeTaskQueueResponse{Pollers: d.pollers}, nil
}

func (d *describedServer) GetWorkflow(context.Context, string, string) client.WorkflowRun {
	return &ended{err: d.end}
}

func (d *describedServer) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	if d.answer == nil {
		return nil, errors.New("no poller")
	}
	return d, nil
}

func (d *describedServer) HasValue() bool { return true }

func (d *describedServer) Get(out any) error {
	*out.(*lake.Status) = *d.answer
	return nil
}

// pendingAfter returns an activity after a number of failed attempts with the
// given error.
func pendingAfter(name string, state enumspb.PendingActivityState, attempts int32, text string) *workflowpb.PendingActivityInfo {
	a := &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: name}, State: state, Attempt: attempts + 1}
	if text != "" {
		a.LastFailure = temporal.GetDefaultFailureConverter().ErrorToFailure(temporal.NewApplicationError(text, "Results"))
	}
	return a
}

var poller = []*taskqueuepb.PollerInfo{{}}

// TestStatus reports why a job waits, and why it failed, and has no rate for an
// ended job.
func TestStatus(t *testing.T) {
	const scheduled, started = enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, enumspb.PENDING_ACTIVITY_STATE_STARTED
	answer := &lake.Status{Running: 3, Rate: 7, Remaining: time.Minute}
	for name, c := range map[string]struct {
		server     describedServer
		want, none []string
		fails      bool
	}{
		"waiting": {describedServer{state: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, pollers: poller, answer: answer, pending: []*workflowpb.PendingActivityInfo{
			pendingAfter("DoChunk", scheduled, 5, "access denied"), pendingAfter("DoChunk", started, 0, ""), pendingAfter("DoChunk", scheduled, 4, "access denied"),
		}}, []string{"waiting       2 DoChunk: 5 attempts failed, the last one with: access denied\n", "3 under way, of which workers have begun 1 ", "rate ", "remaining "}, []string{"reason ", "workers  "}, false},
		"failed": {describedServer{state: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, answer: answer, end: temporal.NewApplicationError("access denied", "Listing")},
			[]string{"state         failed", "reason        access denied\n"}, []string{"rate", "remaining", "workers  "}, false},
		"no worker": {describedServer{state: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING},
			[]string{"state         running\n", "workers       none takes from the task queue queue\n"}, []string{"chunks"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s, err := testConnection().status(t.Context(), &c.server, "id")
			if (err != nil) != c.fails {
				t.Error(err)
			}
			if err := printStatus(&out, s); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in %s", want, &out)
				}
			}
			for _, none := range c.none {
				if strings.Contains(out.String(), none) {
					t.Errorf("%q in %s", none, &out)
				}
			}
		})
	}
}

// TestNoteWaiting prints a reason once, until it changes.
func TestNoteWaiting(t *testing.T) {
	server := &describedServer{state: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
	out := new(bytes.Buffer)
	note := func() {
		ticks := make(chan time.Time, 2)
		ticks <- time.Now()
		ticks <- time.Now()
		close(ticks)
		testConnection().noteWaiting(t.Context(), server, "id", ticks, out)
	}
	note()
	server.pollers = poller
	for i, text := range []string{"access denied", "no such bucket", ""} {
		server.pending = []*workflowpb.PendingActivityInfo{
			pendingAfter("WriteReport", enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, int32(i+2), text),
			pendingAfter("DoChunk", enumspb.PENDING_ACTIVITY_STATE_STARTED, 1, "a worker was stopped"),
		}
		note()
	}
	want := `esdk-lake: id waits: no worker takes from the task queue queue
esdk-lake: id waits: WriteReport: 2 attempts failed, the last one with: access denied
esdk-lake: id waits: WriteReport: 3 attempts failed, the last one with: no such bucket
`
	if out.String() != want {
		t.Errorf("the notes:\n%swant\n%s", out, want)
	}
}

// TestCheckRuns reports that there is nothing to cancel.
func TestCheckRuns(t *testing.T) {
	server := &describedServer{state: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED}
	if err := testConnection().checkRuns(t.Context(), server, "nightly"); err == nil || err.Error() != "nightly has ended: it is cancelled" {
		t.Error(err)
	}
	server.state = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	if err := testConnection().checkRuns(t.Context(), server, "nightly"); err != nil {
		t.Error(err)
	}
}
