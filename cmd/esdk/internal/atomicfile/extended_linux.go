package atomicfile

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"golang.org/x/sys/unix"
)

// extended are the access control list and extended attributes of a file.
type extended struct {
	acl        []byte // nil for none
	attributes []attribute
}

type attribute struct {
	name  string
	value []byte
}

const aclName = "system.posix_acl_access"

// ofContent are attributes that depend on the content of a file. The kernel
// removes them when the file is written to, or creates them itself.
var ofContent = map[string]bool{"security.capability": true, "security.ima": true, "security.evm": true}

// readExtended returns the attributes of a file that this process can read.
func readExtended(f *os.File) (e extended, err error) {
	names, err := readAll(func(buf []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), buf) })
	if err != nil {
		return e, err
	}
	if e.acl, err = getAttribute(f, aclName); err != nil {
		return e, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" || name == aclName || ofContent[name] {
			continue
		}
		value, err := getAttribute(f, name)
		if err != nil {
			return e, notKept("attribute "+cli.Printable(name), err)
		}
		if value != nil {
			e.attributes = append(e.attributes, attribute{name, value})
		}
	}
	return e, nil
}

// keep copies the attributes to another file, which may already have some of
// them.
func (e extended) keep(f *os.File) error {
	for _, a := range e.attributes {
		if value, err := getAttribute(f, a.name); err == nil && value != nil && bytes.Equal(value, a.value) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), a.name, a.value, 0); err != nil {
			return notKept("attribute "+cli.Printable(a.name), err)
		}
	}
	return nil
}

// keepACL copies the access control list to another file. If there is none, it
// removes the list that the file got from its directory.
func (e extended) keepACL(f *os.File) error {
	if e.acl != nil {
		if err := unix.Fsetxattr(int(f.Fd()), aclName, e.acl, 0); err != nil {
			return notKept("access control list", err)
		}
		return nil
	}
	if acl, err := getAttribute(f, aclName); err != nil || acl == nil {
		return err
	}
	return unix.Fremovexattr(int(f.Fd()), aclName)
}

// getAttribute returns the value of an attribute, or nil if there is none.
func getAttribute(f *os.File, name string) ([]byte, error) {
	return readAll(func(buf []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, buf) })
}

// readAll calls a function without a buffer to get the needed size, and again
// with a buffer of that size. It returns nil if the value doesn't exist.
func readAll(read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(nil)
		if err == nil && n > 0 {
			buf := make([]byte, n)
			if n, err = read(buf); err == nil {
				return buf[:n], nil
			}
		}
		switch {
		case errors.Is(err, unix.ERANGE): // it has grown in the meantime
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
			return nil, nil
		case err != nil:
			return nil, err
		default:
			return []byte{}, nil
		}
	}
}
