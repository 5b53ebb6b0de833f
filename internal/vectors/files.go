package vectors

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A folder holds the files that a manifest may name.
type folder string

func folderOf(path string) folder { return folder(filepath.Dir(path)) }

// readURI reads a file that is named as file://name, relative to the folder.
func (f folder) readURI(uri string) ([]byte, error) {
	name, ok := strings.CutPrefix(uri, "file://")
	if !ok {
		return nil, fmt.Errorf("%q is not a file URI", uri)
	}
	return f.read(name)
}

// read reads a file of the folder, whose name has slashes. It does not leave
// the folder, neither by the name nor by a symbolic link.
func (f folder) read(name string) ([]byte, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a file in the folder of the manifest", name)
	}
	root, err := os.OpenRoot(string(f))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// To open a pipe would wait for somebody to write to it.
	if info, err := root.Stat(local); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	file, err := root.Open(local)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}
