package atomicfile

import (
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// unnaming are the file systems that are known to give a file its first name
// when it is complete. Network file systems and FUSE may create a name anyway.
var unnaming = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:      true, // and ext2, ext3
	unix.XFS_SUPER_MAGIC:       true,
	unix.BTRFS_SUPER_MAGIC:     true,
	unix.F2FS_SUPER_MAGIC:      true,
	unix.TMPFS_MAGIC:           true,
	unix.OVERLAYFS_SUPER_MAGIC: true,
}

// descriptors is the directory with links to the descriptors of the process.
// Linking a descriptor directly needs a privilege.
const descriptors = "/proc/self/fd/"

// respectsUmask reports whether the umask applies to unnamed files on all file
// systems: since Linux 6.0.
var respectsUmask = sync.OnceValue(func() bool { return kernelSince(6, 0) })

// openUnnamed creates an unnamed file, with a mode as for open(2). The file has
// that mode from the start, since nobody else can open it. openUnnamed returns
// nil if that isn't possible here.
func (d *dir) openUnnamed(target string, mode fs.FileMode) *os.File {
	if mode != TemporaryMode && !respectsUmask() {
		return nil
	}
	var fd int
	err := d.at(func(at int, path string) (err error) {
		fd, err = ignoringInterrupts(func() (int, error) {
			return unix.Openat(at, path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(mode))
		})
		return err
	})
	if err != nil {
		return nil // creating a named file returns the error
	}
	file := os.NewFile(uintptr(fd), d.join(target))
	if !d.canLink(fd, target) {
		file.Close()
		return nil
	}
	return file
}

// linkable records for each file system whether an unnamed file can get a name
// later.
var linkable struct {
	sync.Mutex
	known map[uint64]bool
}

// canLink reports whether an unnamed file can get a name later. It tries that
// once on each file system, before there is any work to lose: /proc may be
// missing, or a policy may forbid it.
func (d *dir) canLink(fd int, target string) bool {
	if d.root == nil {
		return d.canLinkNew(fd, target)
	}
	d.mu.Lock()
	known := d.links // it stays the same directory
	d.mu.Unlock()
	if known {
		return true
	}
	can := d.canLinkNew(fd, target)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.links = can
	return can
}

func (d *dir) canLinkNew(fd int, target string) bool {
	var stat unix.Stat_t
	var system unix.Statfs_t
	if unix.Fstat(fd, &stat) != nil || unix.Fstatfs(fd, &system) != nil || !unnaming[int64(system.Type)] {
		return false
	}
	linkable.Lock()
	defer linkable.Unlock()
	if can, ok := linkable.known[stat.Dev]; ok {
		return can
	}
	if linkable.known == nil {
		linkable.known = make(map[uint64]bool)
	}
	linkable.known[stat.Dev] = d.tryLink(target, stat.Mode)
	return linkable.known[stat.Dev]
}

func (d *dir) tryLink(target string, mode uint32) bool {
	var file *os.File
	err := d.at(func(at int, path string) error {
		fd, err := unix.Openat(at, path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode&0o600)
		if err == nil {
			file = os.NewFile(uintptr(fd), target)
		}
		return err
	})
	if err != nil {
		return false
	}
	defer file.Close()
	temp := temporaryName(target)
	return d.linkUnnamed(file, temp) == nil && d.remove(temp) == nil
}

// linkUnnamed gives a file its first name, which must not exist.
func (d *dir) linkUnnamed(file *os.File, name string) error {
	old := descriptors + strconv.Itoa(int(file.Fd()))
	err := d.at(func(at int, path string) error {
		if path == "." {
			path = name
		} else {
			path = d.join(name)
		}
		_, err := ignoringInterrupts(func() (int, error) {
			return 0, unix.Linkat(unix.AT_FDCWD, old, at, path, unix.AT_SYMLINK_FOLLOW)
		})
		return err
	})
	if err != nil {
		return &fs.PathError{Op: "link", Path: d.join(name), Err: err}
	}
	return nil
}

// at calls a function with a descriptor of the directory and the path ".", or
// with the working directory and the path of the directory.
func (d *dir) at(f func(at int, path string) error) error {
	if d.root == nil {
		return f(unix.AT_FDCWD, d.path)
	}
	opened, err := d.open()
	if err != nil {
		return err
	}
	return f(int(opened.Fd()), ".")
}

// open opens the directory once for all of its files. It stays open until
// release.
func (d *dir) open() (opened *os.File, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened == nil {
		if opened, err = d.root.Open("."); err != nil {
			return nil, err
		}
		d.opened = opened
	}
	return d.opened, nil
}

// ignoringInterrupts retries a system call that was interrupted by a signal.
func ignoringInterrupts(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}
