//go:build !linux

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

func sameStatus(fs.FileInfo, fs.FileInfo) bool { return true }

func (*dir) renameToNew(string, string) error { return errors.ErrUnsupported }

func (f *File) setTime(t time.Time) error {
	if f.temp == "" {
		return errors.ErrUnsupported
	}
	return os.Chtimes(f.dir.join(f.temp), t, t)
}

func birth(*os.Root) int64 { return 0 }
