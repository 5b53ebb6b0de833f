package atomicfile

import (
	"os"
	"sync"
	"time"
)

const (
	// MaxGroup is how many results are put on the disk together, and how many
	// more may wait for that, with their files open.
	MaxGroup = 256

	// minGroup is how many make it worth to sync a file system in place of files.
	minGroup = 8

	// maxSyncs is how many files are synced at once. The disk does that for
	// several nearly as fast as for one.
	maxSyncs = 64

	// slowSync is what syncing a file takes at most, on average, on a disk that
	// turns.
	slowSync = 10 * time.Millisecond
)

// CommitAll gives files their names once all of them are on the disk, and makes
// the names last. It returns an error, or nil, for each.
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
	trees := make(map[*Tree]bool)
	for _, d := range dirs {
		d.sync()
		trees[d.tree] = true
	}
	for t := range trees {
		if t != nil {
			t.syncMade()
		}
	}
	return errs
}

// syncFiles puts files on the disk: by a sync of their file system if they are
// many, else each by its own.
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
	if len(left) >= minGroup && syncTogether(files) {
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

// others says that a file system had so much else to write that a sync of it took
// longer than one of each file would have.
var others struct {
	sync.Mutex
	busy bool
}

// syncTogether reports whether all that was written to the files is on the disk.
func syncTogether(files []*File) bool {
	others.Lock()
	defer others.Unlock()
	start := time.Now()
	if others.busy || !syncFileSystems(files) {
		return false
	}
	others.busy = time.Since(start) > time.Duration(len(files))*slowSync
	return true
}

// syncDir makes new names in a directory last. Not every system can, and the data
// itself is safe already.
func syncDir(path string) {
	if d, err := os.Open(path); err == nil {
		d.Sync()
		d.Close()
	}
}
