//go:build !race

package esdk_test

const raceEnabled = false
