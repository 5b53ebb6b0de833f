package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	gremlins = "github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0"

	// timeoutCoefficient bounds the tests of a mutant, in runs of the package's
	// own tests; see shim.go for the shortest one.
	timeoutCoefficient = 3
)

// A tester tests packages of one module.
type tester struct {
	module string // the module's directory
	temp   string
	copied string // a copy of the module, below temp
	env    []string
}

// newTester installs gremlins, and copies the module.
func newTester(module string) (*tester, error) {
	temp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	t := &tester{module: module, temp: temp, copied: filepath.Join(temp, "module")}
	if err := errors.Join(t.setEnv(), t.install(), copyModule(t.copied, module)); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tester) close() { os.RemoveAll(t.temp) }

// setEnv puts the shim first into the path. The vectors are named by an
// absolute path, since gremlins tests copies in other directories. A mutant is
// dead once one test fails.
func (t *tester) setEnv() error {
	realGo, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Join(t.temp, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(self, filepath.Join(bin, shimName))); err != nil {
		return err
	}
	vectors := os.Getenv("ESDK_VECTORS")
	if vectors == "" {
		vectors = filepath.Join(t.module, "..", "shared", "vectors")
	}
	t.env = append(os.Environ(), "GOFLAGS=-short -failfast -vet=off", "CGO_ENABLED=0", "ESDK_VECTORS="+vectors, shimEnv+"="+realGo,
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return nil
}

func (t *tester) install() error {
	cmd := exec.Command("go", "install", gremlins)
	cmd.Env = append(os.Environ(), "GOBIN="+t.temp)
	return quiet(cmd)
}

// quiet runs a command whose output matters only if it fails.
func quiet(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// copyModule copies a module's files, except for files that no test needs.
func copyModule(to, from string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch target := filepath.Join(to, rel); {
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, rel):
			return filepath.SkipDir
		case d.IsDir():
			return os.Mkdir(target, 0o755)
		case !d.Type().IsRegular():
			return nil
		default:
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(target, b, 0o644)
		}
	})
}

// test measures a package.
func (t *tester) test(pkg string) (*result, error) {
	r := &result{Package: pkg}
	if err := t.cover(r); err != nil {
		return nil, err
	}
	return r, t.mutate(r)
}

// cover measures the coverage in the copy. A test that fails there would also
// fail for each mutant, since gremlins tests copies, and seem to kill them all.
func (t *tester) cover(r *result) error {
	profile := filepath.Join(t.temp, "cover")
	cmd := exec.Command("go", "test", "-count=1", "-coverprofile", profile, "./"+r.Package)
	cmd.Dir, cmd.Env = t.copied, append(slices.Clone(t.env), "PATH="+os.Getenv("PATH"))
	if err := quiet(cmd); err != nil {
		return err
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		return err
	}
	return t.readProfile(r, string(text))
}

// readProfile reads lines of the form "esdk/file.go:1.2,3.4 5 6": a block, the
// count of its statements, and how often they ran.
func (t *tester) readProfile(r *result, profile string) error {
	for line := range strings.Lines(profile) {
		if strings.HasPrefix(line, "mode:") {
			continue
		}
		file, rest, _ := strings.Cut(line, ":")
		var first, statements, runs, ignored int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &first, &ignored, &ignored, &ignored, &statements, &runs); err != nil {
			return fmt.Errorf("coverage profile: %s: %w", line, err)
		}
		r.Statements += statements
		if runs > 0 {
			r.Covered += statements
			continue
		}
		if err := t.find(&r.Found, r.Package, path.Base(file), kindCover, first); err != nil {
			return err
		}
	}
	return nil
}

// find adds a finding at a line of a file of a package.
func (t *tester) find(to *[]located, pkg, file, kind string, line int) error {
	file = path.Join(pkg, file)
	text, err := lineOf(filepath.Join(t.module, file), line)
	if err != nil {
		return err
	}
	*to = append(*to, located{finding{file, kind, text}, line})
	return nil
}

func lineOf(name string, line int) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for range line {
		if !lines.Scan() {
			return "", fmt.Errorf("%s has no line %d", name, line)
		}
	}
	return strings.TrimSpace(lines.Text()), nil
}

// mutate runs gremlins, without files in directories below. Its --test-cpu
// must not be used: version 0.6.0 passes it as one argument, "-cpu 2", which
// each test refuses, so that each mutant seems killed.
func (t *tester) mutate(r *result) error {
	out := filepath.Join(t.temp, "gremlins.json")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(t.temp, "gremlins"), "unleash", "--exclude-files", "/", "--output", out,
		"--output-statuses", "lt", "--timeout-coefficient", strconv.Itoa(timeoutCoefficient), "./"+r.Package)
	cmd.Dir, cmd.Env, cmd.Stderr = t.module, t.env, os.Stderr
	if log, err := cmd.Output(); err != nil {
		return fmt.Errorf("gremlins: %w\n%s", err, log)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return fmt.Errorf("gremlins found no mutants: %w", err)
	}
	return t.readMutants(r, b)
}

// report is the part of gremlins' output that counts.
type report struct {
	Files []struct {
		Name      string `json:"file_name"`
		Mutations []struct {
			Type, Status string
			Line         int
		}
	}
}

func (t *tester) readMutants(r *result, b []byte) error {
	var report report
	if err := json.Unmarshal(b, &report); err != nil {
		return err
	}
	for _, file := range report.Files {
		for _, m := range file.Mutations {
			switch m.Status {
			case "KILLED":
				r.Killed++
			case "TIMED OUT":
				r.TimedOut++
				if err := t.find(&r.Slow, r.Package, file.Name, m.Type, m.Line); err != nil {
					return err
				}
			case "NOT COVERED", "NOT VIABLE":
			case "LIVED":
				r.Lived++
				if err := t.find(&r.Found, r.Package, file.Name, m.Type, m.Line); err != nil {
					return err
				}
			default:
				return fmt.Errorf("gremlins: a mutant of %s is %s", file.Name, m.Status)
			}
		}
	}
	return nil
}
