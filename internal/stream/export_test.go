package stream

// SetBatch sets the bytes of a batch for a test in another package.
func SetBatch(n int64) { batchBytes = n }

// DefaultBatch is the bytes of a batch outside of tests.
const DefaultBatch = defaultBatch
