package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"esdk/cmd/esdk/internal/cli"
	"github.com/spf13/pflag"
)

// mayBeEmpty annotates flags for which an empty value has a meaning. Their help
// explains it.
const mayBeEmpty = "may be empty"

// AllowEmpty marks a flag as one that may be empty.
func AllowEmpty(flags *pflag.FlagSet, name string) {
	flags.Lookup(name).Annotations = map[string][]string{mayBeEmpty: nil}
}

// CheckEmpty rejects flags with an empty value, as a script passes if its
// variable isn't set. With -o= the value is an equals sign.
func CheckEmpty(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if _, ok := f.Annotations[mayBeEmpty]; !ok && err == nil && (hasEmpty(f.Value, "") || f.Shorthand != "" && hasEmpty(f.Value, "=")) {
			err = cli.UsageError("%s has an empty value", flagName(f))
		}
	})
	return err
}

func hasEmpty(v pflag.Value, empty string) bool {
	if list, ok := v.(pflag.SliceValue); ok {
		return slices.Contains(list.GetSlice(), empty)
	}
	return v.String() == empty
}

// fileValues are the names of values, in the usage of their flags, that are
// files.
var fileValues = []string{"DIR", "FILE", "LIST", "PATH", "URL"}

// CheckValues rejects values that look like a flag: the value was left out, and
// the next flag would be taken for it. The name of a file may not begin with a
// hyphen at all, and other text may not be a flag of the command.
func CheckValues(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		for _, value := range textValues(f.Value) {
			if err != nil || !strings.HasPrefix(value, "-") || value == cli.Standard {
				continue
			}
			name, _ := pflag.UnquoteUsage(f)
			if slices.Contains(fileValues, name) {
				err = cli.UsageError("%s %s: this looks like a flag, not a file", flagName(f), cli.Printable(value)).
					WithHint("for a file of that name, write ./%s", cli.Printable(value))
			} else if isFlag(flags, value) {
				err = cli.UsageError("%s %s: this looks like a flag, not a value", flagName(f), cli.Printable(value)).
					WithHint("use %s %s", flagName(f), name)
			}
		}
	})
	return err
}

// textValues returns the values of a flag that takes any text.
func textValues(v pflag.Value) []string {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	if v.Type() == "string" {
		return []string{v.String()}
	}
	return nil
}

// isFlag reports whether an argument that begins with a hyphen is a flag, or
// several short ones.
func isFlag(flags *pflag.FlagSet, arg string) bool {
	name, long := strings.CutPrefix(arg, "--")
	if long {
		name, _, _ = strings.Cut(name, "=")
		return name == "" || flags.Lookup(name) != nil
	}
	for _, letter := range []byte(arg[1:]) {
		if letter >= utf8.RuneSelf || flags.ShorthandLookup(string(letter)) == nil {
			return false
		}
	}
	return true
}

// flagName returns the name of a flag in errors: the short one, if there is
// one.
func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// OnlyOnce makes flags reject a second value. Otherwise the last one would
// silently win.
func OnlyOnce(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := flags.Lookup(name)
		f.Value = &onceValue{Value: f.Value}
	}
}

type onceValue struct {
	pflag.Value
	set bool
}

var errTwice = errors.New("is given twice")

func (o *onceValue) Set(text string) error {
	if o.set {
		return errTwice
	}
	o.set = true
	return o.Value.Set(text)
}

// BytesVar adds a flag for a number of bytes, which may have a unit, or be 0.
func BytesVar(flags *pflag.FlagSet, value *int64, name string, usual int64, usage string) {
	*value = usual
	flags.Var((*byteCount)(value), name, usage)
}

// A byteCount is the value of a flag added by [BytesVar].
type byteCount int64

func (b *byteCount) String() string { return strconv.FormatInt(int64(*b), 10) }

// Type returns the type shown in the help.
func (*byteCount) Type() string { return "bytes" }

func (b *byteCount) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64) // accept a negative number, since a later check returns a better error
	if err != nil {
		if n, err = cli.ParseBytes(text); err != nil {
			return errBytes
		}
	}
	*b = byteCount(n)
	return nil
}

var errBytes = errors.New("must be a number of bytes, such as 4096 or 64K")

// FlagError improves an error of pflag: it says which value is wanted, or which
// flag may be meant.
func FlagError(flags *pflag.FlagSet, err error) error {
	var value *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value) && errors.Is(err, errTwice):
		return fmt.Errorf("%s is given twice", flagName(value.GetFlag()))
	case errors.As(err, &value) && (errors.Is(err, errBytes) || errors.As(err, new(*cli.Error))):
		return fmt.Errorf("%s %s: %w", flagName(value.GetFlag()), cli.Printable(value.GetValue()), value.Unwrap())
	case errors.As(err, &value) && value.GetFlag().Name == Passphrase:
		return NoPassphrase()
	case errors.As(err, &value) && value.GetFlag().Value.Type() == "bool":
		return fmt.Errorf("%s takes no value, but got %s", flagName(value.GetFlag()), cli.Printable(value.GetValue()))
	case errors.As(err, &value) && errors.As(err, new(*strconv.NumError)):
		return fmt.Errorf("%s %s: must be a number", flagName(value.GetFlag()), cli.Printable(value.GetValue()))
	case errors.As(err, &unknown):
		return unknownFlag(flags, unknown)
	}
	return err
}

// Passphrase is the name of the flag that asks for a passphrase.
const Passphrase = "passphrase"

// NoPassphrase is the error for a passphrase on the command line. It isn't
// shown again.
func NoPassphrase() error {
	return cli.UsageError("--%s takes no value: the passphrase is asked for", Passphrase).
		WithHint("--passphrase-file FILE reads it from a file instead")
}

// unknownFlag adds to an error the flag that may be meant.
func unknownFlag(flags *pflag.FlagSet, err *pflag.NotExistError) error {
	name := err.GetSpecifiedName()
	if f := flags.Lookup(otherFlags[name]); f != nil {
		return fmt.Errorf("%w; did you mean %s?", err, flagName(f))
	}
	if name := cli.Closest(name, flagNames(flags)); name != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, name)
	}
	for _, o := range otherWays {
		if slices.Contains(o.flags, name) && flags.Lookup("key") != nil {
			return cli.UsageError("%w", err).WithHint("%s", o.hint)
		}
	}
	return err
}

// otherFlags are flags of age, aws-encryption-cli, gpg and gzip, each with the
// flag that does the same here.
var otherFlags = map[string]string{
	"a": "base64", "armor": "base64", "decode": "base64", "encode": "base64",
	"algorithm": "suite", "buffer": "release", "caching": "cache", "commitment-policy": "commitment", "decrypt-unsigned": "unsigned-only",
	"encryption-context": "context", "max-encrypted-data-keys": "max-keys", "max-length": "max-frame", "metadata-output": "report",
	"no-overwrite": "no-clobber", "wrapping-keys": "key",
	"f": "force", "overwrite": "force", "j": "jobs",
}

// otherWays are further flags of these programs and of openssl, which have no
// equal here.
var otherWays = []struct {
	flags []string
	hint  string
}{
	{[]string{"i", "identity", "input", "recipient", "recipients-file"}, "name inputs without a flag, and keys with -k"},
	{
		[]string{"p", "pass", "passphrase", "passphrase-file", "password", "symmetric"},
		"a message is encrypted under keys, not under a passphrase; \"esdk help keys\" lists the kinds of keys, some of which have a passphrase",
	},
}

// Meant returns the end of an error about an unknown word. It suggests a
// similar word, or is empty.
func Meant(wrong string, words []string) string {
	if word := cli.Closest(wrong, words); word != "" {
		return fmt.Sprintf("; did you mean %s?", word)
	}
	return ""
}

func flagNames(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
