package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"esdk/bench/internal/p384"
)

// A timed is the time of a command in each round.
type timed struct {
	Name    string
	Seconds []float64
	RSS     int64 // the peak resident memory of all rounds
	Note    string
}

type commands struct {
	FileSize   int
	Files      int // in the tree
	FileSystem string
	Timed      []timed
}

func (c *commands) find(name string) *timed {
	i := slices.IndexFunc(c.Timed, func(t timed) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Timed[i]
}

// measured reports whether a command was timed, and did not fail in any round.
func (t *timed) measured() bool { return t != nil && t.Note == "" && len(t.Seconds) > 0 }

// A job is a timed command.
type job struct {
	name  string
	reset string   // a file or directory that must not exist yet
	needs []string // programs
	run   func() (rss int64, err error)
}

// workshop is the place where commands are timed.
type workshop struct {
	dir, bin string
	out      *commands
	log      io.Writer
	aside    int // directories of earlier rounds
}

func (w *workshop) path(name string) string    { return filepath.Join(w.dir, name) }
func (w *workshop) program(name string) string { return filepath.Join(w.bin, name) }

// measureCommands times the commands on a large file, on a tree of small ones,
// and on nothing.
func measureCommands(dir, bin string, fileSize, files, rounds int, log io.Writer) (commands, error) {
	began := time.Now()
	out := commands{FileSize: fileSize, Files: files, FileSystem: fileSystem(dir)}
	w := &workshop{dir: dir, bin: bin, out: &out, log: log}
	if err := w.makeInputs(); err != nil {
		return out, err
	}
	for range 10 * rounds {
		w.time(w.startUps())
	}
	for range rounds {
		w.time(w.fileJobs())
	}
	for round := range rounds {
		w.time(w.treeJobs(round))
	}
	fmt.Fprintf(log, "%-20s %6.1f s\n", "commands", time.Since(began).Seconds())
	return out, nil
}

func (w *workshop) makeInputs() error {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	if err := os.WriteFile(w.path("key"), key, 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(w.program("age-keygen")); err == nil {
		if _, err := run(w.program("age-keygen"), "-o", w.path("age.key")); err != nil {
			return err
		}
	}
	block := slices.Repeat(key, mib/len(key))
	if err := writeFile(w.path("file"), block, w.out.FileSize); err != nil {
		return err
	}
	if err := os.Mkdir(w.path("tree"), 0o755); err != nil {
		return err
	}
	for i := range w.out.Files {
		if err := os.WriteFile(w.path(fmt.Sprintf("tree/file-%05d", i)), block[:4*kib], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, block []byte, size int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for size > 0 {
		n := min(size, len(block))
		if _, err := f.Write(block[:n]); err != nil {
			return err
		}
		size -= n
	}
	return f.Sync()
}

// time runs each job once. Earlier output is already on the disk, and doesn't
// slow them.
func (w *workshop) time(jobs []job) {
	for _, j := range jobs {
		t := w.out.find(j.name)
		if t == nil {
			w.out.Timed = append(w.out.Timed, timed{Name: j.name})
			t = &w.out.Timed[len(w.out.Timed)-1]
		}
		if t.Note != "" {
			continue
		}
		if t.Note = w.missing(j); t.Note != "" {
			continue
		}
		if j.reset != "" {
			w.clear(j.reset)
		}
		began := time.Now()
		rss, err := j.run()
		if err != nil {
			t.Note = "failed"
			fmt.Fprintf(w.log, "%s: %v\n", j.name, err)
			continue
		}
		t.Seconds = append(t.Seconds, time.Since(began).Seconds())
		t.RSS = max(t.RSS, rss)
	}
}

// clear removes a file, or moves a directory aside until the end: ext4 doesn't
// use an inode within five seconds after it was freed, and the search for
// others takes longer than making a tree does.
func (w *workshop) clear(path string) {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		w.aside++
		os.Rename(path, w.path(fmt.Sprintf("aside-%d", w.aside)))
	} else {
		os.Remove(path)
	}
	syscall.Sync()
}

func (w *workshop) missing(j job) string {
	for _, program := range j.needs {
		if _, err := os.Stat(w.program(program)); err != nil {
			return errNotInstalled.Error()
		}
	}
	return ""
}

func (w *workshop) startUps() []job {
	return []job{w.command("esdk version", "", "esdk-command", "version"), w.command("age --version", "", "age-command", "--version")}
}

// command returns a job that runs a program.
func (w *workshop) command(name, reset, program string, args ...string) job {
	return job{name, reset, []string{program}, func() (int64, error) { return run(w.program(program), args...) }}
}

// The names of the jobs that have targets.
const (
	jobCopy     = "copy and sync"
	jobEncrypt  = "esdk encrypt --unsigned"
	jobDecrypt  = "esdk decrypt, unsigned"
	jobAge      = "age encrypt, no sync"
	jobAgeSync  = "age encrypt, then sync"
	jobAgeBack  = "age decrypt, no sync"
	jobAgeBackS = "age decrypt, then sync"
	jobStart    = "esdk version"
	jobTreeCopy = "copy, tree, two files at once, no sync"
	jobSign     = "signatures of the tree, all cores"
	jobVerify   = "verifications of the tree, all cores"
)

func (w *workshop) fileJobs() []job {
	key := "aes:bench/aes256@" + w.path("key")
	file, back := w.path("file"), w.path("back")
	unsigned, signed, age := w.path("unsigned"), w.path("signed"), w.path("age")
	return []job{
		w.command(jobEncrypt, unsigned, "esdk-command", "encrypt", "-q", "-k", key, "--unsigned", "-o", unsigned, file),
		{jobCopy, back, nil, func() (int64, error) { return 0, copyAndSync(back, file) }},
		w.command(jobDecrypt, back, "esdk-command", "decrypt", "-q", "-k", key, "-o", back, unsigned),
		w.command("esdk encrypt", signed, "esdk-command", "encrypt", "-q", "-k", key, "-o", signed, file),
		w.command("esdk decrypt", back, "esdk-command", "decrypt", "-q", "-k", key, "-o", back, signed),
		w.command(jobAge, age, "age-command", "-e", "-i", w.path("age.key"), "-o", age, file),
		w.synced(jobAgeSync, age, "-e", "-i", w.path("age.key"), "-o", age, file),
		w.command(jobAgeBack, back, "age-command", "-d", "-i", w.path("age.key"), "-o", back, age),
		w.synced(jobAgeBackS, back, "-d", "-i", w.path("age.key"), "-o", back, age),
	}
}

// synced adds to age, which leaves its output in the system's cache, the sync
// that esdk does.
func (w *workshop) synced(name, out string, args ...string) job {
	return job{name, out, []string{"age-command"}, func() (int64, error) {
		rss, err := run(w.program("age-command"), args...)
		if err != nil {
			return 0, err
		}
		return rss, syncFile(out)
	}}
}

// treeJob returns the name of a job on the tree.
func treeJob(program, op, suite string) string {
	return program + " " + op + ", tree, " + suiteText(suite)
}

const (
	ourCommand      = "esdk"
	officialCommand = "aws-encryption-cli"
)

// treeJobs write to directories of the round's own: after the removal of many
// files, some file systems create others slowly.
func (w *workshop) treeJobs(round int) []job {
	place := func(name string) string { return w.path(fmt.Sprintf("%s.%d", name, round)) }
	tree, key := w.path("tree"), w.path("key")
	jobs := []job{
		w.into(job{jobTreeCopy, place("copy"), nil, func() (int64, error) { return 0, copyTree(place("copy"), tree) }}),
		{jobSign, "", nil, func() (int64, error) { return 0, p384.Repeat(w.out.Files, p384.Sign) }},
		{jobVerify, "", nil, w.verifyAll},
	}
	for _, suite := range []string{"0478", "0578"} {
		sealed, back := place("sealed-"+suite), place("back-"+suite)
		args := []string{"-q", "-k", "aes:bench/aes256@" + key, "-o"}
		jobs = append(jobs,
			w.tree(treeJob(ourCommand, "encrypt", suite), sealed, tree, append([]string{"encrypt", "--suite", suite}, append(args, sealed)...)...),
			w.tree(treeJob(ourCommand, "decrypt", suite), back, sealed, append([]string{"decrypt"}, append(args, back)...)...))
		sealed, back = place("cli-"+suite), place("cliback-"+suite)
		algorithm := map[string]string{"0478": "AES_256_GCM_HKDF_SHA512_COMMIT_KEY", "0578": "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"}[suite]
		jobs = append(jobs,
			w.into(w.command(treeJob(officialCommand, "encrypt", suite), sealed, officialCommand, w.officialArgs("--encrypt", tree, sealed, "--algorithm", algorithm)...)),
			w.into(w.command(treeJob(officialCommand, "decrypt", suite), back, officialCommand, w.officialArgs("--decrypt", sealed, back)...)))
	}
	return jobs
}

func (w *workshop) officialArgs(mode, in, out string, more ...string) []string {
	args := append([]string{mode, "--recursive", "--suppress-metadata", "--input", in, "--output", out}, more...)
	return append(args, "--wrapping-keys", "provider=bench-raw-aes", "key=aes256", "file="+w.path("key"))
}

// verifyAll verifies as many signatures as the tree has files.
func (w *workshop) verifyAll() (int64, error) {
	verify, err := p384.NewVerify()
	if err != nil {
		return 0, err
	}
	return 0, p384.Repeat(w.out.Files, verify)
}

// copyTree measures the cost of the files themselves.
func copyTree(to, from string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i, half := range [][]os.DirEntry{files[:len(files)/2], files[len(files)/2:]} {
		both.Go(func() {
			for _, f := range half {
				data, err := os.ReadFile(filepath.Join(from, f.Name()))
				if err == nil {
					err = os.WriteFile(filepath.Join(to, f.Name()), data, 0o600)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	both.Wait()
	return errors.Join(errs...)
}

// into creates the output directory of a job first.
func (w *workshop) into(j job) job {
	work := j.run
	j.run = func() (int64, error) {
		if err := os.Mkdir(j.reset, 0o755); err != nil {
			return 0, err
		}
		return work()
	}
	return j
}

// tree passes all files of a directory to a command.
func (w *workshop) tree(name, out, in string, args ...string) job {
	return w.into(job{name, out, []string{"esdk-command"}, func() (int64, error) {
		files, err := filepath.Glob(filepath.Join(in, "*"))
		if err != nil {
			return 0, err
		}
		return run(w.program("esdk-command"), append(args, files...)...)
	}})
}

// run runs a program, and returns its peak resident memory.
func run(program string, args ...string) (int64, error) {
	cmd := exec.Command(program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		text := string(out)
		return 0, fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(text[:min(len(text), 500)]))
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, nil
	}
	return usage.Maxrss << 10, nil
}

func copyAndSync(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

func syncFile(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
