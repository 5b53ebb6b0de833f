package place

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
)

// unopened is an input whose name is already an error.
type unopened struct{ name string }

func (u *unopened) Name() string                      { return u.name }
func (u *unopened) ID() string                        { return u.name }
func (*unopened) Info() fs.FileInfo                   { return nil }
func (*unopened) Below() bool                         { return false }
func (*unopened) Remote() bool                        { return false }
func (*unopened) Open(context.Context) (Input, error) { return nil, fs.ErrInvalid }
func (u *unopened) localName() (string, error)        { return u.name, nil }
func (u *unopened) keyName() string                   { return u.name }

// stdin is standard input.
type stdin struct {
	file *os.File
	info fs.FileInfo
}

func (*stdin) Name() string               { return cli.Standard }
func (*stdin) ID() string                 { return cli.Standard }
func (s *stdin) Info() fs.FileInfo        { return s.info }
func (*stdin) Below() bool                { return false }
func (*stdin) Remote() bool               { return false }
func (*stdin) localName() (string, error) { return cli.Standard, nil }
func (*stdin) keyName() string            { return cli.Standard }

func (s *stdin) Open(context.Context) (Input, error) { return newOpened(s.file, nil) }

// file is a file or device opened by its path.
type file struct {
	name string      // as given
	path string      // opened
	info fs.FileInfo // nil if nothing is there
	same bool        // refuse any file but the planned one
	real realPaths
}

func (f *file) Name() string               { return f.name }
func (f *file) ID() string                 { return f.real.path(f.path) }
func (f *file) Info() fs.FileInfo          { return f.info }
func (*file) Below() bool                  { return false }
func (*file) Remote() bool                 { return false }
func (f *file) localName() (string, error) { return filepath.Base(f.name), nil }
func (f *file) keyName() string            { return filepath.Base(f.name) }

func (f *file) Open(context.Context) (Input, error) {
	flags := os.O_RDONLY
	if f.info != nil && f.info.Mode().IsRegular() {
		flags |= noBlock
	}
	opened, err := os.OpenFile(f.path, flags, 0)
	if err != nil {
		return nil, err
	}
	in, err := newOpened(opened, func() (fs.FileInfo, error) { return os.Stat(f.path) })
	if err != nil {
		return nil, err
	}
	return in.check(f.info, f.same)
}

// treeEntry is an entry of a tree.
type treeEntry struct {
	tree *tree
	name string // in the tree
	info fs.FileInfo
	same bool // refuse any file but the planned one
}

func (e *treeEntry) Name() string               { return cli.Join(e.tree.path, e.name) }
func (e *treeEntry) ID() string                 { return filepath.Join(e.tree.real, e.name) }
func (e *treeEntry) Info() fs.FileInfo          { return e.info }
func (*treeEntry) Below() bool                  { return true }
func (*treeEntry) Remote() bool                 { return false }
func (e *treeEntry) localName() (string, error) { return e.name, nil }
func (e *treeEntry) keyName() string            { return filepath.ToSlash(e.name) }

// Open opens a regular file. It doesn't wait if the file has become a pipe.
func (e *treeEntry) Open(context.Context) (Input, error) {
	f, err := e.tree.root.OpenFile(e.name, os.O_RDONLY|noBlock, 0)
	if err != nil {
		return nil, err
	}
	in, err := newOpened(f, func() (fs.FileInfo, error) { return e.tree.root.Stat(e.name) })
	if err != nil {
		return nil, err
	}
	return in.check(e.info, e.same)
}

// opened is an open file.
type opened struct {
	*os.File
	info  fs.FileInfo                 // when it was opened
	again func() (fs.FileInfo, error) // describes the file that now has its name; nil if it has no name
}

func newOpened(f *os.File, again func() (fs.FileInfo, error)) (*opened, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &opened{f, info, again}, nil
}

// check returns an error, and closes the file, if it isn't as planned: it's of
// another kind, or same is set and it's another file.
func (o *opened) check(planned fs.FileInfo, same bool) (Input, error) {
	var err error
	switch {
	case planned == nil:
	case planned.Mode().IsRegular() && !o.info.Mode().IsRegular():
		err = cli.NewError(cli.ExitError, "the input is no longer a regular file")
	case same && !os.SameFile(planned, o.info):
		err = cli.NewError(cli.ExitError, "the input was replaced in the meantime").OfKind(cli.KindChanged)
	}
	if err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// Changed compares lengths and times. A writer that sets the time back isn't
// noticed.
func (o *opened) Changed() error {
	now, err := o.Stat()
	if err != nil || !o.info.Mode().IsRegular() {
		return nil
	}
	switch {
	case now.Size() > o.info.Size():
		return errors.New("the input grew while it was read")
	case now.Size() < o.info.Size():
		return errors.New("the input shrank while it was read")
	case !now.ModTime().Equal(o.info.ModTime()):
		return errors.New("the input was modified while it was read")
	case o.again == nil:
		return nil
	}
	if named, err := o.again(); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the input was removed while it was read")
	} else if err == nil && !os.SameFile(named, o.info) {
		return errors.New("the input was replaced while it was read")
	}
	return nil
}

// objectSource is an object.
type objectSource struct {
	*object.Object
	name string       // below the prefix that was named, "" if the object itself was named
	info *object.Info // nil if it doesn't exist, or wasn't looked at
}

func (o *objectSource) Name() string { return o.String() }

func (o *objectSource) Info() fs.FileInfo {
	if o.info == nil {
		return nil
	}
	return o.info
}

// look gets the object's info unless it's known already.
func (o *objectSource) look(ctx context.Context) error {
	if o.info != nil {
		return nil
	}
	info, err := o.Object.Info(ctx)
	o.info = info
	return o.ExplainInput(err)
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

// localName returns the name as a file name. A key may be no valid file name,
// or lead out of a directory.
func (o *objectSource) localName() (string, error) {
	if !o.Below() {
		return path.Base(o.Key), nil
	}
	name, err := filepath.Localize(o.name)
	if err != nil {
		return "", cli.NewError(cli.ExitNotWritten, "the key %s is not valid as a file name", cli.Printable(o.name))
	}
	return name, nil
}

func (o *objectSource) keyName() string {
	if !o.Below() {
		return path.Base(o.Key)
	}
	return o.name
}

// folder returns the prefix of the objects that was named.
func (o *objectSource) folder() *object.Object { return o.With(strings.TrimSuffix(o.Key, o.name)) }

// CanSeek reports whether an input can be read again.
func CanSeek(in Input) bool {
	_, err := in.Seek(0, io.SeekCurrent)
	return err == nil
}

// LengthBound returns an upper bound of an input's length in bytes, or 0 if it
// isn't known. A cache counts bytes, and needs the number beforehand. An empty
// file counts as one byte, since 0 means no bound.
func LengthBound(in Input) int64 {
	if info, err := in.Stat(); err == nil && info.Mode().IsRegular() {
		return max(1, info.Size())
	}
	return 0
}
