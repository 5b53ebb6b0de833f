package place

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// stdin is standard input.
type stdin struct {
	file *os.File
	info fs.FileInfo
}

func (*stdin) Name() string                          { return cli.Standard }
func (*stdin) ID() string                            { return cli.Standard }
func (s *stdin) Info() fs.FileInfo                   { return s.info }
func (*stdin) Below() bool                           { return false }
func (*stdin) Remote() bool                          { return false }
func (s *stdin) Open(context.Context) (Input, error) { return s.file, nil }
func (*stdin) localName() (string, error)            { return cli.Standard, nil }
func (*stdin) keyName() string                       { return cli.Standard }

// file is a file or device by its path.
type file struct {
	path string
	info fs.FileInfo // nil if it is not there
	real realPaths
}

func (f *file) Name() string                        { return f.path }
func (f *file) ID() string                          { return f.real.path(f.path) }
func (f *file) Info() fs.FileInfo                   { return f.info }
func (*file) Below() bool                           { return false }
func (*file) Remote() bool                          { return false }
func (f *file) Open(context.Context) (Input, error) { return os.Open(f.path) }
func (f *file) localName() (string, error)          { return filepath.Base(f.path), nil }
func (f *file) keyName() string                     { return filepath.Base(f.path) }

// treeEntry is something in a tree.
type treeEntry struct {
	tree *tree
	name string // in the tree
	info fs.FileInfo
}

func (e *treeEntry) Name() string                        { return cli.Join(e.tree.path, e.name) }
func (e *treeEntry) ID() string                          { return filepath.Join(e.tree.real, e.name) }
func (e *treeEntry) Info() fs.FileInfo                   { return e.info }
func (*treeEntry) Below() bool                           { return true }
func (*treeEntry) Remote() bool                          { return false }
func (e *treeEntry) Open(context.Context) (Input, error) { return e.tree.openFile(e.name) }
func (e *treeEntry) localName() (string, error)          { return e.name, nil }
func (e *treeEntry) keyName() string                     { return filepath.ToSlash(e.name) }

// objectSource is an object.
type objectSource struct {
	*object.Object
	name string       // below a folder that was named, "" for one that was itself
	info *object.Info // nil if it is not there
}

func (o *objectSource) Name() string { return o.String() }

func (o *objectSource) Info() fs.FileInfo {
	if o.info == nil {
		return nil
	}
	return o.info
}

func (o *objectSource) Below() bool  { return o.name != "" }
func (o *objectSource) Remote() bool { return true }

func (o *objectSource) Open(ctx context.Context) (Input, error) {
	r, err := o.Object.Open(ctx, o.info)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// localName is the name as one of files. Keys need not be names of files, and may
// lead out of a directory.
func (o *objectSource) localName() (string, error) {
	if !o.Below() {
		return path.Base(o.Key), nil
	}
	name, err := filepath.Localize(o.name)
	if err != nil {
		return "", cli.NewError(cli.ExitNotWritten, "there can be no file of this name")
	}
	return name, nil
}

func (o *objectSource) keyName() string {
	if !o.Below() {
		return path.Base(o.Key)
	}
	return o.name
}

// folder is that of the objects that was named.
func (o *objectSource) folder() *object.Object { return o.With(strings.TrimSuffix(o.Key, o.name)) }
