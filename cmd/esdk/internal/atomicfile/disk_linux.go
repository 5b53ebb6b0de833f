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

// syncable are the file systems whose sync is known to wait for the disk, and
// to return write errors. A sync of overlayfs doesn't return the errors of the
// file system below it, and a sync of FUSE may not even reach the server.
var syncable = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:  true, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:   true,
	unix.BTRFS_SUPER_MAGIC: true,
	unix.F2FS_SUPER_MAGIC:  true,
	unix.TMPFS_MAGIC:       true,
}

// reportsErrors reports whether syncfs(2) returns all errors. It returns errors
// of writing files since Linux 5.8, and errors of the file system itself, such
// as of its journal, since Linux 5.17.
var reportsErrors = sync.OnceValue(func() bool { return kernelSince(5, 17) })

// kernelSince reports whether the kernel has at least the given version.
func kernelSince(wantMajor, wantMinor int) bool {
	var name unix.Utsname
	var major, minor int
	if unix.Uname(&name) != nil {
		return false
	}
	n, _ := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > wantMajor || major == wantMajor && minor >= wantMinor)
}

// syncFileSystems syncs the file systems of the files, and reports whether all
// of them could be synced. After an error, each file must be synced on its own
// to get its error.
//
// A file descriptor reports errors since it was opened. It may miss an earlier
// error that was already reported elsewhere. So syncFileSystems uses the file
// opened first.
func syncFileSystems(files []*File) bool {
	if !reportsErrors() {
		return false
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b *File) int { return cmp.Compare(a.number, b.number) })
	synced := make(map[uint64]bool)
	for _, f := range files {
		if !syncFileSystem(f.file, synced) {
			return false
		}
	}
	return true
}

// syncFileSystemsOf is like syncFileSystems for directories, which it opens one
// after the other.
func syncFileSystemsOf(dirs []func() (*os.File, error)) bool {
	if !reportsErrors() {
		return false
	}
	synced := make(map[uint64]bool)
	for _, open := range dirs {
		d, err := open()
		if err != nil {
			return false
		}
		ok := syncFileSystem(d, synced)
		d.Close()
		if !ok {
			return false
		}
	}
	return true
}

// syncFileSystem syncs the file system of a file, unless it's one of those that
// were synced, and adds it to them.
func syncFileSystem(f *os.File, synced map[uint64]bool) bool {
	var stat syscall.Stat_t
	fd := int(f.Fd())
	if syscall.Fstat(fd, &stat) != nil {
		return false
	}
	if synced[stat.Dev] {
		return true
	}
	synced[stat.Dev] = true
	var system unix.Statfs_t
	return unix.Fstatfs(fd, &system) == nil && syncable[int64(system.Type)] && unix.Syncfs(fd) == nil
}

// beginWriting starts writing a part of a file to the disk, without waiting. It
// is only a hint: syncing the file reports whether all data was written.
func beginWriting(f *os.File, offset, length int64) {
	unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}
