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

// A tree is a directory with all that is in it. What is below it is reached through
// its root only, so that no link leads out of it, even one that comes up while
// the command runs.
type tree struct {
	path string           // as it was given
	real string           // the same without links
	root *atomicfile.Root // nil if it is not there yet

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

// walk yields jobs for all that is in the tree, in the order of their names. It holds
// no more than the names in a directory and in those above.
func (t *tree) walk(o *InputOptions, yield func(Job, error) bool) bool {
	w := &walker{t, o, yield}
	return w.folder(".", nil)
}

// A walker's methods return false when no more jobs are wanted.
type walker struct {
	tree    *tree
	options *InputOptions
	yield   func(Job, error) bool
}

// A found is something in a directory, or why that is not known.
type found struct {
	treeEntry
	err error
}

// lookedAt is how many entries of a directory are looked at together.
const lookedAt = 256

// folder takes what is in a folder, which is in those above.
func (w *walker) folder(name string, above []fs.FileInfo) bool {
	info, all, err := w.list(name)
	if err == nil && slices.ContainsFunc(above, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		err = cli.NewError(cli.ExitError, "a folder that it is in: a loop of symbolic links")
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

// list returns the names in a folder, which is closed again, since there may be
// many of them in each other.
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

// look looks at some of what is in a folder.
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

// names are those in a directory, sorted. There may be millions, so that they stand
// in one text.
type names struct {
	text   []byte // each has a zero byte behind it
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
	// They differ before one of them ends, or where it does.
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
			e.err = cli.NewError(cli.ExitPolicy, "a symbolic link, and --symlinks error refuses it")
		case "follow":
			e.info, e.err = w.tree.root.Stat(e.name)
		default:
			return w.add(&e.treeEntry, SkipLink, nil)
		}
	}
	switch {
	case errors.Is(e.err, fs.ErrNotExist) && w.options.Symlinks != "follow":
		return true // it has gone meanwhile, as it might have before
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

// isResults reports whether a directory takes the results: one that was there, or one
// that was made since for the first of them.
func (w *walker) isResults(e *treeEntry) bool {
	o := w.options
	return o.results != nil && os.SameFile(e.info, o.results) || o.isResults != nil && o.isResults(e.ID())
}

func (w *walker) add(e *treeEntry, skip string, err error) bool {
	return w.yield(Job{Source: e, Skip: skip, Err: err}, nil)
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
