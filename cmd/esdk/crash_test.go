//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/batch"
)

// "make crash" kills the command a thousand times.
var (
	crashes   = flag.Int("crashes", 20, "how often TestCrash kills the command, over all verbs")
	crashSeed = flag.Uint64("crashseed", 1, "of the moments at which TestCrash kills")
)

// crashVerbs are the verbs that TestCrash kills, with the suffixes of their
// inputs and outputs and a check that an output is complete.
var crashVerbs = []crashVerb{
	{"encrypt", "", encryptedSuffix, decryptsTo},
	{"decrypt", encryptedSuffix, "", equalTo},
	{"reencrypt", encryptedSuffix, encryptedSuffix, decryptsToNew},
}

type crashVerb struct {
	name    string
	in, out string
	whole   func(result, plaintext []byte) error
}

func equalTo(result, plaintext []byte) error {
	if !bytes.Equal(result, plaintext) {
		return fmt.Errorf("%d bytes, which are not the plaintext of %d", len(result), len(plaintext))
	}
	return nil
}

func decryptsTo(result, plaintext []byte) error {
	return decryptsUnder("k", pattern(32), result, plaintext)
}

// newKey is the new key of reencrypt.
var newKey = bytes.Repeat([]byte{0xd1}, 32)

func decryptsToNew(result, plaintext []byte) error {
	return decryptsUnder("new", newKey, result, plaintext)
}

func decryptsUnder(name string, key, result, plaintext []byte) error {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: name, Key: key})
	if err != nil {
		return err
	}
	got, err := esdk.Decrypt(context.Background(), kr, result, nil)
	return errors.Join(err, equalTo(got, plaintext))
}

// crashSizes are enough files for results to be synced in a group. The last
// file is synced on its own, and takes too long for more than a few crashes.
var crashSizes = []int{0, 1, 100, 4096, 4097, 65537, 1 << 20, 3<<20 + 1, batch.LongFile + 1}

// TestCrash kills the command at random moments while it works on a tree.
// Afterwards, each destination is unchanged or has a complete new result, and
// the next run completes the rest.
func TestCrash(t *testing.T) {
	long(t)
	t.Logf("-crashseed %d", *crashSeed)
	for _, v := range crashVerbs {
		t.Run(v.name, func(t *testing.T) {
			c := newCrash(t, v)
			c.calibrate(t)
			for n := range max(1, *crashes/len(crashVerbs)) {
				if c.kill(t, n); t.Failed() {
					t.Fatalf("after %d kills", n+1)
				}
			}
			t.Logf("a run takes about %v. %d kills before any output, %d in the middle, %d after the end", c.duration, c.before, c.middle, c.after)
			t.Logf("destinations: %d absent, %d old, %d new; %d temporary files left", c.absent, c.old, c.fresh, c.temporary)
		})
	}
}

type crash struct {
	crashVerb
	dir      string
	files    []crashFile
	random   *rand.Rand
	duration time.Duration // duration of a run that isn't killed

	before, middle, after         int
	absent, old, fresh, temporary int
}

// A crashFile is an input and its destination. If prior is nil, the destination
// doesn't exist beforehand.
type crashFile struct {
	in, out   string
	plaintext []byte
	input     []byte
	prior     []byte
}

// newCrash makes a tree of inputs. Every other destination exists.
func newCrash(t *testing.T, v crashVerb) *crash {
	c := &crash{crashVerb: v, dir: t.TempDir(), random: rand.New(rand.NewPCG(*crashSeed, uint64(len(v.name))))}
	if err := os.WriteFile(filepath.Join(c.dir, "new"), newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, size := range crashSizes {
		if size >= batch.LongFile && *crashes < 100 {
			continue
		}
		for j, folder := range []string{"tree", "tree/a/b"} {
			plain := filepath.Join(folder, fmt.Sprintf("f%02d", i))
			f := crashFile{in: plain + v.in, out: plain + v.out, plaintext: pattern(size + j)}
			if (i+j)%2 == 0 {
				f.prior = []byte("precious " + plain)
			}
			c.addInput(t, &f, i%4 < 2)
			c.files = append(c.files, f)
		}
	}
	return c
}

// addInput makes the input of a file: a plaintext or a message.
func (c *crash) addInput(t *testing.T, f *crashFile, signed bool) {
	path := filepath.Join(c.dir, f.in)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f.input = f.plaintext
	if c.in == encryptedSuffix {
		suite := esdk.AES256GCMHKDFSHA512Commit
		if signed {
			suite = esdk.AES256GCMHKDFSHA512CommitECDSAP384
		}
		f.input = encryptedAs(t, suite, f.plaintext)
	}
	if f.in == f.out {
		f.prior = f.input
	}
	if err := os.WriteFile(path, f.input, 0o644); err != nil {
		t.Fatal(err)
	}
}

func encryptedAs(t *testing.T, suite esdk.SuiteID, plaintext []byte) []byte {
	t.Helper()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: pattern(32)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: kr, Suite: suite})
	if err != nil {
		t.Fatal(err)
	}
	message, _, err := client.Encrypt(t.Context(), plaintext, nil)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// command returns a run over the tree. Every other run uses the other suite if
// the verb writes messages.
func (c *crash) command(t *testing.T, n int) *exec.Cmd {
	args := []string{c.name, "-q", "--force", "-k", "aes:n/k@key"}
	if c.name == "reencrypt" {
		// A later run re-encrypts the results of an earlier one.
		args = []string{c.name, "-q", "--in-place", "--from-key", "aes:n/k@key", "--from-key", "aes:n/new@new", "-k", "aes:n/new@new"}
	}
	if c.name != "decrypt" && n%2 == 1 {
		args = append(args, "--unsigned")
	}
	return command(t, c.dir, append(args, "-r", "tree")...)
}

// calibrate measures how long a run takes if it isn't killed.
func (c *crash) calibrate(t *testing.T) {
	for n := range 3 {
		c.reset(t)
		c.duration = c.complete(t, n)
	}
}

// complete runs the command to its end, and returns the time it took.
func (c *crash) complete(t *testing.T, n int) time.Duration {
	command := c.command(t, n)
	start := time.Now()
	checkStatus(t, command, command.Run(), 0)
	return time.Since(start)
}

// reset restores all destinations.
func (c *crash) reset(t *testing.T) {
	for _, f := range c.files {
		path := filepath.Join(c.dir, f.out)
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if f.prior != nil {
			err = errors.Join(err, os.WriteFile(path, f.prior, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kill kills a run at a random time, and then completes another run.
func (c *crash) kill(t *testing.T, n int) {
	c.reset(t)
	killed := c.command(t, n)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(1.1 * c.random.Float64() * float64(c.duration))) // the moment of the kill is under test
	killed.Process.Kill()
	ended := killed.Wait() == nil
	fresh, temporary := c.check(t, false)
	switch {
	case ended:
		c.after++
	case fresh == 0 && len(temporary) == 0:
		c.before++
	default:
		c.middle++
	}
	// The speed of the disk varies.
	c.duration = (3*c.duration + c.complete(t, n)) / 4
	if _, left := c.check(t, true); !slices.Equal(left, temporary) {
		t.Errorf("temporary files of the killed run %q are %q after the next", temporary, left)
	}
	for _, path := range temporary {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// check checks all files in the tree: inputs, destinations, and temporary files
// with the names that docs/cli.md gives. If complete is set, all destinations
// must be new. It fails on any other file.
func (c *crash) check(t *testing.T, complete bool) (fresh int, temporary []string) {
	t.Helper()
	known, hidden := make(map[string]bool), make(map[string]crashFile)
	for _, f := range c.files {
		known[filepath.Join(c.dir, f.in)], known[filepath.Join(c.dir, f.out)] = true, true
		hidden[filepath.Join(c.dir, filepath.Dir(f.out), "."+filepath.Base(f.out)+".esdk-")] = f
		if f.in != f.out {
			if got, err := os.ReadFile(filepath.Join(c.dir, f.in)); err != nil || !bytes.Equal(got, f.input) {
				t.Errorf("input %s: %d bytes, %v", f.in, len(got), err)
			}
		}
		fresh += c.checkDestination(t, f, complete)
	}
	err := filepath.WalkDir(filepath.Join(c.dir, "tree"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || known[path] {
			return err
		}
		end := strings.LastIndex(path, ".esdk-") + len(".esdk-")
		if f, ok := hidden[path[:end]]; !ok {
			t.Errorf("%s: no input, destination or temporary file", path)
		} else {
			c.checkTemporary(t, path, f)
		}
		temporary = append(temporary, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !complete {
		c.temporary += len(temporary)
	}
	return fresh, temporary
}

// checkTemporary checks that other users can't read a temporary file, unless
// it's empty because it has just been created, or it's a complete message about
// to be renamed.
func (c *crash) checkTemporary(t *testing.T, path string, f crashFile) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() == 0o600 || info.Size() == 0 && c.out == encryptedSuffix {
		return
	}
	got, err := os.ReadFile(path)
	if c.out != encryptedSuffix || errors.Join(err, c.whole(got, f.plaintext)) != nil {
		t.Errorf("%s has mode %v", path, info.Mode())
	}
}

// checkDestination returns 1 if a destination has a new result.
func (c *crash) checkDestination(t *testing.T, f crashFile, complete bool) int {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(c.dir, f.out))
	switch {
	case !complete && f.prior == nil && errors.Is(err, fs.ErrNotExist):
		c.absent++
		return 0
	case err != nil:
		t.Errorf("%s: %v", f.out, err)
		return 0
	case !complete && f.prior != nil && bytes.Equal(got, f.prior):
		c.old++
		return 0
	}
	if err := c.whole(got, f.plaintext); err != nil {
		t.Errorf("%s: neither as it was nor whole: %v", f.out, err)
	}
	if !complete {
		c.fresh++
	}
	return 1
}
