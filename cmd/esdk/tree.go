package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"github.com/spf13/cobra"
)

// treeOptions say which inputs there are.
type treeOptions struct {
	recursive bool
	suffix    string
	symlinks  string
	list      string // of names

	results fs.FileInfo              // of what -o names, nil if there is none yet
	object  *object.Object           // that -o names
	filter  func(name string) string // why a file in a folder is left out, "" if it is not
}

// Why something in a folder is skipped.
const (
	isLink      = "symbolic link"
	isSpecial   = "not a regular file"
	isResults   = "folder of the results"
	isTemporary = "temporary file of an interrupted run"
)

func (o *treeOptions) addFlags(cmd *cobra.Command, suffix, usage string) {
	flags := cmd.Flags()
	flags.BoolVarP(&o.recursive, "recursive", "r", false, "take all files in a FILE that is a folder")
	flags.StringVar(&o.suffix, "suffix", suffix, usage)
	flags.StringVar(&o.symlinks, "symlinks", "skip", "`WHAT` to do with symbolic links in folders: skip, follow, which never leaves the folder, or error")
	flags.StringVar(&o.list, "files-from0", "", "also take the names in a `LIST`, or - for standard input, each with a zero byte behind it")
	cmd.RegisterFlagCompletionFunc("symlinks", cobra.FixedCompletions([]string{"skip", "follow", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// onlyWith leaves out files without the suffix, and onlyWithout those that have
// it: results of an earlier run, where they are beside the inputs.
func (o *treeOptions) onlyWith() {
	o.filter = func(name string) string {
		if strings.HasSuffix(name, o.suffix) {
			return ""
		}
		return "not named *" + o.suffix
	}
}

func (o *treeOptions) onlyWithout() {
	o.filter = func(name string) string {
		if o.suffix == "" || !strings.HasSuffix(name, o.suffix) {
			return ""
		}
		return "named *" + o.suffix + " already"
	}
}

// listInputs adds the names of a list to those of the command line.
func (a *app) listInputs(inputs []string, o *treeOptions) ([]string, error) {
	switch o.symlinks {
	case "", "skip", "follow", "error":
	default:
		return nil, cli.UsageError("--symlinks %s: want skip, follow or error", cli.Printable(o.symlinks))
	}
	if strings.ContainsFunc(o.suffix, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) }) {
		return nil, cli.UsageError("--suffix %s: a suffix is no folder", cli.Printable(o.suffix))
	}
	if o.list == "" {
		if len(inputs) == 0 {
			inputs = []string{cli.Standard}
		}
		return inputs, nil
	}
	text, err := a.readList(o.list)
	if err != nil || len(text) == 0 {
		return inputs, err
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		if len(name) == 0 {
			return nil, cli.UsageError("--files-from0 %s: has an empty name", cli.Printable(o.list))
		}
		if string(name) == cli.Standard {
			name = []byte(cli.Join("", cli.Standard)) // a file of this name
		}
		inputs = append(inputs, string(name))
	}
	return inputs, nil
}

func (a *app) readList(path string) ([]byte, error) {
	if path != cli.Standard {
		return os.ReadFile(path)
	}
	in, err := a.ClaimStdin("the list of names")
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// A tree is a folder with all that is in it. What is below it is reached through
// its root only, so that no link leads out of it, even one that comes up while
// the command runs.
type tree struct {
	path string   // as it was given
	real string   // the same without links
	root *os.Root // nil if it is not there yet

	once sync.Once
	to   *atomicfile.Tree // see results
}

func openTree(path string) (*tree, error) {
	t := newTree(path)
	var err error
	t.root, err = atomicfile.OpenRoot(path)
	return t, err
}

func newTree(path string) *tree {
	t := &tree{path: path, real: make(realPaths).path(path)}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		t.real = clean(resolved)
	}
	return t
}

// results returns the tree as one that takes results.
func (t *tree) results(p *atomicfile.Pending) *atomicfile.Tree {
	t.once.Do(func() { t.to = p.NewTree(t.path, t.root) })
	return t.to
}

// openFile opens a regular file of the tree. What has become a pipe is not waited
// for.
func (t *tree) openFile(name string) (*os.File, error) {
	f, err := t.root.OpenFile(name, os.O_RDONLY|noBlock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = cli.NewError(cli.ExitError, "it was a regular file, and is none any more")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// walk returns jobs for all that is in the tree, in the order of their names.
func (t *tree) walk(o *treeOptions) []job {
	w := &walker{tree: t, options: o}
	w.folder(".", nil)
	return w.jobs
}

type walker struct {
	tree    *tree
	options *treeOptions
	jobs    []job
}

// An entry is something in a folder.
type entry struct {
	name string // in the tree
	info fs.FileInfo
	err  error
}

// folder takes what is in a folder, which is in those above.
func (w *walker) folder(name string, above []fs.FileInfo) {
	info, entries, err := w.read(name)
	if err == nil && slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		err = cli.NewError(cli.ExitError, "a folder that it is in: a loop of symbolic links")
	}
	if err != nil {
		w.add(job{name: name, err: err})
		return
	}
	above = append(above[:len(above):len(above)], info)
	for _, e := range entries {
		w.entry(e, above)
	}
}

// read lists a folder, which is closed again, since there may be many of them in
// each other.
func (w *walker) read(name string) (fs.FileInfo, []entry, error) {
	root, err := atomicfile.OpenDir(w.tree.root, name)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil {
		return nil, nil, err
	}
	f, err := root.Open(".")
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	entries := make([]entry, len(names))
	for i, base := range names {
		e := &entries[i]
		e.name = filepath.Join(name, base)
		e.info, e.err = root.Lstat(base)
	}
	return info, entries, nil
}

func (w *walker) entry(e entry, above []fs.FileInfo) {
	if e.err == nil && e.info.Mode()&fs.ModeSymlink != 0 {
		switch w.options.symlinks {
		case "error":
			e.err = cli.NewError(cli.ExitPolicy, "a symbolic link, and --symlinks error refuses it")
		case "follow":
			e.info, e.err = w.tree.root.Stat(e.name)
		default:
			w.add(job{name: e.name, skip: isLink})
			return
		}
	}
	switch {
	case errors.Is(e.err, fs.ErrNotExist) && w.options.symlinks != "follow":
		// It has gone meanwhile, as it might have before.
	case e.err != nil:
		w.add(job{name: e.name, err: e.err})
	case e.info.IsDir() && w.options.results != nil && os.SameFile(e.info, w.options.results):
		w.add(job{name: e.name, skip: isResults})
	case e.info.IsDir():
		w.folder(e.name, above)
	case !e.info.Mode().IsRegular():
		w.add(job{name: e.name, skip: isSpecial})
	case atomicfile.IsTemporary(filepath.Base(e.name)):
		w.add(job{name: e.name, skip: isTemporary})
	default:
		w.add(job{name: e.name, size: e.info.Size(), skip: w.leftOut(e.name)})
	}
}

func (w *walker) leftOut(name string) string {
	if w.options.filter == nil {
		return ""
	}
	return w.options.filter(name)
}

func (w *walker) add(j job) {
	j.from, j.input = w.tree, cli.Join(w.tree.path, j.name)
	w.jobs = append(w.jobs, j)
}

// planTrees returns the tree that takes the results of others, or nil if they go
// beside the inputs.
func (a *app) planTrees(trees []*tree, o *outputOptions) (*tree, error) {
	if o.path == "" {
		if o.symlinks == "follow" {
			return nil, cli.UsageError("--symlinks follow needs -o FOLDER: a file with two names would get two results beside it")
		}
		return nil, nil
	}
	if o.path == cli.Standard || o.results != nil && !o.results.IsDir() {
		return nil, cli.UsageError("the results of a folder need a folder for -o, and %s is none", cli.Printable(o.path))
	}
	for _, t := range trees {
		if info, err := t.root.Stat("."); err == nil && o.results != nil && os.SameFile(info, o.results) {
			return nil, cli.UsageError("-o names the folder %s itself: without -o, results go beside the files", cli.Printable(t.path))
		}
		if o.symlinks == "follow" && (atomicfile.IsInside(t.path, o.path) || atomicfile.IsInside(o.path, t.path)) {
			return nil, cli.UsageError("--symlinks follow needs an -o FOLDER apart from %s", cli.Printable(t.path))
		}
	}
	if o.results != nil {
		return openTree(o.path)
	}
	// It is made for the first result.
	if err := atomicfile.CheckAbsent(o.path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Dir(o.path)); err != nil {
		return nil, err
	}
	return newTree(cli.Join(filepath.Split(filepath.Clean(o.path)))), nil
}

// planBelow finds the output of an input in a tree: one in the other tree, or in
// the same.
func (a *app) planBelow(j *job, o *outputOptions, to *tree, rename func(string) string) error {
	if j.to = to; !j.below() {
		j.target = filepath.Base(rename(j.baseName()))
	} else if name, err := j.localName(); err != nil {
		j.err = err
		return nil
	} else {
		j.target = rename(name)
	}
	if o.inPlace {
		j.target = j.name
	}
	if to == nil {
		if j.to = j.from; j.target == j.name && !o.inPlace {
			return noPlace(j)
		}
	}
	j.output = cli.Join(j.to.path, j.target)
	if j.to.root == nil {
		return nil
	}
	info, err := j.to.root.Lstat(j.target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		j.err = err
		return nil
	}
	if err := a.checkSecrets(j, info); err != nil || o.inPlace {
		return err
	}
	if j.info != nil && os.SameFile(info, j.info) {
		return cli.NewError(cli.ExitNotWritten, "%s is both input and output", j.output)
	}
	if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		j.err = cli.NewError(cli.ExitNotWritten, "%s exists, and is not a file", j.output)
		return nil
	}
	return j.checkAbsent(atomicfile.Exists(j.output), o)
}

// folderMode is that of a folder that is made: who may read files may go into it,
// if they may in the one that it stands for.
func folderMode(from *tree, name string, mode fs.FileMode) fs.FileMode {
	mode |= 0o700 | mode&0o444>>2
	if from == nil {
		return mode
	}
	info, err := from.root.Stat(name)
	if err != nil {
		return 0o700
	}
	return 0o700 | mode&info.Mode().Perm()
}
