package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// temporaryMode is that of files until they have their name.
const temporaryMode fs.FileMode = 0o600

// An output is where a message or plaintext goes. Nothing is to be seen of it
// before Commit, if it is a file.
type output interface {
	io.Writer
	Commit() error
	Abort() // no effect after Commit
}

// streamOutput is standard output, or a device or pipe.
type streamOutput struct {
	*bufio.Writer
	file *os.File
}

func newStreamOutput(f *os.File) output { return &streamOutput{bufio.NewWriter(f), f} }

func (o *streamOutput) Commit() error {
	if err := o.Flush(); err != nil {
		return err
	}
	if o.file == os.Stdout {
		return nil // left open: the report may go there too
	}
	return o.file.Close()
}

// Abort lets out what was released so far: it is authentic, and the reader will
// see by the exit status that it is not all.
func (o *streamOutput) Abort() { o.Flush() }

// fileOutput writes to a temporary file in the folder of the target, and gives
// it the target's name only when all of it is on the disk.
type fileOutput struct {
	app    *app
	file   *os.File
	target string
	mode   fs.FileMode
	force  bool
	number int // of the files that were opened before
	onDisk bool
	done   bool

	written, begun int64 // bytes, and how many of them go to the disk already
}

// writeAhead is how much is left to the system before it goes to the disk.
const writeAhead = 8 << 20

// newFileOutput makes an output with the mode and, with force, in place of an
// existing file.
func (a *app) newFileOutput(target string, mode fs.FileMode, force bool) (output, error) {
	if !force {
		if err := checkAbsent(target); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// The file is made with temporaryMode, and exclusively.
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".esdk-*")
	if err != nil {
		return nil, err
	}
	a.temporary[f.Name()] = true
	a.opened++
	return &fileOutput{app: a, file: f, target: target, mode: mode, force: force, number: a.opened}, nil
}

func checkAbsent(target string) error {
	if _, err := os.Lstat(target); err == nil {
		return existsError(target)
	}
	return nil
}

func existsError(target string) error {
	return newError(exitNotWritten, "%s: %w", target, fs.ErrExist).
		withHint("--force replaces it, --no-clobber skips it")
}

// Write has the disk begin with what was written, while more of it is made: else
// it would begin when all is there, and a long result take the sum of both times.
func (o *fileOutput) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	o.written += int64(n)
	if o.written-o.begun >= writeAhead {
		beginWriting(o.file, o.begun, o.written-o.begun)
		o.begun = o.written
	}
	return n, err
}

func (o *fileOutput) Commit() error { return commitFiles([]*fileOutput{o})[0] }

// sync puts what was written on the disk.
func (o *fileOutput) sync() error {
	if o.onDisk {
		return nil
	}
	err := o.file.Sync()
	o.onDisk = err == nil
	return err
}

func (o *fileOutput) setMode() error {
	if o.mode == temporaryMode {
		return nil
	}
	return o.file.Chmod(o.mode)
}

// finish gives the file its name, unless the command was interrupted: then it
// waits for the end.
func (o *fileOutput) finish() error {
	if err := o.file.Close(); err != nil {
		return err
	}
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	if err := o.publish(); err != nil {
		return err
	}
	o.done = true
	delete(o.app.temporary, o.file.Name())
	return nil
}

// publish gives the file its name. A link fails if there is such a name, even
// one that has come up since it was checked; a rename does not.
func (o *fileOutput) publish() error {
	if o.force {
		return os.Rename(o.file.Name(), o.target)
	}
	err := os.Link(o.file.Name(), o.target)
	switch {
	case err == nil:
		return os.Remove(o.file.Name())
	case errors.Is(err, fs.ErrExist):
		return existsError(o.target)
	}
	// Some file systems have no links.
	if err := checkAbsent(o.target); err != nil {
		return err
	}
	return os.Rename(o.file.Name(), o.target)
}

func (o *fileOutput) Abort() {
	if o.done {
		return
	}
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	o.file.Close()
	os.Remove(o.file.Name())
	delete(o.app.temporary, o.file.Name())
	o.done = true
}
