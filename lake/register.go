package lake

import "go.temporal.io/sdk/worker"

// Register registers the workflows and activities of jobs with a worker.
func Register(w worker.Registry, a *Activities) {
	w.RegisterWorkflow(Rotate)
	w.RegisterWorkflow(Audit)
	w.RegisterActivity(a.ListChunks)
	w.RegisterActivity(a.DoChunk)
	w.RegisterActivity(a.SettleChunks)
	w.RegisterActivity(a.WriteSummary)
	w.RegisterActivity(a.WriteReport)
}
