package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"github.com/spf13/cobra"
)

// A job is one input and where its result goes.
type job struct {
	input  string // "-" is standard input
	output string // "-" is standard output, "" nowhere
	stream bool   // the output is a pipe or device, not a file to be made
	skip   string // why nothing is to be done, "" otherwise
	err    error  // why nothing can be done

	special bool        // the input is not a regular file
	size    int64       // of the input, 0 if it is special
	info    fs.FileInfo // of the input, if it was named itself

	// Below trees, the input and the output by their names there.
	from, to     *tree
	name, target string

	// In buckets, the input and the output. A name is that below a folder there.
	source, result *object.Object
}

const (
	encryptedSuffix = ".encrypted"
	decryptedSuffix = ".decrypted"
)

// exists is why an input is skipped with --no-clobber.
const exists = "its result exists"

// outputOptions say where results go.
type outputOptions struct {
	treeOptions
	path             string
	force, noClobber bool
	inPlace          bool // of reencrypt: the result takes the place of the input

	known objectSets
}

func (o *outputOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&o.path, "output", "o", "", "`PATH` of the result: a file, a folder, or - for standard output")
	flags.BoolVar(&o.force, "force", false, "replace existing files")
	flags.BoolVar(&o.noClobber, "no-clobber", false, "skip inputs whose result exists already")
}

// check refuses what contradicts.
func (o *outputOptions) check() error {
	if o.force && o.noClobber {
		return cli.UsageError("--force and --no-clobber contradict each other")
	}
	if o.inPlace && (o.path != "" || o.force || o.noClobber) {
		return cli.UsageError("--in-place says where results go; -o, --force and --no-clobber contradict it")
	}
	return nil
}

// planJobs finds the output for each input, and refuses, before any work, what
// cannot be written. The function names the result of a file.
func (a *app) planJobs(ctx context.Context, inputs []string, o *outputOptions, rename func(string) string) ([]job, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := a.parseOutput(ctx, o); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.path); err == nil && o.path != "" {
		o.results = info
	}
	jobs, trees, err := a.planInputs(ctx, inputs, &o.treeOptions)
	if err != nil {
		return nil, err
	}
	var to *tree
	if below := slices.ContainsFunc(jobs, job.below); below && o.object != nil {
		o.object = o.object.Folder()
	} else if below || len(trees) > 0 {
		if to, err = a.planTrees(trees, o); err != nil {
			return nil, err
		}
	}
	folder := to != nil || o.isFolder()
	if len(jobs) > 1 && o.path != "" && !folder {
		err := cli.UsageError("%d inputs need a folder for -o, and %s is none", len(jobs), cli.Printable(o.path))
		if o.results == nil && o.path != cli.Standard && o.object == nil {
			err = err.WithHint("make the folder first")
		}
		return nil, err
	}
	for i := range jobs {
		if err := a.planOutput(ctx, &jobs[i], o, folder, to, rename); err != nil {
			return nil, err
		}
	}
	return jobs, checkCollisions(jobs, o)
}

// parseOutput opens the bucket that -o names, if it does.
func (a *app) parseOutput(ctx context.Context, o *outputOptions) (err error) {
	if object.IsURL(o.path) {
		o.object, err = a.buckets.Parse(ctx, o.path)
		return err
	}
	o.path, err = parseFileURL(o.path)
	return err
}

// isFolder reports whether -o names a folder, which it may not yet if folders are
// inputs.
func (o *outputOptions) isFolder() bool {
	if o.object != nil {
		return o.object.IsFolder()
	}
	return isFolder(o.path)
}

// below reports whether the input is in a folder that was named.
func (j job) below() bool { return j.name != "" }

// planInputs finds the inputs, and those of folders with the trees that they are.
func (a *app) planInputs(ctx context.Context, inputs []string, o *treeOptions) (jobs []job, trees []*tree, err error) {
	if inputs, err = a.listInputs(inputs, o); err != nil {
		return nil, nil, err
	}
	for _, input := range inputs {
		if object.IsURL(input) {
			found, err := a.planObjects(ctx, input, o)
			if err != nil {
				return nil, nil, err
			}
			jobs = append(jobs, found...)
			continue
		}
		if input, err = parseFileURL(input); err != nil {
			return nil, nil, err
		}
		j := job{input: input}
		if err := a.checkInput(&j); err != nil {
			return nil, nil, err
		}
		if input == cli.Standard || j.err != nil || !j.info.IsDir() {
			jobs = append(jobs, j)
			continue
		}
		if !o.recursive {
			return nil, nil, cli.NewError(cli.ExitError, "%s is a folder", input).WithHint("-r takes all files in it")
		}
		t, err := openTree(input)
		if err != nil {
			return nil, nil, err
		}
		trees = append(trees, t)
		jobs = append(jobs, t.walk(o)...)
	}
	return jobs, trees, nil
}

// inputJobs are for a command that writes nothing.
func (a *app) inputJobs(ctx context.Context, inputs []string, o *treeOptions) ([]job, error) {
	jobs, _, err := a.planInputs(ctx, inputs, o)
	return jobs, err
}

// checkCollisions refuses outputs that are those of others, or inputs.
func checkCollisions(jobs []job, o *outputOptions) error {
	real := make(realPaths)
	outputs := make(map[string]*job)
	for i := range jobs {
		j := &jobs[i]
		if j.output == "" {
			continue
		}
		name := real.output(j)
		if other, ok := outputs[name]; ok && !j.stream {
			return cli.NewError(cli.ExitNotWritten, "%s and %s would both be written to %s", other.input, j.input, j.output)
		}
		outputs[name] = j
	}
	for i := range jobs {
		// Else what is read would depend on which job is faster.
		j := &jobs[i]
		if j.skip != "" || j.err != nil {
			continue
		}
		if other, ok := outputs[real.input(j)]; ok && !other.stream && other.skip == "" && !o.inPlace {
			return cli.NewError(cli.ExitNotWritten, "%s is an input, and %s would be written to it", j.input, other.input)
		}
	}
	return checkFolders(jobs, real, outputs)
}

// checkFolders refuses an output whose name others need for their folder.
func checkFolders(jobs []job, real realPaths, outputs map[string]*job) error {
	seen := make(map[string]bool)
	for i := range jobs {
		j := &jobs[i]
		if j.to == nil {
			continue
		}
		for dir := filepath.Dir(real.output(j)); len(dir) > len(j.to.real) && !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			if other, ok := outputs[dir]; ok {
				return cli.NewError(cli.ExitNotWritten, "%s would be written to %s, which %s needs for a folder", other.input, other.output, j.input)
			}
		}
	}
	return nil
}

// realPaths tell whether two names are of one file. They remember what the links
// on the way to a folder lead to.
type realPaths map[string]string

func (r realPaths) input(j *job) string {
	if j.source != nil {
		return j.source.ID()
	}
	if j.from != nil {
		return filepath.Join(j.from.real, j.name)
	}
	return r.path(j.input)
}

func (r realPaths) output(j *job) string {
	if j.result != nil {
		return j.result.ID()
	}
	if j.to != nil {
		return filepath.Join(j.to.real, j.target)
	}
	return r.path(j.output)
}

func (r realPaths) path(name string) string {
	if name == cli.Standard {
		return name
	}
	dir := filepath.Dir(name)
	if _, ok := r[dir]; !ok {
		r[dir] = clean(dir)
		if resolved, err := filepath.EvalSymlinks(dir); err == nil {
			r[dir] = clean(resolved)
		}
	}
	return filepath.Join(r[dir], filepath.Base(name))
}

func (a *app) planOutput(ctx context.Context, j *job, o *outputOptions, folder bool, to *tree, rename func(string) string) error {
	switch {
	case j.err != nil || j.skip != "":
		return nil
	case o.object != nil, j.source != nil && o.path == "":
		return j.planObject(ctx, o, folder, rename)
	case j.from != nil, to != nil && j.input != cli.Standard:
		return a.planBelow(j, o, to, rename)
	case o.inPlace:
		return a.planInPlace(j)
	case o.path == cli.Standard:
		j.output = cli.Standard
	case folder && j.input == cli.Standard:
		return cli.UsageError("standard input has no name for a file in folder %s", o.path)
	case folder:
		j.output = cli.Join(o.path, filepath.Base(rename(j.baseName())))
	case o.path != "":
		j.output = o.path
	case j.input == cli.Standard || j.special:
		j.output = cli.Standard
	default:
		if j.output = rename(j.input); j.output == j.input {
			return noPlace(j)
		}
	}
	return a.checkOutput(j, o)
}

// errNoPlace is that nothing says where a result goes.
var errNoPlace = errors.New("-o PATH")

func noPlace(j *job) error {
	return cli.UsageError("where does the result of %s go? Give %w", cli.Printable(j.input), errNoPlace)
}

// planInPlace has a file be replaced, and not a link to it.
func (a *app) planInPlace(j *job) (err error) {
	if j.special {
		return cli.UsageError("--in-place is for files, and %s is none", cli.Printable(j.input))
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
	if a.protected.Has(output) {
		return cli.NewError(cli.ExitNotWritten, "%s is a key or configuration file", j.output)
	}
	return nil
}

// checkInput looks at an input that was named. One that is not there fails alone.
func (a *app) checkInput(j *job) (err error) {
	if j.input == cli.Standard {
		j.special = true
		if _, err := a.ClaimStdin("the input"); err != nil {
			return err
		}
		j.info, err = a.Stdin.Stat()
		return err
	}
	if j.info, j.err = os.Stat(j.input); j.err != nil {
		return nil
	}
	if j.special = !j.info.Mode().IsRegular(); !j.special {
		j.size = j.info.Size()
	}
	return nil
}

// checkOutput refuses to overwrite what must not be.
func (a *app) checkOutput(j *job, o *outputOptions) error {
	if j.output == cli.Standard {
		j.stream = true
		if out, err := a.Stdout.Stat(); err == nil && out.Mode().IsRegular() && os.SameFile(out, j.info) {
			return cli.NewError(cli.ExitNotWritten, "standard output is the input")
		}
		return nil
	}
	info, err := os.Stat(j.output)
	if err == nil && info.IsDir() {
		return cli.NewError(cli.ExitNotWritten, "%s is a folder", j.output)
	}
	if err == nil && !info.Mode().IsRegular() {
		j.stream = true
		return nil
	}
	if err == nil {
		if os.SameFile(info, j.info) {
			return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.output)
		}
		if err := a.checkSecrets(j, info); err != nil {
			return err
		}
	}
	return j.checkAbsent(atomicfile.CheckAbsent(j.output), o)
}

// checkAbsent takes what a look at the output has said, and has a file that exists
// be skipped, replaced, or be a reason to do nothing at all. Any other error is
// one of this job.
func (j *job) checkAbsent(err error, o *outputOptions) error {
	switch existing := errors.Is(err, fs.ErrExist); {
	case existing && o.noClobber:
		j.skip = exists
	case existing && !o.force:
		return err
	case !existing:
		j.err = err
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func decryptedName(input, suffix string) string {
	if name, ok := strings.CutSuffix(input, suffix); ok && filepath.Base(input) != suffix {
		return name
	}
	return input + decryptedSuffix
}

// open opens the output of the job. Mode is that of a file.
func (a *app) open(ctx context.Context, j *job, o *outputOptions, mode fs.FileMode) (output, error) {
	switch {
	case j.result != nil:
		return a.createObject(ctx, j, o)
	case j.to != nil:
		return fileOutput(j.to.results(a.pending).Create(j.target, mode, func(name string) fs.FileMode { return folderMode(j.from, name, mode) }, o.force || o.inPlace))
	case j.output == cli.Standard:
		return newStreamOutput(a.Stdout), nil
	case j.stream:
		f, err := os.OpenFile(j.output, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return newStreamOutput(f), nil
	}
	return fileOutput(a.pending.Create(j.output, mode, o.force || o.inPlace))
}

// openInput opens the input of the job.
func (a *app) openInput(ctx context.Context, j *job) (input, error) {
	switch {
	case j.source != nil:
		return openObject(ctx, j)
	case j.from != nil:
		return j.from.openFile(j.name)
	case j.input == cli.Standard:
		return a.Stdin, nil
	}
	return os.Open(j.input)
}

// fileOutput makes an error no output, rather than one that is a nil pointer.
func fileOutput(f *atomicfile.File, err error) (output, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// parseFileURL returns the path of a file:// URL, or the name itself if it is
// none.
func parseFileURL(name string) (string, error) {
	if !strings.HasPrefix(name, "file://") {
		return name, nil
	}
	u, err := url.Parse(name)
	if err != nil || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", cli.UsageError("%s: want file:///PATH, with %%25, %%3F and %%23 for a percent sign, question mark and number sign", cli.Printable(name))
	}
	return filePath(u.Path), nil
}

// An input is what a job reads.
type input interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

func openObject(ctx context.Context, j *job) (input, error) {
	info, _ := j.info.(*object.Info)
	r, err := j.source.Open(ctx, info)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (a *app) createObject(ctx context.Context, j *job, o *outputOptions) (output, error) {
	c := object.CreateOptions{Replace: o.force, InPlace: o.inPlace, Size: j.size, SideBySide: a.sideBySide}
	if j.special {
		c.Size = -1
	}
	w, err := j.result.Create(ctx, a.pending, c)
	if err != nil {
		return nil, err
	}
	return w, nil
}
