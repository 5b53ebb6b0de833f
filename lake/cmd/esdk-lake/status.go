package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"esdk/lake"
	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
)

// A state is the status of a job, from the server and from the job itself.
type state struct {
	State        string `json:"state"`            // running, completed and so on
	Reason       string `json:"reason,omitempty"` // why it didn't complete
	*lake.Status        // nil if no worker answers

	// UnderWay is the number of finished objects in running chunks. Begun is
	// the number of running chunks that a worker has started; the others wait
	// for a worker.
	UnderWay int `json:"under_way"`
	Begun    int `json:"begun"`

	Waiting []waiting `json:"waiting,omitempty"`

	// Unattended is the task queue, if it has no workers.
	Unattended string `json:"unattended,omitempty"`
}

// A waiting is an activity that failed and is retried.
type waiting struct {
	Activity string `json:"activity"`
	Number   int    `json:"number"`   // of activities that wait for the same reason
	Attempts int    `json:"attempts"` // failed ones, of the activity with the most
	Error    string `json:"error"`    // the last one
}

func (w *waiting) String() string {
	return fmt.Sprintf("%s: %d attempts failed, the last one with: %s", w.Activity, w.Attempts, w.Error)
}

func newStatus(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status ID",
		Short: "Show the progress of a rotation or an audit",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		s, err := c.status(ctx, t, id)
		if s == nil {
			return err
		}
		if asJSON {
			return cmp.Or(json.NewEncoder(cmd.OutOrStdout()).Encode(s), err)
		}
		return cmp.Or(printStatus(cmd.OutOrStdout(), s), err)
	})
}

// queryTime is how long to wait for a worker's answer.
const queryTime = 15 * time.Second

// status returns the status of a job. If no worker answers, it returns only the
// server's part, and an error.
func (c *connection) status(ctx context.Context, t client.Client, id string) (*state, error) {
	s, err := c.describe(ctx, t, id)
	if err != nil {
		return nil, err
	}
	if slices.Contains([]string{"failed", "cancelled", "terminated"}, s.State) {
		if err := t.GetWorkflow(ctx, id, "").Get(ctx, nil); err != nil {
			s.Reason = lake.Reason(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	answer, err := t.QueryWorkflow(ctx, id, "", lake.StatusQuery)
	if err != nil {
		return s, fmt.Errorf("%s is %s, but no worker answers: %w", id, s.State, err)
	}
	s.Status = new(lake.Status)
	if err := answer.Get(s.Status); err != nil {
		return nil, err
	}
	if s.State != "running" {
		s.Rate, s.Remaining = 0, 0
	}
	return s, nil
}

// describe asks only the server.
func (c *connection) describe(ctx context.Context, t client.Client, id string) (*state, error) {
	described, err := t.DescribeWorkflow(ctx, id, "")
	if err != nil {
		return nil, err
	}
	d := described.RawResponse
	s := &state{State: stateName(d.GetWorkflowExecutionInfo().GetStatus())}
	for _, a := range d.GetPendingActivities() {
		c.addPending(s, a)
	}
	if queue := d.GetExecutionConfig().GetTaskQueue().GetName(); s.State == "running" {
		if q, err := t.DescribeTaskQueue(ctx, queue, enumspb.TASK_QUEUE_TYPE_ACTIVITY); err == nil && len(q.GetPollers()) == 0 {
			s.Unattended = queue
		}
	}
	return s, nil
}

func (c *connection) addPending(s *state, a *workflowpb.PendingActivityInfo) {
	var mark lake.Mark
	if details := a.GetHeartbeatDetails(); details != nil && c.converter.FromPayloads(details, &mark) == nil {
		s.UnderWay += mark.Done()
	}
	name := a.GetActivityType().GetName()
	if name == "DoChunk" && a.GetState() != enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		s.Begun++
	}
	if a.GetLastFailure() == nil {
		return
	}
	text, attempts := lake.Reason(c.failures.FailureToError(a.GetLastFailure())), int(a.GetAttempt())-1
	for i := range s.Waiting {
		if w := &s.Waiting[i]; w.Activity == name && w.Error == text {
			w.Number, w.Attempts = w.Number+1, max(w.Attempts, attempts)
			return
		}
	}
	s.Waiting = append(s.Waiting, waiting{name, 1, attempts, text})
}

// noteTime is the interval at which a waiting command looks for a reason.
const noteTime = 15 * time.Second

// startNotes calls noteWaiting in a goroutine. stop ends it and waits for its
// end.
func (c *connection) startNotes(ctx context.Context, t client.Client, id string, notes io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ticks := time.NewTicker(noteTime)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.noteWaiting(ctx, t, id, ticks.C, notes)
	}()
	return func() { cancel(); ticks.Stop(); <-ended }
}

// noteWaiting prints why a job waits, at each tick with a new reason, until ctx
// ends.
func (c *connection) noteWaiting(ctx context.Context, t client.Client, id string, ticks <-chan time.Time, notes io.Writer) {
	told := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-ticks:
			if !ok {
				return
			}
		}
		s, err := c.describe(ctx, t, id)
		if err != nil {
			continue // the waiting command reports it, too
		}
		seen := make(map[string]bool)
		tell := func(what, text string) {
			if seen[what] = true; !told[what] {
				fmt.Fprintf(notes, "esdk-lake: %s waits: %s\n", id, text)
			}
		}
		if s.Unattended != "" {
			tell(s.Unattended, "no worker takes from the task queue "+s.Unattended)
		}
		for _, w := range s.Waiting {
			if w.Attempts > 1 { // otherwise it may be a stopped worker
				tell(w.Activity+w.Error, w.String())
			}
		}
		told = seen
	}
}

func stateName(s enumspb.WorkflowExecutionStatus) string {
	switch s {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return "running"
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		return "completed"
	case enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:
		return "failed"
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		return "cancelled"
	case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
		return "terminated"
	}
	return s.String()
}

func printStatus(w io.Writer, s *state) error {
	out := new(bytes.Buffer)
	fmt.Fprintf(out, "state         %s", s.State)
	if s.Status != nil {
		if s.Paused {
			fmt.Fprint(out, ", paused")
		}
		fmt.Fprintf(out, ", since %s", s.Started.Format(time.RFC3339))
	}
	fmt.Fprintln(out)
	if s.Reason != "" {
		fmt.Fprintf(out, "reason        %s\n", s.Reason)
	}
	if s.Unattended != "" {
		fmt.Fprintf(out, "workers       none takes from the task queue %s\n", s.Unattended)
	}
	for _, w := range s.Waiting {
		fmt.Fprintf(out, "waiting       %d %s\n", w.Number, &w)
	}
	if s.Status != nil {
		s.printProgress(out)
	}
	_, err := out.WriteTo(w)
	return err
}

func (s *state) printProgress(out *bytes.Buffer) {
	more := "so far"
	if s.AllListed {
		more = "in all"
	}
	fmt.Fprintf(out, "listed        %d objects, %d bytes, %s\n", s.Listed, s.ListedBytes, more)
	printCounts(out, &s.Counts, s.Audit)
	fmt.Fprintf(out, "chunks        %d done, %d under way, of which workers have begun %d with %d objects done, %d waiting", s.Chunks, s.Running, s.Begun, s.UnderWay, s.Queued)
	if s.Missing > 0 {
		fmt.Fprintf(out, ", %d ended without a file", s.Missing)
	}
	fmt.Fprintln(out)
	if s.Rate > 0 {
		fmt.Fprintf(out, "rate          %.0f objects a second\n", s.Rate)
	}
	if s.Remaining > 0 {
		fmt.Fprintf(out, "remaining     %s\n", s.Remaining)
	}
	fmt.Fprintf(out, "results       %s\n", s.Results)
}

// newPause returns the command that pauses, or resumes.
func newPause(c *connection, pause bool) *cobra.Command {
	cmd := &cobra.Command{Use: "resume ID", Short: "Resume a paused rotation or audit"}
	if pause {
		cmd.Use, cmd.Short = "pause ID", "Pause a rotation or an audit: chunks under way end, and no others begin"
	}
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		if err := c.checkRuns(ctx, t, id); err != nil {
			return err
		}
		return t.SignalWorkflow(ctx, id, "", lake.PauseSignal, pause)
	})
}

// checkRuns rejects jobs that have ended, since the server silently accepts
// signals for them.
func (c *connection) checkRuns(ctx context.Context, t client.Client, id string) error {
	s, err := c.describe(ctx, t, id)
	if err == nil && s.State != "running" {
		err = fmt.Errorf("%s has ended: it is %s", id, s.State)
	}
	return err
}

func newCancel(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "Cancel a rotation or an audit: objects under way end, and the report has the results so far"}
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		if err := c.checkRuns(ctx, t, id); err != nil {
			return err
		}
		return t.CancelWorkflow(ctx, id, "")
	})
}

// onJob makes a command run do with the job whose ID is its argument.
func (c *connection) onJob(cmd *cobra.Command, do func(context.Context, client.Client, string) error) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, closeAll, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer closeAll()
		return do(cmd.Context(), t, args[0])
	}
	return cmd
}
