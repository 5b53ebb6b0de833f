package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// The program stands in for the go command when gremlins calls it, under this
// name, and calls the real one. It mends three faults of gremlins 0.6.0.
const (
	shimName = "go"
	shimEnv  = "MUTANTS_GO" // names the real go command
)

// shortest is the shortest run that gremlins may see of a package's own tests.
// It multiplies that time to get the time limit of a mutant's tests, which
// also have to be compiled. A result from the cache, or a machine that gets
// busier, would have limits that mutants exceed without reason, and an exceeded
// limit counts as a kill.
const shortest = 10 * time.Second

// asGo runs the go command, and returns its exit status.
func asGo(args []string) int {
	if len(args) == 0 || args[0] != "test" {
		return exitStatus(realGo(args, os.Stdout))
	}
	if slices.Contains(args, "-coverprofile") {
		return asCoverage(args)
	}
	var out bytes.Buffer
	status := exitStatus(realGo(args, &out))
	os.Stdout.Write(out.Bytes())
	return testStatus(status, out.Bytes())
}

// asCoverage runs the tests of one package. For the root package, gremlins
// would run the tests of the whole module.
func asCoverage(args []string) int {
	start := time.Now()
	status := exitStatus(realGo(coverageArgs(args), os.Stdout))
	time.Sleep(time.Until(start.Add(shortest)))
	return status
}

func coverageArgs(args []string) []string {
	args = append([]string{"test", "-count=1"}, args[1:]...)
	if last := len(args) - 1; args[last] == "./..." {
		args[last] = "."
	}
	return args
}

// testStatus returns 2 for code that does not compile, which gremlins expects.
// The go command has 1 for that, too, and gremlins then counts a kill.
func testStatus(status int, out []byte) int {
	if status != 0 && bytes.Contains(out, []byte("[build failed]")) {
		return 2
	}
	return status
}

func realGo(args []string, out io.Writer) error {
	cmd := exec.Command(os.Getenv(shimEnv), args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd.Run()
}

// exitStatus is 1 for all failures, since gremlins takes any but 1 and 2 for
// success.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if !errors.As(err, new(*exec.ExitError)) {
		fmt.Fprintln(os.Stderr, "mutants:", err)
	}
	return 1
}
