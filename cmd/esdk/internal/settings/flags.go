package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
			err = cli.UsageError("--%s has an empty value", f.Name)
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

// outputFiles are the flags whose value is a file that the command may create.
var outputFiles = []string{"output", "report", "html", "file"}

// CheckOutputs rejects names of output files that begin with a hyphen: the name
// was left out, and the next flag would be taken for it.
func CheckOutputs(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		name := f.Value.String()
		if err == nil && slices.Contains(outputFiles, f.Name) && strings.HasPrefix(name, "-") && name != cli.Standard {
			err = cli.UsageError("--%s %s: this looks like a flag, not a file", f.Name, cli.Printable(name)).
				WithHint("for a file of that name, write ./%s", cli.Printable(name))
		}
	})
	return err
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

var errBytes = errors.New("want a number of bytes, such as 4096 or 64K")

// FlagError improves an error of pflag: it says which value is wanted, or which
// flag may be meant.
func FlagError(flags *pflag.FlagSet, err error) error {
	var value *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value) && errors.Is(err, errTwice):
		return fmt.Errorf("--%s is given twice", value.GetFlag().Name)
	case errors.As(err, &value) && (errors.Is(err, errBytes) || errors.As(err, new(*cli.Error))):
		return fmt.Errorf("--%s %s: %w", value.GetFlag().Name, cli.Printable(value.GetValue()), value.Unwrap())
	case errors.As(err, &value) && value.GetFlag().Value.Type() == "bool":
		return fmt.Errorf("--%s takes no value, and %s is one", value.GetFlag().Name, cli.Printable(value.GetValue()))
	case errors.As(err, &value) && errors.As(err, new(*strconv.NumError)):
		return fmt.Errorf("--%s %s: want a number", value.GetFlag().Name, cli.Printable(value.GetValue()))
	case errors.As(err, &unknown):
		return fmt.Errorf("%w%s", err, Meant(unknown.GetSpecifiedName(), flagNames(flags)))
	}
	return err
}

// Meant returns the end of an error about an unknown word. It suggests a
// similar word, or is empty.
func Meant(wrong string, words []string) string {
	if word := cli.Closest(wrong, words); word != "" {
		return fmt.Sprintf("; is it %s?", word)
	}
	return ""
}

func flagNames(flags *pflag.FlagSet) (names []string) {
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}
