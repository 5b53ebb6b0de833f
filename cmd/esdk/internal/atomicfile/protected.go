package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"

	"esdk/cmd/esdk/internal/cli"
)

// Protected is a set of files that are never written to: keys and
// configuration. It is not safe for concurrent use.
type Protected struct {
	files []fs.FileInfo
	paths map[string]bool // see RealPath
}

// Add protects a file.
func (p *Protected) Add(info fs.FileInfo) { p.files = append(p.files, info) }

// AddPath protects a file that may not exist yet.
func (p *Protected) AddPath(path string) {
	if info, err := os.Stat(path); err == nil {
		p.Add(info)
	}
	if p.paths == nil {
		p.paths = make(map[string]bool)
	}
	p.paths[RealPath(path)] = true
}

// Has reports whether a file is protected, under any name.
func (p *Protected) Has(info fs.FileInfo) bool {
	for _, f := range p.files {
		if os.SameFile(f, info) {
			return true
		}
	}
	return false
}

// HasPath reports whether a real path was protected with AddPath.
func (p *Protected) HasPath(real string) bool { return p.paths[real] }

// RealPath returns the absolute path of a file, with all links to its directory
// resolved.
func RealPath(path string) string {
	return filepath.Join(RealDir(filepath.Dir(path)), filepath.Base(path))
}

// RealDir returns the absolute path of a directory, with links resolved if it
// exists.
func RealDir(dir string) string {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	return cli.Clean(dir)
}
