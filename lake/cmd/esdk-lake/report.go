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
	"go.temporal.io/sdk/client"
)

func newReport(c *connection) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report ID",
		Short: "Wait for the end of a rotation, and print its report",
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c.onRotation(cmd, func(ctx context.Context, t client.Client, id string) error {
		return await(ctx, t.GetWorkflow(ctx, id, ""), cmd.OutOrStdout(), asJSON)
	})
}

// await waits for the end of a rotation, and prints its report.
func await(ctx context.Context, started client.WorkflowRun, out io.Writer, asJSON bool) error {
	report := new(lake.Report)
	if err := started.Get(ctx, report); err != nil {
		err = fmt.Errorf("rotation %s: %w", started.GetID(), err)
		return interrupted(ctx, err, "the rotation goes on: \"esdk-lake report %s\" waits for its end", started.GetID())
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(report); err != nil {
			return err
		}
	} else {
		printReport(out, report)
	}
	switch {
	case report.Objects == 0:
		source, _, _ := strings.Cut(report.Folder+report.Inventory, "?")
		return fmt.Errorf("there is no object in %s", source)
	case report.Failed > 0:
		return &statusError{exitSomeFailed, fmt.Errorf("%d of %d objects failed: \"esdk-lake failures %s\" lists them", report.Failed, report.Objects, report.Results)}
	}
	return nil
}

func printReport(out io.Writer, r *lake.Report) {
	fmt.Fprintf(out, "rotation      %s\nsource        %s\n", r.Workflow, r.Folder+r.Inventory)
	printCounts(out, &r.Counts)
	fmt.Fprintf(out, "took          %s\nresults       %s\ndigest        %s\n", r.Ended.Sub(r.Started).Round(time.Second), r.Results, r.Digest)
}

func printCounts(out io.Writer, c *lake.Counts) {
	fmt.Fprintf(out, "encrypted     %d objects, %d bytes\nskipped       %d\n", c.OK, c.Bytes, c.Skipped)
	for _, reason := range slices.Sorted(maps.Keys(c.Reasons)) {
		fmt.Fprintf(out, "              %d %s\n", c.Reasons[reason], reason)
	}
	fmt.Fprintf(out, "failed        %d\n", c.Failed)
	for _, kind := range slices.Sorted(maps.Keys(c.Kinds)) {
		fmt.Fprintf(out, "              %d %s\n", c.Kinds[kind], kind)
	}
	fmt.Fprintf(out, "KMS requests  %d\n", c.KMSRequests)
}
