package atomicfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
)

// A dir is where a result is put: by its path if that was given, and below a tree
// by a root, which stays the same directory whatever becomes of its path.
type dir struct {
	path string
	root *os.Root // nil for a path

	tree  *Tree
	name  string // in the tree
	users int    // files, with Pending.mu
}

// dirOf returns the directory of a path that was given, and the name there.
func dirOf(path string) (*dir, string) {
	return &dir{path: filepath.Dir(path)}, filepath.Base(path)
}

// A result has its own file open and, in a tree, its directory: each may be in another.
const pathFiles, treeFiles = 1, 2

// files is how many files a result in the directory has open.
func (d *dir) files() int {
	if d.root == nil {
		return pathFiles
	}
	return treeFiles
}

// release closes the directory once nobody uses it.
func (d *dir) release() {
	if d.users--; d.root != nil && d.users == 0 {
		delete(d.tree.open, d.name)
		d.root.Close()
	}
}

func (d *dir) join(name string) string { return cli.Join(d.path, name) }

// CheckAbsent returns an error that matches [fs.ErrExist] if there is something of
// this name, link or not.
func CheckAbsent(path string) error {
	d, name := dirOf(path)
	return d.checkAbsent(name)
}

// noUnnamed is set by tests: all files have names.
var noUnnamed = false

// createTemp makes a file for its owner only. If it can, it has no name, and its mode
// from the start, since nobody else can open it. Else it returns its name, and the mode
// that a file of a mode gets here: the umask and the directory's default access control
// list have a say in that.
func (d *dir) createTemp(name string, mode fs.FileMode) (file *os.File, temp string, final fs.FileMode, err error) {
	if !noUnnamed {
		if file := d.openUnnamed(name, mode); file != nil {
			return file, "", 0, nil
		}
	}
	if file, temp, err = d.openTemp(name, mode); err != nil || mode == TemporaryMode {
		return file, temp, mode, err
	}
	info, err := file.Stat()
	if err == nil {
		err = file.Chmod(TemporaryMode)
	}
	if err == nil {
		return file, temp, info.Mode().Perm(), nil
	}
	file.Close()
	d.remove(temp)
	if !refused(err) {
		return nil, "", 0, d.about(name, err)
	}
	file, temp, err = d.openTemp(name, TemporaryMode)
	return file, temp, TemporaryMode, err
}

// refused reports whether an error is that of a file system without modes.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}

func (d *dir) openTemp(name string, mode fs.FileMode) (file *os.File, temp string, err error) {
	for range 1000 {
		temp = temporaryName(name)
		const flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
		if d.root == nil {
			file, err = os.OpenFile(d.join(temp), flags, mode)
		} else {
			file, err = d.root.OpenFile(temp, flags, mode)
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if d.root == nil && errors.Is(err, fs.ErrNotExist) {
		err = cli.UsageError("there is no folder %s", cli.Printable(d.path)).WithHint("make the folder first")
	}
	return file, temp, d.about(name, err)
}

// about has an error of the system name a result, and not the name that its file has
// until it is done.
func (d *dir) about(name string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return &fs.PathError{Op: path.Op, Path: d.join(name), Err: path.Err}
	case errors.As(err, &link):
		return &fs.PathError{Op: link.Op, Path: d.join(name), Err: link.Err}
	}
	return err
}

// temporaryNames are those that temporaryName returns.
var temporaryNames = regexp.MustCompile(`(?s)^\..*\.esdk-[0-9]+$`)

// IsTemporary reports whether a name is one of a file that does not have its own yet.
func IsTemporary(name string) bool { return temporaryNames.MatchString(name) }

// temporaryName is a name for a temporary file, which is likely not to exist.
func temporaryName(name string) string {
	return temporaryFor(name) + strconv.FormatUint(uint64(rand.Uint32()), 10)
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

func (d *dir) lstat(name string) (fs.FileInfo, error) {
	if d.root == nil {
		return os.Lstat(d.join(name))
	}
	return d.root.Lstat(name)
}

func (d *dir) checkAbsent(name string) error {
	_, err := d.lstat(name)
	switch {
	case err == nil:
		return Exists(d.join(name))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// linkTemp gives a file without a name one for a moment, and returns it.
func (d *dir) linkTemp(file *os.File, name string) (temp string, err error) {
	for range 1000 {
		temp = temporaryName(name)
		if err = d.linkUnnamed(file, temp); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return temp, err
}

func (d *dir) link(old, name string) error {
	if d.root == nil {
		return d.about(name, os.Link(d.join(old), d.join(name)))
	}
	return d.about(name, d.root.Link(old, name))
}

func (d *dir) rename(old, name string) error {
	if d.root == nil {
		return d.about(name, os.Rename(d.join(old), d.join(name)))
	}
	return d.about(name, d.root.Rename(old, name))
}

func (d *dir) remove(name string) error {
	if d.root == nil {
		return os.Remove(d.join(name))
	}
	return d.root.Remove(name)
}

// sync makes new names in the directory last. Not every system can, and the data itself
// is safe already.
func (d *dir) sync() {
	if d.root == nil {
		syncDir(d.path)
		return
	}
	if f, err := d.root.Open("."); err == nil {
		f.Sync()
		f.Close()
	}
}
