package atomicfile

import (
	"io/fs"
	"os"
)

// Protected are files that are never written: keys and configuration. One goroutine
// at a time uses it.
type Protected struct{ files []fs.FileInfo }

// Add protects a file.
func (p *Protected) Add(info fs.FileInfo) { p.files = append(p.files, info) }

// Has reports whether a file is protected, by whatever name.
func (p *Protected) Has(info fs.FileInfo) bool {
	for _, f := range p.files {
		if os.SameFile(f, info) {
			return true
		}
	}
	return false
}
