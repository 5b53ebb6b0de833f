package place

import (
	"bufio"
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// stdout is standard output.
type stdout struct{ file *os.File }

func (*stdout) Name() string { return cli.Standard }
func (*stdout) ID() string   { return cli.Standard }
func (*stdout) Stream() bool { return true }
func (*stdout) Remote() bool { return false }

func (s *stdout) Create(context.Context, CreateOptions) (Output, error) {
	return &stream{bufio.NewWriter(s.file), s.file, true}, nil // not closed: the report may go there too
}

// device is a pipe or device opened by its path.
type device struct {
	path string
	info fs.FileInfo // when it was planned
	real realPaths
}

func (d *device) Name() string { return d.path }
func (d *device) ID() string   { return d.real.path(d.path) }
func (*device) Stream() bool   { return true }
func (*device) Remote() bool   { return false }

func (d *device) Create(context.Context, CreateOptions) (Output, error) {
	f, err := os.OpenFile(d.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!os.SameFile(info, d.info) || info.Mode().Type() != d.info.Mode().Type()) {
		err = cli.NewError(cli.ExitNotWritten, "the output was replaced in the meantime").Of(d.path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &stream{bufio.NewWriter(f), f, false}, nil
}

// A stream is an output whose bytes are visible as they're written.
type stream struct {
	*bufio.Writer
	file     *os.File
	leftOpen bool
}

func (s *stream) Commit() error {
	if err := s.Flush(); err != nil || s.leftOpen {
		return err
	}
	return s.file.Close()
}

// Abort writes out the rest of the released plaintext. It is authentic, and the
// exit status tells the reader that it's incomplete.
func (s *stream) Abort() { s.Flush() }

// fileTarget is a file created by its path.
type fileTarget struct {
	pending *atomicfile.Pending
	path    string
	old     fs.FileInfo // replaced by the result, nil for none
	real    realPaths
}

func (f *fileTarget) Name() string { return f.path }
func (f *fileTarget) ID() string   { return f.real.path(f.path) }
func (*fileTarget) Stream() bool   { return false }
func (*fileTarget) Remote() bool   { return false }

func (f *fileTarget) Create(_ context.Context, o CreateOptions) (Output, error) {
	result, err := f.pending.Create(f.path, o.Mode, f.old)
	return o.output(result, err)
}

// output returns f as an Output. For an error it returns a nil interface rather
// than one that holds a nil pointer.
func (o *CreateOptions) output(f *atomicfile.File, err error) (Output, error) {
	if err != nil {
		return nil, err
	}
	if o.Sparse {
		f.Sparse()
	}
	if like, ok := o.Like.(*opened); ok {
		if err := f.Keep(like.File); err != nil {
			f.Abort()
			return nil, err
		}
	}
	return f, nil
}

// treeTarget is a file in a tree.
type treeTarget struct {
	pending *atomicfile.Pending
	tree    *tree
	name    string      // in the tree
	from    *tree       // the tree whose directories are made again in it, nil for none
	old     fs.FileInfo // replaced by the result, nil for none
}

func (t *treeTarget) Name() string { return cli.Join(t.tree.path, t.name) }
func (t *treeTarget) ID() string   { return filepath.Join(t.tree.real, t.name) }
func (*treeTarget) Stream() bool   { return false }
func (*treeTarget) Remote() bool   { return false }

func (t *treeTarget) Create(_ context.Context, o CreateOptions) (Output, error) {
	mode := func(dir string) fs.FileMode { return t.from.dirMode(dir, o.Mode) }
	result, err := t.tree.results(t.pending).Create(t.name, o.Mode, mode, t.old)
	return o.output(result, err)
}

// objectTarget is an object.
type objectTarget struct {
	*object.Object
	pending *atomicfile.Pending
	force   bool         // replace any object
	seen    *object.Seen // the only object that may be replaced, nil for none
	size    int64        // of the source, -1 if it isn't known
}

func (o *objectTarget) Name() string { return o.String() }
func (*objectTarget) Stream() bool   { return false }
func (*objectTarget) Remote() bool   { return true }

func (o *objectTarget) Create(ctx context.Context, c CreateOptions) (Output, error) {
	like, _ := c.Like.(*object.Reader)
	w, err := o.Object.Create(ctx, o.pending, object.CreateOptions{Replace: o.force, Seen: o.seen, InPlace: like, Size: o.size, SideBySide: c.SideBySide})
	if err != nil {
		return nil, err
	}
	return w, nil
}
