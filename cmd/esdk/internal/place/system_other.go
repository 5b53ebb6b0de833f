//go:build !unix

package place

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
)

const noBlock = 0

// apart returns a function that ends the program.
func apart(cmd *exec.Cmd) (kill func()) { return func() { cmd.Process.Kill() } }

// filePath returns the path of a file:// URL, such as file:///C:/notes.txt.
func filePath(path string) string { return filepath.FromSlash(strings.TrimPrefix(path, "/")) }

var standardInput, standardOutput map[string]bool

func standard(name string, _ map[string]bool) string { return name }

func isSystem(string) bool { return false }

// HasOtherNames reports whether a file is known to have several names.
func HasOtherNames(fs.FileInfo) bool { return false }
