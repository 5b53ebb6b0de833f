//go:build !unix

package atomicfile

import "io/fs"

// A fileID is the same for two names of one file, and for hardly any two files: the
// number of a file can't be asked for here without opening it.
type fileID struct{ modified, size int64 }

func idOf(info fs.FileInfo) fileID {
	return fileID{info.ModTime().UnixNano(), info.Size()}
}
