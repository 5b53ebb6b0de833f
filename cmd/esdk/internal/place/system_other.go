//go:build !unix

package place

import (
	"path/filepath"
	"strings"
)

const noBlock = 0

// filePath is the path of a file:// URL, such as file:///C:/notes.txt.
func filePath(path string) string { return filepath.FromSlash(strings.TrimPrefix(path, "/")) }
