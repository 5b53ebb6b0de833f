package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"

	"esdk/cmd/esdk/internal/cli"
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
	folder *folder // of both names
	temp   string
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
	a.mu.Lock()
	defer a.mu.Unlock()
	folder, name := folderOf(target)
	return a.createOutput(folder, name, mode, force)
}

// createOutput makes the output of a name in a folder, with a.mu.
func (a *app) createOutput(folder *folder, target string, mode fs.FileMode, force bool) (output, error) {
	if err := folder.checkAbsent(target); err != nil && !(force && errors.Is(err, fs.ErrExist)) {
		return nil, err
	}
	f, temp, err := folder.createTemp(target)
	if err != nil {
		return nil, err
	}
	o := &fileOutput{app: a, file: f, folder: folder, temp: temp, target: target, mode: mode, force: force}
	a.temporary[o] = func() { folder.remove(temp) }
	a.opened++
	o.number = a.opened
	return o, nil
}

func existsError(target string) error {
	return cli.NewError(cli.ExitNotWritten, "%s: %w", target, fs.ErrExist).
		WithHint("--force replaces it, --no-clobber skips it")
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
	delete(o.app.temporary, o)
	return nil
}

// publish gives the file its name. A link fails if there is such a name, even
// one that has come up since it was checked; a rename does not.
func (o *fileOutput) publish() error {
	if o.force {
		return o.folder.rename(o.temp, o.target)
	}
	err := o.folder.link(o.temp, o.target)
	switch {
	case err == nil:
		return o.folder.remove(o.temp)
	case errors.Is(err, fs.ErrExist):
		return existsError(o.folder.join(o.target))
	}
	// Some file systems have no links.
	if err := o.folder.checkAbsent(o.target); err != nil {
		return err
	}
	return o.folder.rename(o.temp, o.target)
}

func (o *fileOutput) Abort() {
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	if !o.done {
		o.file.Close()
		o.folder.remove(o.temp)
		delete(o.app.temporary, o)
		o.done = true
	}
	if o.folder != nil {
		o.folder.release()
		o.folder = nil
	}
}
