package atomicfile

import (
	"bytes"
	"io"
	"io/fs"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// past has the mode and time of a file when it was encrypted.
type past struct {
	mode     fs.FileMode // 0 to leave it unchanged
	modified time.Time
}

// keepMode distinguishes a mode of 0 from none.
const keepMode = fs.ModeIrregular

// Restore sets the mode and modification time that the file gets once it is
// complete.
func (f *File) Restore(mode fs.FileMode, modified time.Time) {
	f.past = &past{mode.Perm() | keepMode, modified}
}

// SetTime sets the modification time that the file gets once it is complete.
func (f *File) SetTime(modified time.Time) { f.past = &past{modified: modified} }

func (p *past) apply(f *File) error {
	if p.mode == 0 {
		if err := f.setOwnMode(); err != nil {
			return err
		}
	} else if err := f.file.Chmod(p.mode.Perm()); err != nil && !refused(err) {
		return f.about(err)
	}
	err := f.setTime(p.modified)
	if err == nil {
		err = f.checkTime(p.modified)
	}
	if err != nil {
		return cli.NewError(cli.ExitNotWritten, "the file's time cannot be restored: %w", f.about(err))
	}
	return nil
}

// timeGrain is the resolution of times in the coarsest file systems.
const timeGrain = 2 * time.Second

// checkTime returns an error if the file system couldn't store the time, and
// stored another.
func (f *File) checkTime(want time.Time) error {
	info, err := f.file.Stat()
	if err != nil {
		return f.about(err)
	}
	if d := info.ModTime().Sub(want); d < -timeGrain || d > timeGrain {
		return cli.Errorf("the file system stored %s instead of %s", info.ModTime().UTC().Format(time.RFC3339), want.UTC().Format(time.RFC3339))
	}
	return nil
}

// holeSize is the smallest size of a hole in most file systems, in bytes.
const holeSize = 4096

var zeros [holeSize]byte

// Sparse makes Write leave holes in place of blocks of zeros.
func (f *File) Sparse() { f.sparse = true }

func (f *File) writeSparse(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		hole, size := nextRun(p[n:], f.written+int64(n))
		if hole {
			_, err = f.file.Seek(int64(size), io.SeekCurrent)
		} else {
			size, err = f.file.Write(p[n : n+size])
		}
		n += size
	}
	return n, err
}

// nextRun returns the length of the longest start of p that either consists of
// blocks of zeros or has no such block. The argument at is the offset of p in
// the file.
func nextRun(p []byte, at int64) (hole bool, size int) {
	for size < len(p) {
		n := min(len(p)-size, holeSize-int((at+int64(size))%holeSize))
		zero := n == holeSize && bytes.Equal(p[size:size+n], zeros[:])
		if size > 0 && zero != hole {
			break
		}
		hole = zero
		size += n
	}
	return hole, size
}
