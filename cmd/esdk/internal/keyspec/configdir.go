package keyspec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/cli"
)

const hintOnLocalKey = "set HOME, or use a key file of \"esdk keygen aes -o FILE\""

// A configDir is the user's configuration directory for this command. Only
// directories below its base are ever made. A missing home directory is a
// mistake, and in a container a new one would vanish together with its
// contents.
type configDir struct {
	base  string // such as the home directory
	what  string // describes the base in errors
	below []string
}

func newConfigDir() (*configDir, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil, cli.Errorf("no home directory: %w", err)
	}
	home, _ := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(dir, home+string(filepath.Separator)); ok && home != "" {
		return newConfigDirIn(home, "the home directory ", filepath.Join(rest, "esdk"))
	}
	return newConfigDirIn(filepath.Dir(dir), "", filepath.Join(filepath.Base(dir), "esdk"))
}

func newConfigDirIn(base, what, below string) (*configDir, error) {
	if !filepath.IsAbs(base) {
		return nil, cli.UsageError("%s%s is not an absolute path", what, cli.Printable(base))
	}
	return &configDir{base, what, strings.Split(below, string(filepath.Separator))}, nil
}

func (d *configDir) path() string {
	return filepath.Join(append([]string{d.base}, d.below...)...)
}

// check returns an error if the directory can't be made because its base
// doesn't exist.
func (d *configDir) check() error {
	info, err := os.Stat(d.base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = cli.Errorf("%s%s does not exist", d.what, cli.Printable(d.base))
	case err == nil && !info.IsDir():
		err = cli.Errorf("%s%s is not a directory", d.what, cli.Printable(d.base))
	}
	if err == nil {
		return nil
	}
	return cli.UsageError("no directory for the local key: %w", err).
		WithHint("%s", hintOnLocalKey)
}

// make makes the directory, accessible only to its owner, in an existing base.
func (d *configDir) make() error {
	if err := d.check(); err != nil {
		return err
	}
	path := d.base
	for _, name := range d.below {
		path = filepath.Join(path, name)
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
