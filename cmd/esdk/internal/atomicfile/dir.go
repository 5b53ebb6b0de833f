package atomicfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
)

// A dir is the directory of a result: either a path as given by the user, or a
// root below a tree, which stays the same directory even if its path is
// renamed.
type dir struct {
	path string
	root *os.Root // nil for a path

	tree  *Tree
	name  string // in the tree
	users int    // files; guarded by Pending.mu

	mu     sync.Mutex // guards the fields below
	opened *os.File   // see at; nil until it's needed
	links  bool       // see canLink; false means unknown
}

// dirOf returns the directory of a path, and the name in it.
func dirOf(path string) (*dir, string) {
	return &dir{path: filepath.Dir(path)}, filepath.Base(path)
}

// A result has its own file open and, in a tree, its directory twice, as a root
// and as a file, since each result may be in a different one.
const pathFiles, treeFiles = 1, 3

// files returns the number of files that a result in the directory has open.
func (d *dir) files() int {
	if d.root == nil {
		return pathFiles
	}
	return treeFiles
}

// release closes the directory after its last user.
func (d *dir) release() {
	if d.users--; d.root != nil && d.users == 0 {
		delete(d.tree.open, d.name)
		d.root.Close()
		if d.opened != nil {
			d.opened.Close()
		}
	}
}

func (d *dir) join(name string) string { return cli.Join(d.path, name) }

// CheckAbsent returns an error that matches [fs.ErrExist] if a file, link or
// other entry of this name exists.
func CheckAbsent(path string) error {
	d, name := dirOf(path)
	return d.checkAbsent(name)
}

// noUnnamed is set by tests to give all files names.
var noUnnamed = false

// createTemp creates a file that only its owner can access. It returns the
// temporary name, and the mode that a file created with this mode gets here.
// That mode depends on the umask and on the directory's default access control
// list.
func (d *dir) createTemp(name string, mode fs.FileMode) (file *os.File, temp string, final fs.FileMode, err error) {
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

// refused reports whether an error comes from a file system without modes.
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
		err = cli.UsageError("directory %s does not exist", cli.Printable(d.path)).WithHint("create it first: mkdir -p %s", cli.Quoted(d.path))
	}
	return file, temp, d.about(name, err)
}

// about replaces the name of a temporary file in an error by the name of the
// result.
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

// temporaryNames matches the names that temporaryName returns.
var temporaryNames = regexp.MustCompile(`(?s)^\..*\.esdk-[0-9]+$`)

// IsTemporary reports whether a name is the name of a temporary file.
func IsTemporary(name string) bool { return temporaryNames.MatchString(name) }

// temporaryName returns a name for a temporary file that probably doesn't
// exist.
func temporaryName(name string) string {
	return temporaryFor(name) + strconv.FormatUint(uint64(rand.Uint32()), 10)
}

// temporaryFor returns the start of the name of a temporary file. It truncates
// a long name to leave room for the rest.
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

// linkTemp gives an unnamed file a temporary name, and returns the name.
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

// openNew opens the directory once more.
func (d *dir) openNew() (*os.File, error) {
	if d.root == nil {
		return os.Open(d.path)
	}
	return d.root.Open(".")
}
