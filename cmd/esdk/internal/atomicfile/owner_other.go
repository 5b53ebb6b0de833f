//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
)

// keepOwner does nothing: the directory determines the owner of a new file.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

func isOwn(fs.FileInfo) bool { return false }
