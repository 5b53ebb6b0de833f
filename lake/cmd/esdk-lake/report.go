package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"esdk/lake"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// printOptions control the output of a report and the exit code.
type printOptions struct {
	json   bool
	failIf bool // something matches
}

func (o *printOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.json, "json", false, "print JSON")
}

func (o *printOptions) addFailIf(flags *pflag.FlagSet) {
	flags.BoolVar(&o.failIf, "fail-if", false, "of an audit: exit with 3 if something matches its filters")
}

func newReport(c *connection) *cobra.Command {
	o := new(printOptions)
	cmd := &cobra.Command{
		Use:   "report ID",
		Short: "Wait for the end of a rotation or an audit, and print its report",
	}
	o.addFlags(cmd.Flags())
	o.addFailIf(cmd.Flags())
	return c.onJob(cmd, func(ctx context.Context, t client.Client, id string) error {
		job, err := c.recordOf(ctx, t, id, "")
		if err != nil {
			return err
		}
		if o.failIf {
			if err := checkFailIf(&job.Task); err != nil {
				return err
			}
		}
		return o.await(ctx, c, t, t.GetWorkflow(ctx, id, ""), cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
}

// await waits for the end of a job, and prints its report.
func (o *printOptions) await(ctx context.Context, c *connection, t client.Client, started client.WorkflowRun, out, notes io.Writer) error {
	id, report := started.GetID(), new(lake.Report)
	stop := c.startNotes(ctx, t, id, notes)
	err := started.Get(ctx, report)
	stop()
	switch {
	case err == nil:
		if err := o.write(out, report); err != nil {
			return err
		}
		return o.verdict(report)
	case ctx.Err() != nil:
		return interrupted(ctx, err, "%s goes on: \"esdk-lake report %[1]s\" waits for its end", id)
	case errors.As(err, new(*temporal.WorkflowExecutionError)):
		return o.partial(ctx, c, t, started, lake.Reason(err), out)
	}
	return fmt.Errorf("%s: %w", id, err)
}

// partial prints the report in the results of a job that didn't complete.
func (o *printOptions) partial(ctx context.Context, c *connection, t client.Client, ended client.WorkflowRun, reason string, out io.Writer) error {
	id := ended.GetID()
	job, err := c.recordOf(ctx, t, id, ended.GetRunID())
	if err != nil {
		return fmt.Errorf("%s did not complete: %s; its report cannot be found: %w", id, reason, err)
	}
	report, err := lake.ReadReport(ctx, job.results)
	switch {
	case err != nil:
		return fmt.Errorf("%s did not complete: %s; its report cannot be read: %w", id, reason, err)
	case report == nil:
		return fmt.Errorf("%s did not complete: %s; no report found in %s", id, reason, job.results)
	}
	if err := o.write(out, report); err != nil {
		return err
	}
	return fmt.Errorf("%s did not complete: %s; the report covers only the finished part", id, reason)
}

func (o *printOptions) write(out io.Writer, r *lake.Report) error {
	if o.json {
		return json.NewEncoder(out).Encode(r)
	}
	return printReport(out, r)
}

// verdict returns an error about failed and matching objects.
func (o *printOptions) verdict(r *lake.Report) error {
	if r.Objects == 0 {
		return fmt.Errorf("no objects found in %s", sourceOf(&r.Task))
	}
	var all []string
	if r.Failed > 0 {
		all = append(all, fmt.Sprintf("%d of %d objects failed: \"esdk-lake failures %s\" lists them", r.Failed, r.Objects, r.Results))
	}
	if o.failIf && r.Matches > 0 {
		all = append(all, fmt.Sprintf("%d of %d objects match: \"esdk-lake matches %s\" lists them", r.Matches, r.Objects, r.Results))
	}
	if len(all) == 0 {
		return nil
	}
	return &statusError{exitSomeFailed, errors.New(strings.Join(all, ", and "))}
}

func printReport(w io.Writer, r *lake.Report) error {
	out := new(bytes.Buffer)
	kind := "rotation"
	if r.Audit {
		kind = "audit"
	}
	fmt.Fprintf(out, "%-13s %s\nsource        %s\n", kind, r.Workflow, r.Folder+r.Inventory)
	printCounts(out, &r.Counts, r.Audit)
	if r.End != lake.Complete {
		fmt.Fprintf(out, "end           %s\n", r.End)
		printMissing(out, r.Missing)
	}
	for _, key := range r.NoneUnder {
		fmt.Fprintf(out, "note          no message is under %s; there are: %s\n", key, r.SummaryResult.Keys)
	}
	fmt.Fprintf(out, "took          %s\nresults       %s\ndigest        %s\n", r.Ended.Sub(r.Started).Round(time.Second), r.Results, r.Digest)
	_, err := out.WriteTo(w)
	return err
}

// printMissing prints the numbers of chunks that began but have no file, up to
// a limit.
func printMissing(out *bytes.Buffer, numbers []int) {
	if len(numbers) > 0 {
		fmt.Fprintf(out, "missing       chunks %s\n", strings.Trim(fmt.Sprint(numbers), "[]"))
	}
}

func printCounts(out *bytes.Buffer, c *lake.Counts, audit bool) {
	done := "encrypted"
	if audit {
		done = "looked at"
	}
	fmt.Fprintf(out, "%-13s %d objects, %d bytes\n", done, c.OK, c.Bytes)
	if audit {
		fmt.Fprintf(out, "matches       %d\n", c.Matches)
	}
	fmt.Fprintf(out, "skipped       %d\n", c.Skipped)
	for _, reason := range slices.Sorted(maps.Keys(c.Reasons)) {
		fmt.Fprintf(out, "              %d %s\n", c.Reasons[reason], reason)
	}
	fmt.Fprintf(out, "failed        %d\n", c.Failed)
	for _, kind := range slices.Sorted(maps.Keys(c.Kinds)) {
		fmt.Fprintf(out, "              %d %s\n", c.Kinds[kind], kind)
	}
	fmt.Fprintf(out, "KMS requests  %d\n", c.KMSRequests)
}
