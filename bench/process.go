package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"esdk/bench/internal/peer"
)

// A process is a running peer.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
}

// errNotInstalled is returned for peers that install.sh hasn't made.
var errNotInstalled = errors.New("not installed")

func start(bin, name string) (*process, error) {
	path := filepath.Join(bin, name)
	if _, err := os.Stat(path); err != nil {
		return nil, errNotInstalled
	}
	cmd := exec.Command(path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewReader(out)}, nil
}

// patience bounds the time of an answer.
const patience = 5 * time.Minute

func (p *process) ask(r peer.Request) peer.Answer {
	line, err := json.Marshal(r)
	if err != nil {
		return failure(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return failure(err)
	}
	late := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	line, err = p.answers.ReadBytes('\n')
	if err != nil {
		// Wait reports a signal that ended the process.
		return failure(fmt.Errorf("no answer: %w", errors.Join(err, p.cmd.Wait())))
	}
	var a peer.Answer
	if err := json.Unmarshal(line, &a); err != nil {
		return failure(fmt.Errorf("answer %q: %w", line, err))
	}
	return a
}

func failure(err error) peer.Answer { return peer.Answer{Error: err.Error()} }

// stop ends a peer, which ends by itself when its input ends.
func (p *process) stop() {
	p.in.Close()
	late := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	p.cmd.Wait()
}
