// Command esdk-lake re-encrypts or audits all messages in a bucket on Temporal.
// Any number of workers share the work:
//
//	esdk-lake worker
//	esdk-lake start --results s3://audit/rotations/ s3://lake/data/ -- --from-key @old -k @new
//	esdk-lake status ID
//
// "esdk-lake help" lists all commands. docs/lake.md describes them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes agree with esdk, where it has such cases.
const (
	exitError      = 1
	exitUsage      = 2
	exitSomeFailed = 3

	exitInterrupted = 130
)

// statusError is an error with an exit code.
type statusError struct {
	code int
	error
}

func (e *statusError) Unwrap() error { return e.error }

// interrupted returns an error with the next step after a signal, if there was
// one, instead of the error that the signal caused.
func interrupted(ctx context.Context, err error, next string, args ...any) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return &statusError{exitInterrupted, fmt.Errorf("interrupted; "+next, args...)}
}

func usage(text string, args ...any) error { return &statusError{exitUsage, fmt.Errorf(text, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	accepted := false
	root := newRoot(&accepted)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	code := exitError
	if status, ok := errors.AsType[*statusError](err); ok {
		code = status.code
	} else if !accepted {
		code = exitUsage
	}
	asJSON, flagErr := cmd.Flags().GetBool("json")
	if asJSON || flagErr == nil && !accepted && slices.Contains(args, "--json") { // behind what is wrong
		writeError(stderr, code, err)
	} else {
		fmt.Fprintf(stderr, "esdk-lake: error: %v\n", err)
	}
	return code
}

// writeError writes an error as "esdk --json" does.
func writeError(w io.Writer, code int, err error) {
	type body struct {
		Code    int    `json:"code"`
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	kinds := map[int]string{exitError: "error", exitUsage: "usage", exitSomeFailed: "some-failed", exitInterrupted: "interrupted"}
	json.NewEncoder(w).Encode(map[string]body{"error": {code, kinds[code], err.Error()}})
}

func newRoot(accepted *bool) *cobra.Command {
	c := new(connection)
	root := &cobra.Command{
		Use:   "esdk-lake",
		Short: "Re-encrypt or audit all messages in a bucket, on Temporal",
		Long: `esdk-lake re-encrypts all messages in a bucket in place, on Temporal: under other
wrapping keys, with another suite or another encryption context. It can also audit the
bucket: which messages are under which keys. Any number of workers share the work and
take over from each other.

esdk-lake finds Temporal as Temporal's own tools do: by TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_… and temporal.toml.

Exit codes: 0 success, 1 error, or a job that failed or was cancelled, 2 wrong usage,
3 some objects failed or match, or a list is incomplete, 130 interrupted.
With --json, the last line of standard error is {"error":{"code":…,"kind":…,"message":…}}.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			*accepted = true
		},
	}
	c.addFlags(root.PersistentFlags())
	root.AddCommand(newStart(c), newAudit(c), newWorker(c), newStatus(c), newReport(c), newPause(c, true), newPause(c, false), newCancel(c), newFailures(), newMatches())
	return root
}
