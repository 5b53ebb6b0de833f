//go:build !linux

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// openUnnamed says that all files have names here.
func (*dir) openUnnamed(string, fs.FileMode) *os.File { return nil }

func (*dir) linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }
