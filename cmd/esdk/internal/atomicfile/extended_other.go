//go:build !linux

package atomicfile

import "os"

// extended would be the access control list and extended attributes of a file.
// They are only kept on Linux.
type extended struct{}

func readExtended(*os.File) (extended, error) { return extended{}, nil }

func (extended) keep(*os.File) error    { return nil }
func (extended) keepACL(*os.File) error { return nil }
