package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"esdk/lake"
	"go.temporal.io/sdk/client"
)

// TestStartRefuses suggests replacements for flags that start doesn't have.
func TestStartRefuses(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	start := []string{"start", "--results", "s3://audit/", "s3://lake/data/"}
	for args, want := range map[string]string{
		"-- --in-place --from-key @old": "--in-place is not needed",
		"-- --from-key @old -r":         "-r is not needed",
		"--in-place":                    "--in-place is not needed",
		"-r":                            "-r is not needed",
		"--from-key @old":               "after --",
		"-k @new":                       "after --",
		"-- --nothere":                  "unknown flag: --nothere",
		"--lease 1ns -- -k @new":        "must be at least 3s",
		"--include *.enc":               "--include cannot be used",
		"-- --exclude=*.tmp":            "--exclude cannot be used",
		"":                              "give --from-key KEY",
		"-- -k @new":                    "give --from-key KEY",
		"-- --from-key @old":            "give -k KEY",
		"-- --from-key @old -k @new --suite nosuch":      "--suite nosuch",
		"-- --from-key @old -k @new --commitment nosuch": "--commitment nosuch",
		"-- --from-key @old -k @new --skip-done nosuch":  "--skip-done nosuch",
	} {
		root := newRoot(new(bool))
		root.SetArgs(append(start, strings.Fields(args)...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// TestAuditRefuses does the same for audits, whose results replace the output
// of other flags.
func TestAuditRefuses(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for args, want := range map[string]string{
		"s3://lake/data/ -- --html page":                   "--html is not needed",
		"s3://lake/data/ -- --json":                        "--json is not needed",
		"s3://lake/data/ -- --fail-if":                     "put it before --",
		"s3://lake/data/ --fail-if -- --under @old":        "needs --wait or --local",
		"s3://lake/data/ --fail-if --wait -- -k @old":      "needs a filter",
		"s3://lake/data/ --fail-if --wait":                 "needs a filter",
		"s3://lake/data/ -- --from-key @old":               "unknown flag: --from-key",
		"s3://lake/data/ -- --suite nosuch":                "nosuch",
		"s3://lake/data/ -- --unopened":                    "need -k KEY",
		"s3://lake/data/ --under @old":                     "flags of \"esdk audit\" after --",
		"s3://lake/data/ --all-versions":                   "all versions need an audit of an inventory",
		"s3://audit/ -- --under @old":                      "the results must be outside of the directory",
		"s3://lake/data/ --inventory s3://i/manifest.json": "use one DIRECTORY or --inventory",
	} {
		root := newRoot(new(bool))
		root.SetArgs(append([]string{"audit", "--results", "s3://audit/"}, strings.Fields(args)...))
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// ended is a rotation that has ended, or that nobody waits for.
type ended struct {
	client.WorkflowRun
	report lake.Report
	err    error
}

func (e *ended) GetID() string    { return "id" }
func (e *ended) GetRunID() string { return "run" }

func (e *ended) Get(_ context.Context, report any) error {
	if report != nil {
		*report.(*lake.Report) = e.report
	}
	return e.err
}

// TestAwait reports a signal, and a source without objects.
func TestAwait(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	empty := &ended{report: lake.Report{Task: lake.Task{Source: lake.Source{Folder: "s3://lake/data/?region=x"}}}}
	if err := new(printOptions).await(ctx, testConnection(), nil, empty, new(bytes.Buffer), nil); err == nil || err.Error() != "no objects found in s3://lake/data/" {
		t.Error(err)
	}
	matching := &ended{report: lake.Report{Objects: 2, Counts: lake.Counts{Matches: 1}}}
	for _, failIf := range []bool{false, true} {
		if err := (&printOptions{failIf: failIf}).await(ctx, testConnection(), nil, matching, new(bytes.Buffer), nil); (err != nil) != failIf {
			t.Errorf("--fail-if %v: %v", failIf, err)
		}
	}
	failed := &ended{err: errors.New("failed")}
	if err := new(printOptions).await(ctx, testConnection(), nil, failed, nil, nil); err == nil || err.Error() != "id: failed" {
		t.Error(err)
	}
	stop()
	err := new(printOptions).await(ctx, testConnection(), nil, &ended{err: ctx.Err()}, nil, nil)
	status, ok := errors.AsType[*statusError](interrupted(ctx, err, "the same command goes on"))
	if !ok || status.code != exitInterrupted || status.Error() != "interrupted; the same command goes on" {
		t.Errorf("%v", status)
	}
	if !strings.Contains(err.Error(), "esdk-lake report id") {
		t.Error(err)
	}
}
