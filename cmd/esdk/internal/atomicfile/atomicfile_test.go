package atomicfile

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// eachKind runs a test with named temporary files, and with unnamed ones.
func eachKind(t *testing.T, run func(*testing.T)) {
	defer func() { noUnnamed = false }()
	for _, noUnnamed = range []bool{true, false} {
		t.Run(map[bool]string{true: "named", false: "unnamed"}[noUnnamed], func(t *testing.T) {
			if !noUnnamed && !isUnnamed(t, t.TempDir()) {
				t.Skip("files have names from the start here")
			}
			run(t)
		})
	}
}

// isUnnamed reports whether new files in a directory have no name at first.
func isUnnamed(t *testing.T, dir string) bool {
	t.Helper()
	f := create(t, NewPending(), filepath.Join(dir, "probe"), "", nil)
	defer f.Abort()
	return f.temp == ""
}

// names returns the names of all entries below a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
}

// create makes a file with some content.
func create(t *testing.T, p *Pending, path, content string, old fs.FileInfo) *File {
	t.Helper()
	f, err := p.Create(path, 0o640, old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return f
}

// seen returns the info of a file or link.
func seen(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestFile(t *testing.T) { eachKind(t, testFile) }

func testFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	p := NewPending()

	f := create(t, p, path, "one", nil)
	if got := names(t, dir); len(got) != 0 && f.temp == "" || f.temp != "" && (len(got) != 1 || !IsTemporary(got[0])) {
		t.Errorf("before Commit: %q", got)
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	f.Abort()
	wantNames(t, dir, "f")
	wantContent(t, path, "one")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	if _, err := p.Create(path, 0o600, nil); !errors.Is(err, fs.ErrExist) || cli.ExitStatus(err) != cli.ExitNotWritten {
		t.Errorf("an existing file: %v", err)
	}
	create(t, p, path, "two", seen(t, path)).Abort()
	wantNames(t, dir, "f")
	wantContent(t, path, "one")
	if err := create(t, p, path, "two", seen(t, path)).Commit(); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "two")

	// Only the file that was seen is replaced: not another one of the same
	// name, and not the same file after it was written to. If the file is gone,
	// nothing is replaced.
	for name, change := range map[string]func() error{
		"replaced": func() error {
			return errors.Join(os.WriteFile(path+"2", []byte("two"), 0o640), os.Rename(path+"2", path))
		},
		"written to": func() error { return os.WriteFile(path, []byte("more"), 0o640) },
		"a link": func() error {
			return errors.Join(os.Remove(path), os.WriteFile(path+"2", []byte("two"), 0o640), os.Symlink("f2", path))
		},
	} {
		f = create(t, p, path, "three", seen(t, path))
		if err := change(); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		if err := f.Commit(); cli.ExitStatus(err) != cli.ExitNotWritten {
			t.Errorf("%s: %v", name, err)
		}
		f.Abort()
		wantContent(t, path, string(before))
		if err := os.RemoveAll(path + "2"); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("two"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	f = create(t, p, path, "three", seen(t, path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "three")

	// A file created in the meantime isn't replaced.
	f = create(t, p, filepath.Join(dir, "g"), "mine", nil)
	if err := os.WriteFile(filepath.Join(dir, "g"), []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("one that came up: %v", err)
	}
	f.Abort()
	wantContent(t, filepath.Join(dir, "g"), "theirs")
	wantNames(t, dir, "f", "g")
	if len(p.remove) != 0 {
		t.Errorf("%d results are pending", len(p.remove))
	}
}

// TestResults checks that a result isn't replaced by another of the same run
// under any name. A file from before the run is replaced, even if there are too
// many results to remember.
func TestResults(t *testing.T) { eachKind(t, testResults) }

func testResults(t *testing.T) {
	dir := t.TempDir()
	for _, most := range []int{maxResults, 0} {
		p := NewPending()
		p.RememberResults()
		p.results.most = most
		before := filepath.Join(dir, "before")
		if err := os.WriteFile(before, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(before, past, past); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "other"} {
			f := create(t, p, filepath.Join(dir, name), name, nil)
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			f.Abort()
		}
		alias := filepath.Join(dir, "alias")
		if err := os.Link(filepath.Join(dir, "one"), alias); err != nil {
			t.Skip(err)
		}
		if _, err := p.Create(alias, 0o600, seen(t, alias)); cli.ExitStatus(err) != cli.ExitNotWritten {
			t.Errorf("at most %d: %v", most, err)
		}
		if err := p.CheckResult(seen(t, alias), alias); cli.ExitStatus(err) != cli.ExitNotWritten {
			t.Errorf("at most %d: %v", most, err)
		}
		f := create(t, p, before, "new", seen(t, before))
		if err := f.Commit(); err != nil {
			t.Error(err)
		}
		f.Abort()
		wantContent(t, before, "new")
		wantContent(t, alias, "one")
		for _, name := range []string{"one", "other", "alias", "before"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCommitAll checks that a file that can't be renamed doesn't affect the
// others.
func TestCommitAll(t *testing.T) { eachKind(t, testCommitAll) }

func testCommitAll(t *testing.T) {
	dir := t.TempDir()
	p := NewPending()
	var files []*File
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		files = append(files, create(t, p, filepath.Join(dir, name), name, nil))
	}
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, err := range CommitAll(files) {
		if (err != nil) != (i == 2) {
			t.Errorf("file %d: %v", i, err)
		}
		files[i].Abort()
	}
	wantNames(t, dir, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
}

// TestHold checks that results wait until more files may be open, and release
// all of them.
func TestHold(t *testing.T) { eachKind(t, testHold) }

func testHold(t *testing.T) {
	dir := t.TempDir()
	p := NewPending()
	p.mostHeld = 2 * treeFiles
	tree := p.NewTree(filepath.Join(dir, "tree"), nil)
	mode := func(string) fs.FileMode { return 0o700 }
	var held []*File
	for _, name := range []string{"a/f", "b/f"} {
		f, err := tree.Create(filepath.FromSlash(name), 0o600, mode, nil)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	made := make(chan *File)
	go func() { made <- create(t, p, filepath.Join(dir, "f"), "x", nil) }()
	select {
	case <-made:
		t.Error("a result was made though the others are open")
	case <-time.After(50 * time.Millisecond):
	}
	if err := held[0].Commit(); err != nil {
		t.Error(err)
	}
	held[0].Abort()
	f := <-made
	if _, err := p.Create(filepath.Join(dir, "tree"), 0o600, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing name: %v", err)
	}
	f.Abort()
	f.Abort()
	held[1].Abort()
	if p.held != 0 {
		t.Errorf("%d files are held", p.held)
	}
}

// TestInterrupt checks that an interrupt removes all pending results, and that
// nothing is completed after it.
func TestInterrupt(t *testing.T) { eachKind(t, testInterrupt) }

func testInterrupt(t *testing.T) {
	dir := t.TempDir()
	p := NewPending()
	tree := p.NewTree(filepath.Join(dir, "tree"), nil)
	mode := func(string) fs.FileMode { return 0o700 }
	below, err := tree.Create(filepath.Join("sub", "deep", "f"), 0o600, mode, nil)
	if err != nil {
		t.Fatal(err)
	}
	named := create(t, p, filepath.Join(dir, "f"), "x", nil)
	last, undone := false, false
	p.Last(func() { last = true })
	p.Last(func() { undone = true })()
	p.Interrupt()
	p.Farewell()
	wantNames(t, dir)
	if !last || undone {
		t.Errorf("done last: %t; what was taken back: %t", last, undone)
	}
	committed := make(chan error, 2)
	for _, f := range []*File{below, named} {
		go func() { committed <- f.Commit() }()
	}
	select {
	case err := <-committed:
		t.Errorf("Commit returned %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	wantNames(t, dir)
}

func TestTree(t *testing.T) { eachKind(t, testTree) }

func testTree(t *testing.T) {
	dir := t.TempDir()
	p := NewPending()
	tree := p.NewTree(filepath.Join(dir, "tree"), nil)
	mode := func(string) fs.FileMode { return 0o700 }
	for _, name := range []string{"a/b/f", "a/b/g", "a/c/failed", "h"} {
		f, err := tree.Create(filepath.FromSlash(name), 0o600, mode, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name != "a/c/failed" {
			err = f.Commit()
		}
		if f.Abort(); err != nil {
			t.Error(err)
		}
	}
	p.RemoveEmpty()
	wantNames(t, dir, "tree", "tree/a", "tree/a/b", "tree/a/b/f", "tree/a/b/g", "tree/h")
	if len(tree.open) != 0 {
		t.Errorf("%d directories are open", len(tree.open))
	}

	// A link isn't followed.
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "tree", "link")); err != nil {
		t.Skip(err)
	}
	if f, err := tree.Create(filepath.Join("link", "f"), 0o600, mode, nil); err == nil {
		f.Abort()
		t.Error("a result was made behind a link")
	}
	wantNames(t, outside)
}

// TestTreeNames checks that the names of new directories are synced with the
// results in them: of few directories each, of many together.
func TestTreeNames(t *testing.T) {
	for _, n := range []int{1, minGroup - 1, 3 * minGroup} {
		p := NewPending()
		tree := p.NewTree(filepath.Join(t.TempDir(), "tree"), nil)
		mode := func(string) fs.FileMode { return 0o700 }
		var files []*File
		for i := range n {
			f, err := tree.Create(filepath.Join("sub", strconv.Itoa(i), "f"), 0o600, mode, nil)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		if want := []string{".", "sub"}; !slices.Equal(slices.Sorted(maps.Keys(tree.fresh)), want) {
			t.Errorf("%v have new names, want %v", tree.fresh, want)
		}
		for i, err := range CommitAll(files) {
			if files[i].Abort(); err != nil {
				t.Error(err)
			}
		}
		if len(tree.fresh) != 0 {
			t.Errorf("%d results: the names in %v aren't synced", n, tree.fresh)
		}
		if got := len(names(t, tree.path)); got != 1+2*n {
			t.Errorf("%d names, want %d", got, 1+2*n)
		}
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "d")
	p := NewPending()
	build := func(replace *Replace, inputs ...string) error {
		d, err := p.CreateDirectory(target, replace, inputs)
		if err != nil {
			return err
		}
		defer d.Abort()
		if err := d.Create("sub/f", []byte("x")); err != nil {
			return err
		}
		return d.Commit()
	}
	if err := build(nil); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "d", "d/sub", "d/sub/f")
	known := &Replace{Names: []string{"sub"}, What: "tests"}
	for name, err := range map[string]error{
		"not empty":    build(nil),
		"other names":  build(&Replace{Names: []string{"other"}, What: "tests"}),
		"has an input": build(known, filepath.Join(target, "sub", "f")),
	} {
		if cli.ExitStatus(err) != cli.ExitNotWritten {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := build(known); err != nil {
		t.Error(err)
	}
	wantNames(t, dir, "d", "d/sub", "d/sub/f")
}

func TestIsTemporary(t *testing.T) {
	noUnnamed = true
	defer func() { noUnnamed = false }()
	dir := t.TempDir()
	f := create(t, NewPending(), filepath.Join(dir, "name"), "", nil)
	defer f.Abort()
	if got := names(t, dir); !IsTemporary(got[0]) {
		t.Errorf("%q is not", got[0])
	}
	for _, name := range []string{"name", ".name", ".name.esdk-", ".name.esdk-x", "name.esdk-1"} {
		if IsTemporary(name) {
			t.Errorf("%q is", name)
		}
	}
}

func TestProtected(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, name := range []string{path, filepath.Join(dir, "other")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Stat(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	p := new(Protected)
	p.Add(key)
	if !p.Has(key) || p.Has(other) {
		t.Errorf("key %t, other %t", p.Has(key), p.Has(other))
	}
}

// TestSparse checks that data written in any pieces is read back unchanged,
// with or without holes.
func TestSparse(t *testing.T) {
	dir := t.TempDir()
	p := NewPending()
	for i := range 200 {
		var want []byte
		f := create(t, p, filepath.Join(dir, strconv.Itoa(i)), "", nil)
		f.Sparse()
		for range rand.IntN(20) {
			piece := make([]byte, rand.IntN(3*holeSize))
			if rand.IntN(3) == 0 && len(piece) > 0 {
				piece[rand.IntN(len(piece))] = 1
			}
			if n, err := f.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			want = append(want, piece...)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		f.Abort()
		wantContent(t, filepath.Join(dir, strconv.Itoa(i)), string(want))
		if t.Failed() {
			return
		}
	}
}

// TestErrorNames checks that an error names the result, and not its temporary
// file.
func TestErrorNames(t *testing.T) {
	noUnnamed = true
	defer func() { noUnnamed = false }()
	dir := t.TempDir()
	target := filepath.Join(dir, "file", "result")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := NewPending()
	if _, err := p.Create(target, 0o600, nil); err == nil || !strings.Contains(err.Error(), " "+target+": ") {
		t.Errorf("in no folder: %v", err)
	}
	target = filepath.Join(dir, "result")
	for name, fail := range map[string]func(f *File) error{
		"write":  func(f *File) error { _, err := f.Write([]byte("x")); return err },
		"sync":   (*File).Sync,
		"commit": (*File).Commit,
		"sparse": func(f *File) error { f.Sparse(); return f.Commit() },
		"mode":   func(f *File) error { f.Restore(0o644, time.Now()); return f.Commit() },
	} {
		f, err := p.Create(target, 0o640, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.file.Close()
		if err := fail(f); err == nil || !strings.Contains(err.Error(), " "+target+": ") {
			t.Errorf("%s: %v", name, err)
		}
		f.Abort()
	}
}

// TestRoots checks that few of many roots are open, and that a reopened root
// must be the same directory.
func TestRoots(t *testing.T) {
	defer func(most func() int) { mostRoots = most }(mostRoots)
	mostRoots = func() int { return 8 }
	for _, r := range roots.open { // of other tests
		r.root.Close()
		r.root = nil
	}
	roots.open = nil
	dir := t.TempDir()
	var all []*Root
	for i := range 3 * mostRoots() {
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := OpenRoot(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if n := len(roots.open); n > mostRoots() {
		t.Errorf("%d roots are open", n)
	}
	for i, r := range all {
		if err := r.mkdir("in "+strconv.Itoa(i), 0o700); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, strconv.Itoa(i), "in "+strconv.Itoa(i))); err != nil {
			t.Error(err)
		}
	}
	// The first root is closed by now.
	if err := os.Rename(all[0].path, all[0].path+" moved"); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Stat("."); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a directory that has gone: %v", err)
	}
	if err := os.Mkdir(all[0].path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Stat("."); err == nil || !strings.HasSuffix(err.Error(), "the directory was replaced in the meantime") {
		t.Errorf("of another directory in its place: %v", err)
	}
	// A new directory may get the inode number of a deleted one.
	again := 0
	for i := 1; i < len(all) && all[i].root == nil; i++ {
		if err := os.RemoveAll(all[i].path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(all[i].path, 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(all[i].path); err == nil && os.SameFile(info, all[i].info) && all[i].born != 0 {
			again++
			if _, err := all[i].Stat("."); err == nil {
				t.Error("another directory of the same number was taken for it")
			}
		}
	}
	t.Logf("%d numbers were given again", again)
}

// TestRenameToNew checks that a result doesn't replace a file that appears,
// even on file systems without links.
func TestRenameToNew(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"temp", "there"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, _ := dirOf(filepath.Join(folder, "x"))
	err := in.renameToNew("temp", "there")
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system cannot")
	}
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	if err := in.renameToNew("temp", "new"); err != nil {
		t.Error(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	in = &dir{path: folder, root: root}
	if err := in.renameToNew("new", "there"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("below a root: %v", err)
	}
	if err := in.renameToNew("new", "newer"); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(filepath.Join(folder, "there")); err != nil || string(data) != "there" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestUnchanged checks that every change to a file is detected before it is
// replaced.
func TestUnchanged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only there is a change of attributes seen")
	}
	name := filepath.Join(t.TempDir(), "f")
	for what, change := range map[string]func() error{
		"mode":  func() error { return os.Chmod(name, 0o600) },
		"owner": func() error { return os.Chown(name, os.Getuid(), os.Getgid()) },
		"content, and its time set back": func() error {
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte("y"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(name, info.ModTime(), info.ModTime())
		},
	} {
		os.Remove(name)
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // longer than a tick of the kernel's clock for timestamps
		if err := change(); err != nil {
			t.Fatal(err)
		}
		after, err := os.Lstat(name)
		if err != nil || Unchanged(before, after) {
			t.Errorf("%s: not seen, %v", what, err)
		}
	}
}

// TestRestoreTime checks that a time that the file system can't store is an
// error.
func TestRestoreTime(t *testing.T) {
	p := NewPending()
	dir := t.TempDir()
	restored := 0
	for _, text := range []string{"1500-01-01T00:00:00Z", "1677-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-11-29T12:00:00Z", "2262-06-01T00:00:00Z", "2400-06-01T00:00:00Z", "9999-12-31T00:00:00Z"} {
		want, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, text[:4])
		f, err := p.Create(target, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.Restore(0o644, want)
		if err := f.Commit(); err != nil {
			if cli.ExitStatus(err) != cli.ExitNotWritten || !strings.Contains(err.Error(), "time cannot be restored") {
				t.Errorf("%s: %v", text, err)
			}
			f.Abort()
			continue
		}
		restored++
		if info, err := os.Stat(target); err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%s: %v, %v", text, info.ModTime(), err)
		}
	}
	if restored < 2 {
		t.Errorf("%d times could be restored", restored)
	}
}

// TestStartInterrupted checks that nothing is started after an interrupt.
func TestStartInterrupted(t *testing.T) {
	p := NewPending()
	removed := false
	if err := p.Start(1, func() { removed = true }, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(2, func() { t.Error("what could not start was removed") }, func() error { return fs.ErrInvalid }); err != fs.ErrInvalid {
		t.Errorf("%v", err)
	}
	p.Interrupt()
	if !removed {
		t.Error("what was started was not removed")
	}
	started := make(chan bool)
	go p.Start(3, nil, func() error { close(started); return nil })
	select {
	case <-started:
		t.Error("started behind an interrupt")
	case <-time.After(100 * time.Millisecond):
	}
}
