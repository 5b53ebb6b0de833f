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

// standardInput and standardOutput are other names of them.
var (
	standardInput  = map[string]bool{"/dev/stdin": true, "/dev/fd/0": true, "/proc/self/fd/0": true}
	standardOutput = map[string]bool{"/dev/stdout": true, "/dev/fd/1": true, "/proc/self/fd/1": true}
)

// standard returns the name that standard input or output has on the command line, for
// its other names.
func standard(name string, names map[string]bool) string {
	if names[filepath.Clean(name)] {
		return cli.Standard
	}
	return name
}

// isSystem reports whether a directory is one whose files are devices, open files and
// the like, where there is no place for results.
func isSystem(dir string) bool {
	return dir == "/dev" || dir == "/dev/fd" || dir == "/proc" || strings.HasPrefix(dir, "/proc/") || strings.HasPrefix(dir, "/sys/")
}

// noBlock opens a pipe that nobody writes to, to find that it is one.
const noBlock = syscall.O_NONBLOCK

// apart returns what ends a program, with all that it has started. Where there is a
// terminal, that is only the program: in a process group of its own, it could not read
// from the terminal, and whoever types Ctrl-C there means all of them in any case.
func apart(cmd *exec.Cmd) (kill func()) {
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		tty.Close()
		return func() { cmd.Process.Kill() }
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// filePath is the path of a file:// URL.
func filePath(path string) string { return path }

// HasOtherNames reports whether a file has several names, as hard links give it.
func HasOtherNames(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}
