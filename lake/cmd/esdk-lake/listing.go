package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"esdk/lake"
	"github.com/spf13/cobra"
)

func newFailures() *cobra.Command {
	return newListing(lake.Failures, &cobra.Command{
		Use:   "failures [--print0] RESULTS",
		Short: "List the objects that failed in a rotation or an audit",
		Long: `List the objects that failed in a rotation or an audit. RESULTS is the URL that status and
the report print. Temporal is not asked. The exit code is 3 if the list is incomplete,
because the job goes on, failed or was cancelled.`,
		Example: `  esdk-lake failures --print0 s3://audit/rotation-…/…/ | esdk reencrypt --files-from0 - --in-place --from-key @old -k @new`,
	})
}

func newMatches() *cobra.Command {
	return newListing(lake.Matches, &cobra.Command{
		Use:   "matches [--print0] RESULTS",
		Short: "List the objects that match the filters of an audit",
		Long: `List the objects that match the filters of an audit. RESULTS is the URL that status and the
report print. Temporal is not asked. The exit code is 3 if the list is incomplete, because
the job goes on, failed or was cancelled.`,
		Example: `  esdk-lake matches --print0 s3://audit/audit-…/…/ | esdk reencrypt --files-from0 - --in-place --from-key @old -k @new`,
	})
}

func newListing(list func(context.Context, string) iter.Seq2[*lake.Line, error], cmd *cobra.Command) *cobra.Command {
	var print0, asJSON bool
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		folder := args[0]
		if !strings.Contains(folder, "://") {
			return usage("%s is not a URL: give the URL of the results, which \"esdk-lake status ID\" shows", folder)
		}
		report, err := lake.ReadReport(cmd.Context(), folder)
		if err != nil {
			return err
		}
		if report != nil && !report.Audit && cmd.Name() == "matches" {
			return usage("%s is a rotation, which has no matches: use \"esdk-lake failures\"", report.Workflow)
		}
		for l, err := range list(cmd.Context(), folder) {
			if err == nil {
				err = printLine(cmd.OutOrStdout(), l, print0, asJSON)
			}
			if err != nil {
				return err
			}
		}
		return partOf(report)
	}
	cmd.Flags().BoolVar(&print0, "print0", false, "print the names only, each followed by a zero byte")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each")
	return cmd
}

// partOf returns an error if the results cover only a part of the objects, so
// that a script that uses the list can tell.
func partOf(r *lake.Report) error {
	switch {
	case r == nil:
		return &statusError{exitSomeFailed, errors.New("the list covers only part of the objects: the job is running, or ended without a report")}
	case r.End != lake.Complete:
		return &statusError{exitSomeFailed, fmt.Errorf("the list covers only part of the objects: %s did not complete: %s", r.Workflow, r.End)}
	}
	return nil
}

func printLine(out io.Writer, l *lake.Line, print0, asJSON bool) (err error) {
	switch {
	case print0:
		_, err = fmt.Fprintf(out, "%s\x00", l.Name)
	case asJSON:
		err = json.NewEncoder(out).Encode(l)
	case l.Error == "":
		_, err = fmt.Fprintln(out, l.Name)
	default:
		_, err = fmt.Fprintf(out, "%s: %s: %q\n", l.Name, l.Kind, l.Error)
	}
	return err
}
