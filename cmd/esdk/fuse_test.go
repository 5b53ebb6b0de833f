// go-fuse builds for machines of 64 bits.
//go:build linux && !386 && !arm

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// refusals are the errors that a file system returns for some requests. Zero
// carries out the request.
type refusals struct{ chmod, fsync, setxattr syscall.Errno }

// A refusingNode is a file or directory of a file system that refuses some
// requests.
type refusingNode struct {
	*fs.LoopbackNode
	refusals *atomic.Pointer[refusals]
	asked    *atomic.Int64 // the number of refused requests
}

func (n *refusingNode) answer(errno syscall.Errno) bool {
	if errno != 0 {
		n.asked.Add(1)
	}
	return errno != 0
}

func (n *refusingNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if in.Valid&fuse.FATTR_MODE != 0 && n.answer(n.refusals.Load().chmod) {
		return n.refusals.Load().chmod
	}
	return n.LoopbackNode.Setattr(ctx, f, in, out)
}

func (n *refusingNode) Setxattr(ctx context.Context, name string, data []byte, flags uint32) syscall.Errno {
	if n.answer(n.refusals.Load().setxattr) {
		return n.refusals.Load().setxattr
	}
	return n.LoopbackNode.Setxattr(ctx, name, data, flags)
}

func (n *refusingNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.answer(n.refusals.Load().fsync)
	return n.refusals.Load().fsync
}

// WrapChild makes the entries of a directory refuse the same requests.
func (n *refusingNode) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &refusingNode{child.(*fs.LoopbackNode), n.refusals, n.asked}
}

var (
	_ fs.NodeSetattrer  = (*refusingNode)(nil)
	_ fs.NodeSetxattrer = (*refusingNode)(nil)
	_ fs.NodeFsyncer    = (*refusingNode)(nil)
)

// mountRefusing mounts a refusing file system in a new directory.
func mountRefusing(t *testing.T, dir string, r *atomic.Pointer[refusals]) (mounted string, asked *atomic.Int64) {
	t.Helper()
	below, mounted := makeRoot(t, filepath.Join(dir, "below")).Name(), makeRoot(t, filepath.Join(dir, "mounted")).Name()
	asked = new(atomic.Int64)
	var stat syscall.Stat_t
	if err := syscall.Stat(below, &stat); err != nil {
		t.Fatal(err)
	}
	root := &fs.LoopbackRoot{Path: below, Dev: stat.Dev}
	root.RootNode = &refusingNode{&fs.LoopbackNode{RootData: root}, r, asked}
	none := time.Duration(0)
	server, err := fs.Mount(mounted, root.RootNode, &fs.Options{
		EntryTimeout: &none, AttrTimeout: &none,
		MountOptions: fuse.MountOptions{DirectMount: true, Name: "refusing"},
	})
	if err != nil {
		t.Skip("cannot mount a file system of FUSE: ", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return mounted, asked
}

// TestRefusingFileSystem checks that results can be written to a file system
// that has no modes or can't sync, but not to one that fails to write them.
func TestRefusingFileSystem(t *testing.T) {
	long(t)
	for _, test := range []struct {
		refusals
		status int
		mode   os.FileMode
	}{
		{refusals{}, 0, 0o644},
		{refusals{chmod: unix.EPERM}, 0, 0o600},
		{refusals{chmod: unix.ENOTSUP}, 0, 0o600},
		{refusals{chmod: unix.EINVAL}, cli.ExitError, 0}, // EINVAL doesn't mean that modes are unsupported
		{refusals{chmod: unix.EIO}, cli.ExitError, 0},
		{refusals{fsync: unix.EINVAL}, 0, 0o644},
		{refusals{fsync: unix.ENOTSUP}, 0, 0o644},
		{refusals{fsync: unix.ENOTTY}, 0, 0o644},
		{refusals{fsync: unix.EIO}, cli.ExitError, 0},
		{refusals{fsync: unix.ENOSPC}, cli.ExitError, 0},
		{refusals{fsync: unix.EDQUOT}, cli.ExitError, 0},
	} {
		t.Run(fmt.Sprintf("chmod %d fsync %d", test.chmod, test.fsync), func(t *testing.T) {
			dir := t.TempDir()
			var now atomic.Pointer[refusals]
			now.Store(&test.refusals)
			mounted, asked := mountRefusing(t, dir, &now)
			writeFile(t, dir, "plain", pattern(1000))
			runCommand(t, dir, test.status, "encrypt", "-k", "aes:n/k@key", "-o", "mounted/result", "plain")
			if test.refusals != (refusals{}) && asked.Load() == 0 {
				t.Error("nothing was refused")
			}
			if test.status != 0 {
				if entries, _ := os.ReadDir(mounted); len(entries) > 0 {
					t.Errorf("left behind: %v", entries)
				}
				return
			}
			if info, err := os.Stat(filepath.Join(mounted, "result")); err != nil || info.Mode() != test.mode {
				t.Errorf("%v, %v, want %v", info.Mode(), err, test.mode)
			}
			runCommand(t, dir, 0, "decrypt", "-k", "aes:n/k@key", "-o", "mounted/back", "mounted/result")
			if info, err := os.Stat(filepath.Join(mounted, "back")); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			runCommand(t, dir, 0, "reencrypt", "--in-place", "--skip-done", "never", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "mounted/result")
			if got := readFile(t, mounted, "back"); got != string(pattern(1000)) {
				t.Errorf("%d bytes came back", len(got))
			}
			runCommand(t, dir, 0, "vectors", "generate", "-q", "-o", "mounted/vectors")
		})
	}
}

// TestRefusedAttributes checks that an attribute that a file system can't keep
// in place is an error that names the attribute.
func TestRefusedAttributes(t *testing.T) {
	for what, refuse := range map[string]refusals{
		"attribute user.note": {setxattr: unix.ENOSPC},
		"mode":                {chmod: unix.EPERM},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			var now atomic.Pointer[refusals]
			now.Store(new(refusals))
			mounted, _ := mountRefusing(t, dir, &now)
			writeFile(t, dir, "plain", pattern(1000))
			runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", "mounted/message", "plain")
			path := filepath.Join(mounted, "message")
			setAttributes(t, path, map[string]string{"user.note": "kept"})
			before, content := describe(t, path), readFile(t, path)
			now.Store(&refuse)
			c := command(t, dir, "reencrypt", "--in-place", "--skip-done", "never", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "mounted/message")
			checkStatus(t, c, c.Run(), cli.ExitNotWritten)
			if text := fmt.Sprint(c.Stderr); !strings.Contains(text, "the file's "+what+" cannot be kept") {
				t.Errorf("stderr %q does not say why", text)
			}
			if after := describe(t, path); after != before || readFile(t, path) != content {
				t.Errorf("%s, before %s", after, before)
			}
			if entries, _ := os.ReadDir(mounted); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}
