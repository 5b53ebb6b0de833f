//go:build unix

package atomicfile

import (
	"io/fs"
	"syscall"
)

// A fileID is the same for two names of one file.
type fileID struct{ device, inode uint64 }

func idOf(info fs.FileInfo) fileID {
	stat := info.Sys().(*syscall.Stat_t)
	return fileID{uint64(stat.Dev), uint64(stat.Ino)}
}
