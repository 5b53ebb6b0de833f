//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"golang.org/x/sys/unix"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// An aclEntry is an entry of an access control list, as described in acl(5).
type aclEntry struct {
	tag, permissions uint16
	id               uint32
}

const (
	aclOwner = 1 << iota
	aclUser
	aclGroup
	aclNamedGroup
	aclMask
	aclOther

	aclNobody = 1<<32 - 1
)

// acl returns an access control list in the format of an extended attribute.
func acl(entries ...aclEntry) string {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.permissions)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return string(b)
}

// accessOf returns an access control list that lets a user read and write a
// file, while the file's group may do neither.
func accessOf(user uint32) string {
	return acl(aclEntry{aclOwner, 6, aclNobody}, aclEntry{aclUser, 6, user}, aclEntry{aclGroup, 0, aclNobody},
		aclEntry{aclMask, 6, aclNobody}, aclEntry{aclOther, 0, aclNobody})
}

func setAttributes(t *testing.T, path string, attributes map[string]string) {
	t.Helper()
	for name, value := range attributes {
		if err := unix.Setxattr(path, name, []byte(value), 0); errors.Is(err, unix.ENOTSUP) {
			t.Skipf("%s: %v", name, err)
		} else if err != nil {
			t.Fatal(name, err)
		}
	}
}

// attributesOf returns all extended attributes of a file.
func attributesOf(t *testing.T, path string) map[string]string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Listxattr(path, buf)
	if err != nil {
		t.Fatal(err)
	}
	attributes := make(map[string]string)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Getxattr(path, name, value)
		if err != nil {
			t.Fatal(name, err)
		}
		attributes[name] = string(value[:n])
	}
	return attributes
}

// describe returns the owner, mode and extended attributes of a file as text.
func describe(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("user %d group %d mode %v attributes %q", stat.Uid, stat.Gid, info.Mode(), attributesOf(t, path))
}

// TestInPlaceAttributes checks that a message that replaces another keeps
// everything but the content.
func TestInPlaceAttributes(t *testing.T) {
	long(t)
	const user, group = 12345, 12346
	dir := t.TempDir()
	in := makeRoot(t, filepath.Join(dir, "in")).Name()
	writeFile(t, dir, "plain", pattern(1000))
	names := []string{"plain", "shared", "open", "listed", "mode"}
	for _, name := range names {
		runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", filepath.Join("in", name), "plain")
	}
	setAttributes(t, in, map[string]string{aclDefault: accessOf(99)}) // applies to no existing file
	setAttributes(t, filepath.Join(in, "listed"), map[string]string{aclAccess: accessOf(1234), "user.empty": "", "user.note": "kept \x00\xff"})
	modes := map[string]os.FileMode{"shared": 0o660, "open": 0o646, "mode": 0o640 | os.ModeSetgid}
	for name, mode := range modes {
		if err := os.Chmod(filepath.Join(in, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() == 0 {
		for _, name := range names[1:] {
			// Chown clears the set-group-ID bit, so Chmod comes after it.
			if err := errors.Join(os.Chown(filepath.Join(in, name), user, group), os.Chmod(filepath.Join(in, "mode"), modes["mode"])); err != nil {
				t.Fatal(err)
			}
		}
		setAttributes(t, filepath.Join(in, "listed"), map[string]string{"trusted.note": "kept", "security.note": "kept"})
	}
	before := make(map[string]string)
	for _, name := range names {
		before[name] = describe(t, filepath.Join(in, name))
	}
	reencrypt := []string{"reencrypt", "-q", "--in-place", "--skip-done", "never", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key"}
	for _, inputs := range [][]string{{"-r", "in"}, {"in/plain", "in/shared", "in/open", "in/listed", "in/mode"}} {
		runCommand(t, dir, 0, append(reencrypt, inputs...)...)
		for _, name := range names {
			if after := describe(t, filepath.Join(in, name)); after != before[name] {
				t.Errorf("%v: %s\n%s, before\n%s", inputs, name, after, before[name])
			}
			runCommand(t, dir, 0, "verify", "-k", "aes:n/k@key", filepath.Join("in", name))
		}
	}
}

// TestInPlaceOwner checks that a message isn't replaced if its owner can't be
// kept.
func TestInPlaceOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be another user")
	}
	const user = 12345
	dir := t.TempDir()
	in := makeRoot(t, filepath.Join(dir, "in")).Name()
	writeFile(t, dir, "plain", pattern(1000))
	for _, name := range []string{"owner", "group"} {
		runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", filepath.Join("in", name), "plain")
		if err := os.Chmod(filepath.Join(in, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(in, user, user), os.Chown(filepath.Join(in, "group"), user, 99)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"owner", "group"} {
		c := command(t, dir, "reencrypt", "--in-place", "--skip-done", "never", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", filepath.Join("in", name))
		asUser(t, c, dir, user)
		path := filepath.Join(in, name)
		before, content := describe(t, path), readFile(t, in, name)
		checkStatus(t, c, c.Run(), cli.ExitNotWritten)
		if text := fmt.Sprint(c.Stderr); !strings.Contains(text, "the file's "+name+" cannot be kept: operation not permitted") {
			t.Errorf("stderr %q does not say why", text)
		}
		if after := describe(t, path); after != before || readFile(t, in, name) != content {
			t.Errorf("%s, before %s", after, before)
		}
	}
	if entries, _ := os.ReadDir(in); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestDefaultACL checks that a new message follows the default access control
// list of its directory, and a plaintext doesn't.
func TestDefaultACL(t *testing.T) {
	dir := t.TempDir()
	out := makeRoot(t, filepath.Join(dir, "out")).Name()
	writeFile(t, makeRoot(t, filepath.Join(dir, "in")).Name(), "f", pattern(1000))
	setAttributes(t, out, map[string]string{aclDefault: accessOf(99)})
	f, err := os.OpenFile(filepath.Join(out, "usual"), os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", "out/named", "in/f")
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-r", "-o", "out", "in")
	usual := describe(t, filepath.Join(out, "usual"))
	for _, name := range []string{"named", "f.encrypted"} {
		if got := describe(t, filepath.Join(out, name)); got != usual {
			t.Errorf("%s: %s, want\n%s", name, got, usual)
		}
	}
	runCommand(t, dir, 0, "decrypt", "-k", "aes:n/k@key", "-o", "out/plain", "out/named")
	if info, err := os.Stat(filepath.Join(out, "plain")); err != nil || info.Mode() != 0o600 {
		t.Errorf("plaintext: %v, %v", info.Mode(), err)
	}
}
