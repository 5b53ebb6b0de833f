//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"golang.org/x/sys/unix"
)

// treeFiles is the least number of files in the tree of TestTree.
const treeFiles = 10_000

// hostileNames are names of files and directories. The last ones are too long
// for a suffix.
var hostileNames = []string{
	"-", "--", "-r", "--force", "-o", "..x", "...", ". ", " ", "~", "*", "?", "$(false)", "a\\b", `"'`, "new\nline", "\n", "tab\t",
	"\x1b[2J", "\x7f", "\xff\xfe", "caf\xe9", "grün", "\u202e", "CON", "a:b", encryptedSuffix, "x" + encryptedSuffix,
	"x" + encryptedSuffix + encryptedSuffix, decryptedSuffix, ".esdk-", "f.esdk-1", strings.Repeat("n", 245), strings.Repeat("ü", 122),
	strings.Repeat("\xff", 240), strings.Repeat("t", 246), strings.Repeat("T", 255),
}

const tooLong = 2 // of hostileNames

func hostileText(name string) []byte { return bytes.Repeat([]byte(name), 1+len(name)%50) }

// makeHostile makes a tree. It returns the number of files whose names are too
// long for a suffix, the number of other files, and the number of entries that
// are skipped.
func makeHostile(t *testing.T, dir string) (long, files, skipped int) {
	root := makeRoot(t, dir)
	write := func(name string) {
		if err := root.WriteFile(name, hostileText(filepath.Base(name)), 0o644); err != nil {
			t.Fatal(err)
		}
		files++
	}
	deep := "."
	for range 30 { // longer than the limit for paths
		deep = filepath.Join(deep, strings.Repeat("d", 200))
	}
	folders := []string{".", "dir\nline", "-d", "..d", "\xff", "d" + encryptedSuffix, deep}
	for _, folder := range folders {
		if err := root.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range hostileNames {
			write(filepath.Join(folder, name))
		}
		files -= tooLong
		long += tooLong
		for name, target := range map[string]string{
			"out": "../outside", "file": "../outside/secret", "absolute": "/etc/passwd", "up": "..", "self": "self", "here": ".", "inside": hostileNames[0],
		} {
			if err := root.Symlink(target, filepath.Join(folder, "link "+name)); err != nil {
				t.Fatal(err)
			}
			skipped++
		}
	}
	for files < treeFiles {
		folder := fmt.Sprintf("many/%02x", files%256)
		if err := root.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(folder, fmt.Sprint("f", files)))
	}
	specials := map[string]uint32{"pipe": unix.S_IFIFO, "socket": unix.S_IFSOCK}
	if os.Getuid() == 0 {
		specials["device"], specials["disk"] = unix.S_IFCHR, unix.S_IFBLK
	}
	for name, kind := range specials {
		if err := unix.Mknod(filepath.Join(dir, name), kind|0o644, int(unix.Mkdev(1, 3))); err == nil {
			skipped++
		} else if !errors.Is(err, unix.EPERM) {
			t.Fatal(err)
		}
	}
	return long, files, skipped
}

// makeRoot makes a directory and opens it as a root.
func makeRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// readTree returns the content of all files in a directory, and the kind of
// each other entry. Its paths may be too long for anything but a root.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := make(map[string]string)
	readFolder(t, makeRoot(t, dir), ".", content)
	return content
}

func readFolder(t *testing.T, root *os.Root, dir string, content map[string]string) {
	f, err := root.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			readFolder(t, root, name, content)
		case e.Type().IsRegular():
			b, err := root.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			content[name] = string(b)
		default:
			content[name] = e.Type().String()
		}
	}
}

// TestTree passes a large tree with hostile names through all verbs, and gets
// the same tree back. Nothing outside of it is read or changed.
func TestTree(t *testing.T) {
	long(t)
	dir := t.TempDir()
	long, files, skipped := makeHostile(t, filepath.Join(dir, "in"))
	writeFile(t, makeRoot(t, filepath.Join(dir, "outside")).Name(), "secret", []byte("secret"))
	before := readTree(t, filepath.Join(dir, "in"))

	c := command(t, dir, "encrypt", "--unsigned", "-r", "-k", "aes:n/k@key", "-o", "enc", "--report", "log", "in")
	checkStatus(t, c, c.Run(), cli.ExitSomeFailed)
	stderr := fmt.Sprint(c.Stderr)
	if n := strings.Count(stderr, "file name too long"); n != long {
		t.Errorf("%d errors, want %d: %s", n, long, stderr)
	}
	for _, want := range []string{fmt.Sprintf("%d of %d inputs failed", long, long+files+skipped), fmt.Sprintf("%d inputs: %d ok, %d failed, %d skipped: ", long+files+skipped, files, long, skipped)} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr does not say %q: %s", want, stderr)
		}
	}
	if strings.ContainsAny(stderr, "\x1b\x7f\t") || !utf8.ValidString(stderr) {
		t.Errorf("stderr has control characters: %q", stderr)
	}
	checkReport(t, filepath.Join(dir, "log"), map[string]int{"ok": files, "failed": long, "skipped": skipped})

	runCommand(t, dir, 0, "verify", "-q", "-r", "-k", "aes:n/k@key", "enc")
	runCommand(t, dir, 0, "reencrypt", "-q", "-r", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--unsigned", "-o", "moved", "enc")
	runCommand(t, dir, 0, "reencrypt", "-q", "-r", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--unsigned", "--in-place", "--skip-done", "never", "moved")
	runCommand(t, dir, 0, "decrypt", "-q", "-r", "-k", "aes:n/k@key", "-o", "back", "moved")
	checkSame(t, before, readTree(t, filepath.Join(dir, "back")), files)
	if after := readTree(t, filepath.Join(dir, "in")); len(after) != len(before) {
		t.Errorf("%d inputs, %d before", len(after), len(before))
	}
	if outside := readTree(t, filepath.Join(dir, "outside")); len(outside) != 1 || outside["secret"] != "secret" {
		t.Errorf("outside is %q", outside)
	}
}

// checkSame compares the resulting tree with the original one. Links and files
// with too long names are missing from the result.
func checkSame(t *testing.T, before, after map[string]string, files int) {
	t.Helper()
	if len(after) != files {
		t.Errorf("%d files came back, want %d", len(after), files)
	}
	for name, got := range after {
		if want, ok := before[name]; !ok || got != want {
			t.Errorf("%q: %d bytes, want %d", name, len(got), len(want))
		}
	}
}

func checkReport(t *testing.T, path string, want map[string]int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for line := range bytes.Lines(text) {
		var r batch.Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got[r.Result]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the report has %v, want %v", got, want)
	}
}

// TestTreeResumed checks that --no-clobber resumes a killed run.
func TestTreeResumed(t *testing.T) {
	dir := t.TempDir()
	makeMany(t, dir)
	in := readTree(t, filepath.Join(dir, "in"))
	args := []string{"encrypt", "-r", "--unsigned", "-k", "aes:n/k@key", "--no-clobber", "-o", "enc", "in"}
	c := command(t, dir, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 6000 { // until there is a result
		if names, _ := filepath.Glob(filepath.Join(dir, "enc", "f*")); len(names) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Process.Kill()
	c.Wait()
	done, err := filepath.Glob(filepath.Join(dir, "enc", "f*"))
	if err != nil || len(done) == 0 {
		t.Fatalf("%d results, %v", len(done), err)
	}
	c = command(t, dir, append(args, "--report", "log")...)
	checkStatus(t, c, c.Run(), 0)
	if want := fmt.Sprintf("(%d)", len(done)); len(done) < manyFiles && !strings.Contains(fmt.Sprint(c.Stderr), want) {
		t.Errorf("stderr does not say %s: %s", want, c.Stderr)
	}
	runCommand(t, dir, 0, "decrypt", "-q", "-r", "-k", "aes:n/k@key", "-o", "back", "enc")
	checkSame(t, in, readTree(t, filepath.Join(dir, "back")), manyFiles)
}

// TestTreeSwapped swaps files and directories on both sides for links and pipes
// while the command runs. The command must not follow them: nothing outside is
// read or written.
func TestTreeSwapped(t *testing.T) {
	for _, verb := range []string{"encrypt", "decrypt", "reencrypt", "in place"} {
		t.Run(verb, func(t *testing.T) { testTreeSwapped(t, verb) })
	}
}

func testTreeSwapped(t *testing.T, verb string) {
	dir := t.TempDir()
	args := map[string][]string{
		"encrypt":   {"encrypt", "-o", "out", "--force", "in"},
		"decrypt":   {"decrypt", "-o", "out", "--force", "--suffix=", "in"},
		"reencrypt": {"reencrypt", "--from-key", "aes:n/k@key", "-o", "out", "--force", "in"},
		"in place":  {"reencrypt", "--from-key", "aes:n/k@key", "--in-place", "in"},
	}[verb]
	inside, outside := []byte("inside"), []byte("outside")
	if verb != "encrypt" {
		const suite = esdk.AES256GCMHKDFSHA512Commit
		inside, outside = encryptedAs(t, suite, inside), encryptedAs(t, suite, outside)
	}
	for i := range 200 {
		name := fmt.Sprintf("d%d/f%03d", i%4, i)
		for folder, content := range map[string][]byte{"in": inside, "outside": outside} {
			if err := makeRoot(t, filepath.Join(dir, folder, filepath.Dir(name))).WriteFile(filepath.Base(name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		makeRoot(t, filepath.Join(dir, "out", filepath.Dir(name)))
	}
	before := readTree(t, filepath.Join(dir, "outside"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		swapAll(t, dir, stop)
	}()
	args = append(args, "-q", "-r", "-k", "aes:n/k@key")
	failed := 0
	for range 20 {
		c := command(t, dir, args...)
		c.WaitDelay = time.Second
		timer := time.AfterFunc(time.Minute, func() { c.Process.Kill() })
		err := c.Run()
		timer.Stop()
		status := 0
		if errors.As(err, new(*exec.ExitError)) {
			status = cli.ExitSomeFailed
			failed++
		}
		checkStatus(t, c, err, status)
	}
	close(stop)
	<-stopped
	t.Logf("%d of 20 runs met something else", failed)
	if after := readTree(t, filepath.Join(dir, "outside")); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("outside has %d files, and had %d, or they have changed", len(after), len(before))
	}
	for _, side := range []string{"in", "out"} {
		checkInside(t, filepath.Join(dir, side))
	}
}

// checkInside checks that no file in a directory comes from outside.
func checkInside(t *testing.T, dir string) {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: pattern(32)})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range readTree(t, dir) {
		if plaintext, err := esdk.Decrypt(t.Context(), kr, []byte(content), nil); err == nil {
			content = string(plaintext)
		}
		if content != "inside" && len(content) != len("L---------") {
			t.Errorf("%s has %q", name, content)
		}
	}
}

// swapAll swaps files and directories on both sides for links and pipes, and
// back, until it is stopped.
func swapAll(t *testing.T, dir string, stop chan struct{}) {
	aside := makeRoot(t, filepath.Join(dir, "aside")).Name()
	random := rand.New(rand.NewPCG(1, 2))
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("d%d", random.IntN(4))
		target := filepath.Join(dir, "outside", name)
		if random.IntN(2) == 0 {
			name += fmt.Sprintf("/f%03d", random.IntN(200))
			target = filepath.Join(dir, "outside", name)
		}
		side := []string{"in", "out"}[random.IntN(2)]
		other := filepath.Join(aside, fmt.Sprint(n))
		var err error
		if random.IntN(4) == 0 {
			err = unix.Mkfifo(other, 0o644)
		} else {
			err = os.Symlink(target, other)
		}
		if err != nil {
			t.Error(err)
			return
		}
		// Exchange the two atomically, and soon exchange them back.
		path := filepath.Join(dir, side, name)
		if unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE) == nil {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
			unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
		}
	}
}

// TestTreeFullDisk checks that if the disk fills up in the middle of a tree, it
// holds only complete results and the original files. With more space, another
// run completes the rest.
func TestTreeFullDisk(t *testing.T) {
	for _, c := range []struct {
		verb, args, again string
		size              string // of the disk: about half of the size of the results
	}{
		{"encrypt", "-k aes:n/k@key -o small/out in", "--no-clobber", "4m"},
		{"decrypt", "-k aes:n/k@key -o small/out messages", "--no-clobber", "2m"},
		// Shorter frames make a longer message.
		{"reencrypt", "--from-key aes:n/k@key -k aes:n/new@new --frame-length 16 --in-place small/out", "--from-key aes:n/new@new", "12m"},
	} {
		t.Run(c.verb, func(t *testing.T) { testTreeFullDisk(t, c.verb, c.args, c.again, c.size) })
	}
}

func testTreeFullDisk(t *testing.T, verb, args, again, size string) {
	dir := t.TempDir()
	makeMany(t, dir)
	in := readTree(t, filepath.Join(dir, "in"))
	writeFile(t, dir, "new", newKey)
	runCommand(t, dir, 0, "encrypt", "-q", "-r", "--unsigned", "-k", "aes:n/k@key", "-o", "messages", "in")
	messages := readTree(t, filepath.Join(dir, "messages"))
	makeRoot(t, filepath.Join(dir, "small"))
	out := withMounts(t, dir, fmt.Sprintf(`mount -t tmpfs -o size=%s none small || exit 99
[ %[2]s != reencrypt ] || cp -r messages small/out
"$1" %[2]s -r %[3]s 2>errors; echo "status $?"
cp -r small/out half && mount -o remount,size=100m small || exit
"$1" %[2]s -r %[3]s %[4]s 2>more; echo "status $?"
cp -r small/out whole`, size, verb, args, again))
	if out != "status 3\nstatus 0\n" {
		t.Fatal(out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "errors"))
	if err != nil {
		t.Fatal(err)
	}
	failed := bytes.Count(text, []byte("no space left on device"))
	t.Logf("%d files failed", failed)
	if failed == 0 || failed == manyFiles || !bytes.Contains(text, fmt.Appendf(nil, "%d of %d inputs failed", failed, manyFiles)) {
		t.Errorf("%d files failed: %s", failed, text)
	}

	half, done := readTree(t, filepath.Join(dir, "half")), manyFiles-failed
	if verb == "decrypt" {
		checkSame(t, in, half, done)
		checkSame(t, in, readTree(t, filepath.Join(dir, "whole")), manyFiles)
		return
	}
	if verb == "reencrypt" {
		for name, message := range messages {
			if half[name] == message {
				done++ // the old message is unchanged
			}
		}
	}
	if len(half) != done {
		t.Errorf("%d messages are there, want %d", len(half), done)
	}
	keys := []string{"-q", "-r", "-k", "aes:n/k@key", "-k", "aes:n/new@new"}
	runCommand(t, dir, 0, slices.Concat([]string{"verify"}, keys, []string{"half"})...)
	runCommand(t, dir, 0, slices.Concat([]string{"decrypt"}, keys, []string{"-o", "back", "whole"})...)
	checkSame(t, in, readTree(t, filepath.Join(dir, "back")), manyFiles)
}
