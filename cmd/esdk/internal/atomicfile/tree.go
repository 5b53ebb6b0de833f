package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"esdk/cmd/esdk/internal/cli"
)

// A Tree is a directory that takes results at any depth. They are reached
// through its root only, so that no link leads out of it, even one created
// while the command runs.
type Tree struct {
	pending *Pending
	path    string
	root    *Root // nil until it is created

	// Guarded by Pending.mu.
	open  map[string]*dir // directories in use
	fresh map[string]bool // directories with new subdirectories
}

// NewTree returns a tree at a path. If root is nil, the directory is created
// with the first result.
func (p *Pending) NewTree(path string, root *Root) *Tree {
	return &Tree{pending: p, path: path, root: root, open: make(map[string]*dir), fresh: make(map[string]bool)}
}

// Create creates a file in the tree like [Pending.Create]. It also creates
// missing directories, with the modes that dirMode returns for their names in
// the tree.
func (t *Tree) Create(name string, mode fs.FileMode, dirMode func(name string) fs.FileMode, old fs.FileInfo) (*File, error) {
	parent, base := filepath.Split(name)
	d, err := t.hold(filepath.Clean(parent), dirMode)
	if err != nil {
		return nil, err
	}
	return t.pending.create(d, base, mode, old)
}

// hold returns the directory for a new file, when as many files as it needs may
// be open.
func (t *Tree) hold(name string, mode func(name string) fs.FileMode) (*dir, error) {
	t.pending.mu.Lock()
	defer t.pending.mu.Unlock()
	t.pending.hold(treeFiles)
	d, err := t.use(name, mode)
	if err != nil {
		t.pending.letGo(treeFiles)
	}
	return d, err
}

// use opens a directory of the tree, and creates it if it doesn't exist. All
// files in the directory share it. The caller holds Pending.mu.
func (t *Tree) use(name string, mode func(name string) fs.FileMode) (*dir, error) {
	if d := t.open[name]; d != nil {
		d.users++
		return d, nil
	}
	if err := t.mkdir(name, mode); err != nil {
		return nil, err
	}
	root, err := t.root.OpenDir(name)
	if err != nil {
		return nil, err
	}
	d := &dir{path: filepath.Join(t.path, name), root: root, tree: t, name: name, users: 1}
	t.open[name] = d
	return d, nil
}

func (t *Tree) mkdir(name string, mode func(name string) fs.FileMode) error {
	if t.root == nil {
		err := os.Mkdir(t.path, mode("."))
		if err == nil {
			t.pending.made = append(t.pending.made, madeDir{t, "."})
		} else if info, statErr := os.Lstat(t.path); statErr != nil || !info.IsDir() || !isOwn(info) {
			return err
		} // otherwise another command of this user was faster
		if err := t.openMade(); err != nil {
			return err
		}
	}
	if name == "." {
		return nil
	}
	if _, err := t.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return nil // if it's something else, opening it fails
	}
	if err := t.mkdir(filepath.Dir(name), mode); err != nil {
		return err
	}
	if err := t.root.mkdir(name, mode(name)); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	t.pending.made = append(t.pending.made, madeDir{t, name})
	t.fresh[filepath.Dir(name)] = true
	return nil
}

// openMade opens the tree itself after it was created, unless it was replaced
// by a link.
func (t *Tree) openMade() error {
	root, err := OpenRoot(t.path)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(t.path); err != nil || !os.SameFile(info, root.info) {
		return cli.NewError(cli.ExitNotWritten, "%s was replaced in the meantime", t.path)
	}
	t.root = root
	return nil
}

// A madeDir is a directory created for results.
type madeDir struct {
	tree *Tree
	name string
}

// takeFresh returns functions that open the directories with new
// subdirectories, and forgets them.
func (t *Tree) takeFresh() (opens []func() (*os.File, error)) {
	t.pending.mu.Lock()
	defer t.pending.mu.Unlock()
	for name := range t.fresh {
		opens = append(opens, func() (*os.File, error) { return t.root.OpenFile(name, os.O_RDONLY, 0) })
	}
	clear(t.fresh)
	return opens
}
