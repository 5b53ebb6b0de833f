package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"esdk/cmd/esdk/internal/cli"
)

// A Root is a directory. All files below it are reached through it, so that no
// link leads out of it. There may be more Roots than a process may have open
// files: a closed Root is reopened if it is still the same directory. It is
// safe for concurrent use.
type Root struct {
	path string
	identity

	// Guarded by roots.Mutex.
	root  *os.Root // nil while it is closed
	users int
}

// An identity identifies a directory.
type identity struct {
	info fs.FileInfo
	born int64 // see birth
}

func openDirectory(path string) (*os.Root, identity, error) {
	root, err := os.OpenRoot(path + string(filepath.Separator) + ".")
	if err != nil {
		return nil, identity{}, err
	}
	info, err := root.Stat(".")
	if err != nil {
		root.Close()
		return nil, identity{}, err
	}
	return root, identity{info, birth(root)}, nil
}

// roots are the open roots, the most recently used one last.
var roots struct {
	sync.Mutex
	open []*Root
}

// mostRoots is the number of unused roots that stay open. An open root can't be
// confused with another directory.
var mostRoots = sync.OnceValue(func() int { return max(8, min(freeFiles()/16, 1024)) })

// OpenRoot opens a directory. It doesn't block on a pipe.
func OpenRoot(path string) (*Root, error) {
	root, id, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	r := &Root{path: path, identity: id, root: root}
	roots.Lock()
	defer roots.Unlock()
	r.keep()
	return r, nil
}

// keep marks r as the most recently used root, and closes a root that was
// unused for long.
func (r *Root) keep() {
	roots.open = append(slices.DeleteFunc(roots.open, func(other *Root) bool { return other == r }), r)
	if len(roots.open) <= mostRoots() {
		return
	}
	if i := slices.IndexFunc(roots.open, func(other *Root) bool { return other.users == 0 && other != r }); i >= 0 {
		old := roots.open[i]
		old.root.Close()
		old.root = nil
		roots.open = slices.Delete(roots.open, i, i+1)
	}
}

// acquire opens r if it's closed, and keeps it open until release.
func (r *Root) acquire() error {
	roots.Lock()
	defer roots.Unlock()
	if r.root == nil {
		root, id, err := openDirectory(r.path)
		if err != nil {
			return err
		}
		if !os.SameFile(id.info, r.info) || id.born != r.born {
			root.Close()
			return cli.NewError(cli.ExitError, "the directory was replaced in the meantime").OfKind(cli.KindChanged).Of(r.path)
		}
		r.root = root
	}
	r.users++
	r.keep()
	return nil
}

func (r *Root) release() {
	roots.Lock()
	defer roots.Unlock()
	r.users--
}

// use calls a function with the open directory. It adds the path of r to an
// error's path.
func use[T any](r *Root, name string, f func(*os.Root) (T, error)) (result T, err error) {
	if err := r.acquire(); err != nil {
		return result, err
	}
	defer r.release()
	result, err = f(r.root)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = &fs.PathError{Op: strings.TrimSuffix(e.Op, "at"), Path: cli.Join(r.path, name), Err: e.Err}
	}
	return result, err
}

// OpenDir opens a directory below r. It doesn't block if the directory has been
// replaced by a pipe.
func (r *Root) OpenDir(name string) (*os.Root, error) {
	return use(r, name, func(root *os.Root) (*os.Root, error) { return root.OpenRoot(name + string(filepath.Separator) + ".") })
}

// OpenFile is like [os.Root.OpenFile].
func (r *Root) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return use(r, name, func(root *os.Root) (*os.File, error) { return root.OpenFile(name, flag, mode) })
}

// Stat is like [os.Root.Stat].
func (r *Root) Stat(name string) (fs.FileInfo, error) {
	return use(r, name, func(root *os.Root) (fs.FileInfo, error) { return root.Stat(name) })
}

// Lstat is like [os.Root.Lstat].
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	return use(r, name, func(root *os.Root) (fs.FileInfo, error) { return root.Lstat(name) })
}

// mkdir creates a directory below r, and remove removes one.
func (r *Root) mkdir(name string, mode fs.FileMode) error {
	_, err := use(r, name, func(root *os.Root) (any, error) { return nil, root.Mkdir(name, mode) })
	return err
}

func (r *Root) remove(name string) error {
	_, err := use(r, name, func(root *os.Root) (any, error) { return nil, root.Remove(name) })
	return err
}
