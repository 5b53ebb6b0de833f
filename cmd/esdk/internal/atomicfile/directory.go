package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"esdk/cmd/esdk/internal/cli"
)

// A Directory is built under a temporary name, and renamed when all of it is on
// the disk.
type Directory struct {
	pending *Pending
	temp    string
	target  string // absolute
	replace *Replace
	files   []*File // open, and maybe not on the disk yet
	done    bool
}

// Replace describes a directory that may be replaced: one that contains no
// other names.
type Replace struct {
	Names []string
	What  string // the kind of directory with such names
}

// CreateDirectory creates a directory. The target may be absent, an empty
// directory, or one that replace allows to replace, unless it contains one of
// the inputs. A nil replace allows none.
func (p *Pending) CreateDirectory(target string, replace *Replace, inputs []string) (*Directory, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	if err := replace.check(target); err != nil {
		return nil, err
	}
	for _, input := range inputs {
		if IsInside(input, target) {
			return nil, cli.NewError(cli.ExitNotWritten, "%s: contains the input %s, which must not be replaced", target, input)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	temp, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+".esdk-*")
	if err != nil {
		parent, name := dirOf(target)
		return nil, parent.about(name, err)
	}
	d := &Directory{pending: p, temp: temp, target: target, replace: replace}
	p.remove[d] = func() { os.RemoveAll(temp) }
	return d, nil
}

// check returns an error if a directory contains an entry that must not be
// replaced.
func (r *Replace) check(target string) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return cli.NewError(cli.ExitNotWritten, "%s: %w, and is not a directory", target, fs.ErrExist)
	}
	entries, err := os.ReadDir(target)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if r == nil {
			return cli.NewError(cli.ExitNotWritten, "%s: %w, and is not empty", target, fs.ErrExist).WithHint("--force replaces it, if it has test vectors")
		}
		if !slices.Contains(r.Names, e.Name()) {
			return cli.NewError(cli.ExitNotWritten, "%s: contains %s, which is not part of %s", target, cli.Printable(e.Name()), r.What)
		}
	}
	return nil
}

// IsInside reports whether a path leads into a directory after following links.
func IsInside(path, dir string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Create adds a new file. The name uses slashes.
func (d *Directory) Create(name string, content []byte) error {
	f, err := d.open(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	// It already has its mode.
	d.files = append(d.files, &File{pending: d.pending, file: f, mode: TemporaryMode, number: len(d.files)})
	if len(d.files) >= min(maxGroup, d.pending.mostHeld) {
		return d.sync()
	}
	return nil
}

// open creates a file. After an interrupt it blocks forever, so that the
// directory can be removed.
func (d *Directory) open(name string) (*os.File, error) {
	d.pending.mu.Lock()
	defer d.pending.mu.Unlock()
	root, err := os.OpenRoot(d.temp)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(filepath.Dir(local), 0o777); err != nil {
		return nil, err
	}
	// Use O_EXCL, since the file system may treat different names as the same.
	return root.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// sync syncs and closes the files.
func (d *Directory) sync() error {
	errs := syncFiles(d.files)
	for _, f := range d.files {
		errs = append(errs, f.file.Close())
	}
	d.files = nil
	return errors.Join(errs...)
}

// Commit renames the directory to its final name.
func (d *Directory) Commit() error {
	if err := d.sync(); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.temp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			syncPath(filepath.Join(d.temp, e.Name()))
		}
	}
	syncPath(d.temp)
	if err := os.Chmod(d.temp, d.mode()); err != nil && !refused(err) {
		return err
	}
	d.pending.mu.Lock()
	defer d.pending.mu.Unlock()
	if err := d.publish(); err != nil {
		return err
	}
	syncPath(filepath.Dir(d.target))
	d.done = true
	delete(d.pending.remove, d)
	return nil
}

// mode returns the mode that the umask gives a directory. The temporary
// directory itself is only accessible to its owner.
func (d *Directory) mode() fs.FileMode {
	info, err := os.Stat(filepath.Join(d.temp, "ciphertexts"))
	if err != nil {
		return 0o700
	}
	return info.Mode().Perm()
}

// publish renames the directory. It moves a directory to be replaced aside, and
// back if the rename fails.
func (d *Directory) publish() error {
	// Don't replace a file that has appeared in the meantime.
	if err := d.replace.check(d.target); err != nil {
		return err
	}
	old := d.temp + ".old"
	err := os.Rename(d.target, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	replaced := err == nil
	if err := os.Rename(d.temp, d.target); err != nil {
		if replaced {
			err = errors.Join(err, os.Rename(old, d.target))
		}
		return err
	}
	if replaced {
		return os.RemoveAll(old)
	}
	return nil
}

// Abort removes the directory, unless it was committed.
func (d *Directory) Abort() {
	if d.done {
		return
	}
	for _, f := range d.files {
		f.file.Close()
	}
	d.pending.mu.Lock()
	defer d.pending.mu.Unlock()
	os.RemoveAll(d.temp)
	delete(d.pending.remove, d)
	d.done = true
}

func syncPath(dir string) { syncDir(func() (*os.File, error) { return os.Open(dir) }) }
