package peer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
)

// An Operation performs the measured work once. Each thread gets its own.
type Operation func() error

// Main answers requests until standard input ends. It reports the version of
// the given module in the program.
func Main(module string, open func(*Request) (Operation, error)) {
	s := &server{version: moduleVersion(module), open: open}
	if err := s.serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type server struct {
	version string
	open    func(*Request) (Operation, error)
}

func (s *server) serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	answers := json.NewEncoder(out)
	for lines.Scan() {
		var r Request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		if err := answers.Encode(s.answer(&r)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *server) answer(r *Request) *Answer {
	a, err := s.try(r)
	var unsupported Unsupported
	switch {
	case errors.As(err, &unsupported):
		return &Answer{Unsupported: unsupported.Error()}
	case err != nil:
		return &Answer{Error: err.Error()}
	}
	return a
}

func (s *server) try(r *Request) (*Answer, error) {
	switch r.Op {
	case "version":
		return &Answer{Version: s.version}, nil
	case "rss":
		rss, err := peakRSS()
		return &Answer{RSS: rss}, err
	}
	if r.Cores > 0 {
		// One core means one core for the garbage collector, too.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.Cores))
	}
	live := make([]byte, r.Heap)
	defer runtime.KeepAlive(live)
	ops := make([]Operation, max(r.Threads, 1))
	for i := range ops {
		var err error
		if ops[i], err = s.open(r); err != nil {
			return nil, err
		}
	}
	if r.Op == "save" || r.Op == "load" {
		return &Answer{}, ops[0]()
	}
	if r.Reuse {
		// Reuse saves the first use of the memory.
		if err := ops[0](); err != nil {
			return nil, err
		}
	}
	if r.Threads > 0 {
		return timeThreads(ops, r.limit())
	}
	return timeOne(ops[0], r.limit())
}

// moduleVersion returns the version of a module in the program, or of Go for
// packages that come with Go or from this repository.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == module && m.Replace == nil {
				return m.Version
			}
		}
	}
	return runtime.Version()
}

// peakRSS returns the peak of resident memory, in bytes.
func peakRSS() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if !ok || err != nil {
		return 0, errors.New("/proc/self/status has no VmHWM")
	}
	return kib << 10, nil
}
