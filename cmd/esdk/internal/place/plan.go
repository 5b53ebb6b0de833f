package place

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// check refuses what contradicts.
func (o *OutputOptions) check() error {
	if o.Force && o.NoClobber {
		return cli.UsageError("--force and --no-clobber contradict each other")
	}
	if o.InPlace && (o.Path != "" || o.Force || o.NoClobber) {
		return cli.UsageError("--in-place says where results go; -o, --force and --no-clobber contradict it")
	}
	return nil
}

// Plan finds the output for each input, and refuses, before any work, what
// cannot be written. The function names the result of a file.
func (p *Planner) Plan(ctx context.Context, inputs []string, o *OutputOptions, rename func(string) string) ([]Job, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.real = make(realPaths)
	if err := p.parseOutput(ctx, o); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.Path); err == nil && o.Path != "" {
		o.results = info
	}
	jobs, trees, err := p.planInputs(ctx, inputs, &o.InputOptions)
	if err != nil {
		return nil, err
	}
	var to *tree
	below := slices.ContainsFunc(jobs, func(j Job) bool { return j.Source.Below() })
	if below && o.object != nil {
		o.object = o.object.Folder()
	} else if below || len(trees) > 0 {
		if to, err = planTrees(trees, o); err != nil {
			return nil, err
		}
	}
	folder := to != nil || o.isFolder()
	if len(jobs) > 1 && o.Path != "" && !folder {
		err := cli.UsageError("%d inputs need a folder for -o, and %s is none", len(jobs), cli.Printable(o.Path))
		if o.results == nil && o.Path != cli.Standard && o.object == nil {
			err = err.WithHint("make the folder first")
		}
		return nil, err
	}
	for i := range jobs {
		if err := p.planOutput(ctx, &jobs[i], o, folder, to, rename); err != nil {
			return nil, err
		}
	}
	return jobs, checkCollisions(jobs, o)
}

// parseOutput opens the bucket that -o names, if it does.
func (p *Planner) parseOutput(ctx context.Context, o *OutputOptions) (err error) {
	if object.IsURL(o.Path) {
		o.object, err = p.Buckets.Parse(ctx, o.Path)
		return err
	}
	o.Path, err = parseFileURL(o.Path)
	return err
}

// isFolder reports whether -o names a folder, which it may not yet if folders are
// inputs.
func (o *OutputOptions) isFolder() bool {
	if o.object != nil {
		return o.object.IsFolder()
	}
	return cli.IsFolder(o.Path)
}

// planTrees returns the tree that takes the results of others, or nil if they go
// beside the inputs.
func planTrees(trees []*tree, o *OutputOptions) (*tree, error) {
	if o.Path == "" {
		if o.Symlinks == "follow" {
			return nil, cli.UsageError("--symlinks follow needs -o FOLDER: a file with two names would get two results beside it")
		}
		return nil, nil
	}
	if o.Path == cli.Standard || o.results != nil && !o.results.IsDir() {
		return nil, cli.UsageError("the results of a folder need a folder for -o, and %s is none", cli.Printable(o.Path))
	}
	for _, t := range trees {
		if info, err := t.root.Stat("."); err == nil && o.results != nil && os.SameFile(info, o.results) {
			return nil, cli.UsageError("-o names the folder %s itself: without -o, results go beside the files", cli.Printable(t.path))
		}
		if o.Symlinks == "follow" && (atomicfile.IsInside(t.path, o.Path) || atomicfile.IsInside(o.Path, t.path)) {
			return nil, cli.UsageError("--symlinks follow needs an -o FOLDER apart from %s", cli.Printable(t.path))
		}
	}
	if o.results != nil {
		return openTree(o.Path)
	}
	// It is made for the first result.
	if err := atomicfile.CheckAbsent(o.Path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(o.Path)); err != nil {
		return nil, err
	}
	return newTree(cli.Join(filepath.Split(filepath.Clean(o.Path)))), nil
}

// planOutput finds the output of an input.
func (p *Planner) planOutput(ctx context.Context, j *Job, o *OutputOptions, folder bool, to *tree, rename func(string) string) error {
	if j.Err != nil || j.Skip != "" {
		return nil
	}
	entry, inTree := j.Source.(*treeEntry)
	standard := j.Source.Name() == cli.Standard
	switch {
	case o.object != nil, j.Source.Remote() && o.Path == "":
		return p.planObject(ctx, j, o, folder, rename)
	case inTree && to == nil:
		return p.planBeside(j, entry, o, rename)
	case to != nil && !standard:
		return p.planBelow(j, entry, o, to, rename)
	case o.InPlace:
		return p.planInPlace(j, o)
	case o.Path == cli.Standard:
		return p.planStdout(j)
	case folder && standard:
		return cli.UsageError("standard input has no name for a file in folder %s", o.Path)
	case folder:
		name, err := j.Source.localName()
		if err != nil {
			return err
		}
		return p.planFile(j, cli.Join(o.Path, filepath.Base(rename(name))), o)
	case o.Path != "":
		return p.planFile(j, o.Path, o)
	case standard || j.Special():
		return p.planStdout(j)
	}
	name := rename(j.Source.Name())
	if name == j.Source.Name() {
		return noPlace(j)
	}
	if name == cli.Standard { // of a part
		return p.planStdout(j)
	}
	return p.planFile(j, name, o)
}

// ErrNoPlace is that nothing says where a result goes.
var ErrNoPlace = errors.New("-o PATH")

func noPlace(j *Job) error {
	return cli.UsageError("where does the result of %s go? Give %w", cli.Printable(j.Source.Name()), ErrNoPlace)
}

// planInPlace replaces a file, and not a link to it.
func (p *Planner) planInPlace(j *Job, o *OutputOptions) error {
	if j.Special() {
		return cli.UsageError("--in-place is for files, and %s is none", cli.Printable(j.Source.Name()))
	}
	path, err := filepath.EvalSymlinks(j.Source.Name())
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	path = cli.Join(filepath.Split(path)) // a file may be called as standard output is
	j.Target = &fileTarget{p.Pending, path, true, o.real}
	return p.checkProtected(j, info)
}

// checkProtected refuses to overwrite a file that holds a key.
func (p *Planner) checkProtected(j *Job, output fs.FileInfo) error {
	if p.Protected.Has(output) {
		return cli.NewError(cli.ExitNotWritten, "%s is a key or configuration file", j.Output())
	}
	return nil
}

func (p *Planner) planStdout(j *Job) error {
	j.Target = &stdout{p.UI.Stdout}
	if out, err := p.UI.Stdout.Stat(); err == nil && out.Mode().IsRegular() && os.SameFile(out, j.Source.Info()) {
		return cli.NewError(cli.ExitNotWritten, "standard output is the input")
	}
	return nil
}

// planFile refuses to overwrite what must not be.
func (p *Planner) planFile(j *Job, path string, o *OutputOptions) error {
	j.Target = &fileTarget{p.Pending, path, o.Force, o.real}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return cli.NewError(cli.ExitNotWritten, "%s is a folder", path)
	}
	if err == nil && !info.Mode().IsRegular() {
		j.Target = &device{path, o.real}
		return nil
	}
	if err == nil {
		if os.SameFile(info, j.Source.Info()) {
			return cli.NewError(cli.ExitNotWritten, "%s is both input and output", path)
		}
		if err := p.checkProtected(j, info); err != nil {
			return err
		}
	}
	return j.checkAbsent(atomicfile.CheckAbsent(path), o)
}

// checkAbsent takes what a look at the output has said. A file that exists is skipped,
// replaced, or a reason to do nothing at all. Any other error is one of this job.
func (j *Job) checkAbsent(err error, o *OutputOptions) error {
	switch existing := errors.Is(err, fs.ErrExist); {
	case existing && o.NoClobber:
		j.Skip = SkipExists
	case existing && !o.Force:
		return err
	case !existing:
		j.Err = err
	}
	return nil
}

// planBeside finds the output of an entry of a tree in the same tree.
func (p *Planner) planBeside(j *Job, e *treeEntry, o *OutputOptions, rename func(string) string) error {
	name := e.name
	if !o.InPlace {
		if name = rename(e.name); name == e.name {
			return noPlace(j)
		}
	}
	return p.planInTree(j, &treeTarget{p.Pending, e.tree, name, e.tree, o.Force || o.InPlace}, o)
}

// planBelow finds the output of an input in the tree that takes the results. The
// entry is nil if the input is in no tree.
func (p *Planner) planBelow(j *Job, e *treeEntry, o *OutputOptions, to *tree, rename func(string) string) error {
	name, err := j.Source.localName()
	if err != nil {
		j.Err = err
		return nil
	}
	if name = rename(name); !j.Source.Below() {
		name = filepath.Base(name)
	}
	target := &treeTarget{p.Pending, to, name, nil, o.Force || o.InPlace}
	if e != nil {
		target.from = e.tree
	}
	return p.planInTree(j, target, o)
}

// planInTree looks at the output in a tree.
func (p *Planner) planInTree(j *Job, target *treeTarget, o *OutputOptions) error {
	j.Target = target
	if target.tree.root == nil {
		return nil
	}
	info, err := target.tree.root.Lstat(target.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		j.Err = err
		return nil
	}
	if err := p.checkProtected(j, info); err != nil || o.InPlace {
		return err
	}
	if !j.Source.Below() && os.SameFile(info, j.Source.Info()) {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.Output())
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		j.Err = cli.NewError(cli.ExitNotWritten, "%s exists, and is not a file", j.Output())
		return nil
	}
	return j.checkAbsent(atomicfile.Exists(j.Output()), o)
}

// planObject finds the output of an input in a bucket: what -o names, or beside
// the input.
func (p *Planner) planObject(ctx context.Context, j *Job, o *OutputOptions, folder bool, rename func(string) string) error {
	source, _ := j.Source.(*objectSource)
	var result *object.Object
	switch {
	case o.InPlace:
		result = source.Object
	case o.object == nil:
		key := rename(source.Key)
		if key == cli.Standard { // of a part
			return p.planStdout(j)
		}
		if key == source.Key {
			return noPlace(j)
		}
		result = source.With(key)
	case folder && j.Source.Name() == cli.Standard:
		return cli.UsageError("standard input has no name for an object in folder %s", o.object)
	case folder:
		result = o.object.With(o.object.Key + rename(j.Source.keyName()))
	default:
		result = o.object
	}
	target := &objectTarget{result, p.Pending, o.Force, o.InPlace, j.Size()}
	if j.Special() {
		target.size = -1
	}
	j.Target = target
	if o.InPlace {
		return nil
	}
	if !utf8.ValidString(result.Key) {
		j.Err = cli.NewError(cli.ExitNotWritten, "%s: a key of an object must be UTF-8", j.Output())
		return nil
	}
	if source != nil && source.ID() == result.ID() {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.Output())
	}
	return j.checkNoObject(ctx, result, o)
}

// checkNoObject looks whether the output exists. Who may not look is told by the
// store when the object is made, unless that is to be skipped.
func (j *Job) checkNoObject(ctx context.Context, result *object.Object, o *OutputOptions) error {
	if o.Force {
		return nil
	}
	exists, err := o.known.has(ctx, j, result, o)
	switch {
	case err != nil && o.NoClobber:
		j.Err = result.Explain(err)
	case err == nil && exists:
		return j.checkAbsent(atomicfile.Exists(j.Output()), o)
	}
	return nil
}

// objectSets are the keys of folders that were listed, so that not each object in
// them is asked for.
type objectSets map[string]objectSet

type objectSet struct {
	keys map[string]bool
	err  error // if they could not be listed
}

func (s *objectSets) has(ctx context.Context, j *Job, result *object.Object, o *OutputOptions) (bool, error) {
	if !j.Source.Below() {
		return result.Exists(ctx)
	}
	folder := o.object
	if folder == nil {
		folder = j.Source.(*objectSource).folder()
	}
	keys, ok := (*s)[folder.ID()]
	if !ok {
		entries, err := folder.List(ctx)
		keys = objectSet{err: err, keys: make(map[string]bool)}
		for _, e := range entries {
			keys.keys[e.Key] = true
		}
		if *s == nil {
			*s = make(objectSets)
		}
		(*s)[folder.ID()] = keys
	}
	return keys.keys[result.Key], keys.err
}
