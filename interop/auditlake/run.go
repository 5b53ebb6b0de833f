//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// An auditRun is one run of the command.
type auditRun struct {
	what, command, server, folder string

	args    []string
	took    time.Duration
	peak    int64 // bytes of memory
	summary *summary
}

func (a *auditRun) rate() float64 { return float64(a.summary.Inputs) / a.took.Seconds() }

func (a *auditRun) run(ctx context.Context) error {
	c := exec.CommandContext(ctx, a.command, append([]string{"audit", "-r", "-q", "--json", "--summary", a.folder}, a.args...)...)
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL_S3="+a.server, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey,
		"AWS_REGION=us-east-1", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "ESDK_CONFIG=", "ESDK_PROFILE=")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	start := time.Now()
	if err := c.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	err := a.watch(c.Process.Pid, ended)
	a.took = time.Since(start)
	if err != nil {
		return fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	a.summary, err = parseSummary(bytes.TrimSpace(stdout.Bytes()))
	return err
}

// watch polls the peak memory of the process until it ends. The figure that the
// system reports afterwards includes its parent's memory.
func (a *auditRun) watch(pid int, ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Millisecond):
			a.peak = max(a.peak, peakOf(pid))
		}
	}
}

func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
