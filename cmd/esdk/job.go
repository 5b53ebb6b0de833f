package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// A job is one input and where its result goes.
type job struct {
	input  string // "-" is standard input
	output string // "-" is standard output, "" nowhere
	stream bool   // the output is a pipe or device, not a file to be made
	skip   bool

	special bool  // the input is not a regular file
	size    int64 // of the input, 0 if it is special
}

const (
	standard        = "-"
	encryptedSuffix = ".encrypted"
	decryptedSuffix = ".decrypted"
)

// outputOptions say where results go.
type outputOptions struct {
	path             string
	force, noClobber bool
	inPlace          bool // of reencrypt: the result takes the place of the input
}

func (o *outputOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.path, "output", "o", "", "`PATH` of the result: a file, a folder, or - for standard output")
	flags.BoolVar(&o.force, "force", false, "replace existing files")
	flags.BoolVar(&o.noClobber, "no-clobber", false, "skip inputs whose result exists already")
}

// planJobs finds the output for each input, and refuses, before any work, what
// cannot be written. The function names the result of a file.
func (a *app) planJobs(inputs []string, o *outputOptions, rename func(string) string) ([]job, error) {
	if o.force && o.noClobber {
		return nil, usageError("--force and --no-clobber contradict each other")
	}
	if o.inPlace && (o.path != "" || o.force || o.noClobber) {
		return nil, usageError("--in-place says where results go; -o, --force and --no-clobber contradict it")
	}
	if len(inputs) == 0 {
		inputs = []string{standard}
	}
	folder := isFolder(o.path)
	if len(inputs) > 1 && o.path != "" && !folder {
		return nil, usageError("%d inputs need a folder for -o, and %s is none", len(inputs), printable(o.path))
	}
	var jobs []job
	outputs := make(map[string]job)
	for _, input := range inputs {
		j := job{input: input}
		if err := a.planOutput(&j, o, folder, rename); err != nil {
			return nil, err
		}
		name := filepath.Clean(j.output)
		if other, ok := outputs[name]; ok && !j.stream {
			return nil, newError(exitNotWritten, "%s and %s would both be written to %s", other.input, input, j.output)
		}
		outputs[name] = j
		jobs = append(jobs, j)
	}
	for _, input := range inputs {
		// Else what is read would depend on which job is faster.
		if other, ok := outputs[filepath.Clean(input)]; ok && !other.stream && !other.skip && !o.inPlace {
			return nil, newError(exitNotWritten, "%s is an input, and %s would be written to it", input, other.input)
		}
	}
	return jobs, nil
}

// inputJobs are for a command that writes nothing.
func (a *app) inputJobs(inputs []string) ([]job, error) {
	if len(inputs) == 0 {
		inputs = []string{standard}
	}
	var jobs []job
	for _, input := range inputs {
		j := job{input: input}
		if _, err := a.checkInput(&j); err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func (a *app) planOutput(j *job, o *outputOptions, folder bool, rename func(string) string) error {
	info, err := a.checkInput(j)
	if err != nil {
		return err
	}
	switch {
	case o.inPlace:
		return a.planInPlace(j)
	case o.path == standard:
		j.output = standard
	case folder && j.input == standard:
		return usageError("standard input has no name for a file in folder %s", o.path)
	case folder:
		j.output = filepath.Join(o.path, filepath.Base(rename(j.input)))
	case o.path != "":
		j.output = o.path
	case j.input == standard || !info.Mode().IsRegular():
		j.output = standard
	default:
		if j.output = rename(j.input); j.output == "" {
			return usageError("where does the result of %s go? Give -o PATH, or --in-place", printable(j.input))
		}
	}
	return a.checkOutput(j, o, info)
}

// planInPlace has a file be replaced, and not a link to it.
func (a *app) planInPlace(j *job) (err error) {
	if j.special {
		return usageError("--in-place is for files, and %s is none", printable(j.input))
	}
	if j.output, err = filepath.EvalSymlinks(j.input); err != nil {
		return err
	}
	info, err := os.Stat(j.output)
	if err != nil {
		return err
	}
	return a.checkSecrets(j, info)
}

// checkSecrets refuses to overwrite a file that holds a key.
func (a *app) checkSecrets(j *job, output fs.FileInfo) error {
	for _, secret := range a.secrets {
		if os.SameFile(output, secret) {
			return newError(exitNotWritten, "%s is a key or configuration file", j.output)
		}
	}
	return nil
}

// checkInput refuses folders. The file may be nil for standard input.
func (a *app) checkInput(j *job) (fs.FileInfo, error) {
	if j.input == standard {
		j.special = true
		if _, err := a.claimStdin("the input"); err != nil {
			return nil, err
		}
		return a.stdin.Stat()
	}
	info, err := os.Stat(j.input)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, newError(exitError, "%s is a folder", j.input).withHint("name the files in it")
	}
	if j.special = !info.Mode().IsRegular(); !j.special {
		j.size = info.Size()
	}
	return info, nil
}

// checkOutput refuses to overwrite what must not be.
func (a *app) checkOutput(j *job, o *outputOptions, input fs.FileInfo) error {
	if j.output == standard {
		j.stream = true
		if out, err := a.stdout.Stat(); err == nil && out.Mode().IsRegular() && os.SameFile(out, input) {
			return newError(exitNotWritten, "standard output is the input")
		}
		return nil
	}
	info, err := os.Stat(j.output)
	if err == nil && info.IsDir() {
		return newError(exitNotWritten, "%s is a folder", j.output)
	}
	if err == nil && !info.Mode().IsRegular() {
		j.stream = true
		return nil
	}
	if err == nil {
		if os.SameFile(info, input) {
			return newError(exitNotWritten, "%s is both input and output", j.output)
		}
		if err := a.checkSecrets(j, info); err != nil {
			return err
		}
	}
	if err := checkAbsent(j.output); err != nil && !o.force {
		if !o.noClobber {
			return err
		}
		j.skip = true
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func encryptedName(input string) string { return input + encryptedSuffix }

func decryptedName(input string) string {
	if name, ok := strings.CutSuffix(input, encryptedSuffix); ok && filepath.Base(input) != encryptedSuffix {
		return name
	}
	return input + decryptedSuffix
}

// open opens the output of the job. Mode is that of a file.
func (a *app) open(j *job, o *outputOptions, mode fs.FileMode) (output, error) {
	switch {
	case j.output == standard:
		return newStreamOutput(a.stdout), nil
	case j.stream:
		f, err := os.OpenFile(j.output, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return newStreamOutput(f), nil
	}
	return a.newFileOutput(j.output, mode, o.force || o.inPlace)
}

// openInput opens the input of the job.
func (a *app) openInput(j *job) (*os.File, error) {
	if j.input == standard {
		return a.stdin, nil
	}
	return os.Open(j.input)
}
