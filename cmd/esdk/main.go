// Command esdk encrypts and decrypts files in the message format of the AWS
// Encryption SDK. See docs/cli.md.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run()) }

// run is main without the exit, for tests that start the command in their own
// process image.
func run() int {
	disableCoreDumps()
	app := newApp()
	app.handleSignals()
	args := os.Args[1:]
	if isCompatName(os.Args[0]) {
		args = append([]string{"compat"}, args...)
	}
	return app.execute(context.Background(), args)
}
