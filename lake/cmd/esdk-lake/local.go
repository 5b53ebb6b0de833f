package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is Temporal's own server for one machine, on loopback.
type server struct {
	address string
	cmd     *exec.Cmd
	log     *os.File
	ended   chan struct{}
}

const (
	serverTime = 30 * time.Second // until it answers
	endTime    = 10 * time.Second // until it ends
)

// startServer starts the program "temporal" with its history in a directory.
func startServer(ctx context.Context, dir string) (*server, error) {
	program, err := exec.LookPath("temporal")
	if err != nil {
		return nil, errors.New("the program \"temporal\" is not installed: see https://docs.temporal.io/cli, or use --address")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{address: net.JoinHostPort("127.0.0.1", port), ended: make(chan struct{})}
	if s.log, err = os.OpenFile(filepath.Join(dir, "temporal.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port,
		"--db-filename", filepath.Join(dir, "temporal.db"), "--log-level", "warn")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.start(); err != nil {
		s.log.Close()
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("server of Temporal: %w; see %s", err, s.log.Name())
	}
	return s, nil
}

// start makes the server end with this process, however that ends: two servers
// on one history would corrupt it. On Linux, this is bound to the thread that
// starts the server; elsewhere, the log stays locked while it runs.
func (s *server) start() error {
	err := lock(s.log)
	for tries := 0; err != nil && tries < 100; tries++ { // it may be about to end
		time.Sleep(endTime / 100)
		err = lock(s.log)
	}
	if err != nil {
		return s.taken()
	}
	s.writePID(os.Getpid())
	s.cmd.SysProcAttr = apart()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.cmd.Wait()
			close(s.ended)
		}
	}()
	return <-started
}

// taken names the process that uses the directory, if known.
func (s *server) taken() error {
	dir, who := filepath.Dir(s.log.Name()), "another command"
	if pid, err := os.ReadFile(s.pidFile()); err == nil {
		who = "the process " + strings.TrimSpace(string(pid))
	}
	return fmt.Errorf("%s already uses the history in %s: wait for its end, or use another DIRECTORY; if it was killed, stop its server, \"temporal\"", who, dir)
}

func (s *server) pidFile() string { return filepath.Join(filepath.Dir(s.log.Name()), "pid") }

// writePID is only for the error message of the next command, so its own errors
// are harmless.
func (s *server) writePID(pid int) {
	os.WriteFile(s.pidFile(), fmt.Appendln(nil, pid), 0o600)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// await waits until the server answers.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serverTime)
	defer cancel()
	for {
		if conn, err := net.Dial("tcp", s.address); err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			return errors.New("the server ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(endTime):
		s.cmd.Process.Kill()
		<-s.ended
	}
	s.log.Close()
}
