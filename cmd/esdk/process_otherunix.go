//go:build unix && !linux

package main

import "os"

var systemSignals []os.Signal

// disablePipedDumps does nothing: on these systems no dump is piped to a
// program.
func disablePipedDumps() {}
