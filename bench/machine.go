package main

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"time"
)

// A machine is what the figures are of.
type machine struct {
	CPU, Kernel, Go, Date string
	Cores                 int
}

func thisMachine() machine {
	m := machine{
		CPU:   runtime.GOARCH,
		Go:    runtime.Version(),
		Cores: runtime.NumCPU(),
		Date:  time.Now().UTC().Format(time.DateOnly),
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := bytes.Cut(info, []byte("model name")); ok {
			line, _, _ := strings.Cut(string(rest), "\n")
			m.CPU = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(release)), "-")
	}
	return m
}
