//go:build unix

package place

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"esdk/cmd/esdk/internal/cli"
)

// standardInput and standardOutput are other names of the standard streams.
var (
	standardInput  = map[string]bool{"/dev/stdin": true, "/dev/fd/0": true, "/proc/self/fd/0": true}
	standardOutput = map[string]bool{"/dev/stdout": true, "/dev/fd/1": true, "/proc/self/fd/1": true}
)

// standard returns the command line's name for standard input or output if name
// is one of its other names.
func standard(name string, names map[string]bool) string {
	if names[filepath.Clean(name)] {
		return cli.Standard
	}
	return name
}

// isSystem reports whether a directory holds devices, open files and the like,
// and can't hold results.
func isSystem(dir string) bool {
	return dir == "/dev" || dir == "/dev/fd" || dir == "/proc" || strings.HasPrefix(dir, "/proc/") || strings.HasPrefix(dir, "/sys/")
}

// noBlock opens a pipe without waiting for a writer, so that it can be
// recognized as a pipe.
const noBlock = syscall.O_NONBLOCK

// apart returns a function that ends the program and all that it started. If
// there is a terminal, it ends only the program: in a process group of its own
// it couldn't read from the terminal, and Ctrl-C there reaches all of them
// anyway.
func apart(cmd *exec.Cmd) (kill func()) {
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		tty.Close()
		return func() { cmd.Process.Kill() }
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// filePath returns the path of a file:// URL.
func filePath(path string) string { return path }

// HasOtherNames reports whether a file has several names, as with hard links.
func HasOtherNames(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
