package atomicfile

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncable are the file systems whose sync is known to wait for the disk, and to
// return errors of writing. That of overlayfs does not see those of the file system
// below it, and that of FUSE need not reach the server at all.
var syncable = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:  true, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:   true,
	unix.BTRFS_SUPER_MAGIC: true,
	unix.F2FS_SUPER_MAGIC:  true,
	unix.TMPFS_MAGIC:       true,
}

// reportsErrors says whether syncfs(2) returns all errors: those of writing files
// from Linux 5.8 on, those of the file system itself, such as its journal's, from
// 5.17 on.
var reportsErrors = sync.OnceValue(func() bool { return kernelSince(5, 17) })

// kernelSince reports whether the kernel has a version, or a later one.
func kernelSince(wantMajor, wantMinor int) bool {
	var name unix.Utsname
	var major, minor int
	if unix.Uname(&name) != nil {
		return false
	}
	n, _ := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > wantMajor || major == wantMajor && minor >= wantMinor)
}

// syncFileSystems syncs the file systems that the files are on, if all of them
// can be. After an error, each file has to be asked what became of it.
//
// A file descriptor is told of errors since it was opened, and may miss one before
// that, if somebody else was told of it. So it takes the one opened first.
func syncFileSystems(files []*File) bool {
	if !reportsErrors() {
		return false
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b *File) int { return cmp.Compare(a.number, b.number) })
	seen := make(map[uint64]bool)
	for _, o := range files {
		var stat syscall.Stat_t
		fd := int(o.file.Fd())
		if syscall.Fstat(fd, &stat) != nil {
			return false
		}
		if seen[stat.Dev] {
			continue
		}
		seen[stat.Dev] = true
		var system unix.Statfs_t
		if unix.Fstatfs(fd, &system) != nil || !syncable[int64(system.Type)] || unix.Syncfs(fd) != nil {
			return false
		}
	}
	return true
}

// beginWriting has a part of a file go to the disk, and does not wait for it. It
// is advice: whether all is there, syncing the file tells.
func beginWriting(f *os.File, offset, length int64) {
	unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}
