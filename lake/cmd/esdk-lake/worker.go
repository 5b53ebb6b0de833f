package main

import (
	"context"
	"time"

	"esdk/lake"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

type workerOptions struct{ chunks int }

func (o *workerOptions) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.chunks, "chunks", 4, "`NUMBER` of chunks that a worker works on at once, each with --jobs objects")
}

func newWorker(c *connection) *cobra.Command {
	o := new(workerOptions)
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Work on rotations and audits until SIGTERM or SIGINT",
		Long: `Work on rotations and audits until SIGTERM or SIGINT. The worker then finishes the objects
under way, and other workers take over its chunks. Start one worker on each machine, with
the same configuration of keys. If a worker is killed, others take over its chunks when
its lease expires.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, closeAll, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeAll()
			stop, err := o.start(cmd.Context(), t, c.queue)
			if err != nil {
				return err
			}
			<-cmd.Context().Done()
			stop()
			return nil
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// stopTime is how long a stopping worker may take to write its results.
const stopTime = time.Minute

// start starts a worker, which runs until stop is called.
func (o *workerOptions) start(_ context.Context, t client.Client, queue string) (stop func(), err error) {
	if o.chunks < 1 {
		return nil, usage("--chunks %d: must be at least 1", o.chunks)
	}
	activities := lake.NewActivities(t)
	w := worker.New(t, queue, worker.Options{MaxConcurrentActivityExecutionSize: o.chunks, WorkerStopTimeout: stopTime})
	lake.Register(w, activities)
	if err := w.Start(); err != nil {
		return nil, err
	}
	return func() { w.Stop(); activities.Close() }, nil
}
