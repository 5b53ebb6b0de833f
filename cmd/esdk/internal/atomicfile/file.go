package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"esdk/cmd/esdk/internal/cli"
)

// TemporaryMode is the mode of temporary files.
const TemporaryMode fs.FileMode = 0o600

// A File is written to a temporary file in the directory of its target, and
// renamed to the target only when all of it is on the disk. If the system
// supports it, the temporary file has no name, so that nothing is left of it
// however the process ends.
type File struct {
	pending *Pending
	file    *os.File
	dir     *dir   // of both names
	temp    string // "" if the file is unnamed
	target  string
	mode    fs.FileMode
	kept    *attributes // attributes of the file that it replaces, or nil
	past    *past       // mode and time to be set, or nil
	sparse  bool        // blocks of zeros are holes
	old     fs.FileInfo // the file that it replaces, or nil
	number  int         // running number of the opened files
	onDisk  bool
	done    bool

	written, begun int64 // in bytes; begun is the part already on its way to the disk
}

// writeAhead is the number of bytes after which writing to the disk is started.
const writeAhead = 8 << 20

// Create creates a file with a mode, which the umask modifies as for open(2).
// The file may only replace old, as seen earlier at the target. If old is nil,
// it replaces nothing.
func (p *Pending) Create(target string, mode fs.FileMode, old fs.FileInfo) (*File, error) {
	d, name := dirOf(target)
	p.mu.Lock()
	p.hold(pathFiles)
	p.mu.Unlock()
	return p.create(d, name, mode, old)
}

// create creates a file of a given name in a directory. If it can't, it lets go
// of the files that the caller holds for it, and of the directory.
func (p *Pending) create(d *dir, target string, mode fs.FileMode, old fs.FileInfo) (*File, error) {
	f := &File{pending: p, dir: d, target: target, mode: mode, old: old}
	_, err := p.checkOld(d, target, old)
	if err == nil && !noUnnamed {
		f.file = d.openUnnamed(target, mode)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && f.file == nil { // an interrupt comes before the file has a name, or after it's known here
		if f.file, f.temp, f.mode, err = d.createTemp(target, mode); err == nil {
			p.remove[f] = func() { d.remove(f.temp) }
		}
	}
	if err != nil {
		p.letGo(d.files())
		d.release()
		return nil, err
	}
	p.opened++
	f.number = p.opened
	return f, nil
}

// Exists returns the error for a target that exists.
func Exists(target string) error {
	return cli.NewError(cli.ExitNotWritten, "%w", fs.ErrExist).Of(target).
		WithHint("use --force to replace it, or --no-clobber to skip it")
}

// Write starts writing to the disk while more data is produced. Otherwise
// writing would start when all data is there, and a long result would take the
// sum of both times.
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

// about replaces the name of the temporary file in an error by the target.
func (f *File) about(err error) error {
	if err == nil || f.dir == nil {
		return err
	}
	return f.dir.about(f.target, err)
}

// Commit syncs the file and gives it its final name.
func (f *File) Commit() error { return CommitAll([]*File{f})[0] }

// Sync syncs the file. This is the slow part of Commit.
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

// unsyncable reports whether an error means that a file system can't sync,
// rather than that it couldn't write.
func unsyncable(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY) || errors.Is(err, errors.ErrUnsupported)
}

// setMode makes the complete file accessible to its readers.
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
	return nil // it stays accessible to its owner only
}

// finish gives the file its final name. After an interrupt it blocks forever.
func (f *File) finish() error {
	if f.temp == "" {
		defer f.file.Close() // an unnamed file gets its name while it's still open
	} else if err := f.file.Close(); err != nil {
		return f.about(err)
	}
	f.pending.finishing.Lock()
	defer f.pending.finishing.Unlock()
	if err := f.publish(); err != nil {
		return err
	}
	f.pending.mu.Lock()
	defer f.pending.mu.Unlock()
	if f.pending.results != nil {
		f.pending.results.add(f.dir.lstat(f.target))
	}
	f.done = true
	delete(f.pending.remove, f)
	return nil
}

// publish gives the file its final name. A link fails if the name exists, even
// if it appeared after the check; a rename doesn't.
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
	// There is no rename that fails for an existing name, either.
	if err := f.dir.checkAbsent(f.target); err != nil {
		return err
	}
	return f.dir.rename(f.temp, f.target)
}

// replace replaces another file. A rename needs a name, so an unnamed file gets
// one first.
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

// checkOld returns an error if the name exists, unless it is still the file
// seen when the result was planned, and not a result of this run. It reports
// whether that file still exists.
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
		return false, cli.NewError(cli.ExitNotWritten, "the output was changed in the meantime").OfKind(cli.KindChanged).Of(d.join(name))
	}
	return true, p.CheckResult(old, d.join(name))
}

// Unchanged reports whether two infos of a name describe the same file, without
// a change to its content or attributes in between.
func Unchanged(before, after fs.FileInfo) bool {
	return os.SameFile(before, after) && before.Mode() == after.Mode() &&
		before.Size() == after.Size() && before.ModTime().Equal(after.ModTime()) && sameStatus(before, after)
}

// Abort removes the file. After Commit it only closes open files.
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
