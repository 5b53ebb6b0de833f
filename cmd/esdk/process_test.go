//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"golang.org/x/sys/unix"
)

// TestNothingCallsMethodsByName checks that the linker may drop methods that
// nothing calls. If a linked function, such as one of text/template, calls
// methods by a name that isn't constant, the linker keeps all exported methods,
// and the command is half as large again.
func TestNothingCallsMethodsByName(t *testing.T) {
	if _, err := build(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(linked, []byte("\nmain.main -> ")) {
		t.Fatalf("the linker lists nothing:\n%.500s", linked)
	}
	callers := make(map[string]bool)
	for line := range bytes.Lines(linked) {
		if caller, _, found := bytes.Cut(line, []byte(" <ReflectMethod> -> ")); found {
			callers[string(caller)] = true
		}
	}
	if len(callers) > 0 {
		t.Errorf("these call methods by name: %q", slices.Sorted(maps.Keys(callers)))
	}
}

// measured runs a command under a program that measures it. After the command
// has ended, maxRSS returns the most memory that it had, in KiB.
func measured(t *testing.T, c *exec.Cmd) (maxRSS func() int) {
	t.Helper()
	result, err := os.Create(filepath.Join(t.TempDir(), "rss"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { result.Close() })
	c.Args = append([]string{"measure", c.Path}, c.Args[1:]...)
	c.Path = filepath.Join(filepath.Dir(c.Path), "measure")
	c.ExtraFiles = []*os.File{result}
	return func() (rss int) {
		t.Helper()
		data, err := os.ReadFile(result.Name())
		if _, scanErr := fmt.Sscan(string(data), &rss); err != nil || scanErr != nil {
			t.Fatalf("no measurement: %v, %v", err, scanErr)
		}
		return rss
	}
}

func TestInterrupt(t *testing.T) {
	for _, sig := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGTERM, syscall.SIGXCPU, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR,
	} {
		for _, verb := range []string{"encrypt", "decrypt"} {
			t.Run(fmt.Sprint(verb, " ", sig), func(t *testing.T) { testInterrupt(t, verb, sig) })
		}
	}
}

func testInterrupt(t *testing.T, verb string, sig syscall.Signal) {
	// Handle the signal: under nohup it may be ignored here, and child
	// processes would inherit that. They don't inherit a handled signal.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, sig)
	defer signal.Stop(handled)
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(3<<20))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", "message", "plain")
	input := map[string]string{"encrypt": "plain", "decrypt": "message"}[verb]
	data, err := os.ReadFile(filepath.Join(dir, input))
	if err != nil {
		t.Fatal(err)
	}

	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	c := command(t, dir, verb, "-k", "aes:n/k@key", "-o", "out/result")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(data[:len(data)-1]); err != nil { // the input never ends
		t.Fatal(err)
	}
	waitForData(t, c, out)
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
	defer late.Stop()
	checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestCommandInterrupted checks that an interrupt also ends the child processes
// of the program of --command, even without a terminal that would end them.
func TestCommandInterrupted(t *testing.T) {
	dir := t.TempDir()
	c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", "result", "--command", "--", "sh", "-c", "sleep 1000 & echo $! > pid; mv pid child; wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.WaitDelay = 10 * time.Second // a surviving child would keep standard error open
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	child := 0
	waitUntil(t, "the program has begun", func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "child"))
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(data), &child)
		return err == nil
	})
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
	waitUntil(t, "all of it has ended", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
	if _, err := os.Stat(filepath.Join(dir, "result")); err == nil {
		t.Error("there is a result")
	}
}

// TestInterruptUnread checks that an interrupted command doesn't wait for a
// reader that doesn't read its output.
func TestInterruptUnread(t *testing.T) {
	dir := t.TempDir()
	in := makeRoot(t, filepath.Join(dir, "in")).Name()
	for i := range 400 {
		writeFile(t, in, fmt.Sprintf("%0200d", i), nil)
	}
	for name, args := range map[string][]string{
		"report": {"encrypt", "-q", "-r", "--report", "-", "-o", "out", "-k", "aes:n/k@key", "in"},
		"errors": {"decrypt", "-r", "--suffix=", "-o", "out2", "-k", "aes:n/k@key", "in"},
		"both":   {"decrypt", "--json", "-r", "--suffix=", "-o", "out3", "--report", "-", "-k", "aes:n/k@key", "in"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := command(t, dir, args...)
		c.Stdout, c.Stderr = w, w
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		before := 0
		waitUntil(t, "the pipe is full", func() bool {
			n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
			full := err == nil && n > 30000 && n == before // some pages have no room for a whole line
			before = n
			time.Sleep(300 * time.Millisecond)
			return full
		})
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
		c.Wait()
		late.Stop()
		if got := c.ProcessState.ExitCode(); got != cli.ExitInterrupted {
			t.Errorf("%s: exit status %d, %v", name, got, c.ProcessState)
		}
		r.Close()
		w.Close()
	}
}

// TestKilled checks that SIGKILL, which no process can handle, leaves nothing
// of a new result behind.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil || system.Type == unix.FUSE_SUPER_MAGIC || system.Type == unix.NFS_SUPER_MAGIC {
		t.Skipf("a file system that may give all files names: %x, %v", system.Type, err)
	}
	plain := pattern(3 << 20)
	writeFile(t, dir, "plain", plain)
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", "message", "plain")
	message := []byte(readFile(t, dir, "message"))
	for name, args := range map[string][]string{
		"encrypt": {"encrypt", "-o", "out/result"}, "decrypt": {"decrypt", "-o", "out/result"}, "replace": {"decrypt", "--force", "-o", "out/old"},
	} {
		t.Run(name, func(t *testing.T) {
			out := makeRoot(t, filepath.Join(dir, "out")).Name()
			defer os.RemoveAll(out)
			writeFile(t, out, "old", nil)
			c := command(t, dir, append(args, "-k", "aes:n/k@key")...)
			stdin, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			input := message
			if name == "encrypt" {
				input = plain
			}
			if _, err := stdin.Write(input[:len(input)-1]); err != nil {
				t.Fatal(err)
			}
			waitForData(t, c, out)
			c.Process.Kill()
			c.Wait()
			if entries, _ := os.ReadDir(out); len(entries) != 1 || readFile(t, out, "old") != "" {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// TestReplacedWhileRead checks that --update makes a result again if its input
// was replaced while it was read.
func TestReplacedWhileRead(t *testing.T) {
	for _, args := range []string{"encrypt --unsigned", "decrypt", "reencrypt --unsigned --from-key aes:n/k@key"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "results"), 0o755); err != nil {
			t.Fatal(err)
		}
		message := func(text string) []byte {
			return encryptedAs(t, esdk.AES256GCMHKDFSHA512Commit, bytes.Repeat([]byte(text), 8<<20/len(text))) // several batches
		}
		before, after := message("before"), message("afterwards")
		writeFile(t, dir, "in", before)
		writeFile(t, dir, "next", after)
		hourAgo := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "in"), hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
		arguments := append(strings.Fields(args), "-k", "aes:n/k@key", "-o", "results/out", "in")
		c := command(t, dir, append(arguments, "--rate", "bytes=4M")...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		waitForData(t, c, filepath.Join(dir, "results"))
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "in")); err != nil {
			t.Fatal(err)
		}
		checkStatus(t, c, c.Wait(), 0)
		runCommand(t, dir, 0, append(arguments, "--update")...)
		if !strings.HasPrefix(args, "decrypt") {
			runCommand(t, dir, 0, "decrypt", "-k", "aes:n/k@key", "-o", "results/plain", "results/out")
			if err := os.Rename(filepath.Join(dir, "results", "plain"), filepath.Join(dir, "results", "out")); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(filepath.Join(dir, "results", "out"))
		if strings.HasPrefix(args, "encrypt") {
			err = errors.Join(err, equalTo(got, after))
		} else if !bytes.HasPrefix(got, []byte("afterwards")) {
			err = errors.Join(err, fmt.Errorf("the result is of the input before: %.10q", got))
		}
		if err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestFileSystems checks that a result appears on a file system that can create
// unnamed files, on one that can't, and where they can't be linked because
// /proc is missing.
func TestFileSystems(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(1000))
	command(t, dir, "version") // makes the key
	for name, mount := range map[string]string{
		"no proc": "mount -t tmpfs none /proc",
		"overlay": "mkdir lower upper work && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none out",
		"ramfs":   "mount -t ramfs none out",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := withMounts(t, dir, mount+` || exit 99
umask 027
"$1" encrypt -q -k aes:n/k@key -o out/message plain; echo "status $?"
"$1" encrypt -q -k aes:n/k@key --force -o out/message plain; echo "status $?"
"$1" decrypt -q -k aes:n/k@key -o out/plain out/message; echo "status $?"
"$1" decrypt -q -k aes:n/k@key -o out/plain out/message 2>/dev/null; echo "status $?"
cmp plain out/plain; ls -lA out | cut -c1-10; rm out/*`)
		if want := "status 0\nstatus 0\nstatus 0\nstatus 8\ntotal 8\n-rw-r-----\n-rw-------\n"; got != want && strings.Replace(got, "total 0", "total 8", 1) != want {
			t.Errorf("%s:\n%swant:\n%s", name, got, want)
		}
	}
}

// TestIgnoredSignals checks that a signal that was ignored at the start doesn't
// end the command.
func TestIgnoredSignals(t *testing.T) {
	for _, test := range []struct {
		ignore string
		send   []syscall.Signal
	}{
		{"HUP", []syscall.Signal{syscall.SIGHUP}},                       // nohup
		{"INT QUIT", []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}}, // a background job of a script
	} {
		t.Run(test.ignore, func(t *testing.T) {
			dir := t.TempDir()
			out := makeRoot(t, filepath.Join(dir, "out")).Name()
			c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", "out/result")
			c.Args = append([]string{"sh", "-c", `trap "" ` + test.ignore + `; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
			c.Path = "/bin/sh"
			stdin, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := stdin.Write(pattern(1 << 20)); err != nil {
				t.Fatal(err)
			}
			waitForData(t, c, out)
			for _, sig := range test.send {
				if err := c.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(100 * time.Millisecond)
			stdin.Close()
			checkStatus(t, c, c.Wait(), 0)
			runCommand(t, dir, 0, "verify", "-k", "aes:n/k@key", "out/result")
		})
	}
}

// TestFileSizeLimit checks that a file beyond the file size limit is an error,
// although the kernel also sends a signal.
func TestFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	out := makeRoot(t, filepath.Join(dir, "out")).Name()
	writeFile(t, dir, "plain", pattern(3<<20))
	c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", "out/result", "plain")
	c.Args = append([]string{"sh", "-c", `ulimit -f 100; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	checkStatus(t, c, c.Run(), cli.ExitError)
	if text := fmt.Sprint(c.Stderr); !strings.Contains(text, "file too large") {
		t.Errorf("stderr %q does not say why", text)
	}
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestNoDumps checks that the command can't be dumped. The kernel shows the
// files of such a process in /proc as owned by root.
func TestNoDumps(t *testing.T) {
	dir := t.TempDir()
	c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", "-")
	const user = 12345
	if os.Getuid() == 0 {
		asUser(t, c, dir, user)
	}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(pattern(1 << 20)); err != nil {
		t.Fatalf("%v: %s", err, c.Stderr)
	}
	// The directory itself keeps its owner.
	info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
		t.Errorf("its memory belongs to the user %d", uid)
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%s", limits)
	}
	stdin.Close()
	checkStatus(t, c, c.Wait(), 0)
}

// asUser makes a command in a directory run as another user.
func asUser(t *testing.T, c *exec.Cmd, dir string, user uint32) {
	t.Helper()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	c.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	for path, mode := range map[string]os.FileMode{buildFolder: 0o755, filepath.Dir(dir): 0o755, filepath.Join(dir, "key"): 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// waitUntil waits until a condition holds.
func waitUntil(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for range 6000 {
		if happened() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within a minute: %s", what)
}

// waitForData waits until a file that a process creates in a directory has
// data. The file may have no name yet.
func waitForData(t *testing.T, c *exec.Cmd, dir string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	descriptors := fmt.Sprintf("/proc/%d/fd", c.Process.Pid)
	for range 6000 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
				return
			}
		}
		opened, err := os.ReadDir(descriptors)
		if errors.Is(err, fs.ErrPermission) {
			time.Sleep(time.Second) // the descriptors aren't readable
			return
		}
		for _, e := range opened {
			path := filepath.Join(descriptors, e.Name())
			link, _ := os.Readlink(path)
			if info, err := os.Stat(path); err == nil && info.Size() > 0 && filepath.Dir(link) == dir && strings.HasSuffix(link, " (deleted)") {
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("no data was written")
}

func TestClosedPipe(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(3<<20))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "plain")
	for _, args := range [][]string{
		{"encrypt", "-k", "aes:n/k@key", "-o", "-", "plain"},
		{"decrypt", "-k", "aes:n/k@key", "-o", "-", "plain.encrypted"},
		{"inspect", "plain.encrypted"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		c := command(t, dir, args...)
		c.Stdout = w
		checkStatus(t, c, c.Run(), cli.ExitError)
		w.Close()
		if text := fmt.Sprint(c.Stderr); text != "" {
			t.Errorf("%s: stderr %q, which nobody wants to know", args[0], text)
		}
	}
}

// TestFullDisk fills a small file system in its own mount namespace.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(1<<20))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "plain")
	if err := os.Mkdir(filepath.Join(dir, "small"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := withMounts(t, dir, `mount -t tmpfs -o size=256k none small || exit 99
echo precious > small/old
"$1" decrypt -k aes:n/k@key -o small/new plain.encrypted; echo "status $?"
"$1" decrypt -k aes:n/k@key --force -o small/old plain.encrypted; echo "status $?"
"$1" encrypt -k aes:n/k@key -o small/new plain; echo "status $?"
ls -A small; cat small/old`)
	if want := strings.Repeat("status 1\n", 3) + "old\nprecious\n"; out != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
}

// withMounts runs a shell script in a directory, with the command as $1, in a
// namespace where it may mount file systems, and returns its output. The script
// exits with 99 if it can't mount one.
func withMounts(t *testing.T, dir, script string) string {
	t.Helper()
	const instead = "; /dev/full stands in for a full one in the scripts"
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system" + instead)
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("cannot have a name space: %v: %s%s", err, out, instead)
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("unshare", "-m", "sh", "-c", script, "sh", binary)
	c.Dir = dir
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil && c.ProcessState != nil && c.ProcessState.ExitCode() == 99 {
		t.Skip("cannot mount a file system here" + instead)
	}
	if err != nil {
		t.Fatalf("%s%v", out, err)
	}
	return string(out)
}

// TestPipeMemory passes a large message through a pipe of two commands.
func TestPipeMemory(t *testing.T) {
	long(t)
	const size, limit = 1 << 30, 64 << 10 // bytes, KiB
	dir := t.TempDir()
	for _, flags := range [][]string{nil, {"--unsigned"}} {
		encrypt := command(t, dir, append([]string{"encrypt", "-k", "aes:n/k@key"}, flags...)...)
		decrypt := command(t, dir, "decrypt", "-k", "aes:n/k@key", "-o", "-")
		encrypt.Stdin = io.LimitReader(zeros{}, size)
		pipe, err := encrypt.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		decrypt.Stdin = pipe
		count := new(counter)
		decrypt.Stdout = count
		measures := []func() int{measured(t, encrypt), measured(t, decrypt)}
		if err := errors.Join(encrypt.Start(), decrypt.Start()); err != nil {
			t.Fatal(err)
		}
		checkStatus(t, decrypt, decrypt.Wait(), 0)
		checkStatus(t, encrypt, encrypt.Wait(), 0)
		if count.n != size {
			t.Errorf("%d bytes came out, %d went in", count.n, size)
		}
		for i, c := range []*exec.Cmd{encrypt, decrypt} {
			rss := measures[i]()
			t.Logf("%v: %d KiB resident at most", c.Args[2:], rss)
			if rss > limit {
				t.Errorf("%v: %d KiB resident, more than %d", c.Args[2:], rss, limit)
			}
		}
	}
}

// TestFileMemory checks that a message in a file that is verified before it
// goes to standard output is read twice and not held in memory, whether it is
// text or not.
func TestFileMemory(t *testing.T) {
	long(t)
	const size, limit = 100 << 20, 64 << 10 // bytes, KiB
	dir := t.TempDir()
	writeFile(t, dir, "big", nil)
	if err := os.Truncate(filepath.Join(dir, "big"), size); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--base64"}} {
		runCommand(t, dir, 0, append([]string{"encrypt", "-k", "aes:n/k@key", "--unsigned", "--force", "--frame-length", "1M", "big"}, flags...)...)
		c := command(t, dir, "decrypt", "-k", "aes:n/k@key", "-o", "-", "big.encrypted")
		count := new(counter)
		c.Stdout = count
		maxRSS := measured(t, c)
		checkStatus(t, c, c.Run(), 0)
		if rss := maxRSS(); count.n != size || rss > limit {
			t.Errorf("%v: %d bytes, %d KiB resident, more than %d", flags, count.n, rss, limit)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// TestLies gives the command short files that claim to be huge.
func TestLies(t *testing.T) {
	const limit = 32 << 10 // KiB
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(5))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "--unsigned", "--frame-length", "4294967295", "-o", "message", "plain")
	message, err := os.ReadFile(filepath.Join(dir, "message"))
	if err != nil {
		t.Fatal(err)
	}
	finalLength := len(message) - 16 - 5 - 4
	regular := bytes.Clone(message)
	copy(regular[finalLength-20:], []byte{0, 0, 0, 1}) // a regular frame of 4 GiB
	final := bytes.Clone(message)
	copy(final[finalLength:], []byte{0xff, 0xff, 0xff, 0xff})
	keys := bytes.Clone(message[:200])
	copy(keys[2+1+32+2:], []byte{0xff, 0xff}) // count of encrypted data keys, after an empty context
	for name, lie := range map[string][]byte{"regular": regular, "final": final, "keys": keys} {
		writeFile(t, dir, name, lie)
		for _, verb := range [][]string{{"verify", "-k", "aes:n/k@key", "--max-keys", "0", "--max-frame", "0"}, {"inspect"}} {
			c := command(t, dir, append(verb, name)...)
			maxRSS := measured(t, c)
			checkStatus(t, c, c.Run(), cli.ExitNotAuthentic)
			if rss := maxRSS(); rss > limit {
				t.Errorf("%s %s: %d KiB resident, more than %d", verb[0], name, rss, limit)
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "text", []byte("grüß\tdich\n"))
	writeFile(t, dir, "binary", []byte("\x1b[2J"))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "text", "binary")
	for _, test := range []struct {
		status int
		shows  string
		args   []string
	}{
		{cli.ExitNotWritten, "", []string{"encrypt", "-k", "aes:n/k@key"}},
		{0, "AgV4", []string{"encrypt", "-k", "aes:n/k@key", "--base64"}},
		{0, "\x02\x05\x78", []string{"encrypt", "-k", "aes:n/k@key", "-o", "-"}},
	} {
		c := command(t, dir, test.args...)
		c.Stdin = strings.NewReader("plain")
		checkShown(t, c, test.status, test.shows)
	}
	for _, test := range []struct {
		status int
		shows  string
		file   string
		args   []string
	}{
		{0, "grüß\tdich\r\n", "text.encrypted", []string{"decrypt", "-k", "aes:n/k@key"}},
		{cli.ExitNotWritten, "", "binary.encrypted", []string{"decrypt", "-k", "aes:n/k@key"}},
		{0, "\x1b[2J", "binary.encrypted", []string{"decrypt", "-k", "aes:n/k@key", "-o", "-"}},
	} {
		c := command(t, dir, test.args...)
		stdin, err := os.Open(filepath.Join(dir, test.file))
		if err != nil {
			t.Fatal(err)
		}
		c.Stdin = stdin
		checkShown(t, c, test.status, test.shows)
		stdin.Close()
	}
}

// checkShown runs a command whose standard output is a terminal.
func checkShown(t *testing.T, c *exec.Cmd, status int, shows string) {
	t.Helper()
	master, terminal := openTerminal(t)
	c.Stdout = terminal
	checkStatus(t, c, c.Run(), status)
	terminal.Close()
	got, _ := io.ReadAll(master) // returns an error when the other side is closed
	if !bytes.Contains(got, []byte(shows)) || shows == "" && len(got) > 0 {
		t.Errorf("%v shows %q, want %q", c.Args[1:], got, shows)
	}
}

// TestProgress has an input that takes longer than a second.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	for _, flags := range [][]string{nil, {"--no-progress"}, {"-q"}} {
		master, terminal := openTerminal(t)
		c := command(t, dir, append([]string{"encrypt", "-k", "aes:n/k@key", "-o", "out", "--force"}, flags...)...)
		c.Stderr = terminal
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		stdin.Write(pattern(1 << 20))
		var shown []byte
		if flags == nil {
			// End the input only after the line was shown, however slow the
			// machine is.
			shown = waitShown(t, master, "1.0 MiB")
		} else {
			time.Sleep(1500 * time.Millisecond)
		}
		stdin.Close()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		terminal.Close()
		rest, _ := io.ReadAll(master)
		if flags != nil && len(rest) > 0 {
			t.Errorf("%v: terminal shows %q", flags, rest)
		}
		if flags == nil && !bytes.HasSuffix(append(shown, rest...), []byte("\r\x1b[K")) {
			t.Errorf("the line is not removed: %q", append(shown, rest...))
		}
	}
}

// TestProgressInterrupted checks that the progress line is removed before an
// interrupt is reported, and that there is no line on a terminal that can't
// remove it.
func TestProgressInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, term := range []string{"xterm", "dumb"} {
		master, terminal := openTerminal(t)
		c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", "out")
		c.Env = append(c.Environ(), "TERM="+term)
		c.Stderr = terminal
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		stdin.Write(pattern(1 << 20))
		var shown []byte
		if term == "dumb" {
			time.Sleep(1500 * time.Millisecond)
		} else {
			shown = waitShown(t, master, "1.0 MiB")
		}
		c.Process.Signal(os.Interrupt)
		checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
		terminal.Close()
		rest, _ := io.ReadAll(master)
		shown = append(shown, rest...)
		if want := "\r\x1b[Kesdk: interrupted\r\n"; term == "xterm" && !bytes.HasSuffix(shown, []byte(want)) || term == "dumb" && string(shown) != "esdk: interrupted\r\n" {
			t.Errorf("%s: terminal shows %q", term, shown)
		}
		stdin.Close()
	}
}

// openTerminal opens a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// TestInterruptedSummary checks that the summary of an interrupted run has all
// figures.
func TestInterruptedSummary(t *testing.T) {
	s := kmssim.New()
	defer s.Close()
	key := s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	for _, test := range []struct {
		name, want string
		args       []string
	}{
		{"text", "esdk: 3 inputs so far: 2 ok, 1 skipped: named twice (1); AWS KMS: 1 Decrypt; cache: 1 hit, 1 miss; " +
			"to resume, repeat the command with --no-clobber\n", nil},
		{"JSON", `{"summary":{"inputs":3,"ok":2,"failed":0,"skipped":1,"skipped_reasons":{"named twice":1},` +
			`"kms_calls":{"Decrypt":1},"cache":{"hits":1,"misses":1,"entries":1},` +
			`"interrupted":true,"resume":"to resume, repeat the command with --no-clobber"}}` + "\n", []string{"--json"}},
		{"quiet", "", []string{"-q"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			run := func(args ...string) *exec.Cmd {
				c := command(t, dir, args...)
				c.Env = append(os.Environ(), "HOME="+dir, "AWS_ENDPOINT_URL="+s.URL(), "AWS_REGION=us-west-2",
					"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret")
				return c
			}
			writeFile(t, dir, "plain", []byte("plain"))
			encrypt := run("encrypt", "-k", key, "--unsigned", "-o", "a", "plain")
			checkStatus(t, encrypt, encrypt.Run(), 0)
			message, err := os.ReadFile(filepath.Join(dir, "a"))
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, dir, "b", message)
			pipe := filepath.Join(dir, "pipe")
			if err := unix.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			c := run(append(test.args, "decrypt", "-k", key, "--cache", "max-age=1h", "a", "a", "b", "pipe")...)
			var said bytes.Buffer
			c.Stderr = &said
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // opens when the command does
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c.Process.Signal(syscall.SIGINT)
			checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
			before, _, _ := strings.Cut(said.String(), "esdk: interrupted")
			before, _, _ = strings.Cut(before, `{"error":`)
			if before != test.want {
				t.Errorf("stderr %q, want %q", said.String(), test.want)
			}
		})
	}
}

// TestInterruptedInPlace checks that an interrupted run in place promises that
// it can be repeated only if it recognizes its own messages.
func TestInterruptedInPlace(t *testing.T) {
	for key, want := range map[string]bool{"rsa:n/r@private": true, "rsa:n/r@public": false} {
		dir := t.TempDir()
		keygen := command(t, dir, "keygen", "rsa", "--bits", "2048", "-o", "private")
		public, err := keygen.Output()
		checkStatus(t, keygen, err, 0)
		writeFile(t, dir, "public", public)
		writeFile(t, dir, "a", nil)
		writeFile(t, dir, "b", pattern(1<<20))
		runCommand(t, dir, 0, "encrypt", "--unsigned", "-k", "aes:n/k@key", "a", "b")
		c := command(t, dir, "reencrypt", "--unsigned", "--from-key", "aes:n/k@key", "-k", key, "--in-place",
			"--rate", "bytes=10K", "--jobs", "1", "--report", "log", "a.encrypted", "b.encrypted")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for log := []byte(nil); len(log) == 0; log, _ = os.ReadFile(filepath.Join(dir, "log")) {
			time.Sleep(time.Millisecond)
		}
		c.Process.Signal(syscall.SIGINT)
		checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
		if said := fmt.Sprint(c.Stderr); strings.Contains(said, "; to resume, repeat the command\n") != want {
			t.Errorf("%s: stderr %q", key, said)
		}
	}
}
