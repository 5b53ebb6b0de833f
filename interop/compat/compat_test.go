// Package compat runs this module's front-end and the Python program whose
// arguments it takes on the same shell scripts.
package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/esdktest/kmssim"
)

// A program is one of the two, in a directory of its own, under the name that
// scripts use.
type program struct{ name, folder string }

// A bench has the programs and the environment of all scripts.
type bench struct {
	ours, python program
	env          []string
}

func newBench(t *testing.T) *bench {
	python := os.Getenv("ESDK_AWS_CLI")
	if python == "" {
		t.Skip("ESDK_AWS_CLI does not name the Python program; interop/compat/run.sh installs it")
	}
	dir := t.TempDir()
	esdk := filepath.Join(dir, "esdk")
	build := exec.Command("go", "build", "-o", esdk, ".")
	build.Dir = "../../cmd/esdk"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := &bench{ours: program{"ours", filepath.Join(dir, "ours")}, python: program{"python", filepath.Join(dir, "python")}}
	for target, p := range map[string]program{esdk: b.ours, python: b.python} {
		if err := os.Mkdir(p.folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(p.folder, "aws-encryption-cli")); err != nil {
			t.Fatal(err)
		}
		// Scripts also use its own name, for input that the other program can't
		// make.
		if err := os.Symlink(esdk, filepath.Join(p.folder, "esdk")); err != nil {
			t.Fatal(err)
		}
	}
	b.env = b.environment(t)
	return b
}

// environment returns variables with the keys, and without the user's own
// settings.
func (b *bench) environment(t *testing.T) []string {
	s := kmssim.New()
	t.Cleanup(s.Close)
	const west, europe = "us-west-2", "eu-west-1"
	mrk := s.CreateMultiRegionKey(west, types.KeySpecSymmetricDefault)
	key := s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.CreateAlias(west, "alias/app", key)
	s.CreateAlias(west, "alias/both", key)
	s.CreateAlias(europe, "alias/both", s.CreateKey(europe, types.KeySpecSymmetricDefault))
	env := []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_REGION=" + west, "AWS_DEFAULT_REGION=" + west, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_MAX_ATTEMPTS=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1",
		"AWS_ENDPOINT_URL_KMS=" + s.URL(), "KEY=" + key, "ID=" + key[strings.LastIndexByte(key, '/')+1:],
		"OTHER=" + s.CreateKey(west, types.KeySpecSymmetricDefault), "MRK=" + mrk, "REPLICA=" + s.Replicate(mrk, europe),
		"EUROPE=" + s.CreateKey(europe, types.KeySpecSymmetricDefault), "ACCOUNT=" + strings.Split(key, ":")[4]}
	return env
}

// An outcome is the result of a script.
type outcome struct {
	status         int
	stdout, stderr string
	before, after  map[string]string // files with their contents; directories with ""
}

// run runs a shell script in a directory.
func (b *bench) run(t *testing.T, p program, dir, script string) outcome {
	t.Helper()
	before := files(t, dir)
	c := exec.Command("sh", "-c", "umask 022; "+script)
	c.Dir = dir
	c.Env = append(slices.Clone(b.env), "PATH="+p.folder+":"+os.Getenv("PATH"))
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String(), before, files(t, dir)}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if d.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(path)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// changes describes the exit status, and new (+), removed (-) and changed (~)
// files.
func (o outcome) changes() string {
	text := []string{fmt.Sprint(o.status)}
	names := maps.Clone(o.before)
	maps.Copy(names, o.after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, was := o.before[name]
		after, is := o.after[name]
		switch {
		case !was:
			text = append(text, "+"+name)
		case !is:
			text = append(text, "-"+name)
		case before != after:
			text = append(text, "~"+name)
		}
	}
	return strings.Join(text, " ")
}

// newFolder creates a directory with input files. No length is a multiple of
// the frame length, since the Python program refuses to decrypt such messages.
func newFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, length := range map[string]int{"plain": 5001, "short": 13, "empty": 0, "in/a.txt": 100, "in/b.txt": 4097, "in/c.dat": 9000, "in/.hidden": 7, "in/sub/d.txt": 20} {
		text := bytes.Repeat([]byte(name+"\n"), length/len(name)+1)[:length]
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"out", "back"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFolder(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Each program encrypts, and both decrypt the results: with the same files, the
// same metadata and the same exit status.
func TestExamples(t *testing.T) {
	b := newBench(t)
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			encrypted := make(map[string]string)
			outcomes := make(map[string]outcome)
			for _, p := range []program{b.ours, b.python} {
				dir := newFolder(t)
				o := b.run(t, p, dir, e.encrypt)
				if o.status != 0 {
					t.Errorf("%s encrypts with status %d: %s", p.name, o.status, o.stderr)
				}
				encrypted[p.name], outcomes[p.name] = dir, o
			}
			compareEncrypted(t, outcomes["ours"].text(encrypted["ours"]), outcomes["python"].text(encrypted["python"]))
			for from, dir := range encrypted {
				mine, theirs := copyFolder(t, dir), copyFolder(t, dir)
				ours, python := b.run(t, b.ours, mine, e.decrypt), b.run(t, b.python, theirs, e.decrypt)
				if ours.status != 0 {
					t.Errorf("what %s encrypted: ours decrypts with status %d: %s", from, ours.status, ours.stderr)
				}
				compareDecrypted(t, from, ours.text(mine), python.text(theirs))
				if ours.status != python.status {
					t.Errorf("what %s encrypted: status %d, and of the Python program %d: %s", from, ours.status, python.status, python.stderr)
				}
				if got := ours.changes(); got == "0" && ours.stdout == "" {
					t.Errorf("what %s encrypted: nothing came of it", from)
				}
			}
		})
	}
}

// text replaces the directory's name in metadata, and adds the printed output
// to the files.
func (o outcome) text(dir string) map[string]string {
	all := make(map[string]string)
	for name, content := range o.after {
		if strings.HasSuffix(name, ".json") {
			content = strings.ReplaceAll(content, dir, "DIR")
		}
		all[name] = content
	}
	all["stdout"] = strings.ReplaceAll(o.stdout, dir, "DIR")
	return all
}

// compareEncrypted expects files of the same names and lengths, and metadata
// that differs only in random values.
func compareEncrypted(t *testing.T, ours, python map[string]string) {
	t.Helper()
	compareNames(t, "encryption", ours, python)
	for name, content := range ours {
		other := python[name]
		if isMetadata(content) {
			compareMetadata(t, name, content, other, true)
		} else if len(content) != len(other) && len(content) != len(withNewline(other)) {
			t.Errorf("%s has %d bytes, and of the Python program %d", name, len(content), len(other))
		}
	}
}

// withNewline returns Base64 text with our line ending. Binary data may end the
// same way.
func withNewline(text string) string { return text + "\n" }

func compareDecrypted(t *testing.T, from string, ours, python map[string]string) {
	t.Helper()
	compareNames(t, "what "+from+" encrypted", ours, python)
	for name, content := range ours {
		other := python[name]
		if isMetadata(content) {
			compareMetadata(t, name, content, other, false)
		} else if content != other && content != withNewline(other) {
			t.Errorf("what %s encrypted: %s is not that of the Python program", from, name)
		}
	}
}

func compareNames(t *testing.T, what string, ours, python map[string]string) {
	t.Helper()
	if mine, theirs := slices.Sorted(maps.Keys(ours)), slices.Sorted(maps.Keys(python)); !slices.Equal(mine, theirs) {
		t.Errorf("%s: files %q, and of the Python program %q", what, mine, theirs)
	}
}

func isMetadata(content string) bool { return strings.HasPrefix(content, `{"header":`) }

// compareMetadata compares lines as values, ordered by input, since the Python
// program processes files in no particular order.
func compareMetadata(t *testing.T, name, ours, python string, masked bool) {
	t.Helper()
	mine, theirs := records(t, ours, masked), records(t, python, masked)
	if !slices.Equal(mine, theirs) {
		t.Errorf("metadata %s:\n%s\nand of the Python program:\n%s", name, strings.Join(mine, "\n"), strings.Join(theirs, "\n"))
	}
}

// records returns lines in a normal form. If masked, random values of a message
// are replaced by their lengths, and the order of data keys is ignored.
func records(t *testing.T, text string, masked bool) (lines []string) {
	t.Helper()
	for line := range strings.Lines(text) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if masked {
			mask(record)
		}
		normal, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(normal))
	}
	slices.Sort(lines)
	return lines
}

func mask(value any) {
	switch v := value.(type) {
	case []any:
		for _, e := range v {
			mask(e)
		}
	case map[string]any:
		for k, e := range v {
			text, isText := e.(string)
			if isText && slices.Contains([]string{"message_id", "commitment_key", "encrypted_data_key", "aws-crypto-public-key"}, k) {
				v[k] = fmt.Sprintf("%d characters", len(text))
			} else {
				mask(e)
			}
		}
	}
}

// TestDifferences covers the deliberate differences, as listed in docs/cli.md,
// and refused input that both programs treat alike.
func TestDifferences(t *testing.T) {
	b := newBench(t)
	for _, d := range differences {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			dir := newFolder(t)
			if o := b.run(t, b.ours, dir, d.setup); o.status != 0 {
				t.Fatalf("setup: status %d: %s", o.status, o.stderr)
			}
			other := copyFolder(t, dir)
			python := d.python
			if python == "" {
				python = d.ours
			}
			if o := b.run(t, b.ours, dir, d.script); o.changes() != d.ours {
				t.Errorf("ours: %s, want %s: %s", o.changes(), d.ours, o.stderr)
			}
			if o := b.run(t, b.python, other, d.script); o.changes() != python {
				t.Errorf("python: %s, want %s: %s", o.changes(), python, o.stderr)
			}
		})
	}
}
