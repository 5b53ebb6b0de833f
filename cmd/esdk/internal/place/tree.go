package place

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// A tree is a directory with all its contents. Files below it are reached only
// through its root, so no link can lead out of it, not even one that is created
// while the command runs.
type tree struct {
	path string           // as given
	real string           // with links resolved
	root *atomicfile.Root // nil if the directory doesn't exist yet

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

// results returns the tree for writing results.
func (t *tree) results(p *atomicfile.Pending) *atomicfile.Tree {
	t.once.Do(func() { t.to = p.NewTree(t.path, t.root) })
	return t.to
}

// walk yields jobs for the contents of the tree, in the order of their names.
// It holds only the names in a directory and in those above it.
func (t *tree) walk(o *InputOptions, yield func(Job, error) bool) bool {
	w := &walker{t, o, yield}
	return w.folder(".", nil)
}

// A walker walks a tree. Its methods return false if no more jobs are wanted.
type walker struct {
	tree    *tree
	options *InputOptions
	yield   func(Job, error) bool
}

// A found is an entry of a directory, or the error of looking at it.
type found struct {
	treeEntry
	err error
}

// lookedAt is the number of entries that are looked at together.
const lookedAt = 256

// folder walks a directory. The slice above describes its parents.
func (w *walker) folder(name string, above []fs.FileInfo) bool {
	info, all, err := w.list(name)
	if err == nil && slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		err = cli.NewError(cli.ExitError, "the symbolic link leads to a directory above it, a loop")
	}
	if err != nil {
		return w.add(&treeEntry{tree: w.tree, name: name}, "", err)
	}
	above = append(above[:len(above):len(above)], info)
	for first := 0; first < all.len(); first += lookedAt {
		entries, err := w.look(name, all, first)
		if err != nil {
			return w.add(&treeEntry{tree: w.tree, name: name}, "", err)
		}
		for _, e := range entries {
			if !w.entry(e, above) {
				return false
			}
		}
	}
	return true
}

// list returns the names in a directory. It closes the directory, since
// directories can be nested deeply.
func (w *walker) list(name string) (fs.FileInfo, *names, error) {
	root, err := w.tree.root.OpenDir(name)
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
	all, err := readNames(f)
	return info, all, err
}

// look describes some of the entries of a directory.
func (w *walker) look(name string, all *names, first int) ([]found, error) {
	root, err := w.tree.root.OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries := make([]found, min(lookedAt, all.len()-first))
	for i := range entries {
		base := all.at(first + i)
		e := &entries[i]
		e.tree, e.name = w.tree, filepath.Join(name, base)
		e.info, e.err = root.Lstat(base)
	}
	return entries, nil
}

// names are the sorted names in a directory. There may be millions, so they
// share one buffer.
type names struct {
	text   []byte // each name ends with a zero byte
	starts []int
}

func readNames(dir *os.File) (*names, error) {
	n := new(names)
	for {
		some, err := dir.Readdirnames(4096)
		for _, name := range some {
			n.starts = append(n.starts, len(n.text))
			n.text = append(append(n.text, name...), 0)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	// Two names differ before the shorter one ends, or at its zero byte.
	slices.SortFunc(n.starts, func(a, b int) int { return bytes.Compare(n.text[a:], n.text[b:]) })
	return n, nil
}

func (n *names) len() int { return len(n.starts) }

func (n *names) at(i int) string {
	name := n.text[n.starts[i]:]
	return string(name[:bytes.IndexByte(name, 0)])
}

func (w *walker) entry(e found, above []fs.FileInfo) bool {
	if e.err == nil && e.info.Mode()&fs.ModeSymlink != 0 {
		switch w.options.Symlinks {
		case "error":
			e.err = cli.NewError(cli.ExitPolicy, "the file is a symbolic link, which --symlinks error rejects")
		case "follow":
			e.info, e.err = w.tree.root.Stat(e.name)
		default:
			return w.add(&e.treeEntry, SkipLink, nil)
		}
	}
	switch {
	case errors.Is(e.err, fs.ErrNotExist) && w.options.Symlinks != "follow":
		return true // it's gone by now, and could have been gone before
	case e.err != nil:
		return w.add(&treeEntry{tree: w.tree, name: e.name}, "", e.err)
	case e.info.IsDir() && w.isResults(&e.treeEntry):
		return w.add(&e.treeEntry, skipResults, nil)
	case e.info.IsDir() && matchAny(w.options.Exclude, filepath.ToSlash(e.name)+"/"):
		return w.add(&e.treeEntry, skipPattern, nil)
	case e.info.IsDir():
		return w.folder(e.name, above)
	case !e.info.Mode().IsRegular():
		return w.add(&e.treeEntry, SkipSpecial, nil)
	case atomicfile.IsTemporary(filepath.Base(e.name)):
		return w.add(&e.treeEntry, SkipTemporary, nil)
	}
	return w.add(&e.treeEntry, w.options.leftOut(filepath.ToSlash(e.name)), nil)
}

// isResults reports whether a directory receives the results: one that existed,
// or one made since for the first result.
func (w *walker) isResults(e *treeEntry) bool {
	o := w.options
	return o.results != nil && os.SameFile(e.info, o.results) || o.isResults != nil && o.isResults(e.ID())
}

func (w *walker) add(e *treeEntry, skip string, err error) bool {
	return w.yield(Job{Source: e, Skip: skip, Err: err}, nil)
}

// dirMode returns the mode of a directory made for files of a given mode. If a
// user may read the files, the user may enter it too, unless the directory that
// it's a copy of is closed to them.
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
