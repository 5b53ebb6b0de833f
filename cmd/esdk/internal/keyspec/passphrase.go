package keyspec

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/hpke"
	"golang.org/x/term"
)

// encryptedPrefix begins the type of a PEM block with an encrypted private key.
const encryptedPrefix = "ENCRYPTED "

// opens holds the PEM types of private keys that may be encrypted. Its
// functions tell a key from the bytes that a wrong passphrase produces.
var opens = map[string]func(der []byte) bool{
	"PRIVATE KEY": func(der []byte) bool {
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(der, &value)
		return err == nil && len(rest) == 0 && value.Tag == asn1.TagSequence
	},
	"ESDK HPKE PRIVATE KEY": func(der []byte) bool {
		text := pem.EncodeToMemory(&pem.Block{Type: "ESDK HPKE PRIVATE KEY", Bytes: der})
		defer clear(text)
		_, err := hpke.ParsePrivateKey(text)
		return err == nil
	},
}

// EncryptPEM encrypts the private key in a PEM block.
func EncryptPEM(text, passphrase []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil || opens[block.Type] == nil {
		return nil, errors.New("keyspec: not a private key in PEM")
	}
	defer clear(block.Bytes)
	der, err := encryptPKCS8(block.Bytes, passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedPrefix + block.Type, Bytes: der}), nil
}

// readPrivate reads a PEM file that may hold private keys. It decrypts
// encrypted ones and appends them to the rest.
func (ks *Keys) readPrivate(name, passphraseFile string) ([]byte, error) {
	data, err := ks.readPEM(name)
	if err != nil {
		return nil, err
	}
	var decrypted []byte
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		kind, ok := strings.CutPrefix(block.Type, encryptedPrefix)
		if !ok || opens[kind] == nil {
			clear(block.Bytes)
			continue
		}
		text, err := ks.decryptPEM(block.Bytes, kind, name, passphraseFile)
		if err != nil {
			return nil, err
		}
		decrypted = append(append(decrypted, '\n'), text...)
		clear(text)
	}
	if decrypted == nil && passphraseFile != "" && foreignHint(name, data) == "" {
		clear(data)
		return nil, cli.Hinted(fileError(name, errors.New("the key is not encrypted")), "leave out passphrase-file")
	}
	all := append(bytes.Clone(data), decrypted...)
	clear(data)
	clear(decrypted)
	return all, nil
}

func (ks *Keys) decryptPEM(der []byte, kind, name, passphraseFile string) ([]byte, error) {
	passphrase, err := ks.passphraseOf(name, passphraseFile)
	if err != nil {
		return nil, err
	}
	plain, err := decryptPKCS8(der, passphrase)
	if err == nil && !opens[kind](plain) {
		err = errPassphrase
	}
	defer clear(plain)
	switch {
	case errors.Is(err, errOldPKCS8):
		return nil, cli.Hinted(fileError(name, err), "encrypt it again: openssl pkcs8 -topk8 -v2 aes256 -in %s -out FILE", cli.Quoted(name))
	case err != nil:
		return nil, fileError(name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: plain}), nil
}

// passphraseOf returns the passphrase of a key file. The user is asked only
// once.
func (ks *Keys) passphraseOf(name, file string) ([]byte, error) {
	id := [2]string{name, file}
	if known := ks.passphrases[id]; known != nil {
		return known, nil
	}
	var passphrase []byte
	var err error
	if file != "" {
		passphrase, err = ks.ReadPassphrase(file)
	} else {
		passphrase, err = ks.promptSecret("passphrase", "Passphrase of "+cli.Printable(name)+": ", "add ?passphrase-file=FILE to the key")
	}
	if err != nil {
		return nil, err
	}
	if ks.passphrases == nil {
		ks.passphrases = make(map[[2]string][]byte)
	}
	ks.passphrases[id] = passphrase
	return passphrase, nil
}

// ReadPassphrase reads a passphrase from a file, which must have one line.
func (ks *Keys) ReadPassphrase(file string) ([]byte, error) {
	data, err := ks.readSecret(file)
	if err != nil {
		return nil, cli.UsageError("passphrase file: %v", err) // not a missing key file
	}
	line, _ := bytes.CutSuffix(decodeText(data), []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return nil, fileError(file, errors.New("the passphrase is empty"))
	case bytes.ContainsAny(line, "\r\n"):
		return nil, fileError(file, errors.New("the passphrase must be on one line"))
	}
	return line, nil
}

// NewPassphrase asks twice for the passphrase of a new key file.
func (ks *Keys) NewPassphrase(name string) ([]byte, error) {
	const hint = "give --passphrase-file FILE"
	first, err := ks.promptSecret("passphrase", "New passphrase for "+cli.Printable(name)+": ", hint)
	if err != nil {
		return nil, err
	}
	second, err := ks.promptSecret("passphrase", "Again: ", hint)
	defer clear(second)
	if err == nil && !bytes.Equal(first, second) {
		err = cli.UsageError("the two passphrases differ")
	}
	if err != nil {
		clear(first)
		return nil, err
	}
	return first, nil
}

// promptSecret asks on the terminal, even if standard input isn't one. The hint
// tells how to give a file instead.
func (ks *Keys) promptSecret(what, question, hint string) ([]byte, error) {
	if ks.Unattended {
		return nil, cli.UsageError("nobody can be asked for the %s", what).WithHint("put the %s into a file of mode 600, and %s", what, hint)
	}
	name := "/dev/tty"
	if runtime.GOOS == "windows" {
		name = "CONIN$"
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, cli.UsageError("no terminal to ask for the %s", what).WithHint("put the %s into a file of mode 600, and %s", what, hint)
	}
	defer tty.Close()
	// Echo is off before the question appears.
	state, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return nil, err
	}
	restore := func() { term.Restore(int(tty.Fd()), state) }
	defer ks.Pending.Last(restore)()
	defer restore()
	text, err := term.NewTerminal(tty, "").ReadPassword(question)
	if errors.Is(err, io.EOF) {
		err = cli.NewError(cli.ExitInterrupted, "interrupted") // in raw mode, Ctrl-C is a character like any other
	}
	secret := []byte(text)
	if err == nil && len(secret) == 0 {
		err = cli.UsageError("no %s was given", what)
	}
	return secret, err
}
