//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner and group of another.
func keepOwner(file *os.File, like fs.FileInfo) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	is, want := info.Sys().(*syscall.Stat_t), like.Sys().(*syscall.Stat_t)
	if is.Uid != want.Uid {
		if err := file.Chown(int(want.Uid), -1); err != nil {
			return notKept("owner", err)
		}
	}
	if is.Gid != want.Gid {
		if err := file.Chown(-1, int(want.Gid)); err != nil {
			return notKept("group", err)
		}
	}
	return nil
}

// isOwn reports whether a directory belongs to this user, and nobody else may
// write to it.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
