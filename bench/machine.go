package main

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A machine describes the machine of the figures.
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

// fileSystem returns the kind of a directory's file system, if it is a common
// one.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return ""
	}
	return map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x1021994: "tmpfs, which is memory", 0x794c7630: "overlayfs"}[int64(s.Type)]
}
