package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
)

// TestShortRSAKey checks that encryption under a short RSA key warns, and that
// decryption doesn't: the message exists.
func TestShortRSAKey(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(10))
	for bits, warns := range map[int]bool{1024: true, 2040: true, 2048: false} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
		for _, args := range [][]string{{"encrypt", "--unsigned", "--force", "plain"}, {"decrypt", "--force", "-o", "again", "plain.encrypted"}} {
			c := command(t, dir, append(args, "-k", "rsa:n/k@pem")...)
			checkStatus(t, c, c.Run(), cli.ExitOK)
			want := fmt.Sprintf("esdk: warning: the RSA key in pem has only %d bits; it should have 2048 or more\n", bits)
			if got := strings.Contains(fmt.Sprint(c.Stderr), want); got != (warns && args[0] == "encrypt") {
				t.Errorf("%s with %d bits: stderr %q", args[0], bits, c.Stderr)
			}
		}
	}
}

// TestEndedAESKey checks that the error tells of a line end behind raw bytes.
func TestEndedAESKey(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(10))
	key := bytes.Repeat([]byte{0xff}, 34)
	for length, end := range map[int]string{31: "", 32: "\n", 16: "\r\n"} {
		writeFile(t, dir, "raw", append(key[:length:length], end...))
		c := command(t, dir, "encrypt", "-k", "aes:n/k@raw", "plain")
		checkStatus(t, c, c.Run(), cli.ExitUsage)
		hint := fmt.Sprintf("hint: the first %d bytes may be a key: remove the line end after them\n", length)
		said := fmt.Sprint(c.Stderr)
		if !strings.Contains(said, fmt.Sprintf("not %d bytes\n", length+len(end))) || strings.Contains(said, hint) != (length%16 == 0) {
			t.Errorf("stderr %q", said)
		}
	}
}
