//go:build unix && !linux

package main

import "os"

var systemSignals []os.Signal

// disablePipedDumps has nothing to do: no dump is piped to a program here.
func disablePipedDumps() {}
