// Package modeltest runs random programs against models.
package modeltest

import (
	"flag"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var modelTime = flag.Duration("model", 0, "how `long` the model tests run in all; 0 means a fixed number of programs")

// properties is the number of tests that share the time of the flag -model.
// Tests of several packages run one after the other with the flag -p 1.
const properties = 11

// Run checks a property with a number of random programs or, with -model, in
// rounds with fresh seeds for this property's share of the time. rapid prints
// the seed of a failing program, and the program itself after shrinking it.
func Run(t *testing.T, programs int, property func(*rapid.T)) {
	t.Helper()
	share := *modelTime / properties
	if share > 0 {
		programs *= 20
	}
	if Race {
		programs = max(1, programs/4)
	}
	defer restoreFlag("rapid.checks", strconv.Itoa(programs))()
	var count atomic.Int64
	defer func() { t.Logf("%d programs", count.Load()) }()
	start := time.Now()
	inTime := func() bool { return time.Since(start) < share }
	for again := true; again; again = inTime() {
		rapid.Check(t, func(t *rapid.T) {
			if share == 0 || inTime() {
				count.Add(1)
				property(t)
			}
		})
	}
}

// restoreFlag sets a flag unless the command line sets it, and returns a
// function that restores it.
func restoreFlag(name, value string) func() {
	f := flag.Lookup(name)
	old, given := f.Value.String(), false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if !given {
		f.Value.Set(value)
	}
	return func() { f.Value.Set(old) }
}
