package main

import (
	"encoding/json"
	"fmt"
	"io"

	"esdk/lake"
	"github.com/spf13/cobra"
)

func newFailures() *cobra.Command {
	var print0, asJSON bool
	cmd := &cobra.Command{
		Use:   "failures [--print0] RESULTS",
		Short: "List what failed of a rotation",
		Long: `List what failed of a rotation, by the URL of its results, which status and the report
tell. Temporal is not asked.`,
		Example: `  esdk-lake failures --print0 s3://audit/rotation-…/…/ | esdk reencrypt --files-from0 - --in-place --from-key @old -k @new`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for l, err := range lake.Failures(cmd.Context(), args[0]) {
				if err == nil {
					err = printFailure(cmd.OutOrStdout(), l, print0, asJSON)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&print0, "print0", false, "print the names only, each with a zero byte behind it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each")
	return cmd
}

func printFailure(out io.Writer, l *lake.Line, print0, asJSON bool) (err error) {
	switch {
	case print0:
		_, err = fmt.Fprintf(out, "%s\x00", l.Name)
	case asJSON:
		err = json.NewEncoder(out).Encode(l)
	default:
		_, err = fmt.Fprintf(out, "%s: %s: %q\n", l.Name, l.Kind, l.Error)
	}
	return err
}
