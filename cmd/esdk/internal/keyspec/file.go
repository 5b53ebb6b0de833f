package keyspec

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf16"

	"esdk/cmd/esdk/internal/cli"
)

// maxKeyFile is the largest size of a key file, in bytes.
const maxKeyFile = 1 << 20

// readKeyFile reads a file that may hold a key. The name "-" is standard input.
func (ks *Keys) readKeyFile(name string) ([]byte, error) {
	if name == cli.Standard {
		stdin, err := ks.UI.ClaimStdin("a key")
		if err != nil {
			return nil, err
		}
		return readLimited(stdin, "standard input")
	}
	name, err := expandHome(name)
	if err != nil {
		return nil, err
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

// readFile reads a file of at most the size of a key file.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, name)
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s is too large for a key file", name)
	}
	return data, err
}

// readPEM reads a PEM file.
func (ks *Keys) readPEM(name string) ([]byte, error) {
	data, err := ks.readKeyFile(name)
	return decodeText(data), err
}

// readSecret reads a file that only its owner should be able to read.
func (ks *Keys) readSecret(name string) ([]byte, error) {
	data, err := ks.readKeyFile(name)
	if err == nil {
		ks.checkSecret(name)
	}
	return data, err
}

// checkSecret warns if other users can read a secret file.
func (ks *Keys) checkSecret(name string) {
	path, err := expandHome(name)
	if err != nil {
		return
	}
	info, err := os.Stat(path)
	if name == cli.Standard || err != nil || runtime.GOOS == "windows" {
		return
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		ks.UI.Note("warning: others can read the key file %s; chmod 600 it", cli.Printable(name))
	}
}

func (ks *Keys) readAESKey(name, format string) (*aesKey, error) {
	data, err := ks.readSecret(name)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	key, err := parseAESKey(data, format)
	if err != nil {
		return nil, wrongFile(name, decodeText(data), err)
	}
	return &aesKey{key, keyNames(data)}, nil
}

// An aesKey is the content of an AES key file.
type aesKey struct {
	bytes []byte
	names []string
}

// nameLine begins the line with the name in a key file, as keygen writes it.
const nameLine = "# Name: "

// keyNames returns the names in a key file. There should be at most one.
func keyNames(data []byte) (names []string) {
	for line := range bytes.Lines(decodeText(data)) {
		if name, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte(nameLine)); ok {
			names = append(names, string(bytes.TrimSpace(name)))
		}
	}
	return names
}

// SplitName splits NAMESPACE/NAME.
func SplitName(text string) (namespace, name string, err error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" {
		return "", "", cli.UsageError("must be NAMESPACE/NAME")
	}
	return namespace, name, nil
}

// name returns the name in the file.
func (k *aesKey) name(file string) (namespace, name string, err error) {
	switch len(k.names) {
	case 0:
		return "", "", cli.Hinted(fileError(file, errors.New("the file does not contain the name of its key")), "use %s", cli.Quoted("aes:NAMESPACE/NAME@"+file))
	case 1:
		if namespace, name, err = SplitName(k.names[0]); err != nil {
			err = fileError(file, cli.Errorf("the name in the file: %w", err))
		}
		return namespace, name, err
	}
	return "", "", fileError(file, errors.New("the file contains two names"))
}

// SaysName reports whether a path leads to a key file that contains its name.
func (ks *Keys) SaysName(path string) bool {
	expanded, err := expandHome(path)
	if err != nil {
		return false
	}
	if info, err := os.Stat(expanded); err != nil || !info.Mode().IsRegular() {
		return false
	}
	data, err := ks.readKeyFile(path)
	defer clear(data)
	return err == nil && len(keyNames(data)) > 0
}

// A keyFormat is an encoding of AES keys in files. Read returns nil if the file
// doesn't have a key in it.
type keyFormat struct {
	name, what string
	read       func(data []byte) []byte
}

// keyFormats are the values of format, in the order they're tried.
var keyFormats = []keyFormat{{"raw", "raw bytes", bytes.Clone}, {"hex", "hex text", readHex}, {"base64", "Base64 text", readBase64}}

func readHex(data []byte) []byte {
	text := keyText(data)
	key, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return key
}

// readBase64 reads both Base64 alphabets, with or without padding.
func readBase64(data []byte) []byte {
	text := strings.TrimRight(keyText(data), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(text); err == nil {
			return key
		}
	}
	return nil
}

// parseAESKey reads an AES key: raw bytes, or hex or Base64 text, in which
// lines that start with # are comments. Hex is preferred to Base64: of all
// 24-byte keys, fewer than one in 2^49 have a Base64 text that is all hex
// digits. A file that could be raw bytes as well is refused, since a key made
// of text could be meant either way.
func parseAESKey(data []byte, format string) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, cli.UsageError("is empty, or only white space")
	}
	if format != "raw" && keyLines(data) > 1 {
		return nil, cli.UsageError("contains several keys, or one key on several lines").WithHint("put one key into a file of its own, on one line")
	}
	var found []string
	var key []byte
	for _, f := range keyFormats {
		if format != "" && f.name != format {
			continue
		}
		k := f.read(data)
		switch {
		case format != "" && !IsAESLength(len(k)):
			clear(k)
			return nil, cli.UsageError("does not contain an AES key as %s: 16, 24 or 32 bytes", f.what)
		case !IsAESLength(len(k)) || f.name == "base64" && len(found) > 0 && found[len(found)-1] == "hex":
			clear(k)
		default:
			found = append(found, f.name)
			clear(key)
			key = k
		}
	}
	switch len(found) {
	case 1:
		return key, nil
	case 0:
		if format != "" {
			return nil, cli.UsageError("format %q is not one of %s", format, strings.Join(formatNames(), ", "))
		}
		return nil, notAESKey(data)
	}
	clear(key)
	return nil, cli.UsageError("can be read as %s, which are different keys", strings.Join(found, " or ")).
		WithHint("add ?format=%s after the file, or set format in the configuration", strings.Join(found, " or ?format="))
}

// notAESKey tells that a file has no key, and the length, which shows why.
func notAESKey(data []byte) error {
	err := cli.UsageError("does not contain an AES key: 16, 24 or 32 bytes, raw or as hex or Base64 text, not %d bytes", len(data))
	if n := len(bytes.TrimRight(data, "\r\n")); n < len(data) && IsAESLength(n) {
		return err.WithHint("the first %d bytes may be a key: remove the line end after them", n)
	}
	return err
}

// keyLines counts the lines that are an AES key by themselves.
func keyLines(data []byte) (n int) {
	for line := range bytes.Lines(decodeText(data)) {
		for _, read := range []func([]byte) []byte{readHex, readBase64} {
			key := read(line)
			if IsAESLength(len(key)) {
				n++
				clear(key)
				break
			}
			clear(key)
		}
	}
	return n
}

func formatNames() (names []string) {
	for _, f := range keyFormats {
		names = append(names, f.name)
	}
	return names
}

// IsAESLength reports whether n bytes are the length of an AES key.
func IsAESLength(n int) bool { return n == 16 || n == 24 || n == 32 }

// keyText returns the text of a key file without comments and white space, ""
// if it isn't text.
func keyText(data []byte) string {
	var text []byte
	for line := range bytes.Lines(decodeText(data)) {
		if line = bytes.TrimSpace(line); !bytes.HasPrefix(line, []byte("#")) {
			text = append(text, bytes.Join(bytes.Fields(line), nil)...)
		}
	}
	for _, b := range text {
		if b < ' ' || b > '~' {
			return ""
		}
	}
	return string(text)
}

// decodeText strips a byte order mark and converts UTF-16 to UTF-8, since some
// editors and shells on Windows write those. It returns other data unchanged.
func decodeText(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return data[3:]
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	}
	if order == nil || len(data)%2 != 0 {
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// FormatAESKey returns the key file that keygen writes. The name may be empty.
func FormatAESKey(key []byte, name string) []byte {
	if name != "" {
		name = nameLine + name + "\n"
	}
	return fmt.Appendf(nil, "# AES-%d wrapping key, made by esdk %s. Whoever has it can decrypt; without it, nobody can.\n%s%s\n",
		len(key)*8, time.Now().UTC().Format(time.DateOnly), name, base64.StdEncoding.EncodeToString(key))
}

// expandHome expands ~/ to the home directory.
func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", cli.Errorf("no home directory: %w", err)
	}
	return filepath.Join(home, rest), nil
}

// WriteSecret creates a file with mode 0600. It must not exist yet. If before
// isn't nil, the file appears only after before has succeeded.
func (ks *Keys) WriteSecret(name string, data []byte, before func() error) error {
	out, err := ks.Pending.Create(name, 0o600, nil)
	if err != nil {
		return err
	}
	defer out.Abort()
	if _, err := out.Write(data); err != nil {
		return err
	}
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return out.Commit()
}
