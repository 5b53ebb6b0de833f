//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// manyFiles is enough for several groups of results that are synced together.
const manyFiles = 1000

// makeMany makes files in a directory named in, and returns the arguments that
// name them.
func makeMany(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, folder := range []string{"in", "out"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range manyFiles {
		name := filepath.Join("in", fmt.Sprintf("f%04d", i))
		writeFile(t, dir, name, manyText(name))
		names = append(names, name)
	}
	return names
}

func manyText(name string) []byte { return bytes.Repeat([]byte(name), 500) }

// TestManyFilesInterrupted checks that a command that is interrupted or killed
// while it works on many files leaves complete results only. Temporary files
// may remain only if the process couldn't remove them.
func TestManyFilesInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		for range 5 {
			t.Run(sig.String(), func(t *testing.T) { testManyFilesInterrupted(t, sig) })
		}
	}
}

func testManyFilesInterrupted(t *testing.T, sig syscall.Signal) {
	dir := t.TempDir()
	names := makeMany(t, dir)
	c := command(t, dir, append([]string{"encrypt", "--unsigned", "-k", "aes:n/k@key", "-o", "out"}, names...)...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitForData(t, c, filepath.Join(dir, "out"))
	time.Sleep(time.Duration(rand.IntN(int(50 * time.Millisecond))))
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	told := regexp.MustCompile(`(?s)(\d+ inputs? so far: \d+ ok|nothing was done yet); to resume, repeat the command with --no-clobber\n.*interrupted\n$`)
	if c.ProcessState.ExitCode() == cli.ExitInterrupted && !told.MatchString(said.String()) {
		t.Errorf("stderr %q", said.String())
	}
	entries, err := os.ReadDir(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	var results []string
	for _, e := range entries {
		switch temporary := strings.HasPrefix(e.Name(), "."); {
		case !temporary:
			results = append(results, filepath.Join("out", e.Name()))
		case sig != syscall.SIGKILL:
			t.Errorf("left behind: %s", e.Name())
		}
	}
	t.Logf("%d of %d files are done", len(results), manyFiles)
	checkMany(t, dir, results)
}

// checkMany decrypts results and compares them.
func checkMany(t *testing.T, dir string, results []string) {
	t.Helper()
	if len(results) == 0 {
		return
	}
	if err := os.Mkdir(filepath.Join(dir, "back"), 0o755); err != nil {
		t.Fatal(err)
	}
	runCommand(t, dir, 0, append([]string{"decrypt", "-q", "-k", "aes:n/k@key", "-o", "back"}, results...)...)
	for _, result := range results {
		name := strings.TrimSuffix(filepath.Base(result), encryptedSuffix)
		got, err := os.ReadFile(filepath.Join(dir, "back", name))
		if err != nil || !bytes.Equal(got, manyText(filepath.Join("in", name))) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestManyFilesFewDescriptors checks that a run stays within the limit on open
// files for any number of inputs and of output directories.
func TestManyFilesFewDescriptors(t *testing.T) {
	const files = 1000
	dir := t.TempDir()
	for i := range files {
		folder := filepath.Join(dir, "in", fmt.Sprintf("d%04d", i))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, folder, fmt.Sprintf("f%04d", i), manyText(fmt.Sprint(i)))
	}
	for _, name := range []string{"flat", "kept"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{64, 256} {
		enc, back := fmt.Sprint("enc", limit), fmt.Sprint("back", limit)
		for _, run := range []string{
			"encrypt -q --unsigned -r -k aes:n/k@key -o " + enc + " in",
			"encrypt -q --unsigned --jobs 100 --force -k aes:n/k@key -o flat in/*/*",
			"reencrypt -q --unsigned --in-place --skip-done never -r --from-key aes:n/k@key -k aes:n/k@key " + enc,
			"decrypt -q --jobs 100 -r -k aes:n/k@key -o " + back + " " + enc,
			"verify -q --jobs 100 -r -k aes:n/k@key " + enc,
			"encrypt -q --unsigned -r --force -k aes:n/k@key in/d00*", // each its own root, with its result in it
			"encrypt -q --unsigned -r --force -k aes:n/k@key -o roots in/d00*",
			"verify -q -r -k aes:n/k@key --include *.encrypted in/d00*",
		} {
			c := command(t, dir)
			c.Args = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" %s`, limit, run), c.Path}
			c.Path = "/bin/sh"
			if err := c.Run(); err != nil {
				text := fmt.Sprint(c.Stderr)
				t.Fatalf("%d descriptors, %s: %v, %d of too many open files: %.500s", limit, run, err, strings.Count(text, "too many open files"), text)
			}
		}
		beside, err := filepath.Glob(filepath.Join(dir, "in", "*", "*.encrypted"))
		if err != nil || len(beside) != 100 {
			t.Fatalf("%d results beside their inputs: %v", len(beside), err)
		}
		for _, name := range beside {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		checkSame(t, readTree(t, filepath.Join(dir, "in")), readTree(t, filepath.Join(dir, back)), files)
	}
}

// TestManyFilesFullDisk checks that if the disk fills up half-way, the results
// that fit are complete, and the others leave nothing behind.
func TestManyFilesFullDisk(t *testing.T) {
	dir := t.TempDir()
	makeMany(t, dir)
	command(t, dir, "version") // writes the key
	out := withMounts(t, dir, `mount -t tmpfs -o size=1m none out || exit 99
"$1" encrypt -q -k aes:n/k@key -o out in/* 2>errors; echo "status $?"
ls -A out | grep -c '^\.' ; mkdir whole; cp out/* whole`)
	if out != "status 3\n0\n" {
		t.Fatal(out)
	}
	results, err := filepath.Glob(filepath.Join(dir, "whole", "*"))
	if err != nil || len(results) == 0 || len(results) == manyFiles {
		t.Fatalf("%d of %d files fit, %v", len(results), manyFiles, err)
	}
	errors, err := os.ReadFile(filepath.Join(dir, "errors"))
	if n := bytes.Count(errors, []byte("no space left on device")); err != nil || n != manyFiles-len(results) {
		t.Errorf("%d files are done, and %d errors said: %v", len(results), n, err)
	}
	for i, path := range results {
		results[i] = filepath.Join("whole", filepath.Base(path))
	}
	checkMany(t, dir, results)
}

// TestManyFilesOneResult checks that a result of a run isn't replaced or
// skipped by another input of the same run whose name leads to the same file,
// even if the first result was finished before the second was found.
func TestManyFilesOneResult(t *testing.T) {
	dir := t.TempDir()
	list := []byte("one/first\x00")
	for i := range 10_100 { // more than are planned ahead of the work
		list = fmt.Appendf(list, "absent%d\x00", i)
	}
	list = append(list, "two/first\x00"...)
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, dir, "list", list)
	writeFile(t, filepath.Join(dir, "one"), "first", []byte("first"))
	command(t, dir, "version") // writes the key
	for _, flag := range []string{"--force", "--no-clobber", "--update"} {
		out := withMounts(t, dir, `mount --bind one two || exit 99
rm -f one/first.encrypted; "$1" encrypt -q -k aes:n/k@key `+flag+` --files-from0 list 2>errors; echo "status $?"; grep two/first errors`)
		if want := "status 3\nesdk: two/first: error: two/first.encrypted: the output is the result of another input\n"; !strings.HasPrefix(out, want) {
			t.Errorf("%s: %s", flag, out)
		}
	}
}
