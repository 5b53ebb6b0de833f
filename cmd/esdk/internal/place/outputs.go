package place

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// outputs plans the output of each input.
type outputs struct {
	*Planner
	*OutputOptions

	to      *tree // the tree for results, nil if there is none
	folder  bool  // -o names a directory
	several bool  // more than one input was named
	known   objectSet
	taken   taken
	skipped taken // results of skipped inputs
	beside  folders
}

// open looks at the path given by -o.
func (o *outputs) open(ctx context.Context) (err error) {
	if object.IsURL(o.Path) {
		o.object, err = o.Buckets.Parse(ctx, o.Path)
		return err
	}
	if o.Path, err = parseFileURL(o.Path); err != nil || o.Path == "" {
		return err
	}
	o.Path = standard(o.Path, standardOutput)
	switch info, err := os.Stat(o.Path); {
	case err == nil:
		o.results = info
	case errors.Is(err, syscall.ENOTDIR):
		return cli.NamedFile("-o", err)
	}
	return nil
}

// settle decides whether -o is a directory, once some inputs are known.
func (o *outputs) settle(ahead []Job) error {
	switch {
	case o.object != nil:
		o.folder = o.object.IsFolder()
	case o.Path != "":
		o.folder = o.to != nil || o.results != nil && o.results.IsDir()
	}
	if len(ahead) <= 1 && o.Shard == "" || o.Path == "" || o.folder {
		return nil
	}
	inputs := strconv.Itoa(len(ahead)) + " inputs"
	if o.Shard != "" {
		inputs = "shards" // a shard may have one input, or none
	}
	err := cli.UsageError("%s need a directory for -o, but %s is not one", inputs, cli.Printable(o.Path))
	if o.results == nil && o.Path != cli.Standard && o.object == nil {
		err = err.WithHint("create it first: mkdir -p %s", cli.Quoted(o.Path))
	}
	return err
}

// admitFolder decides where the results of a directory's files go: below -o if
// it is given, otherwise beside the inputs. See InputOptions.admit.
func (o *outputs) admitFolder(t *tree, id string) error {
	if o.object != nil {
		o.object = o.object.Folder()
		return nil
	}
	if o.Path == "" {
		if !o.beside.add(id) {
			return cli.UsageError("%s: the directory is named twice or is inside another input, so each file would get two results", cli.Printable(id))
		}
		if o.Symlinks == "follow" {
			return cli.UsageError("--symlinks follow needs -o DIRECTORY: a file with two names would get two results")
		}
		return nil
	}
	if o.Path == cli.Standard || o.results != nil && !o.results.IsDir() {
		return cli.UsageError("a directory as input needs a directory for -o, but %s is not one", cli.Printable(o.Path))
	}
	if t != nil {
		if info, err := t.root.Stat("."); err == nil && o.results != nil && os.SameFile(info, o.results) {
			return cli.UsageError("-o names the input directory %s: leave out -o to write results beside the files", cli.Printable(t.path))
		}
		if o.Symlinks == "follow" && (atomicfile.IsInside(t.path, o.Path) || atomicfile.IsInside(o.Path, t.path)) {
			return cli.UsageError("--symlinks follow needs an -o DIRECTORY outside %s", cli.Printable(t.path))
		}
	}
	if o.to != nil {
		return nil
	}
	var err error
	o.to, err = o.openResults()
	return err
}

// openResults opens the tree for the results. If it doesn't exist, it's made
// with the first result.
func (o *outputs) openResults() (*tree, error) {
	if o.results != nil {
		return openTree(o.Path)
	}
	if err := atomicfile.CheckAbsent(o.Path); err != nil {
		if info, statErr := os.Lstat(o.Path); statErr == nil && info.IsDir() { // another command has made it
			o.results = info
			return openTree(o.Path)
		}
		return nil, err
	}
	in := filepath.Dir(filepath.Clean(o.Path)) // the path may end with a slash
	switch _, err := os.Stat(in); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.UsageError("directory %s does not exist", cli.Printable(in)).WithHint("create it first: mkdir -p %s", cli.Quoted(in))
	case err != nil:
		return nil, err
	}
	return newTree(cli.Join(filepath.Split(filepath.Clean(o.Path)))), nil
}

// madeFor reports whether a directory has been made for the results.
func (o *outputs) madeFor(id string) bool { return o.to != nil && o.to.real == id }

// plan plans the output of an input. The output must not be a file that keys
// are read from, or one that the command still has to write.
func (o *outputs) plan(ctx context.Context, j *Job) error {
	if j.Err != nil || j.Skip != "" {
		return nil
	}
	if j.look != nil && !o.InPlace { // a skipped input has no result
		j.look(ctx, j)
		if j.look = nil; j.Skip != "" {
			return nil
		}
	}
	if source, ok := j.Source.(*objectSource); ok && o.Update { // its time matters
		if err := source.look(ctx); err != nil {
			j.Err = err
			return nil
		}
	}
	if err := o.planAny(ctx, j); err != nil || j.Target == nil || j.Target.Remote() || !o.Protected.HasPath(j.Target.ID()) {
		return err
	}
	return o.protected(j)
}

func (o *outputs) planAny(ctx context.Context, j *Job) error {
	entry, inTree := j.Source.(*treeEntry)
	standard := j.Source.Name() == cli.Standard
	switch {
	case o.object != nil, j.Source.Remote() && o.Path == "":
		return o.planObject(ctx, j)
	case inTree && o.to == nil:
		return o.planBeside(j, entry)
	case o.to != nil && !standard:
		return o.planBelow(j, entry)
	case o.InPlace:
		return o.planInPlace(j)
	case o.Path == cli.Standard:
		return o.planStdout(j)
	case o.folder && standard:
		return cli.UsageError("standard input has no name to use in directory %s: give -o a file", cli.Printable(o.Path))
	case o.folder:
		name, err := j.Source.localName()
		if err != nil {
			return err
		}
		return o.planFile(j, cli.Join(o.Path, filepath.Base(o.Name(name))), false)
	case o.Path != "":
		return o.planFile(j, o.Path, true)
	case standard || j.Special():
		return o.planStdout(j)
	}
	name := o.Name(j.Source.Name())
	if name == j.Source.Name() {
		return noPlace(j)
	}
	if name == cli.Standard { // the result of a part
		return o.planStdout(j)
	}
	return o.planFile(j, name, false)
}

// ErrNoPlace means that no option says where a result goes.
var ErrNoPlace = errors.New("-o PATH")

func noPlace(j *Job) error {
	return cli.UsageError("no output given for %s: use %w", cli.Printable(j.Source.Name()), ErrNoPlace)
}

// planInPlace replaces the file itself, not a link to it. The input becomes
// that file too, even if the link leads elsewhere later.
func (o *outputs) planInPlace(j *Job) error {
	if j.Special() {
		return cli.UsageError("--in-place needs a file, but %s is not one", cli.Printable(j.Source.Name()))
	}
	path, err := filepath.EvalSymlinks(j.Source.Name())
	if err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	path = cli.Join(filepath.Split(path)) // a file may have the name that stands for standard output
	j.Source = &file{name: j.Source.Name(), path: path, info: info, same: true, real: o.real}
	j.Target = &fileTarget{o.Pending, path, info, o.real}
	return o.checkProtected(j, info)
}

// checkProtected refuses to overwrite files that the command itself needs.
func (o *outputs) checkProtected(j *Job, output fs.FileInfo) error {
	if o.Protected.Has(output) {
		return o.protected(j)
	}
	return nil
}

func (o *outputs) protected(j *Job) error {
	if j.Stream() {
		return cli.NewError(cli.ExitNotWritten, "standard output is a key or configuration file, or the report")
	}
	return cli.NewError(cli.ExitNotWritten, "%s is a key or configuration file, or the report", j.Output())
}

func (o *outputs) planStdout(j *Job) error {
	j.Target = &stdout{o.UI.Stdout}
	if err := o.UI.CheckStdout("the result"); err != nil {
		return err
	}
	out, err := o.UI.Stdout.Stat()
	if err != nil || !out.Mode().IsRegular() {
		return nil
	}
	if os.SameFile(out, j.Source.Info()) {
		return cli.NewError(cli.ExitNotWritten, "standard output is the input")
	}
	return o.checkProtected(j, out)
}

// planFile refuses to overwrite files that must be kept. Only the path given by
// -o may be a pipe or a device, since anybody can put one where a result is
// expected.
func (o *outputs) planFile(j *Job, path string, named bool) error {
	target := &fileTarget{o.Pending, path, nil, o.real}
	j.Target = target
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return cli.NewError(cli.ExitNotWritten, "%s is a directory", path)
	}
	if err == nil && !info.Mode().IsRegular() {
		if !named {
			return cli.NewError(cli.ExitNotWritten, "%s exists and is not a regular file", path).WithHint("to write to a pipe or a device, name it with -o")
		}
		j.Target = &device{path, info, o.real}
		return nil
	}
	if err == nil {
		if os.SameFile(info, j.Source.Info()) {
			return cli.NewError(cli.ExitNotWritten, "%s is both input and output", path)
		}
		if err := o.checkProtected(j, info); err != nil {
			return err
		}
	}
	if isSystem(filepath.Dir(target.ID())) {
		return cli.NewError(cli.ExitNotWritten, "%s: cannot create a file in this directory", path).WithHint("use -o - for standard output")
	}
	if info, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		j.Err = err
		return nil
	}
	target.old = info
	if err := o.Pending.CheckResult(info, j.Output()); err != nil {
		return err
	}
	return o.checkAbsent(j, info.ModTime())
}

// checkAbsent decides about an output that exists and was last changed at a
// given time. It is skipped, replaced, or an error that stops the run.
func (o *outputs) checkAbsent(j *Job, changed time.Time) error {
	switch source := j.Source.Info(); {
	case o.NoClobber:
		j.Skip = SkipExists
	case o.Update && source != nil && source.Mode().IsRegular():
		if !source.ModTime().After(changed) {
			j.Skip = skipNewer
		}
	case !o.Force:
		return atomicfile.Exists(j.Output())
	}
	return nil
}

// planBeside plans the output of a tree entry in the same tree.
func (o *outputs) planBeside(j *Job, e *treeEntry) error {
	if o.InPlace {
		e.same = true
		j.Target = &treeTarget{o.Pending, e.tree, e.name, e.tree, e.info}
		return o.checkProtected(j, e.info)
	}
	name := o.Name(e.name)
	if name == e.name {
		return noPlace(j)
	}
	return o.planInTree(j, &treeTarget{o.Pending, e.tree, name, e.tree, nil})
}

// planBelow plans the output of an input in the tree of results. The entry is
// nil if the input isn't in a tree.
func (o *outputs) planBelow(j *Job, e *treeEntry) error {
	name, err := j.Source.localName()
	if err != nil {
		j.Err = err
		return nil
	}
	if name = o.Name(name); !j.Source.Below() {
		name = filepath.Base(name)
	}
	target := &treeTarget{o.Pending, o.to, name, nil, nil}
	if e != nil {
		target.from = e.tree
	}
	return o.planInTree(j, target)
}

// planInTree checks the output in a tree.
func (o *outputs) planInTree(j *Job, target *treeTarget) error {
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
	if err := o.checkProtected(j, info); err != nil {
		return err
	}
	if !j.Source.Below() && os.SameFile(info, j.Source.Info()) {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.Output())
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		j.Err = cli.NewError(cli.ExitNotWritten, "%s exists and is not a regular file", j.Output())
		return nil
	}
	target.old = info
	if err := o.Pending.CheckResult(info, j.Output()); err != nil {
		return err
	}
	return o.checkAbsent(j, info.ModTime())
}
