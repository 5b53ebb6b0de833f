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

// sameStatus reports whether a file had the same status: owner, attributes and all that
// a change of them, or of the content, gives a new time, which nobody can set back. A
// link more or less does that too, and may be this run's.
func sameStatus(before, after fs.FileInfo) bool {
	a, aok := before.Sys().(*syscall.Stat_t)
	b, bok := after.Sys().(*syscall.Stat_t)
	return !aok || !bok || a.Nlink != b.Nlink || a.Ctim == b.Ctim
}

// renameToNew renames a file unless there is one of the name. Where the file system
// cannot do that at once, the error matches [errors.ErrUnsupported].
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

// setTime sets the time of the last change. Package os has none outside of 1678 to 2262.
func (f *File) setTime(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	err = unix.UtimesNanoAt(unix.AT_FDCWD, descriptors+strconv.FormatUint(uint64(f.file.Fd()), 10), []unix.Timespec{ts, ts}, 0)
	if errors.Is(err, fs.ErrNotExist) && f.temp != "" {
		return os.Chtimes(f.dir.join(f.temp), t, t) // there is no /proc
	}
	return err
}

// birth is when a directory was made, 0 if that is not known: its number may have been
// another's before.
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
