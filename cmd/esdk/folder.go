package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"esdk/cmd/esdk/internal/cli"
)

// folderOutput is a folder that is built aside, and gets its name when all of it
// is on the disk.
type folderOutput struct {
	app    *app
	temp   string
	target string // absolute
	force  bool
	files  []*fileOutput // open, and maybe not on the disk yet
	done   bool
}

// vectorFiles are the names of what a folder of test vectors has.
var vectorFiles = []string{"ciphertexts", "encrypt-manifest.json", "keys.json", "manifest.json", "negative-manifest.json", "plaintexts"}

// newFolderOutput makes an output in place of nothing, an empty folder, or with
// force one with test vectors, which none of the inputs is in.
func (a *app) newFolderOutput(target string, force bool, inputs []string) (*folderOutput, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	if err := checkFolder(target, force); err != nil {
		return nil, err
	}
	for _, input := range inputs {
		if isInside(input, target) {
			return nil, cli.NewError(cli.ExitNotWritten, "%s: has the input %s, which is not to be replaced", target, input)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	temp, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+".esdk-*")
	if err != nil {
		return nil, err
	}
	o := &folderOutput{app: a, temp: temp, target: target, force: force}
	a.temporary[o] = func() { os.RemoveAll(temp) }
	return o, nil
}

// checkFolder fails if a folder has something that is not to be replaced.
func checkFolder(target string, force bool) error {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return cli.NewError(cli.ExitNotWritten, "%s: %w, and is not a folder", target, fs.ErrExist)
	}
	entries, err := os.ReadDir(target)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !force {
			return cli.NewError(cli.ExitNotWritten, "%s: %w, and is not empty", target, fs.ErrExist).WithHint("--force replaces it, if it has test vectors")
		}
		if !slices.Contains(vectorFiles, e.Name()) {
			return cli.NewError(cli.ExitNotWritten, "%s: has %s, which is not of test vectors", target, cli.Printable(e.Name()))
		}
	}
	return nil
}

// isInside reports whether a path leads into a folder, links followed.
func isInside(path, folder string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	if path, err = filepath.Abs(path); err != nil {
		return false
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return false
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return false
	}
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// Create adds a new file, whose name has slashes.
func (o *folderOutput) Create(name string, content []byte) error {
	f, err := o.open(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	// It has its mode already.
	o.files = append(o.files, &fileOutput{app: o.app, file: f, mode: temporaryMode, number: len(o.files)})
	if len(o.files) >= maxGroup {
		return o.sync()
	}
	return nil
}

// open opens a file, unless the command was interrupted: then it waits for the
// end, so that the folder can be removed.
func (o *folderOutput) open(name string) (*os.File, error) {
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	root, err := os.OpenRoot(o.temp)
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
	// Exclusively: names that differ may be one to the file system.
	return root.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// sync puts the files on the disk and closes them.
func (o *folderOutput) sync() error {
	errs := syncFiles(o.files)
	for _, f := range o.files {
		errs = append(errs, f.file.Close())
	}
	o.files = nil
	return errors.Join(errs...)
}

// Commit gives the folder its name.
func (o *folderOutput) Commit() error {
	if err := o.sync(); err != nil {
		return err
	}
	entries, err := os.ReadDir(o.temp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			syncFolder(filepath.Join(o.temp, e.Name()))
		}
	}
	syncFolder(o.temp)
	if err := os.Chmod(o.temp, o.mode()); err != nil {
		return err
	}
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	if err := o.publish(); err != nil {
		return err
	}
	syncFolder(filepath.Dir(o.target))
	o.done = true
	delete(o.app.temporary, o)
	return nil
}

// mode is what the umask gives a folder: a temporary one is its owner's only.
func (o *folderOutput) mode() fs.FileMode {
	info, err := os.Stat(filepath.Join(o.temp, "ciphertexts"))
	if err != nil {
		return 0o700
	}
	return info.Mode().Perm()
}

// publish renames the folder. One that is to be replaced is moved aside, and back
// if that fails.
func (o *folderOutput) publish() error {
	// What has come up meanwhile is not to be replaced.
	if err := checkFolder(o.target, o.force); err != nil {
		return err
	}
	old := o.temp + ".old"
	err := os.Rename(o.target, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	replaced := err == nil
	if err := os.Rename(o.temp, o.target); err != nil {
		if replaced {
			err = errors.Join(err, os.Rename(old, o.target))
		}
		return err
	}
	if replaced {
		return os.RemoveAll(old)
	}
	return nil
}

// Abort removes what was written, unless it has its name.
func (o *folderOutput) Abort() {
	if o.done {
		return
	}
	for _, f := range o.files {
		f.file.Close()
	}
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	os.RemoveAll(o.temp)
	delete(o.app.temporary, o)
	o.done = true
}
