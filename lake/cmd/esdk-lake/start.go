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

	"esdk/lake"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

type startOptions struct {
	rotation lake.Rotation
	id       string
	local    string
	wait     bool
	json     bool
	worker   workerOptions
}

func newStart(c *connection) *cobra.Command {
	o := new(startOptions)
	cmd := &cobra.Command{
		Use:   "start --results URL [flags] {FOLDER | --inventory MANIFEST} -- FLAG...",
		Short: "Start a rotation",
		Long: `Start the rotation of all messages in a FOLDER of a bucket, or of those that an S3
Inventory lists, by the URL of its manifest. Each FLAG behind -- is
one of "esdk reencrypt": -k KEY, --from-key KEY, --suite, --set and so on. Keys are
found by the workers, with their own configuration and credentials.

A rotation has an id, by default one of the folder and the flags: while it runs, the
same command waits for the same rotation.

With --local, Temporal and a worker run on this machine until the rotation has ended;
the program "temporal" must be installed. The same DIRECTORY goes on with what was
begun there.`,
		Example: `  esdk-lake start s3://lake/data/ --results s3://audit/ -- --from-key @old -k @new
  esdk-lake start --local ~/rotation s3://lake/data/ --results s3://audit/ -- --from-key @old -k @new`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := cmd.ArgsLenAtDash()
			if at < 0 {
				at = len(args)
			}
			switch {
			case at == 1 && o.rotation.Inventory == "":
				o.rotation.Folder = args[0]
			case at > 0 || o.rotation.Inventory == "":
				return usage("want one FOLDER or --inventory, and flags of esdk reencrypt behind --")
			}
			o.rotation.Flags = args[at:]
			err := o.run(cmd.Context(), c, cmd.OutOrStdout())
			if o.local != "" {
				err = interrupted(cmd.Context(), err, "the same command goes on")
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			return cmp.Or(refuseImplied(flagName(unknown)), usage("%w: flags of \"esdk reencrypt\", such as --from-key, stand behind --", err))
		}
		return err
	})
	flags := cmd.Flags()
	flags.StringVar(&o.rotation.Results, "results", "", "`URL` of a folder for the report and what has become of each object, outside of FOLDER")
	flags.StringVar(&o.rotation.Inventory, "inventory", "", "`URL` of the manifest.json of an S3 Inventory, in place of FOLDER")
	flags.IntVar(&o.rotation.Objects, "objects", 0, "`NUMBER` of objects in a chunk (default 1000)")
	flags.IntVar(&o.rotation.Parallel, "parallel", 0, "`NUMBER` of chunks that are worked on at once, on all workers (default 8)")
	flags.DurationVar(&o.rotation.Lease, "lease", 0, "how long a worker may give no sign of life before another one takes over its chunk (default 30s)")
	flags.IntVar(&o.rotation.RunChunks, "run-chunks", 0, "`NUMBER` of chunks in a history before a new one is begun (default as the server asks, and at most 2000)")
	flags.StringVar(&o.id, "id", "", "`ID` of the rotation")
	flags.BoolVar(&o.wait, "wait", false, "wait for the end, and print the report")
	flags.StringVar(&o.local, "local", "", "run Temporal and a worker here, with the history in a `DIRECTORY`, and wait")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	o.worker.addFlags(flags)
	return cmd
}

func (o *startOptions) run(ctx context.Context, c *connection, out io.Writer) error {
	if o.rotation.Results == "" {
		return usage("where do results go? Give --results URL")
	}
	if err := o.rotation.Check(); err != nil {
		for _, flag := range o.rotation.Flags {
			err = cmp.Or(refuseImplied(flag), err)
		}
		return &statusError{exitUsage, err}
	}
	if o.id == "" {
		o.id = usualID(&o.rotation)
	}
	if o.local != "" {
		server, err := startServer(ctx, o.local)
		if err != nil {
			return err
		}
		defer server.stop()
		c.address, o.wait = server.address, true
	}
	t, closeAll, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	if o.local != "" {
		stop, err := o.worker.start(ctx, t, c.queue)
		if err != nil {
			return err
		}
		defer stop()
	}
	started, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       o.id,
		TaskQueue:                c.queue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, lake.Rotate, o.rotation)
	if err != nil {
		return err
	}
	if !o.wait && o.json {
		return json.NewEncoder(out).Encode(map[string]string{"id": started.GetID(), "run": started.GetRunID()})
	}
	if !o.wait {
		_, err = fmt.Fprintln(out, started.GetID())
		return err
	}
	return await(ctx, started, out, o.json)
}

// refuseImplied refuses flags that say what each rotation does.
func refuseImplied(flag string) error {
	switch flag {
	case "--in-place", "-r", "--recursive":
		return usage("%s is not needed: all objects in FOLDER are encrypted in place", flag)
	}
	return nil
}

// flagName returns a flag as it is given.
func flagName(e *pflag.NotExistError) string {
	if e.GetSpecifiedShortnames() != "" {
		return "-" + e.GetSpecifiedName()
	}
	return "--" + e.GetSpecifiedName()
}

// usualID is the same for the same work.
func usualID(r *lake.Rotation) string {
	text, _ := json.Marshal([]any{r.Folder, r.Inventory, r.Flags}) // of texts cannot fail
	sum := sha256.Sum256(text)
	return "rotation-" + hex.EncodeToString(sum[:6])
}
