package main

import (
	"context"
	"encoding/json"
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
)

// printOptions say how a report is printed, and what it comes to.
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
		return o.await(ctx, t.GetWorkflow(ctx, id, ""), cmd.OutOrStdout())
	})
}

// await waits for the end of a job, and prints its report.
func (o *printOptions) await(ctx context.Context, started client.WorkflowRun, out io.Writer) error {
	report := new(lake.Report)
	if err := started.Get(ctx, report); err != nil {
		err = fmt.Errorf("%s: %w", started.GetID(), err)
		return interrupted(ctx, err, "%s goes on: \"esdk-lake report %[1]s\" waits for its end", started.GetID())
	}
	if o.json {
		if err := json.NewEncoder(out).Encode(report); err != nil {
			return err
		}
	} else {
		printReport(out, report)
	}
	return o.verdict(report)
}

func (o *printOptions) verdict(r *lake.Report) error {
	switch {
	case r.Objects == 0:
		source, _, _ := strings.Cut(r.Folder+r.Inventory, "?")
		return fmt.Errorf("there is no object in %s", source)
	case r.Failed > 0:
		return &statusError{exitSomeFailed, fmt.Errorf("%d of %d objects failed: \"esdk-lake failures %s\" lists them", r.Failed, r.Objects, r.Results)}
	case o.failIf && r.Matches > 0:
		return &statusError{exitSomeFailed, fmt.Errorf("%d of %d objects match: \"esdk-lake matches %s\" lists them", r.Matches, r.Objects, r.Results)}
	}
	return nil
}

func printReport(out io.Writer, r *lake.Report) {
	kind := "rotation"
	if r.Audit {
		kind = "audit"
	}
	fmt.Fprintf(out, "%-13s %s\nsource        %s\n", kind, r.Workflow, r.Folder+r.Inventory)
	printCounts(out, &r.Counts, r.Audit)
	fmt.Fprintf(out, "took          %s\nresults       %s\ndigest        %s\n", r.Ended.Sub(r.Started).Round(time.Second), r.Results, r.Digest)
}

func printCounts(out io.Writer, c *lake.Counts, audit bool) {
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
