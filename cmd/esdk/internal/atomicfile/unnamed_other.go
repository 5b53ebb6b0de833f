//go:build !linux

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// openUnnamed returns nil: on this system, all files have names.
func (*dir) openUnnamed(string, fs.FileMode) *os.File { return nil }

func (*dir) linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }
