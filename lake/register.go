package lake

import "go.temporal.io/sdk/worker"

// Register has a worker do rotations.
func Register(w worker.Registry, a *Activities) {
	w.RegisterWorkflow(Rotate)
	w.RegisterActivity(a.ListChunks)
	w.RegisterActivity(a.RotateChunk)
	w.RegisterActivity(a.SettleChunks)
	w.RegisterActivity(a.WriteReport)
}
