package atomicfile

import (
	"io/fs"
	"os"

	"esdk/cmd/esdk/internal/cli"
)

// modeBits are the mode bits that chmod(2) sets.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// attributes are the attributes of a file to be replaced.
type attributes struct {
	mode     fs.FileMode
	extended extended
}

// Keep gives the file the owner, group, mode, access control list and extended
// attributes of the file that it replaces, or returns an error. It sets the
// owner and extended attributes at once. The list and the mode are set when the
// file is complete.
func (f *File) Keep(like *os.File) error {
	info, err := like.Stat()
	if err != nil {
		return err
	}
	if err := keepOwner(f.file, info); err != nil {
		return err
	}
	e, err := readExtended(like)
	if err != nil {
		return err
	}
	if err := e.keep(f.file); err != nil {
		return err
	}
	f.kept = &attributes{info.Mode() & modeBits, e}
	return nil
}

// apply sets the access control list and the mode, which let others read the
// file.
func (a *attributes) apply(file *os.File) error {
	if err := a.extended.keepACL(file); err != nil {
		return err
	}
	if info, err := file.Stat(); err == nil && info.Mode()&modeBits == a.mode {
		return nil
	}
	if err := file.Chmod(a.mode); err != nil {
		return notKept("mode", err)
	}
	return nil
}

func notKept(what string, err error) error {
	return cli.NewError(cli.ExitNotWritten, "the file's %s cannot be kept: %w", what, pathless(err)).WithHint("use -o to write a new file instead")
}

// pathless removes the name of a temporary file from an error, since the user
// doesn't know it.
func pathless(err error) error {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	return err
}
