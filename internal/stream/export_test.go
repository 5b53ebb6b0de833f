package stream

// SetBatch sets the length of a batch in bytes, for a test in another package.
func SetBatch(n int64) { batchBytes = n }

// DefaultBatch is the length of a batch outside of tests, in bytes.
const DefaultBatch = defaultBatch
