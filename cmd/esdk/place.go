package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
)

// A folder is where a result is put: by its path if that was given, and below a
// tree by a root, which stays the same folder whatever becomes of its path.
type folder struct {
	path string
	root *os.Root // nil for a path

	tree  *tree
	name  string // in the tree
	users int    // outputs, with app.mu
}

// folderOf returns the folder of a path that was given, and the name there.
func folderOf(path string) (*folder, string) {
	return &folder{path: filepath.Dir(path)}, filepath.Base(path)
}

// release closes the folder once nobody uses it.
func (f *folder) release() {
	if f.users--; f.root != nil && f.users == 0 {
		delete(f.tree.open, f.name)
		f.root.Close()
	}
}

func (f *folder) join(name string) string { return join(f.path, name) }

// createTemp makes a file that is not there yet, for its owner only, and returns
// its name.
func (f *folder) createTemp(name string) (file *os.File, temp string, err error) {
	for range 1000 {
		temp = temporaryFor(name) + strconv.FormatUint(uint64(rand.Uint32()), 10)
		const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
		if f.root == nil {
			file, err = os.OpenFile(f.join(temp), flags, temporaryMode)
		} else {
			file, err = f.root.OpenFile(temp, flags, temporaryMode)
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if f.root == nil && errors.Is(err, fs.ErrNotExist) {
		err = cli.NewError(cli.ExitError, "there is no folder %s", cli.Printable(f.path)).WithHint("make the folder first")
	}
	return file, temp, err
}

// temporaryFor is how the name of a temporary file begins. A long name is cut, so
// that there is room for the rest.
func temporaryFor(name string) string {
	const most = 255 - len("..esdk-4294967295")
	for len(name) > most || name != "" && len(name) > most-utf8.UTFMax && !utf8.ValidString(name) {
		name = name[:len(name)-1]
	}
	return "." + name + ".esdk-"
}

func (f *folder) lstat(name string) (fs.FileInfo, error) {
	if f.root == nil {
		return os.Lstat(f.join(name))
	}
	return f.root.Lstat(name)
}

func (f *folder) checkAbsent(name string) error {
	_, err := f.lstat(name)
	switch {
	case err == nil:
		return existsError(f.join(name))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func (f *folder) link(old, name string) error {
	if f.root == nil {
		return os.Link(f.join(old), f.join(name))
	}
	return f.root.Link(old, name)
}

func (f *folder) rename(old, name string) error {
	if f.root == nil {
		return os.Rename(f.join(old), f.join(name))
	}
	return f.root.Rename(old, name)
}

func (f *folder) remove(name string) error {
	if f.root == nil {
		return os.Remove(f.join(name))
	}
	return f.root.Remove(name)
}

// sync has new names in a folder last. Not every system can, and the data itself
// is safe already.
func (f *folder) sync() {
	if f.root == nil {
		syncFolder(f.path)
		return
	}
	if d, err := f.root.Open("."); err == nil {
		d.Sync()
		d.Close()
	}
}
