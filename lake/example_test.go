package lake_test

import (
	"log"
	"time"

	"esdk/lake"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// A worker runs until it's interrupted. Other workers then take over its
// chunks.
func ExampleRegister() {
	t, err := client.Dial(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	a := lake.NewActivities(t)
	defer a.Close()
	w := worker.New(t, lake.TaskQueue, worker.Options{WorkerStopTimeout: time.Minute})
	lake.Register(w, a)
	if err := w.Run(worker.InterruptCh()); err != nil {
		log.Fatal(err)
	}
}
