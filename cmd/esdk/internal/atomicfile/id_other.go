//go:build !unix

package atomicfile

import "io/fs"

// A fileID is the same for two names of one file, and rarely the same for two
// files: on this system the number of a file isn't available without opening
// it.
type fileID struct{ modified, size int64 }

func idOf(info fs.FileInfo) fileID {
	return fileID{info.ModTime().UnixNano(), info.Size()}
}
