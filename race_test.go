//go:build race

package esdk_test

// raceEnabled says that tests run with the race detector, and slowly.
const raceEnabled = true
