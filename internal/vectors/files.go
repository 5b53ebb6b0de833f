package vectors

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A folder is the directory with the files that a manifest may name.
type folder string

func folderOf(path string) folder { return folder(filepath.Dir(path)) }

// readURI reads a file named file://name, relative to the directory.
func (f folder) readURI(uri string) ([]byte, error) {
	name, ok := strings.CutPrefix(uri, "file://")
	if !ok {
		return nil, fmt.Errorf("%q is not a file URI", uri)
	}
	return f.read(name)
}

// read reads a file of the directory. Its name has slashes. Neither the name
// nor a symbolic link leads out of the directory.
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
	// Opening a pipe would block until another process writes to it.
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
