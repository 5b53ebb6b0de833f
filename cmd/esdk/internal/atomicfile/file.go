package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"esdk/cmd/esdk/internal/cli"
)

// TemporaryMode is the mode of files until they have their name.
const TemporaryMode fs.FileMode = 0o600

// A File is written to a temporary file in the directory of its target, and gets the
// target's name only when all of it is on the disk. Where the system can, it has no name
// before, so that nothing is left of it however the process ends.
type File struct {
	pending *Pending
	file    *os.File
	dir     *dir   // of both names
	temp    string // "" if it has no name yet
	target  string
	mode    fs.FileMode
	kept    *attributes // of what it takes the place of, nil for none
	past    *past       // that it is to have, nil for none
	sparse  bool        // blocks of zeros are holes
	old     fs.FileInfo // that it replaces, nil for none
	number  int         // of the files that were opened before
	onDisk  bool
	done    bool

	written, begun int64 // bytes, and how many of them go to the disk already
}

// writeAhead is how much is left to the system before it goes to the disk.
const writeAhead = 8 << 20

// Create makes a file with a mode, as open(2) does: the umask has a say in it. It
// takes the place of one that was seen there: of that only, and of nothing if old is
// nil.
func (p *Pending) Create(target string, mode fs.FileMode, old fs.FileInfo) (*File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold(pathFiles)
	d, name := dirOf(target)
	f, err := p.create(d, name, mode, old)
	if err != nil {
		p.letGo(pathFiles)
	}
	return f, err
}

// create makes a file of a name in a directory, with p.mu.
func (p *Pending) create(d *dir, target string, mode fs.FileMode, old fs.FileInfo) (*File, error) {
	if _, err := p.checkOld(d, target, old); err != nil {
		return nil, err
	}
	file, temp, mode, err := d.createTemp(target, mode)
	if err != nil {
		return nil, err
	}
	f := &File{pending: p, file: file, dir: d, temp: temp, target: target, mode: mode, old: old}
	if temp != "" {
		p.remove[f] = func() { d.remove(temp) }
	}
	p.opened++
	f.number = p.opened
	return f, nil
}

// Exists returns the error for a target that exists.
func Exists(target string) error {
	return cli.NewError(cli.ExitNotWritten, "%w", fs.ErrExist).Of(target).
		WithHint("--force replaces it, --no-clobber skips it")
}

// Write has the disk begin with what was written, while more of it is made: else
// it would begin when all is there, and a long result take the sum of both times.
func (f *File) Write(p []byte) (int, error) {
	write := f.file.Write
	if f.sparse {
		write = f.writeSparse
	}
	n, err := write(p)
	f.written += int64(n)
	if f.written-f.begun >= writeAhead {
		beginWriting(f.file, f.begun, f.written-f.begun)
		f.begun = f.written
	}
	return n, f.about(err)
}

// about has an error of the system name the target.
func (f *File) about(err error) error {
	if err == nil || f.dir == nil {
		return err
	}
	return f.dir.about(f.target, err)
}

// Commit puts the file on the disk and gives it its name.
func (f *File) Commit() error { return CommitAll([]*File{f})[0] }

// Sync puts what was written on the disk. It is a part of Commit that takes long.
func (f *File) Sync() error {
	if f.onDisk {
		return nil
	}
	if err := f.setMode(); err != nil {
		return err
	}
	return f.sync()
}

func (f *File) sync() error {
	err := f.file.Sync()
	if unsyncable(err) {
		err = nil
	}
	f.onDisk = err == nil
	return f.about(err)
}

// unsyncable reports whether an error is that of a file system that cannot wait for the
// disk, rather than of one that could not write.
func unsyncable(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) || errors.Is(err, errors.ErrUnsupported)
}

// setMode has the file be read by whom it is for, once it is complete.
func (f *File) setMode() error {
	if f.sparse {
		if err := f.file.Truncate(f.written); err != nil { // it may end in a hole
			return f.about(err)
		}
	}
	switch {
	case f.kept != nil:
		return f.kept.apply(f.file)
	case f.past != nil:
		return f.past.apply(f)
	}
	return f.setOwnMode()
}

func (f *File) setOwnMode() error {
	if f.mode == TemporaryMode || f.temp == "" {
		return nil
	}
	if err := f.file.Chmod(f.mode); !refused(err) {
		return f.about(err)
	}
	return nil // it is its owner's only
}

// finish gives the file its name, unless the command was interrupted: then it
// waits for the end.
func (f *File) finish() error {
	if f.temp == "" {
		defer f.file.Close() // it is on the disk, and gets its name as long as it is open
	} else if err := f.file.Close(); err != nil {
		return f.about(err)
	}
	f.pending.mu.Lock()
	defer f.pending.mu.Unlock()
	if err := f.publish(); err != nil {
		return err
	}
	f.pending.results.add(f.dir.lstat(f.target))
	f.done = true
	delete(f.pending.remove, f)
	return nil
}

// publish gives the file its name. A link fails if there is such a name, even
// one that has come up since it was checked; a rename does not.
func (f *File) publish() error {
	if f.old != nil {
		if there, err := f.pending.checkOld(f.dir, f.target, f.old); err != nil {
			return err
		} else if there {
			return f.replace()
		}
	}
	var err error
	if f.temp == "" {
		err = f.dir.linkUnnamed(f.file, f.target)
	} else {
		err = f.dir.link(f.temp, f.target)
	}
	if f.temp != "" && err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no links.
		if err := f.dir.renameToNew(f.temp, f.target); !errors.Is(err, errors.ErrUnsupported) {
			if errors.Is(err, fs.ErrExist) {
				err = Exists(f.dir.join(f.target))
			}
			return err
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return Exists(f.dir.join(f.target))
	case f.temp == "":
		return err
	case err == nil:
		return f.dir.remove(f.temp)
	}
	// Nor a rename that fails if there is one of the name.
	if err := f.dir.checkAbsent(f.target); err != nil {
		return err
	}
	return f.dir.rename(f.temp, f.target)
}

// replace has the file take the place of another. A rename needs a name.
func (f *File) replace() error {
	if f.temp != "" {
		return f.dir.rename(f.temp, f.target)
	}
	temp, err := f.dir.linkTemp(f.file, f.target)
	if err != nil {
		return err
	}
	if err := f.dir.rename(temp, f.target); err != nil {
		return errors.Join(err, f.dir.remove(temp))
	}
	return nil
}

// checkOld fails if there is something of the name, but for what was there when the
// result was planned, and no result of this run. It reports whether that is there still.
func (p *Pending) checkOld(d *dir, name string, old fs.FileInfo) (there bool, err error) {
	if old == nil {
		return false, d.checkAbsent(name)
	}
	info, err := d.lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !Unchanged(old, info):
		return false, cli.NewError(cli.ExitNotWritten, "it was replaced or changed meanwhile").OfKind(cli.KindChanged).Of(d.join(name))
	}
	return true, p.results.check(old, d.join(name))
}

// Unchanged reports whether two looks at a name saw one file, that nobody wrote to
// between them, or gave other attributes.
func Unchanged(before, after fs.FileInfo) bool {
	return os.SameFile(before, after) && before.Mode() == after.Mode() &&
		before.Size() == after.Size() && before.ModTime().Equal(after.ModTime()) && sameStatus(before, after)
}

// Abort removes the file. It has no effect after Commit but to close what is open.
func (f *File) Abort() {
	f.pending.mu.Lock()
	defer f.pending.mu.Unlock()
	if !f.done {
		f.file.Close()
		if f.temp != "" {
			f.dir.remove(f.temp)
		}
		delete(f.pending.remove, f)
		f.done = true
	}
	if f.dir != nil {
		f.pending.letGo(f.dir.files())
		f.dir.release()
		f.dir = nil
	}
}
