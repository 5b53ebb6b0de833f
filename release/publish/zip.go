package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/module"
)

// tell prints the size of a zip file. It rejects a zip file that is too large
// or contains a file that is.
func tell(m module.Version, zipped []byte) error {
	r, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return err
	}
	var total, tests uint64
	for _, f := range r.File {
		total += f.UncompressedSize64
		if strings.Contains(f.Name, "/testdata/") {
			tests += f.UncompressedSize64
		}
		if f.UncompressedSize64 > maxFile {
			return fmt.Errorf("%s has %d bytes, more than %d", f.Name, f.UncompressedSize64, maxFile)
		}
	}
	fmt.Fprintf(os.Stderr, "%s: a zip file of %d bytes, with %d files of %d bytes, %d of them test data\n",
		m, len(zipped), len(r.File), total, tests)
	if len(zipped) > maxZip {
		return fmt.Errorf("%s: a zip file of more than %d bytes", m, maxZip)
	}
	return nil
}
