package atomicfile

import (
	"os"
	"sync"
	"time"
)

const (
	// maxGroup is the number of results that are synced together.
	maxGroup = 512

	// minGroup is the number of files from which syncing a whole file system is
	// worthwhile.
	minGroup = 8

	// maxSyncs is the number of files synced at once. The disk syncs several
	// files nearly as fast as one.
	maxSyncs = 64

	// slowSync is an upper bound for the average time to sync a file on a
	// spinning disk.
	slowSync = 10 * time.Millisecond
)

// MaxGroup returns the largest number of results that are synced together. It
// leaves enough open files for several groups.
func (p *Pending) MaxGroup() int { return max(1, min(maxGroup, p.mostHeld/treeFiles/4)) }

// CommitAll renames files to their final names after all of them are on the
// disk, and syncs the names. It returns an error, or nil, for each file.
func CommitAll(files []*File) []error {
	errs := syncFiles(files)
	dirs := make(map[string]*dir)
	for i, f := range files {
		if errs[i] == nil {
			errs[i] = f.finish()
		}
		if errs[i] == nil {
			dirs[f.dir.path] = f.dir
		}
	}
	if len(dirs) > 0 {
		files[0].pending.syncNames(dirs)
	}
	return errs
}

// syncNames syncs new names in directories, and the names of directories that
// were made for results. It waits if another call syncs some of the latter.
func (p *Pending) syncNames(dirs map[string]*dir) {
	p.naming.Lock()
	defer p.naming.Unlock()
	var opens []func() (*os.File, error)
	trees := make(map[*Tree]bool)
	for _, d := range dirs {
		opens = append(opens, d.openNew)
		if d.tree != nil && !trees[d.tree] {
			trees[d.tree] = true
			opens = append(opens, d.tree.takeFresh()...)
		}
	}
	sync := func() bool { return syncFileSystemsOf(opens) }
	if len(opens) >= minGroup && syncTogether(len(opens), sync) {
		return
	}
	for _, open := range opens {
		syncDir(open)
	}
}

// syncFiles syncs files: many files through their file system, few files one by
// one.
func syncFiles(files []*File) []error {
	errs := make([]error, len(files))
	var left []int
	for i, o := range files {
		if o.onDisk {
			continue
		}
		if errs[i] = o.setMode(); errs[i] == nil {
			left = append(left, i)
		}
	}
	if len(left) >= minGroup && syncTogether(len(files), func() bool { return syncFileSystems(files) }) {
		return errs
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, maxSyncs)
	for _, i := range left {
		slots <- struct{}{}
		group.Go(func() {
			errs[i] = files[i].sync()
			<-slots
		})
	}
	group.Wait()
	return errs
}

// others is busy if a file system had so much other data to write that syncing
// it took longer than syncing each file would have.
var others struct {
	sync.Mutex
	busy bool
}

// syncTogether calls a function that syncs the file systems of some files or
// directories. It reports whether all of them are on the disk.
func syncTogether(number int, sync func() bool) bool {
	others.Lock()
	defer others.Unlock()
	start := time.Now()
	if others.busy || !sync() {
		return false
	}
	others.busy = time.Since(start) > time.Duration(number)*slowSync
	return true
}

// syncDir syncs new names in a directory. It ignores errors: not every system
// supports it, and the data itself is already safe.
func syncDir(open func() (*os.File, error)) {
	if d, err := open(); err == nil {
		d.Sync()
		d.Close()
	}
}
