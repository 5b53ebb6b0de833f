package keyspec

import (
	"net/url"
	"slices"
	"strings"

	"esdk/cmd/esdk/internal/cli"
)

// An option is a parameter after the ? of a key. Want is its form.
type option struct{ name, want string }

var (
	padOption    = option{"pad", "PADDING"}
	formatOption = option{"format", "FORMAT"}
	kmsOption    = option{"kms", "ARN"}
	formerOption = option{"former", "ARN,..."}
	fileOption   = option{"file", "FILE"}

	passphraseOption = option{"passphrase-file", "FILE"}
)

// cutOptions splits ?NAME=VALUE[&NAME=VALUE]... off a key. Values are never
// empty, so "" means that an option wasn't given. Values are percent-encoded,
// since they can't contain &.
func cutOptions(text string, known ...option) (rest string, values map[string]string, err error) {
	rest, query, ok := strings.Cut(text, "?")
	values = make(map[string]string)
	if !ok {
		return rest, values, nil
	}
	var wants []string
	for _, o := range known {
		wants = append(wants, "?"+o.name+"="+o.want)
	}
	want := strings.Join(wants, " or ")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		switch {
		case !ok || err != nil:
			return "", nil, cli.UsageError("expected %s after the key", want)
		case !slices.ContainsFunc(known, func(o option) bool { return o.name == name }):
			return "", nil, cli.UsageError("expected %s, not %s", want, cli.Printable(name))
		case value == "":
			return "", nil, cli.UsageError("%s is empty", name)
		case values[name] != "":
			return "", nil, cli.UsageError("%s is given twice", name)
		}
		values[name] = value
	}
	return rest, values, nil
}

// cutFile splits off the file after an @. It's "" if there is no @.
func cutFile(text string) (rest, file string, err error) {
	rest, file, ok := strings.Cut(text, "@")
	if ok && file == "" {
		return "", "", cli.UsageError("no file after the @")
	}
	return rest, file, nil
}
