package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

const (
	// maxZip and maxFile limit the sizes of downloads in bytes: of a zip file,
	// and of each file in it.
	maxZip  = 8 << 20
	maxFile = 1 << 20
)

// A publication is one version of the tree.
type publication struct {
	ctx context.Context // ends at a signal

	source, dir     string
	module, version string
	after           string // the repository with the versions so far, or ""
	incompatible    bool
	vet             bool

	commit string // of the source
	date   string // of commit
	author string // of the new commit, as NAME <EMAIL
	last   string // the previous version, or ""
	base   string // the last version that isn't a pre-release, or ""
	parent string // the last commit of after, or "" if the source contains it
}

// command runs a command in the published tree and returns its output.
func (p *publication) command(name string, args ...string) (string, error) {
	return command(p.ctx, p.dir, ownConfig, name, args...)
}

// ownConfig keeps the configuration of the user and the machine away from git.
var ownConfig = []string{"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1"}

func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	// An interrupted git ends its own children, and removes its files.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// forgetRepository removes variables that name a repository from the
// environment. Hooks and aliases of git have them, and git would take that
// repository for the published one.
func forgetRepository(ctx context.Context) error {
	names, err := command(ctx, "", nil, "git", "rev-parse", "--local-env-vars")
	for _, name := range append(strings.Fields(names), "GIT_DEFAULT_HASH", "GIT_TEMPLATE_DIR") {
		err = errors.Join(err, os.Unsetenv(name))
	}
	return err
}

// checkSource rejects a source with uncommitted changes, or with no section for
// the version in its change log. It takes the author from the source's
// configuration.
func (p *publication) checkSource() error {
	var err error
	if p.source, err = filepath.Abs(p.source); err != nil {
		return err
	}
	git := func(args ...string) (string, error) { return command(p.ctx, p.source, nil, "git", args...) }
	changes, err := git("status", "--porcelain", "--untracked-files=normal")
	if err != nil {
		return err
	}
	if changes != "" {
		return fmt.Errorf("%s has changes that aren't committed:\n%s", p.source, changes)
	}
	if p.commit, err = git("rev-parse", "HEAD"); err != nil {
		return err
	}
	if p.date, err = git("log", "-1", "--no-show-signature", "--format=%cI"); err != nil {
		return err
	}
	// Without a configured name, git would make one of the user and the
	// machine.
	identity, err := git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
	if err != nil {
		return err
	}
	p.author, _, _ = strings.Cut(identity, ">")
	changelog, err := git("show", p.commit+":CHANGELOG.md")
	if err != nil {
		return err
	}
	if !hasSection(changelog, p.version) {
		return fmt.Errorf("CHANGELOG.md has no section for %s", strings.TrimPrefix(p.version, "v"))
	}
	if earlier := earlierSection(changelog, p.version); p.after == "" && earlier != "" {
		return fmt.Errorf("CHANGELOG.md has %s, which is earlier: give the repository with it, by -after", earlier)
	}
	return nil
}

// begin creates the target directory, which must be empty or not exist. The
// function that it returns removes what was made.
func (p *publication) begin() (remove func() error, err error) {
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		remove = func() error { return os.RemoveAll(p.dir) }
	case err != nil:
		return nil, err
	case len(entries) > 0:
		return nil, fmt.Errorf("%s isn't empty: give a directory that is, or that doesn't exist", p.dir)
	default:
		remove = func() error { return empty(p.dir) }
	}
	return remove, os.MkdirAll(p.dir, 0o777)
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (p *publication) publish() error {
	if err := p.checkOut(); err != nil {
		return err
	}
	if err := p.rewriteTree(); err != nil {
		return err
	}
	if p.base != "" {
		if err := p.compare(); err != nil {
			return err
		}
	}
	if p.vet {
		if err := p.vetTree(); err != nil {
			return err
		}
	}
	return p.tag()
}

// checkOut fetches the history of the versions so far and checks out the
// source's tree.
func (p *publication) checkOut() error {
	if _, err := p.command("git", "init", "-q", "-b", "main"); err != nil {
		return err
	}
	// These also hold for the user who looks at the directory later.
	for _, setting := range []string{"core.autocrlf=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null", "core.excludesFile=/dev/null"} {
		name, value, _ := strings.Cut(setting, "=")
		if _, err := p.command("git", "config", name, value); err != nil {
			return err
		}
	}
	if err := p.fetch("--no-tags", p.source, p.commit); err != nil {
		return err
	}
	if err := p.previous(); err != nil {
		return err
	}
	_, err := p.command("git", "read-tree", "-u", "--reset", p.commit)
	return err
}

// fetch fetches with the user's configuration, which may be needed to reach the
// repository.
func (p *publication) fetch(args ...string) error {
	args = append([]string{"-c", "gc.auto=0", "fetch", "-q"}, args...)
	_, err := command(p.ctx, p.dir, nil, "git", args...)
	return err
}

// previous fetches the versions so far and finds the last one.
func (p *publication) previous() error {
	if p.after == "" {
		return nil
	}
	after := p.after
	if _, err := os.Stat(after); err == nil {
		if after, err = filepath.Abs(after); err != nil {
			return err
		}
	}
	if err := p.fetch(after, "HEAD", "refs/tags/*:refs/tags/*"); err != nil {
		return err
	}
	head, err := p.command("git", "rev-parse", "FETCH_HEAD")
	if err != nil {
		return err
	}
	tags, err := p.command("git", "tag", "--list", "v*")
	if err != nil {
		return err
	}
	versions := strings.Fields(tags)
	semver.Sort(versions)
	if len(versions) == 0 || !semver.IsValid(versions[len(versions)-1]) {
		return fmt.Errorf("%s has no version", p.after)
	}
	p.last = versions[len(versions)-1]
	for _, v := range versions {
		if semver.IsValid(v) && semver.Prerelease(v) == "" {
			p.base = v
		}
	}
	if err := checkNext(p.last, p.version); err != nil {
		return err
	}
	mod, err := p.command("git", "show", p.last+":go.mod")
	if err != nil {
		return err
	}
	if path := modfile.ModulePath([]byte(mod)); path != p.module {
		return fmt.Errorf("%s is of module %s", p.after, path)
	}
	if p.contains(p.commit, head) {
		return nil // the source continues from head
	}
	if !p.contains(p.last, head) {
		return fmt.Errorf("%s has commits after %s that %s doesn't have", p.after, p.last, p.source)
	}
	p.parent = head
	return nil
}

// contains reports whether other is commit or one of its ancestors.
func (p *publication) contains(commit, other string) bool {
	_, err := p.command("git", "merge-base", "--is-ancestor", other, commit)
	return err == nil
}

// rewriteTree rewrites the tree and checks that it's formatted.
func (p *publication) rewriteTree() error {
	mod, err := p.read("go.mod")
	if err != nil {
		return err
	}
	list, err := p.command("git", "ls-files", "-z")
	if err != nil {
		return err
	}
	files := strings.FieldsFunc(list, func(r rune) bool { return r == 0 })
	r := newRewriter(p.dir, modfile.ModulePath(mod), p.module, p.version, files)
	if err := r.rewrite(); err != nil {
		return err
	}
	unformatted, err := p.command("gofmt", "-l", ".")
	if err != nil {
		return err
	}
	if unformatted != "" {
		return fmt.Errorf("not formatted: %s", unformatted)
	}
	return p.addSums(r)
}

// vetTree runs go vet on all packages of the workspace and their tests, which
// also import packages of the tree.
func (p *publication) vetTree() error {
	work, err := p.read("go.work")
	if err != nil {
		return err
	}
	workspace, err := modfile.ParseWork("go.work", work, nil)
	if err != nil {
		return err
	}
	env := []string{"GOWORK=" + filepath.Join(p.dir, "go.work")}
	for _, use := range workspace.Use {
		fmt.Fprintf(os.Stderr, "vetting %s\n", path.Join(p.module, use.Path))
		if _, err := command(p.ctx, filepath.Join(p.dir, use.Path), env, "go", "vet", "./..."); err != nil {
			return err
		}
	}
	return nil
}

func (p *publication) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(p.dir, filepath.FromSlash(name)))
}

// addSums adds the hashes of required modules of the tree to each module's
// go.sum. It prints the sizes of the modules' zip files.
func (p *publication) addSums(r *rewriter) error {
	known := make(map[module.Version][]string)
	for _, dir := range modules.Versioned {
		if err := p.addSumsTo(r, dir, known); err != nil {
			return err
		}
		tree, err := p.tree()
		if err != nil {
			return err
		}
		m := module.Version{Path: modules.Path(p.module, dir), Version: p.version}
		zipped, err := modules.Zip(p.dir, tree, m, dir)
		if err != nil {
			return err
		}
		if err := tell(m, zipped); err != nil {
			return err
		}
		mod, err := p.read(path.Join(dir, "go.mod"))
		if err != nil {
			return err
		}
		if known[m], err = modules.Sums(m, zipped, mod); err != nil {
			return err
		}
	}
	for _, name := range r.files {
		if dir := path.Dir(name); path.Base(name) == "go.mod" && !slices.Contains(modules.Versioned, dir) {
			if err := p.addSumsTo(r, dir, known); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *publication) addSumsTo(r *rewriter, dir string, known map[module.Version][]string) error {
	name := path.Join(dir, "go.mod")
	mod, err := p.read(name)
	if err != nil {
		return err
	}
	required, err := r.required(name, mod)
	if err != nil {
		return err
	}
	var add []string
	for _, m := range required {
		if known[m] == nil {
			return fmt.Errorf("%s requires %s, which gets no version before it", name, m)
		}
		add = append(add, known[m]...)
	}
	name = path.Join(dir, "go.sum")
	sum, err := p.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	changed := r.sums(sum, add)
	if bytes.Equal(changed, sum) {
		return nil
	}
	return os.WriteFile(filepath.Join(p.dir, filepath.FromSlash(name)), changed, 0o666)
}

// tree writes the contents of the directory as a git tree and returns its hash.
func (p *publication) tree() (string, error) {
	if _, err := p.command("git", "add", "-A"); err != nil {
		return "", err
	}
	return p.command("git", "write-tree")
}

// tag commits the tree and tags the commit for each module.
func (p *publication) tag() error {
	tree, err := p.tree()
	if err != nil {
		return err
	}
	args := []string{"commit-tree", tree, "-m", fmt.Sprintf("release: publish %s as %s\n\nMade from %s.", p.version, p.module, p.commit)}
	if p.parent != "" {
		args = append(args, "-p", p.parent)
	}
	args = append(args, "-p", p.commit)
	// Fixed dates make the commit reproducible.
	name, email, _ := strings.Cut(p.author, " <")
	env := slices.Clone(ownConfig)
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env = append(env, "GIT_"+who+"_NAME="+name, "GIT_"+who+"_EMAIL="+email, "GIT_"+who+"_DATE="+p.date)
	}
	commit, err := command(p.ctx, p.dir, env, "git", args...)
	if err != nil {
		return err
	}
	if _, err := p.command("git", "reset", "-q", "--hard", commit); err != nil {
		return err
	}
	var tags []string
	for _, dir := range modules.Versioned {
		tag := modules.Tag(dir, p.version)
		if _, err := p.command("git", "tag", tag, commit); err != nil {
			return err
		}
		tags = append(tags, tag)
	}
	fmt.Printf("%s\nTo publish it, look at it and push it:\n\n    git -C %s push REPOSITORY main %s\n", p.dir, p.dir, strings.Join(tags, " "))
	return nil
}
