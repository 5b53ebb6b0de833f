package place

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// A tree is a directory with all that is in it. What is below it is reached through
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
		t.real = cli.Clean(resolved)
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
func (t *tree) walk(o *InputOptions) []Job {
	w := &walker{tree: t, options: o}
	w.folder(".", nil)
	return w.jobs
}

type walker struct {
	tree    *tree
	options *InputOptions
	jobs    []Job
}

// A found is something in a directory, or why that is not known.
type found struct {
	treeEntry
	err error
}

// folder takes what is in a folder, which is in those above.
func (w *walker) folder(name string, above []fs.FileInfo) {
	info, entries, err := w.read(name)
	if err == nil && slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		err = cli.NewError(cli.ExitError, "a folder that it is in: a loop of symbolic links")
	}
	if err != nil {
		w.add(&treeEntry{tree: w.tree, name: name}, "", err)
		return
	}
	above = append(above[:len(above):len(above)], info)
	for _, e := range entries {
		w.entry(e, above)
	}
}

// read lists a folder, which is closed again, since there may be many of them in
// each other.
func (w *walker) read(name string) (fs.FileInfo, []found, error) {
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
	entries := make([]found, len(names))
	for i, base := range names {
		e := &entries[i]
		e.tree, e.name = w.tree, filepath.Join(name, base)
		e.info, e.err = root.Lstat(base)
	}
	return info, entries, nil
}

func (w *walker) entry(e found, above []fs.FileInfo) {
	if e.err == nil && e.info.Mode()&fs.ModeSymlink != 0 {
		switch w.options.Symlinks {
		case "error":
			e.err = cli.NewError(cli.ExitPolicy, "a symbolic link, and --symlinks error refuses it")
		case "follow":
			e.info, e.err = w.tree.root.Stat(e.name)
		default:
			w.add(&e.treeEntry, SkipLink, nil)
			return
		}
	}
	switch {
	case errors.Is(e.err, fs.ErrNotExist) && w.options.Symlinks != "follow":
		// It has gone meanwhile, as it might have before.
	case e.err != nil:
		w.add(&treeEntry{tree: w.tree, name: e.name}, "", e.err)
	case e.info.IsDir() && w.options.results != nil && os.SameFile(e.info, w.options.results):
		w.add(&e.treeEntry, skipResults, nil)
	case e.info.IsDir():
		w.folder(e.name, above)
	case !e.info.Mode().IsRegular():
		w.add(&e.treeEntry, SkipSpecial, nil)
	case atomicfile.IsTemporary(filepath.Base(e.name)):
		w.add(&e.treeEntry, SkipTemporary, nil)
	default:
		w.add(&e.treeEntry, w.leftOut(e.name), nil)
	}
}

func (w *walker) leftOut(name string) string {
	if w.options.Filter == nil {
		return ""
	}
	return w.options.Filter(name)
}

func (w *walker) add(e *treeEntry, skip string, err error) {
	w.jobs = append(w.jobs, Job{Source: e, Skip: skip, Err: err})
}

// dirMode is the mode of a directory that is made for files with a mode: who may read
// those may go into it, if they may in the one of the tree that it stands for.
func (t *tree) dirMode(name string, mode fs.FileMode) fs.FileMode {
	mode |= 0o700 | mode&0o444>>2
	if t == nil {
		return mode
	}
	info, err := t.root.Stat(name)
	if err != nil {
		return 0o700
	}
	return 0o700 | mode&info.Mode().Perm()
}
