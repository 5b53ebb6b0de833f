package keyspec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// maxKeyFile is longer than any key file, in bytes.
const maxKeyFile = 1 << 20

// readKeyFile reads a file that may hold a key; "-" is standard input.
func (ks *Keys) readKeyFile(name string) ([]byte, error) {
	if name == cli.Standard {
		stdin, err := ks.UI.ClaimStdin("a key")
		if err != nil {
			return nil, err
		}
		return readLimited(stdin, "standard input")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	ks.Protected.Add(info)
	return readLimited(f, name)
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s is too large for a key file", name)
	}
	return data, err
}

// readSecret reads a file that must be for its owner alone.
func (ks *Keys) readSecret(name string) ([]byte, error) {
	data, err := ks.readKeyFile(name)
	if err == nil {
		ks.checkSecret(name)
	}
	return data, err
}

// checkSecret warns if others can read a secret.
func (ks *Keys) checkSecret(name string) {
	info, err := os.Stat(name)
	if name == cli.Standard || err != nil || runtime.GOOS == "windows" {
		return
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		ks.UI.Note("warning: others can read the key file %s; chmod 600 it", cli.Printable(name))
	}
}

func (ks *Keys) readAESKey(name string) ([]byte, error) {
	data, err := ks.readSecret(name)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	key, err := parseAESKey(data)
	if err != nil {
		return nil, cli.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// parseAESKey reads an AES key: raw bytes, or hex or Base64 text, in which
// lines that start with # are comments.
func parseAESKey(data []byte) ([]byte, error) {
	if text, ok := keyText(data); ok {
		for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
			if key, err := decode(text); err == nil && IsAESLength(len(key)) {
				return key, nil
			}
		}
	}
	if IsAESLength(len(data)) {
		return bytes.Clone(data), nil
	}
	return nil, cli.UsageError("does not hold an AES key: 16, 24 or 32 bytes, raw or as hex or Base64 text").
		WithHint("\"esdk keygen aes -o FILE\" makes one")
}

func IsAESLength(n int) bool { return n == 16 || n == 24 || n == 32 }

// keyText returns the text of a key file without comments and white space, or
// false if it is not text.
func keyText(data []byte) (string, bool) {
	var text []byte
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); !bytes.HasPrefix(line, []byte("#")) {
			text = append(text, line...)
		}
	}
	for _, b := range text {
		if b < ' ' || b > '~' {
			return "", false
		}
	}
	return string(text), true
}

// FormatAESKey is what keygen writes.
func FormatAESKey(key []byte) []byte {
	return fmt.Appendf(nil, "# AES-%d wrapping key, made by esdk %s. Whoever has it can decrypt; without it, nobody can.\n%s\n",
		len(key)*8, time.Now().UTC().Format(time.DateOnly), base64.StdEncoding.EncodeToString(key))
}

// WriteSecret makes a file with mode 0600 that must not exist.
func (ks *Keys) WriteSecret(name string, data []byte) error {
	out, err := ks.Pending.Create(name, 0o600, nil)
	if err != nil {
		return err
	}
	defer out.Abort()
	if _, err := out.Write(data); err != nil {
		return err
	}
	return out.Commit()
}
