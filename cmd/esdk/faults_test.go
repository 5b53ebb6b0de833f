//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
)

// TestSourceFails resets the connection of a source half-way. The command must
// not mistake that for the end of the input, or for a malformed message.
func TestSourceFails(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(3<<20))
	runCommand(t, dir, 0, "encrypt", "-k", "aes:n/k@key", "-o", "message", "plain")
	for verb, input := range map[string]string{"encrypt": "plain", "decrypt": "message"} {
		for _, target := range []string{"new", "old"} {
			t.Run(verb+" "+target, func(t *testing.T) {
				out := filepath.Join(dir, verb+target)
				if err := os.Mkdir(out, 0o755); err != nil {
					t.Fatal(err)
				}
				if target == "old" {
					writeFile(t, out, "old", nil) // empty, since waitForData waits for data
				}
				data, err := os.ReadFile(filepath.Join(dir, input))
				if err != nil {
					t.Fatal(err)
				}
				c := command(t, dir, verb, "-k", "aes:n/k@key", "--force", "-o", filepath.Join(out, target))
				source, stdin := connection(t)
				c.Stdin = stdin
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				stdin.Close()
				if _, err := source.Write(data[:len(data)-1]); err != nil {
					t.Fatal(err)
				}
				waitForData(t, c, out)
				source.SetLinger(0) // makes Close reset the connection
				source.Close()
				checkStatus(t, c, c.Wait(), cli.ExitUnavailable)
				if text := fmt.Sprint(c.Stderr); !strings.Contains(text, "connection reset") {
					t.Errorf("stderr %q does not say why", text)
				}
				checkUntouched(t, out, target == "old")
			})
		}
	}
}

// connection returns both ends of a TCP connection. The second one can be
// passed to another process.
func connection(t *testing.T) (*net.TCPConn, *os.File) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	file, err := far.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	return near.(*net.TCPConn), file
}

// checkUntouched checks that a directory holds an empty old file, or nothing.
func checkUntouched(t *testing.T, dir string, old bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 1 || (len(entries) == 1) != old {
		t.Fatalf("%v, %v", entries, err)
	}
	if old {
		if got, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || len(got) > 0 {
			t.Errorf("old file: %d bytes, %v", len(got), err)
		}
	}
}

// TestUnreadableFile reads a regular file that fails at its first byte, as on a
// bad disk.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"encrypt", "-o", "result"}, {"decrypt", "-o", "result"}, {"verify"}} {
		c := command(t, dir, append(args, "-k", "aes:n/k@key", "/proc/self/mem")...)
		checkStatus(t, c, c.Run(), cli.ExitError)
		if text := fmt.Sprint(c.Stderr); !strings.Contains(text, "input/output error") {
			t.Errorf("%s: stderr %q does not say why", args[0], text)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 { // the key
		t.Errorf("%v, %v", entries, err)
	}
}
