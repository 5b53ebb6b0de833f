package batch

import (
	"context"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/place"
)

// Create makes the output of a job. A new file gets the given mode, modified by
// the umask. A file that replaces another gets the other's mode and attributes.
func (b *Batch) Create(ctx context.Context, j *place.Job, o place.CreateOptions) (place.Output, error) {
	if o.Like != nil {
		o.Mode = atomicfile.TemporaryMode
	}
	o.SideBySide = b.SideBySide
	return j.Target.Create(ctx, o)
}
