package main

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rsa"
	"os"
	"regexp"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/hpke"
	"github.com/spf13/cobra"
)

// A keyKind reads one kind of the --key flag. The text is what stands behind
// the prefix. Encrypt says what the key is for; some kinds only do one.
type keyKind struct {
	prefix string
	usage  string
	parse  func(a *app, ctx context.Context, text string, encrypt bool) (esdk.Keyring, error)
}

// keyKinds is the grammar of keys, in the order in which it is documented.
// It is a function since named keys refer back to it.
func keyKinds() []keyKind {
	return []keyKind{
		{"local", "local", (*app).localKeyring},
		{"aes:", "aes:NAMESPACE/NAME@FILE", (*app).aesKeyring},
		{"rsa:", "rsa:NAMESPACE/NAME@FILE[?pad=PADDING]", (*app).rsaKeyring},
		{"ecdh:", "ecdh:[PEER-FILE][@OWN-FILE]", (*app).ecdhKeyring},
		{"hpke:", "hpke:NAME@FILE", (*app).hpkeKeyring},
		{"arn:", "arn:…:key/ID", (*app).kmsARNKeyring},
		{"alias/", "alias/NAME", (*app).kmsAliasKeyring},
		{"kms-discovery:", "kms-discovery:PARTITION/ACCOUNT[,ACCOUNT]...[@REGION]", (*app).kmsDiscoveryKeyring},
		{"kms-rsa:", "kms-rsa:ARN[@PUBLIC-FILE][?pad=PADDING]", (*app).kmsRSAKeyring},
		{"kms-ecdh:", "kms-ecdh:ARN[@PEER-FILE]", (*app).kmsECDHKeyring},
		{"branch:", "branch:TABLE/BRANCH-KEY-ID[?kms=ARN]", (*app).branchKeyring},
		{"pkcs11:", "pkcs11:token=TOKEN;object=LABEL?module-path=FILE…", (*app).pkcs11Keyring},
		serviceKind("hashivault", "KEY"),
		serviceKind("gcpkms", "projects/…"),
		serviceKind("azurekeyvault", "VAULT/keys/KEY/VERSION"),
		{"@", "@NAME", (*app).configuredKeyring},
	}
}

// cut returns what stands behind the prefix, if the text is of the kind.
func (kind *keyKind) cut(text string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, kind.prefix)
	return rest, ok && (kind.usage != kind.prefix || rest == "")
}

func addKeyFlag(cmd *cobra.Command, keys *[]string, encrypt bool) {
	usage := "`KEY` to decrypt with; repeat it to try several"
	if encrypt {
		usage = "`KEY` to encrypt under; repeat it, and any one of them decrypts"
	}
	cmd.Flags().StringArrayVarP(keys, "key", "k", nil, usage+` (see "esdk help keys")`)
}

// keyring makes the keyring for the --key flags. The first key generates the
// data key.
func (a *app) keyring(ctx context.Context, keys []string, encrypt bool) (esdk.Keyring, error) {
	if len(keys) == 0 {
		return nil, cli.UsageError("which key? Give at least one -k KEY").
			WithHint("-k local is a key of your own on this machine; \"esdk help keys\" lists the kinds of keys")
	}
	if encrypt && len(keys) > 1 && !slices.ContainsFunc(keys, func(k string) bool { return !isKMSKey(k) }) {
		kr, err := a.kmsKeyring(keys)
		if err != nil {
			return nil, cli.UsageError("%w", err)
		}
		return kr, nil
	}
	var keyrings []esdk.Keyring
	for _, k := range keys {
		kr, err := a.parseKey(ctx, k, encrypt)
		if err != nil {
			return nil, err
		}
		keyrings = append(keyrings, &namedKeyring{kr, k})
	}
	if len(keyrings) == 1 {
		return keyrings[0], nil
	}
	return esdk.NewMultiKeyring(keyrings[0], keyrings[1:]...)
}

// namedKeyring notes which key decrypted, for the one who asked: the context of
// the call says where.
type namedKeyring struct {
	esdk.Keyring
	name string
}

// keyUsed is the key of a context's value, a *string.
type keyUsed struct{}

func withKeyUsed(ctx context.Context, name *string) context.Context {
	return context.WithValue(ctx, keyUsed{}, name)
}

func (k *namedKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	dataKey, err := k.Keyring.Unwrap(ctx, req)
	if used, ok := ctx.Value(keyUsed{}).(*string); ok && err == nil {
		*used = k.name
	}
	return dataKey, err
}

func (a *app) parseKey(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	var usages []string
	for _, kind := range keyKinds() {
		usages = append(usages, kind.usage)
		rest, ok := kind.cut(text)
		if !ok {
			continue
		}
		kr, err := kind.parse(a, ctx, rest, encrypt)
		if err != nil {
			return nil, keyError(text, err)
		}
		return kr, nil
	}
	err := cli.UsageError("-k %s: unknown kind of key", cli.Printable(text))
	if c, _, configErr := a.loadConfig(); configErr == nil {
		if _, ok := c.Keys[text]; ok {
			return nil, err.WithHint("-k @%s is the key of that name in the configuration", cli.Printable(text))
		}
	}
	if info, statErr := os.Stat(text); statErr == nil && info.Mode().IsRegular() {
		return nil, err.WithHint("it is a file: say what is in it, such as aes:NAMESPACE/NAME@%s; see \"esdk help keys\"", cli.Printable(text))
	}
	return nil, err.WithHint("a key is one of: %s", strings.Join(usages, "   "))
}

// isKey reports whether a text is of a kind of key.
func isKey(text string) bool {
	return slices.ContainsFunc(keyKinds(), func(kind keyKind) bool { _, ok := kind.cut(text); return ok })
}

// pinValue is a PIN in a URI, which is refused, but may not be shown either.
var pinValue = regexp.MustCompile(`(?i)(pin-value=)[^&;?]*`)

// keyError names the key that an error is about.
func keyError(text string, err error) error {
	text = pinValue.ReplaceAllString(text, "${1}…")
	code := cli.ExitStatus(err)
	if code == cli.ExitError {
		code = cli.ExitUsage
	}
	return cli.WithCode(code, cli.Errorf("-k %s: %w", cli.Printable(text), err))
}

// splitKey splits NAMESPACE/NAME@FILE.
func splitKey(text string) (namespace, name, file string, err error) {
	id, file, ok := strings.Cut(text, "@")
	namespace, name, slash := strings.Cut(id, "/")
	if !ok || !slash || namespace == "" || name == "" || file == "" {
		return "", "", "", cli.UsageError("want NAMESPACE/NAME@FILE")
	}
	return namespace, name, file, nil
}

func (a *app) aesKeyring(_ context.Context, text string, _ bool) (esdk.Keyring, error) {
	namespace, name, file, err := splitKey(text)
	if err != nil {
		return nil, err
	}
	return a.newAESKeyring(namespace, name, file)
}

func (a *app) newAESKeyring(namespace, name, file string) (esdk.Keyring, error) {
	key, err := a.readAESKey(file)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: namespace, Name: name, Key: key})
}

// paddings are the values of pad for RSA keys; 0 is PKCS #1 v1.5.
var paddings = map[string]crypto.Hash{
	"pkcs1":       0,
	"oaep-sha1":   crypto.SHA1,
	"oaep-sha256": crypto.SHA256,
	"oaep-sha384": crypto.SHA384,
	"oaep-sha512": crypto.SHA512,
}

const defaultPadding = "oaep-sha256"

func (a *app) rsaKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	namespace, name, file, err := splitKey(text)
	if err != nil {
		return nil, err
	}
	file, padding, err := cutPadding(file)
	if err != nil {
		return nil, err
	}
	return a.newRSAKeyring(namespace, name, file, padding, encrypt)
}

// cutPadding splits ?pad=PADDING off a key.
func cutPadding(text string) (rest, padding string, err error) {
	rest, query, ok := strings.Cut(text, "?")
	if !ok {
		return rest, defaultPadding, nil
	}
	if padding, ok = strings.CutPrefix(query, "pad="); !ok {
		return "", "", cli.UsageError("want ?pad=PADDING behind the file")
	}
	return rest, padding, nil
}

// newRSAKeyring takes both verbs' keys from one file. A keyring does not take
// the public key out of the private one; here it is the user who gives the
// file for both.
func (a *app) newRSAKeyring(namespace, name, file, padding string, encrypt bool) (esdk.Keyring, error) {
	hash, ok := paddings[padding]
	if !ok {
		return nil, cli.UsageError("padding %q is not one of pkcs1, oaep-sha1, oaep-sha256, oaep-sha384, oaep-sha512", padding)
	}
	c := esdk.RawRSAConfig{Namespace: namespace, Name: name, Hash: hash, PKCS1v15: hash == 0}
	data, err := a.readKeyFile(file)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	private, privateErr := esdk.ParsePEM[*rsa.PrivateKey](data)
	if privateErr == nil {
		a.checkSecret(file)
		c.PrivateKey, c.PublicKey = private, &private.PublicKey
		return esdk.NewRawRSAKeyring(c)
	}
	if c.PublicKey, err = esdk.ParsePEM[*rsa.PublicKey](data); err != nil {
		return nil, cli.UsageError("%s: %v", file, privateErr)
	}
	if !encrypt {
		return nil, cli.UsageError("%s has only the public key, which cannot decrypt", file)
	}
	return esdk.NewRawRSAKeyring(c)
}

func (a *app) ecdhKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	peer, own, _ := strings.Cut(text, "@")
	return a.newECDHKeyring(peer, own, encrypt)
}

func (a *app) newECDHKeyring(peerFile, ownFile string, encrypt bool) (esdk.Keyring, error) {
	var peer *ecdh.PublicKey
	var own *ecdh.PrivateKey
	if peerFile != "" {
		data, err := a.readKeyFile(peerFile)
		if err != nil {
			return nil, err
		}
		if peer, err = esdk.ParsePEM[*ecdh.PublicKey](data); err != nil {
			return nil, cli.UsageError("%s: %v", peerFile, err)
		}
	}
	if ownFile != "" {
		data, err := a.readSecret(ownFile)
		if err != nil {
			return nil, err
		}
		defer clear(data)
		if own, err = esdk.ParsePEM[*ecdh.PrivateKey](data); err != nil {
			return nil, cli.UsageError("%s: %v", ownFile, err)
		}
	}
	switch {
	case peer == nil && own == nil:
		return nil, cli.UsageError("want PEER-FILE@OWN-FILE, or one of them")
	case peer != nil && own != nil:
		return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: own, Peer: peer})
	case own != nil && !encrypt:
		return esdk.NewRawECDHDiscoveryKeyring(own)
	case own != nil:
		return nil, cli.UsageError("to encrypt, the peer's public key is needed").WithHint("write ecdh:PEER-FILE@OWN-FILE, or ecdh:PEER-FILE")
	case encrypt:
		return esdk.NewRawECDHEphemeralKeyring(peer)
	}
	return nil, cli.UsageError("to decrypt, your own private key is needed").WithHint("write ecdh:PEER-FILE@OWN-FILE, or ecdh:@OWN-FILE")
}

func (a *app) hpkeKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	name, file, _ := strings.Cut(text, "@")
	if name == "" || file == "" {
		return nil, cli.UsageError("want NAME@FILE")
	}
	return a.newHPKEKeyring(name, file, encrypt)
}

// newHPKEKeyring takes both verbs' keys from one file, as newRSAKeyring does.
func (a *app) newHPKEKeyring(name, file string, encrypt bool) (esdk.Keyring, error) {
	data, err := a.readKeyFile(file)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	c := hpke.Config{Name: name}
	private, privateErr := hpke.ParsePrivateKey(data)
	if privateErr == nil {
		a.checkSecret(file)
		c.PrivateKey, c.PublicKey = private, private.PublicKey()
		return hpke.NewKeyring(c)
	}
	if c.PublicKey, err = hpke.ParsePublicKey(data); err != nil {
		return nil, cli.UsageError("%s: %v", file, privateErr).WithHint("\"esdk keygen hpke -o FILE\" makes one")
	}
	if !encrypt {
		return nil, cli.UsageError("%s has only the public key, which cannot decrypt", file)
	}
	return hpke.NewKeyring(c)
}
