//go:build race

package modeltest

// Race says that tests run with the race detector, and slowly.
const Race = true
