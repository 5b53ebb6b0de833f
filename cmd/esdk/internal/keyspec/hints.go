package keyspec

import (
	"bytes"
	"cmp"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"esdk/cmd/esdk/internal/cli"
	"esdk/hpke"
)

// unknownHint returns the hint for a key of unknown kind.
func unknownHint(text string) string {
	switch {
	case kmsCiphertext.MatchString(text):
		return "this is a ciphertext of AWS KMS, not a key: use the ARN of its key, arn:…:key/ID"
	case kmsKeyID.MatchString(text):
		return "this is the ID of a KMS key: use its ARN, arn:aws:kms:REGION:ACCOUNT:key/" + text
	case strings.HasPrefix(text, "age1"):
		return "this is a key of age, which esdk does not support: \"esdk keygen hpke\" makes a public key to encrypt to"
	case publicText.MatchString(text):
		return "this is a public key itself: put it into a file"
	}
	if usage := closestUsage(text); usage != "" {
		return "did you mean " + usage + "?"
	}
	return "a key is one of: " + strings.Join(Prefixes(), " ")
}

var (
	kmsCiphertext = regexp.MustCompile(`^AQ[EI][CD][A-Za-z0-9+/]{40,}=*$`)
	publicText    = regexp.MustCompile(`^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp\d+) |^-----BEGIN .*PUBLIC KEY-----`)
	kmsKeyID      = regexp.MustCompile(`^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
)

var kmsKeyARN = regexp.MustCompile(`^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// IsKMSKeyARN reports whether a text has the form of the ARNs of AWS for KMS
// keys. Emulators may use other IDs.
func IsKMSKeyARN(text string) bool { return kmsKeyARN.MatchString(text) }

// NotKMSKeyARN returns the error for the value of a flag that isn't the ARN of
// a KMS key.
func NotKMSKeyARN(flag, text string) error {
	if err := checkSpace(text); err != nil {
		return cli.Hinted(cli.UsageError("%s: %w", flag, err), "%s", cli.Hint(err))
	}
	hint := "use an ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; \"esdk keystore key list\" shows them"
	if kmsKeyID.MatchString(text) {
		hint = unknownHint(text)
	} else if strings.HasPrefix(text, "alias/") || strings.Contains(text, ":alias/") {
		hint = "key stores do not contain aliases: use the key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID"
	}
	return cli.UsageError("%s: %q is not the ARN of a KMS key", flag, cli.Printable(text)).WithHint("%s", hint)
}

// looksLikeKey reports whether a text may be an AES key rather than a word.
func looksLikeKey(text string) bool {
	if IsAESLength(len(readHex([]byte(text)))) {
		return true
	}
	mixed := strings.ContainsAny(text, "0123456789") && strings.ToLower(text) != text && strings.ToUpper(text) != text
	return mixed && IsAESLength(len(readBase64([]byte(text))))
}

// holdsKey reports whether a text that should name the file of a key has the
// key instead.
func holdsKey(text string) bool {
	if strings.Contains(text, "PRIVATE KEY-----") || strings.Contains(text, "AGE-SECRET-KEY-") {
		return true
	}
	kind, file, _ := strings.Cut(text, "@")
	file, _, _ = strings.Cut(file, "?")
	if kind == "" || strings.HasPrefix(file, "/") || !looksLikeKey(file) {
		return false // also @NAME of the configuration
	}
	_, err := os.Stat(file)
	return err != nil
}

func keyItself(flag string) error {
	return cli.UsageError("%s …: this looks like a key itself", flag).
		WithHint("put the key into a file of mode 600, and use aes:NAMESPACE/NAME@FILE")
}

// otherNames are names of kinds of keys that people and other programs use.
var otherNames = map[string]string{
	"kms": "arn:", "aws-kms": "arn:", "aws": "arn:", "raw-aes": "aes:", "raw-rsa": "rsa:", "ec": "ecdh:", "raw-ecdh": "ecdh:",
	"vault": "hashivault://", "gcp": "gcpkms://", "azure": "azurekeyvault://", "hierarchy": "branch:",
}

// closestUsage returns the usage of the form whose name is most like the start
// of a text, "" if none is.
func closestUsage(text string) string {
	const ends = ":/@"
	name := strings.ToLower(text)
	if i := strings.IndexAny(name, ends); i > 0 {
		name = name[:i]
	}
	var names []string
	for _, f := range forms() {
		names = append(names, strings.TrimRight(f.prefix, ends))
	}
	i := slices.Index(Prefixes(), otherNames[name])
	if i < 0 {
		i = slices.Index(names, cli.Closest(name, names))
	}
	if i < 0 || names[i] == "" { // such as @NAME
		return ""
	}
	return forms()[i].usage
}

// checkSpace rejects white space in the names of AWS KMS keys, which gets in by
// copying.
func checkSpace(names ...string) error {
	for _, name := range names {
		if strings.ContainsFunc(name, unicode.IsSpace) {
			return spaceError(name)
		}
	}
	return nil
}

func spaceError(text string) error {
	return cli.UsageError("the key contains white space").WithHint("use %s", cli.Quoted(strings.Join(strings.Fields(text), "")))
}

// A foreign is a kind of key file that esdk can't read.
type foreign struct {
	begin *regexp.Regexp // matches its text
	hint  string         // with %s for the file
}

const hintOnSignatures = "this key only signs and cannot encrypt: use RSA, or an elliptic curve P-256, P-384 or P-521"

const hintOnCurves = "this key is on a curve that esdk does not support: use P-256, P-384 or P-521"

var foreigns = []foreign{
	{regexp.MustCompile(`^ssh-(ed25519|dss) `), hintOnSignatures},
	{regexp.MustCompile(`(?m)^-----BEGIN OPENSSH PRIVATE KEY-----`), `this is an OpenSSH private key: "ssh-keygen -p -m PKCS8 -f FILE" converts a copy to PEM`},
	{regexp.MustCompile(`^(ssh-rsa|ecdsa-sha2-nistp\d+) |^---- BEGIN SSH2 PUBLIC KEY`), `this is an OpenSSH public key: "ssh-keygen -e -m PKCS8 -f %s" prints it as PEM`},
	{regexp.MustCompile(`(?m)^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----`), `this is a certificate, which esdk does not check: "openssl x509 -in %s -noout -pubkey" prints its public key`},
	{regexp.MustCompile(`(?m)^Proc-Type: *4, *ENCRYPTED`), `this key is encrypted in an old format: "openssl pkey -in %s -aes256 -out FILE" converts it to PKCS #8`},
	{regexp.MustCompile(`(?m)^-----BEGIN PGP `), `this is an OpenPGP key, which esdk does not support`},
	{regexp.MustCompile(`(?m)^AGE-SECRET-KEY-`), `this is a key of age, which esdk does not support`},
	{regexp.MustCompile(`^\s*\{\s*"`), `this is JSON: use a key in PEM`},
}

// foreignHint returns the hint for a file that no kind of key can read, "" if
// it isn't such a file.
func foreignHint(file string, data []byte) string {
	if hint := unsupported(data); hint != "" {
		return hint
	}
	for _, f := range foreigns {
		if f.begin.Match(data) {
			return strings.ReplaceAll(f.hint, "%s", cli.Quoted(file))
		}
	}
	// A sequence, its length in two bytes, and version 3.
	if len(data) > 7 && bytes.Equal(data[:2], []byte{0x30, 0x82}) && bytes.Equal(data[4:7], []byte{2, 1, 3}) {
		return fmt.Sprintf(`this looks like PKCS #12: "openssl pkcs12 -in %s -nocerts -out FILE" converts its key to PEM`, cli.Quoted(file))
	}
	// The tag of a sequence, and a length of more than one byte.
	if len(data) > 2 && data[0] == 0x30 && (data[1] == 0x81 || data[1] == 0x82) {
		return fmt.Sprintf(`this looks like DER: "openssl pkey -inform DER -in %s" prints it as PEM; add -pubin for a public key`, cli.Quoted(file))
	}
	return ""
}

// unsupported returns the hint for a key in PEM, from OpenSSL or OpenSSH, that
// only signs or is on another curve. It returns "" for other data.
func unsupported(data []byte) string {
	block, rest := pem.Decode(data)
	if block != nil && block.Type == "EC PARAMETERS" {
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return ""
	}
	defer clear(block.Bytes)
	var key any
	var err error
	switch block.Type {
	case "OPENSSH PRIVATE KEY":
		if bytes.Contains(block.Bytes, []byte("ssh-ed25519")) {
			return hintOnSignatures
		}
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		var k *ecdsa.PrivateKey
		if k, err = x509.ParseECPrivateKey(block.Bytes); err == nil {
			key = k
		}
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	switch k := key.(type) {
	case ed25519.PrivateKey, ed25519.PublicKey:
		return hintOnSignatures
	case *ecdh.PrivateKey, *ecdh.PublicKey: // other curves are of *ecdsa keys
		return hintOnCurves
	case *ecdsa.PrivateKey:
		_, err = k.ECDH()
	case *ecdsa.PublicKey:
		_, err = k.ECDH()
	}
	// This error has no type.
	if err != nil && strings.Contains(err.Error(), "curve") {
		return hintOnCurves
	}
	return ""
}

// kindHint returns the hint for a file with a key of another kind, "" if it has
// none.
func kindHint(data []byte) string {
	if is[*rsa.PrivateKey](data) {
		return "this is an RSA private key, for rsa:"
	} else if is[*ecdh.PrivateKey](data) {
		return "this is an elliptic-curve private key, for ecdh:"
	} else if is[*rsa.PublicKey](data) {
		return "this is an RSA public key, for rsa:"
	} else if is[*ecdh.PublicKey](data) {
		return "this is an elliptic-curve public key, for ecdh:"
	}
	_, privateErr := hpke.ParsePrivateKey(data)
	_, publicErr := hpke.ParsePublicKey(data)
	if privateErr == nil || publicErr == nil {
		return "this is a key of \"esdk keygen hpke\", for hpke:"
	}
	if block, _ := pem.Decode(data); block == nil && bytes.Contains(data, []byte("esdk")) {
		if key, err := parseAESKey(data, ""); err == nil {
			clear(key)
			return "this is an AES key, for aes:"
		}
	}
	return ""
}

// noneOf returns the error for a file with neither key of a pair. The errors
// are those of reading each.
func noneOf(kind string, private, public error) error {
	for _, err := range []error{private, public} {
		if !strings.HasSuffix(err.Error(), "none found") {
			return err
		}
	}
	return fmt.Errorf("the file contains no %s key", kind)
}

// parsePeer returns the public key of a peer from the content of its file. The
// text own ends the hint if the file has a private key.
func parsePeer(file string, data []byte, own string) (*ecdh.PublicKey, error) {
	peer, err := onlyKey[*ecdh.PublicKey](data)
	if err == nil {
		return peer, nil
	}
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		err = cli.Hinted(err, "this is a private key, and the key of a peer is public%s", own)
	}
	return nil, wrongFile(file, data, err)
}

// fileHint returns the hint for a file that was given as a key without its
// kind.
func (ks *Keys) fileHint(file string) string {
	data, err := ks.readKeyFile(file)
	if err == nil {
		defer clear(data)
		if hint := foreignHint(file, data); hint != "" {
			return hint
		}
	}
	write := "such as " + cli.Quoted("aes:NAMESPACE/NAME@"+file)
	rsaKey, ecdhKey := cli.Quoted("rsa:NAMESPACE/NAME@"+file), cli.Quoted("ecdh:PEER-FILE@"+file)
	switch text := decodeText(data); {
	case is[*rsa.PrivateKey](text), is[*rsa.PublicKey](text):
		write = rsaKey
	case is[*ecdh.PrivateKey](text):
		write = ecdhKey + ", or " + cli.Quoted("ecdh:@"+file) + " to decrypt messages of any sender"
	case is[*ecdh.PublicKey](text):
		write = cli.Quoted("ecdh:" + file + "@OWN-FILE")
	case bytes.Contains(text, []byte("-----BEGIN ESDK HPKE ")), bytes.Contains(text, []byte("-----BEGIN ENCRYPTED ESDK HPKE ")):
		write = cli.Quoted("hpke:NAME@" + file)
	case bytes.Contains(text, []byte("-----BEGIN ENCRYPTED PRIVATE KEY")):
		write = rsaKey + ", or " + ecdhKey
	}
	return "this is a file: add the kind of its key, " + write + "; see \"esdk help keys\""
}

func is[K pemKey](data []byte) bool {
	_, err := onlyKey[K](data)
	return err == nil
}

// wrongFile returns the error for a key file with unexpected content. Its hint
// describes the content but shows nothing of it.
func wrongFile(file string, data []byte, err error) error {
	if hint := foreignHint(file, data); hint != "" {
		return cli.Hinted(fileError(file, errors.New("the file contains no key that esdk supports")), "%s", hint)
	}
	hint := cmp.Or(cli.Hint(err), kindHint(data))
	err = fileError(file, err)
	if hint == "" {
		return err
	}
	return cli.Hinted(err, "%s", hint)
}

// missingFile adds a hint on making the file to the error for a missing key
// file. The hint first suggests the likelier mistake, the path. For decryption
// there's no hint, since a new key wouldn't help.
func missingFile(err error, encrypt bool, hint string, args ...any) error {
	if encrypt && errors.Is(err, fs.ErrNotExist) {
		return cli.Hinted(cli.WithCode(cli.ExitUsage, err), "check the path; "+hint, args...)
	}
	return err
}

// knownPadding returns an error that lists the known paddings, unless padding
// is one of them.
func knownPadding(padding string, known ...string) error {
	if slices.Contains(known, padding) {
		return nil
	}
	return cli.UsageError("padding %q is not one of %s", padding, strings.Join(known, ", "))
}
