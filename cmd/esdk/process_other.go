//go:build !unix

package main

import (
	"os"
	"path/filepath"
	"strings"
)

const noBlock = 0

var sigPipe []os.Signal

// terminalName is that of the terminal that the command was started from.
const terminalName = "CONIN$"

func disableCoreDumps() {}

const fileMask os.FileMode = 0

// filePath is that of a file:// URL, such as file:///C:/notes.txt.
func filePath(path string) string { return filepath.FromSlash(strings.TrimPrefix(path, "/")) }
