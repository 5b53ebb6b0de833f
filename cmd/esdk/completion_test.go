//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCompletion presses the tab key in a real bash on a terminal.
func TestCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"config.toml": "[keys.archive]\ntype = \"local\"\n[profiles.prod]\nkeys = [\"@archive\"]\n", "backup.key": "", "rc": "PS1='> '\nsource <(esdk completion bash)\n"} {
		writeFile(t, dir, name, []byte(text))
	}
	for typed, want := range map[string]string{
		"esdk encr\t":                           "esdk encrypt ",
		"esdk encrypt --sym\t":                  "esdk encrypt --symlinks ",
		"esdk encrypt -k ae\t":                  "esdk encrypt -k aes:",
		"esdk decrypt -k @ar\t":                 "esdk decrypt -k @archive ",
		"esdk decrypt -k aes:n/k@back\t":        "esdk decrypt -k aes:n/k@backup.key",
		"esdk reencrypt --from-key hpke:n@ba\t": "esdk reencrypt --from-key hpke:n@backup.key",
		"esdk encrypt --profile pr\t":           "esdk encrypt --profile prod ",
		"esdk help exit\t":                      "esdk help exit-codes ",
		"esdk encrypt back\t":                   "esdk encrypt backup.key ",
	} {
		master, terminal := openTerminal(t)
		c := exec.Command(bash, "--noprofile", "--rcfile", "rc", "-i")
		c.Dir = dir
		c.Env = append(command(t, dir).Environ(), "ESDK_CONFIG="+filepath.Join(dir, "config.toml"), "TERM=dumb", "PATH="+filepath.Dir(command(t, dir).Path)+":"+os.Getenv("PATH"))
		c.Stdin, c.Stdout, c.Stderr = terminal, terminal, terminal
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		terminal.Close()
		t.Cleanup(func() { c.Process.Kill() })
		waitShown(t, master, "> ")
		master.WriteString(typed)
		waitShown(t, master, want)
		c.Process.Kill()
		c.Wait()
	}
}

// waitShown waits until a terminal shows a text, and returns all that it has shown.
func waitShown(t *testing.T, master *os.File, want string) []byte {
	t.Helper()
	var shown []byte
	found := make(chan error, 1)
	go func() {
		for buf := make([]byte, 1000); !bytes.Contains(shown, []byte(want)); {
			n, err := master.Read(buf)
			if err != nil {
				found <- err
				return
			}
			shown = append(shown, buf[:n]...)
		}
		found <- nil
	}()
	select {
	case err := <-found:
		if err != nil {
			t.Fatalf("the terminal shows %q, want %q", shown, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the terminal does not show %q", want)
	}
	return shown
}
