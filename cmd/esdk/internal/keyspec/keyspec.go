// Package keyspec makes keyrings from -k flags and the configuration.
package keyspec

import (
	"cmp"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
	"github.com/aws/smithy-go"
)

// Keys holds the state shared by a command's keys. Only one goroutine may use
// it at a time. Its keyrings are safe for concurrent use.
type Keys struct {
	UI        *cli.UI
	Pending   *atomicfile.Pending
	Protected *atomicfile.Protected

	// ConfigFile is the configuration file that the user named, if any.
	ConfigFile string

	// AnswerTimeout is how long AWS may take to answer a request.
	AnswerTimeout time.Duration

	// Unattended means that nobody can be asked for a passphrase.
	Unattended bool

	kmsRequests atomic.Int64

	kmsClients map[[2]string]awskms.Clients // by profile and Region
	tokens     tokens                       // by URI of the token
	guessing   map[string]bool              // guessing keys, as given

	// passphrases holds the known passphrases by key file and passphrase file;
	// the latter may be "".
	passphrases map[[2]string][]byte
}

// New returns keys that talk to the user through ui.
func New(ui *cli.UI, p *atomicfile.Pending, protected *atomicfile.Protected) *Keys {
	return &Keys{UI: ui, Pending: p, Protected: protected, AnswerTimeout: time.Minute, kmsClients: make(map[[2]string]awskms.Clients), guessing: make(map[string]bool)}
}

// Close closes tokens and erases passphrases.
func (ks *Keys) Close() {
	ks.tokens.close()
	for _, p := range ks.passphrases {
		clear(p)
	}
	ks.passphrases = nil
}

// A kind is a kind of key: its name on the command line and in the
// configuration, and the help for both.
type kind struct {
	name  string // the type in the configuration, "" if it has none
	forms []form

	needed, optional []string // fields of the configuration
	configured       func(ks *Keys, ctx context.Context, k *KeyConfig, encrypt bool) (esdk.Keyring, error)

	help    string // of "esdk help keys"
	example string // of "esdk help config"
}

// A form parses one form of the --key flag. The text is the part after the
// prefix. Encrypt tells whether the key is for encryption or decryption; some
// kinds only do one.
type form struct {
	prefix string
	usage  string
	parse  func(ks *Keys, ctx context.Context, text string, encrypt bool) (esdk.Keyring, error)
}

// cut returns the text after the prefix, if the text has this form.
func (f *form) cut(text string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, f.prefix)
	return rest, ok && (f.usage != f.prefix || rest == "")
}

// forms returns the forms of all kinds, in the order of the documentation.
func forms() (all []form) {
	for _, k := range kinds() {
		all = append(all, k.forms...)
	}
	return all
}

// Prefixes returns the prefixes of keys, for completion.
func Prefixes() (all []string) {
	for _, f := range forms() {
		all = append(all, f.prefix)
	}
	return all
}

// Help explains the kinds of keys.
func Help() string {
	var b strings.Builder
	for _, k := range kinds() {
		b.WriteString("\n" + k.help + "\n")
	}
	return helpIntro + b.String() + helpOutro
}

// ConfigHelp returns an example of each kind in the configuration.
func ConfigHelp() string {
	var b strings.Builder
	for _, k := range kinds() {
		if k.example != "" {
			b.WriteString(k.example + "\n\n")
		}
	}
	return b.String()
}

// A cannot is the error for a valid key that can't do the requested operation.
type cannot struct{ error }

func (c *cannot) Unwrap() error { return c.error }

// IsCannot reports whether an error says that a valid key only encrypts or only
// decrypts.
func IsCannot(err error) bool { return errors.As(err, new(*cannot)) }

// Keyring makes the keyring for the keys of a flag. The first key generates the
// data key.
//
// A key that can't do the operation is passed over if another can, so that one
// profile serves both directions. For encryption, only discovery keys are
// passed over. Any other key stands for a recipient who must be able to open
// the message.
func (ks *Keys) Keyring(ctx context.Context, flag string, keys []string, encrypt bool) (esdk.Keyring, error) {
	if len(keys) == 0 {
		return nil, cli.UsageError("no key given: use -k KEY").
			WithHint("-k local is a key of your own on this machine; \"esdk help keys\" lists the kinds of keys")
	}
	if encrypt && len(keys) > 1 && !slices.ContainsFunc(keys, func(k string) bool { return !IsKMSKey(k) }) {
		kr, err := ks.kmsKeyring(keys)
		if err != nil {
			return nil, cli.UsageError("%w", err)
		}
		return kr, nil
	}
	var keyrings []esdk.Keyring
	var passed []string
	var first error
	for _, k := range keys {
		kr, err := ks.parse(ctx, flag, k, encrypt)
		if errors.As(err, new(*cannot)) {
			passed = append(passed, k)
			first = cmp.Or(first, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		keyrings = append(keyrings, ks.named(kr, k))
	}
	if len(keyrings) == 0 {
		return nil, first
	}
	for _, k := range passed {
		if encrypt {
			ks.UI.Note("passed over %s %s, which only decrypts", flag, cli.Printable(k))
		}
	}
	return Join(keyrings, encrypt)
}

// Join joins keyrings into one for which any of them decrypts. Keyrings that
// guess are tried last.
func Join(keyrings []esdk.Keyring, encrypt bool) (esdk.Keyring, error) {
	if len(keyrings) == 1 {
		return keyrings[0], nil
	}
	if !encrypt {
		slices.SortStableFunc(keyrings, func(a, b esdk.Keyring) int { return cmp.Compare(guesses(a), guesses(b)) })
	}
	return esdk.NewMultiKeyring(keyrings[0], keyrings[1:]...)
}

// A guessing keyring returns a random data key if it can't decrypt, as RSA with
// PKCS #1 v1.5 padding must. Keyrings after it would never be tried.
type guessing struct{ esdk.Keyring }

// guesses returns 1 for a keyring that guesses, otherwise 0.
func guesses(kr esdk.Keyring) int {
	if named, ok := kr.(*namedKeyring); ok {
		kr = named.Keyring
	}
	if _, ok := kr.(*guessing); ok {
		return 1
	}
	return 0
}

// guessingIf marks an RSA keyring as guessing if its padding makes it guess.
func guessingIf(pkcs1 bool, kr esdk.Keyring, err error) (esdk.Keyring, error) {
	if err != nil || !pkcs1 {
		return kr, err
	}
	return &guessing{kr}, nil
}

// Guessed reports whether a key, as given, may have returned a random data key.
func (ks *Keys) Guessed(key string) bool { return ks.guessing[key] }

func (ks *Keys) named(kr esdk.Keyring, key string) *namedKeyring {
	if _, ok := kr.(*guessing); ok {
		ks.guessing[key] = true
	}
	return &namedKeyring{kr, key}
}

// namedKeyring records the key that decrypted in the variable that the call's
// context names.
type namedKeyring struct {
	esdk.Keyring
	name string
}

// keyUsed is the key of a context's value, a *string.
type keyUsed struct{}

// WithKeyUsed returns a context for which the name of the decrypting key is
// stored in *name.
func WithKeyUsed(ctx context.Context, name *string) context.Context {
	return context.WithValue(ctx, keyUsed{}, name)
}

func (k *namedKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	dataKey, err := k.Keyring.Unwrap(ctx, req)
	if used, ok := ctx.Value(keyUsed{}).(*string); ok && err == nil {
		*used = k.name
	}
	return dataKey, err
}

// Parse makes the keyring for one key.
func (ks *Keys) Parse(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	return ks.parse(ctx, "-k", text, encrypt)
}

// parse is Parse with the name of the flag for errors.
func (ks *Keys) parse(ctx context.Context, flag, text string, encrypt bool) (esdk.Keyring, error) {
	if text == "" {
		return nil, cli.UsageError("%s is empty", flag)
	}
	if holdsKey(text) {
		return nil, keyItself(flag)
	}
	for _, form := range forms() {
		rest, ok := form.cut(text)
		if !ok {
			continue
		}
		kr, err := form.parse(ks, ctx, rest, encrypt)
		if err != nil {
			return nil, keyError(flag, text, err)
		}
		return kr, nil
	}
	if ks.SaysName(text) {
		kr, err := ks.NewAESKeyring("", "", text, "", encrypt)
		if err != nil {
			return nil, keyError(flag, text, err)
		}
		return kr, nil
	}
	if trimmed := strings.TrimSpace(text); trimmed != text && IsKey(trimmed) {
		return nil, keyError(flag, text, spaceError(trimmed))
	}
	err := cli.UsageError("%s %s: unknown kind of key", flag, cli.Printable(text))
	if c, _, configErr := ks.LoadConfig(); configErr == nil {
		if _, ok := c.Keys[text]; ok {
			return nil, err.WithHint("%s %s is the key of that name in the configuration", flag, cli.Quoted("@"+text))
		}
	}
	if info, statErr := os.Stat(text); statErr == nil && info.Mode().IsRegular() {
		return nil, err.WithHint("%s", ks.fileHint(text))
	}
	if looksLikeKey(text) { // so it isn't shown
		return nil, keyItself(flag)
	}
	return nil, err.WithHint("%s", cli.Printable(unknownHint(text)))
}

// IsKey reports whether a text has the form of a key.
func IsKey(text string) bool {
	return slices.ContainsFunc(forms(), func(f form) bool { _, ok := f.cut(text); return ok })
}

// pinValue matches a PIN in a URI. Such a URI is refused, and the PIN must not
// be shown.
var pinValue = regexp.MustCompile(`(?i)(pin-value=)[^&;?]*`)

// KeyError returns an error that names its key.
func KeyError(text string, err error) error { return keyError("-k", text, err) }

// keyError names the key of an error. The error is a mistake of the command
// line, unless it comes from a request to AWS: a missing Region, credentials or
// permissions aren't arguments.
func keyError(flag, text string, err error) error {
	text = pinValue.ReplaceAllString(text, "${1}…")
	code := cli.ExitStatus(err)
	if code == cli.ExitError && !errors.As(err, new(*smithy.OperationError)) && !errors.As(err, new(*noClient)) {
		code = cli.ExitUsage
	}
	return cli.WithCode(code, cli.Errorf("%s %s: %w", flag, cli.Printable(text), err))
}
