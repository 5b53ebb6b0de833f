package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"esdk/lake"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

type startOptions struct {
	job    lake.Job
	id     string
	local  string
	wait   bool
	print  printOptions
	worker workerOptions
}

func newStart(c *connection) *cobra.Command {
	return new(startOptions).addTo(c, &cobra.Command{
		Use:   "start --results URL [flags] {DIRECTORY | --inventory MANIFEST} -- FLAG...",
		Short: "Start a rotation",
		Long: `Start the rotation of all messages in a DIRECTORY of a bucket, such as s3://lake/data/,
or of the messages that an S3 Inventory lists. MANIFEST is the URL of its manifest.
Each FLAG after -- is a flag of "esdk reencrypt": -k KEY, --from-key KEY, --suite, --set
and so on. The workers find the keys, with their own configuration and credentials.

By default, the ID of a rotation is derived from the directory and the flags. While the
rotation runs, the same command joins it; sizes and lease stay as they are. Another
source, other flags or other results under the same ID are refused.

With --local, Temporal and a worker run on this machine until the rotation ends. The
program "temporal" must be installed. To resume an interrupted rotation, repeat the
command. Other jobs with their history in the same place wait for their own commands.`,
		Example: `  esdk-lake start s3://lake/data/ --results s3://audit/ -- --from-key @old -k @new
  esdk-lake start --local ~/rotation s3://lake/data/ --results s3://audit/ -- --from-key @old -k @new`,
	})
}

func newAudit(c *connection) *cobra.Command {
	o := &startOptions{job: lake.Job{Task: lake.Task{Audit: true}}}
	cmd := o.addTo(c, &cobra.Command{
		Use:   "audit --results URL [flags] {DIRECTORY | --inventory MANIFEST} [-- FLAG...]",
		Short: "Start an audit",
		Long: `Start an audit of all objects in a DIRECTORY of a bucket, such as s3://lake/data/, or of
the objects that an S3 Inventory lists: which are messages, and under which keys.
MANIFEST is the URL of its manifest. Each FLAG after -- is a flag of "esdk audit":
filters such as --under KEY or --uncommitted, and -k KEY to open messages with.

The results have a line for each object, a summary, and a page for auditors; see
docs/lake.md. "esdk-lake matches" lists what matches the filters.`,
		Example: `  esdk-lake audit s3://lake/data/ --results s3://audit/ -- --not-under @new --not-a-message
  esdk-lake audit --all-versions --inventory s3://inventories/…/manifest.json --results s3://audit/ -- --under @old`,
	})
	cmd.Flags().BoolVar(&o.job.AllVersions, "all-versions", false, "audit all versions that an inventory lists, not only the latest")
	o.print.addFailIf(cmd.Flags())
	return cmd
}

// addTo adds the flags that rotations and audits share.
func (o *startOptions) addTo(c *connection, cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		at := cmd.ArgsLenAtDash()
		if at < 0 {
			at = len(args)
		}
		switch {
		case at == 1 && o.job.Inventory == "":
			o.job.Folder = args[0]
		case at > 0 || o.job.Inventory == "":
			return usage("use one DIRECTORY or --inventory, and flags of esdk %s after --", o.command())
		}
		o.job.Flags = args[at:]
		err := o.run(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		if o.local != "" {
			err = interrupted(cmd.Context(), err, "the same command goes on")
		}
		return err
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			return cmp.Or(o.refuseImplied(flagName(unknown)), usage("%w: put flags of \"esdk %s\" after --", err, o.command()))
		}
		return err
	})
	flags := cmd.Flags()
	flags.StringVar(&o.job.Results, "results", "", "`URL` of a directory outside of DIRECTORY for the report and the result of each object")
	flags.StringVar(&o.job.Inventory, "inventory", "", "`URL` of the manifest.json of an S3 Inventory, instead of DIRECTORY")
	flags.IntVar(&o.job.Objects, "objects", 0, "`NUMBER` of objects in a chunk (default 1000)")
	flags.IntVar(&o.job.Parallel, "parallel", 0, "`NUMBER` of chunks in work at once, on all workers together (default 8)")
	flags.DurationVar(&o.job.Lease, "lease", 0, "how long a worker may be silent before another one takes over its chunk (default 30s)")
	flags.IntVar(&o.job.RunChunks, "run-chunks", 0, "`NUMBER` of chunks in a history before the next one begins (default as the server asks, and at most 2000)")
	flags.StringVar(&o.id, "id", "", "`ID` of the job")
	flags.BoolVar(&o.wait, "wait", false, "wait for the end, and print the report")
	flags.StringVar(&o.local, "local", "", "run Temporal and a worker here, with the history in `DIR`, and wait")
	o.print.addFlags(flags)
	o.worker.addFlags(flags)
	return cmd
}

// command returns the command of esdk that defines the flags.
func (o *startOptions) command() string {
	if o.job.Audit {
		return "audit"
	}
	return "reencrypt"
}

func (o *startOptions) run(ctx context.Context, c *connection, out, notes io.Writer) error {
	if o.job.Results == "" {
		return usage("no results given: use --results URL")
	}
	if err := o.job.Check(); err != nil {
		for _, flag := range o.job.Flags {
			err = cmp.Or(o.refuseImplied(flag), err)
		}
		return &statusError{exitUsage, err}
	}
	if o.print.failIf {
		if !o.wait && o.local == "" {
			return usage("--fail-if needs --wait or --local; later, use \"esdk-lake report --fail-if ID\"")
		}
		if err := checkFailIf(&o.job.Task); err != nil {
			return err
		}
	}
	if o.id == "" {
		o.id = usualID(&o.job)
	}
	if o.local != "" {
		server, err := startServer(ctx, o.local)
		if err != nil {
			return err
		}
		defer server.stop()
		c.address, o.wait = server.address, true
		fmt.Fprintf(notes, "esdk-lake: %s has its history in %s; \"esdk-lake status --address %s %[1]s\" shows how far it has come\n", o.id, o.local, server.address)
	}
	t, closeAll, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	if o.local != "" {
		o.noteOthers(ctx, t, notes)
		stop, err := o.worker.start(ctx, t, o.queue(c))
		if err != nil {
			return err
		}
		defer stop()
	}
	started, err := o.begin(ctx, c, t)
	if err != nil {
		return err
	}
	if !o.wait && o.print.json {
		return json.NewEncoder(out).Encode(map[string]string{"id": started.GetID(), "run": started.GetRunID()})
	}
	if !o.wait {
		_, err = fmt.Fprintln(out, started.GetID())
		return err
	}
	return o.print.await(ctx, c, t, started, out, notes)
}

// begin starts the job, or joins a running job with its id if it is the same
// job.
func (o *startOptions) begin(ctx context.Context, c *connection, t client.Client) (client.WorkflowRun, error) {
	started, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       o.id,
		TaskQueue:                o.queue(c),
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,

		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, o.workflow(), o.job)
	running, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err)
	if !ok {
		return started, err
	}
	other, err := c.recordOf(ctx, t, o.id, running.RunId)
	if err != nil {
		return nil, fmt.Errorf("the ID %s is in use: %w; use another --id", o.id, err)
	}
	if differ := o.job.Differences(&other.Job); len(differ) > 0 {
		return nil, fmt.Errorf("the ID %s is in use by another job, %s, with other %s; wait for its end with \"esdk-lake report %[1]s\", or use another --id", o.id, other, strings.Join(differ, ", "))
	}
	if o.local != "" && other.queue != o.queue(c) {
		return nil, fmt.Errorf("%s was started in %s with another --task-queue, or by another version: its task queue is %q", o.id, o.local, other.queue)
	}
	return t.GetWorkflow(ctx, o.id, running.RunId), nil
}

// queue returns the task queue of the job. A local job has its own: the history
// may contain unfinished jobs of other commands, which must not resume.
func (o *startOptions) queue(c *connection) string {
	if o.local != "" {
		return c.queue + " " + o.id
	}
	return c.queue
}

// noteOthers reports unfinished jobs in the history. It ignores errors of the
// listing.
func (o *startOptions) noteOthers(ctx context.Context, t client.Client, notes io.Writer) {
	list, err := t.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
	if err != nil {
		return
	}
	for _, e := range list.GetExecutions() {
		if id := e.GetExecution().GetWorkflowId(); id != o.id {
			fmt.Fprintf(notes, "esdk-lake: %s has not ended and waits in %s: the command that began it goes on with it\n", id, o.local)
		}
	}
}

func (o *startOptions) workflow() any {
	if o.job.Audit {
		return lake.Audit
	}
	return lake.Rotate
}

// refuseImplied rejects flags that are always in effect, or that this command
// expresses in another way.
func (o *startOptions) refuseImplied(flag string) error {
	name, _, _ := strings.Cut(flag, "=")
	switch {
	case name == "-r" || name == "--recursive":
		return usage("%s is not needed: all objects in DIRECTORY are taken", name)
	case slices.Contains([]string{"--include", "--exclude", "--suffix"}, name):
		return usage("%s cannot be used, since all objects in DIRECTORY are taken: use a subdirectory or an inventory", name)
	case name == "--in-place" && !o.job.Audit:
		return usage("--in-place is not needed: all objects are encrypted in place")
	case o.job.Audit && slices.Contains([]string{"--html", "--json", "--summary", "--print0", "-0"}, name):
		return usage("%s is not needed: the results have the page and a line for each object; \"esdk-lake matches --print0\" prints names", name)
	case o.job.Audit && name == "--fail-if":
		return usage("--fail-if is a flag of esdk-lake: put it before --")
	}
	return nil
}

// flagName returns a flag as given on the command line.
func flagName(e *pflag.NotExistError) string {
	if e.GetSpecifiedShortnames() != "" {
		return "-" + e.GetSpecifiedName()
	}
	return "--" + e.GetSpecifiedName()
}

// usualID returns the same id for the same work.
func usualID(j *lake.Job) string {
	text, _ := json.Marshal([]any{j.Folder, j.Inventory, j.AllVersions, j.Flags}) // can't fail for texts
	sum, kind := sha256.Sum256(text), "rotation-"
	if j.Audit {
		kind = "audit-"
	}
	return kind + hex.EncodeToString(sum[:6])
}
