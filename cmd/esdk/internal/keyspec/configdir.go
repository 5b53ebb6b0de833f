package keyspec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"esdk/cmd/esdk/internal/cli"
)

// A configDir is the directory of the user's configuration of this command. Only
// what is below the base is ever made: a home directory that isn't there is a
// mistake, and in a container it vanishes with what is put into it.
type configDir struct {
	base  string // such as the home directory
	what  string // says what the base is
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

// check fails if the directory cannot be made, since its base is not there.
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
	return cli.UsageError("no place for a local key: %w", err).
		WithHint("set HOME, or make a key with \"esdk keygen aes\" and name its file")
}

// make makes the directory, for its owner only, in a base that is there.
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
