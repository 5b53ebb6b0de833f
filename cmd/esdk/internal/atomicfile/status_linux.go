package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sameStatus reports whether the status of a file is unchanged. Changing the
// owner, an attribute or the content updates the status time, and nobody can
// set it back. Adding or removing a link also updates it, and this run may have
// done that.
func sameStatus(before, after fs.FileInfo) bool {
	a, aok := before.Sys().(*syscall.Stat_t)
	b, bok := after.Sys().(*syscall.Stat_t)
	return !aok || !bok || a.Nlink != b.Nlink || a.Ctim == b.Ctim
}

// renameToNew renames a file unless the new name exists. If the file system
// can't do that atomically, the error matches [errors.ErrUnsupported].
func (d *dir) renameToNew(old, name string) error {
	err := d.at(func(at int, path string) error {
		from, to := old, name
		if path != "." {
			from, to = d.join(old), d.join(name)
		}
		return unix.Renameat2(at, from, at, to, unix.RENAME_NOREPLACE)
	})
	if err == unix.EINVAL {
		err = errors.ErrUnsupported
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: d.join(name), Err: err}
	}
	return nil
}

// setTime sets the modification time. Package os only supports the years 1678
// to 2262.
func (f *File) setTime(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, descriptors+strconv.FormatUint(uint64(f.file.Fd()), 10), []unix.Timespec{ts, ts}, 0)
	if errors.Is(err, fs.ErrNotExist) && f.temp != "" {
		return os.Chtimes(f.dir.join(f.temp), t, t) // /proc doesn't exist
	}
	return err
}

// birth returns the creation time of a directory, or 0 if it is unknown. It
// distinguishes directories with the same inode number: the number is reused
// after a directory is deleted.
func birth(root *os.Root) (at int64) {
	f, err := root.Open(".")
	if err != nil {
		return 0
	}
	defer f.Close()
	var stat unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &stat); err != nil || stat.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return stat.Btime.Sec*1e9 + int64(stat.Btime.Nsec)
}
