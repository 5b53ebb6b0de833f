package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"esdk/release/internal/modules"
)

// apidiff is the program that compares the exported names of two versions of a
// module.
const apidiff = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"

// compare compares the exported API of all modules with the last version. It
// rejects incompatible changes that the new version number doesn't allow. A
// pre-release promises nothing to later versions, so it's left out.
func (p *publication) compare() (err error) {
	temp, err := os.MkdirTemp("", "publish-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if _, err := command(p.ctx, temp, []string{"GOWORK=off", "GOBIN=" + temp}, "go", "install", apidiff); err != nil {
		return err
	}
	old := filepath.Join(temp, "last")
	if _, err := p.command("git", "worktree", "add", "-q", "--detach", old, p.base); err != nil {
		return err
	}
	defer func() {
		_, removed := p.command("git", "worktree", "remove", "--force", old)
		err = errors.Join(err, removed)
	}()

	program := filepath.Join(temp, "apidiff")
	breaks := false
	for i, dir := range modules.Versioned {
		path := modules.Path(p.module, dir)
		if _, err := os.Stat(filepath.Join(old, dir, "go.mod")); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "%s is new since %s\n", path, p.base)
			continue
		}
		var files []string
		for _, root := range []string{old, p.dir} {
			// In the workspace, the root's pattern would match the other
			// modules, too. The root depends on none of them.
			env := []string{"GOWORK=off"}
			if dir != "." {
				env = []string{"GOWORK=" + filepath.Join(root, "go.work")}
			}
			file := filepath.Join(temp, fmt.Sprintf("%d-%d", i, len(files)))
			if _, err := command(p.ctx, filepath.Join(root, dir), env, program, "-m", "-w", file, path); err != nil {
				return err
			}
			files = append(files, file)
		}
		all, err := command(p.ctx, temp, nil, program, append([]string{"-m"}, files...)...)
		if err != nil {
			return err
		}
		broken, err := command(p.ctx, temp, nil, program, append([]string{"-m", "-incompatible"}, files...)...)
		if err != nil {
			return err
		}
		if all == "" {
			all = "no changes"
		}
		fmt.Fprintf(os.Stderr, "exported API of %s since %s:\n%s\n", path, p.base, all)
		breaks = breaks || broken != ""
	}
	if !breaks {
		return nil
	}
	return mayBreak(p.base, p.version, p.incompatible)
}
