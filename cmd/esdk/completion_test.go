//go:build linux

package main

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shells are the shells that completion is tested in. The arguments make each
// shell read the file rc and no other startup file.
var shells = map[string]struct {
	args []string
	rc   string
}{
	"bash": {[]string{"--noprofile", "--rcfile", "rc", "-i"}, "PS1='> '\nsource <(esdk completion bash)\n"},
	"zsh":  {[]string{"-d", "-i"}, "PS1='> '\nunsetopt zle_bracketed_paste prompt_sp\nautoload -U compinit\ncompinit -D -u\nsource <(esdk completion zsh)\n"},
	"fish": {[]string{"--no-config", "-C", "source rc"}, "function fish_prompt; echo -n '> '; end\nfunction fish_greeting; end\nset -g fish_autosuggestion_enabled 0\nesdk completion fish | source\n"},
}

// TestCompletion presses the tab key in real shells on a terminal: in bash, or
// in the shells listed in ESDK_SHELLS.
func TestCompletion(t *testing.T) {
	for _, name := range strings.Fields(cmp.Or(os.Getenv("ESDK_SHELLS"), "bash")) {
		t.Run(name, func(t *testing.T) { testCompletion(t, name) })
	}
}

func testCompletion(t *testing.T, name string) {
	shell, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"config.toml": "[keys.archive]\ntype = \"local\"\n[profiles.prod]\nkeys = [\"@archive\"]\n", "backup.key": "", "rc": shells[name].rc, ".zshrc": shells[name].rc} {
		writeFile(t, dir, name, []byte(text))
	}
	for typed, want := range map[string]string{
		"esdk encr\t":                           "esdk encrypt",
		"esdk encrypt --sym\t":                  "esdk encrypt --symlinks",
		"esdk encrypt -k ae\t":                  "esdk encrypt -k aes:",
		"esdk decrypt -k @ar\t":                 "esdk decrypt -k @archive",
		"esdk decrypt -k aes:n/k@back\t":        "esdk decrypt -k aes:n/k@backup.key",
		"esdk reencrypt --from-key hpke:n@ba\t": "esdk reencrypt --from-key hpke:n@backup.key",
		"esdk audit --under @ar\t":              "esdk audit --under @archive",
		"esdk encrypt --profile pr\t":           "esdk encrypt --profile prod",
		"esdk help exit\t":                      "esdk help exit-codes",
		"esdk encrypt back\t":                   "esdk encrypt backup.key",
	} {
		master, terminal := openTerminal(t)
		c := exec.Command(shell, shells[name].args...)
		c.Dir = dir
		c.Env = append(command(t, dir).Environ(), "ESDK_CONFIG="+filepath.Join(dir, "config.toml"), "TERM=dumb", "HOME="+dir, "ZDOTDIR="+dir,
			"PATH="+filepath.Dir(command(t, dir).Path)+":"+os.Getenv("PATH"))
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

// waitShown waits until the terminal shows a text, and returns everything it
// has shown.
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
