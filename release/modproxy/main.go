// Command modproxy writes the tagged versions of a git repository's modules to
// a directory, in the layout of a module proxy:
//
//	modproxy REPOSITORY DIR
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"esdk/release/internal/modules"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: modproxy REPOSITORY DIR")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "modproxy:", err)
		os.Exit(1)
	}
}

func serve(repository, out string) error {
	tags, err := git(repository, "tag", "--list")
	if err != nil {
		return err
	}
	for _, dir := range modules.Versioned {
		var versions []string
		for tag := range strings.FieldsSeq(tags) {
			version, ok := strings.CutPrefix(tag, modules.Tag(dir, ""))
			if !ok || !semver.IsValid(version) {
				continue
			}
			if err := write(repository, tag, dir, version, out); err != nil {
				return err
			}
			versions = append(versions, version)
		}
		if len(versions) == 0 {
			continue
		}
		semver.Sort(versions)
		base, _, err := place(repository, modules.Tag(dir, versions[0]), dir, out)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(base, "list"), []byte(strings.Join(versions, "\n")+"\n"), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// place returns the directory for the versions of a module, and the module's
// go.mod at a tag.
func place(repository, tag, dir, out string) (string, []byte, error) {
	mod, err := git(repository, "show", tag+":"+path.Join(dir, "go.mod"))
	if err != nil {
		return "", nil, err
	}
	escaped, err := module.EscapePath(modfile.ModulePath([]byte(mod)))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(out, filepath.FromSlash(escaped), "@v"), []byte(mod), nil
}

// write writes one version of one module.
func write(repository, tag, dir, version, out string) error {
	base, mod, err := place(repository, tag, dir, out)
	if err != nil {
		return err
	}
	date, err := git(repository, "log", "-1", "--format=%cI", tag)
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(date))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, at.UTC()})
	if err != nil {
		return err
	}
	zipped, err := modules.Zip(repository, tag, module.Version{Path: modfile.ModulePath(mod), Version: version}, dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(base, 0o777); err != nil {
		return err
	}
	name := filepath.Join(base, version)
	return errors.Join(
		os.WriteFile(name+".info", info, 0o666),
		os.WriteFile(name+".mod", mod, 0o666),
		os.WriteFile(name+".zip", zipped, 0o666),
	)
}

func git(repository string, args ...string) (string, error) {
	out, err := exec.Command("git", slices.Insert(args, 0, "-C", repository)...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return string(out), nil
}
