//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// An exchange is a question on the terminal and the answer typed there.
type exchange struct{ question, answer string }

// onTerminal runs the command with its own terminal, and returns the text that
// the terminal shows. The text doesn't include the command's standard error.
func onTerminal(t *testing.T, exchanges []exchange, args ...string) (shown []byte, err error) {
	t.Helper()
	master, terminal := openTerminal(t)
	defer terminal.Close()
	command := exec.Command("esdk", args...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	command.ExtraFiles = []*os.File{terminal}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	master.SetReadDeadline(time.Now().Add(2 * time.Minute))
	read := func() {
		b := make([]byte, 1000)
		n, err := master.Read(b)
		if err != nil {
			t.Fatalf("%v; the terminal shows %q", err, shown)
		}
		shown = append(shown, b[:n]...)
	}
	from := 0
	for _, e := range exchanges {
		for !bytes.Contains(shown[from:], []byte(e.question)) {
			read()
		}
		from = len(shown)
		if _, err := master.WriteString(e.answer); err != nil {
			t.Fatal(err)
		}
	}
	err = command.Wait()
	// Make sure that there is something to read.
	terminal.WriteString("end")
	for !bytes.HasSuffix(shown, []byte("end")) {
		read()
	}
	return shown, err
}

// TestPassphrasePrompt checks that a passphrase is asked for on the terminal,
// twice for a new key and once for an existing one, and isn't shown there.
func TestPassphrasePrompt(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f", pattern(5000), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "correct horse"
	for _, kind := range []string{"rsa", "ecdh", "hpke"} {
		file := kind + ".pem"
		shown, err := onTerminal(t, []exchange{{"New passphrase for " + file + ": ", secret + "\r"}, {"Again: ", secret + "\r"}},
			"keygen", kind, "--passphrase", "-o", file)
		if err != nil || bytes.Contains(shown, []byte("horse")) {
			t.Fatalf("%s: the terminal shows %q: %v", kind, shown, err)
		}
		key := map[string]string{"rsa": "rsa:n/k@rsa.pem", "ecdh": "ecdh:@ecdh.pem", "hpke": "hpke:v@hpke.pem"}[kind]
		if kind == "ecdh" {
			continue // encryption needs the public key, and the prompt is the same
		}
		ask := "Passphrase of " + file + ": "
		shown, err = onTerminal(t, []exchange{{ask, secret + "\r"}}, "encrypt", "-k", key, "-k", key, "-o", kind, "f")
		if err != nil || bytes.Contains(shown, []byte("horse")) || bytes.Count(shown, []byte("Passphrase")) != 1 {
			t.Errorf("%s: the terminal shows %q: %v", kind, shown, err)
		}
		if shown, err := onTerminal(t, []exchange{{ask, secret + "\r"}}, "keys", "test", key); err != nil {
			t.Errorf("%s: the terminal shows %q: %v", kind, shown, err)
		}
		for answer, want := range map[string]int{"\x03": cli.ExitInterrupted, "\x04": cli.ExitInterrupted, "\r": cli.ExitUsage, "battery\r": cli.ExitUsage} {
			shown, err := onTerminal(t, []exchange{{ask, answer}}, "verify", "-k", key, kind)
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != want || bytes.Contains(shown, []byte("battery")) {
				t.Errorf("%q: the terminal shows %q: %v", answer, shown, err)
			}
		}
	}
	if out, err := exec.Command("openssl", "pkey", "-in", "rsa.pem", "-passin", "pass:"+secret, "-noout").CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
}

// TestPassphraseMismatch checks that two different passphrases make no key, and
// that an existing file is reported before anything is asked.
func TestPassphraseMismatch(t *testing.T) {
	t.Chdir(t.TempDir())
	shown, err := onTerminal(t, []exchange{{"New passphrase for k: ", "one\r"}, {"Again: ", "other\r"}}, "keygen", "ecdh", "--passphrase", "-o", "k")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != cli.ExitUsage {
		t.Errorf("the terminal shows %q: %v", shown, err)
	}
	if _, err := os.Lstat("k"); err == nil {
		t.Error("there is a key")
	}
	if err := os.WriteFile("k", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shown, err = onTerminal(t, nil, "keygen", "ecdh", "--passphrase", "-o", "k")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != cli.ExitNotWritten || bytes.Contains(shown, []byte("assphrase")) {
		t.Errorf("the terminal shows %q: %v", shown, err)
	}
}

// TestPassphraseWithoutTerminal checks that without a terminal, the error comes
// with a hint.
func TestPassphraseWithoutTerminal(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("pass", []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		status int
		text   string
	}{
		{[]string{"keygen", "ecdh", "--passphrase-file", "pass", "-o", "e.pem"}, 0, ""},
		{[]string{"verify", "-k", "ecdh:@e.pem", "e.pem"}, cli.ExitUsage, "hint: put the passphrase into a file of mode 600, and add ?passphrase-file=FILE to the key"},
		{[]string{"keygen", "ecdh", "--passphrase", "-o", filepath.Join(dir, "x")}, cli.ExitUsage, "hint: put the passphrase into a file of mode 600, and give --passphrase-file FILE"},
	} {
		c := exec.Command("esdk", test.args...)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		var stderr strings.Builder
		c.Stderr = &stderr
		c.Run()
		if got := c.ProcessState.ExitCode(); got != test.status || !strings.Contains(stderr.String(), test.text) {
			t.Errorf("%q: exit status %d: %s", test.args, got, &stderr)
		}
	}
}
