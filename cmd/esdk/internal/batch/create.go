package batch

import (
	"context"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/place"
)

// Create makes the output of a job. The mode is that of a new file, but for the umask. One
// that takes the place of another is like that.
func (b *Batch) Create(ctx context.Context, j *place.Job, o place.CreateOptions) (place.Output, error) {
	if o.Like != nil {
		o.Mode = atomicfile.TemporaryMode
	}
	o.SideBySide = b.SideBySide
	return j.Target.Create(ctx, o)
}
