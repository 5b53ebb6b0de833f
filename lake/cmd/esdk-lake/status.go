package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"esdk/lake"
	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// A state is what the server says of a job, and what the job says of itself.
type state struct {
	State string `json:"state"` // running, completed and so on
	*lake.Status

	// UnderWay are objects that were done of chunks that are not.
	UnderWay int `json:"under_way"`
}

func newStatus(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status ID",
		Short: "Show how far a rotation or an audit has come",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		s, err := c.status(ctx, t, id)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
		}
		return printStatus(cmd.OutOrStdout(), s)
	})
}

// queryTime is how long to wait for a worker to answer.
const queryTime = 15 * time.Second

func (c *connection) status(ctx context.Context, t client.Client, id string) (*state, error) {
	described, err := t.DescribeWorkflow(ctx, id, "")
	if err != nil {
		return nil, err
	}
	d := described.RawResponse
	s := &state{State: stateName(d.GetWorkflowExecutionInfo().GetStatus()), Status: new(lake.Status)}
	for _, a := range d.GetPendingActivities() {
		var mark lake.Mark
		if details := a.GetHeartbeatDetails(); details != nil && c.converter.FromPayloads(details, &mark) == nil {
			s.UnderWay += mark.Done()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	answer, err := t.QueryWorkflow(ctx, id, "", lake.StatusQuery)
	if err != nil {
		return nil, fmt.Errorf("it is %s, and no worker answers: %w", s.State, err)
	}
	return s, answer.Get(s.Status)
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
	paused, more := "", "so far"
	if s.Paused {
		paused = ", paused"
	}
	if s.AllListed {
		more = "in all"
	}
	fmt.Fprintf(out, "state         %s%s, since %s\n", s.State, paused, s.Started.Format(time.RFC3339))
	fmt.Fprintf(out, "listed        %d objects, %d bytes, %s\n", s.Listed, s.ListedBytes, more)
	printCounts(out, &s.Counts, s.Audit)
	fmt.Fprintf(out, "chunks        %d done, %d under way with %d objects done, %d waiting", s.Chunks, s.Running, s.UnderWay, s.Queued)
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
	_, err := out.WriteTo(w)
	return err
}

// newPause pauses, or resumes.
func newPause(c *connection, pause bool) *cobra.Command {
	cmd := &cobra.Command{Use: "resume ID", Short: "Go on with what was paused"}
	if pause {
		cmd.Use, cmd.Short = "pause ID", "Begin no more chunks; those under way end"
	}
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		return t.SignalWorkflow(ctx, id, "", lake.PauseSignal, pause)
	})
}

func newCancel(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "End a rotation or an audit: objects under way end, and the report says what was done"}
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error { return t.CancelWorkflow(ctx, id, "") })
}

// onJob has a command do something to a rotation or an audit.
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
