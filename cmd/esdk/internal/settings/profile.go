package settings

import (
	"cmp"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"github.com/spf13/pflag"
)

// A Profile is a profile of the configuration, with a record of its values that
// are used.
type Profile struct {
	keyspec.Profile
	name    string
	keys    bool     // the profile's keys are used
	context []string // the keys of the profile's pairs that are used
}

// errorf returns an error with the name of the profile.
func (p *Profile) errorf(text string, args ...any) *cli.Error {
	return cli.UsageError("profile %s: %w", cli.Printable(p.name), cli.Errorf(text, args...))
}

// blameKeys adds the profile's name to an error about keys, if the profile gave
// them.
func (p *Profile) blameKeys(flag string, err error) error {
	if err == nil || p == nil || !p.keys || flag != KeyFlag {
		return err
	}
	return cli.WithCode(cli.ExitStatus(err), p.errorf("%w", err))
}

// blameContext adds the profile's name to an error about the pair of a key, if
// the profile gave it.
func (p *Profile) blameContext(key string, err error) error {
	if p == nil || !slices.Contains(p.context, key) {
		return err
	}
	hint := cmp.Or(cli.Hint(err), "to use no profile, give --profile=")
	return cli.Hinted(cli.WithCode(cli.ExitStatus(err), p.errorf("%w", err)), "%s", hint)
}

// AddFlags adds the flags for the configuration file and the profile.
func (s *Settings) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&s.Keys.ConfigFile, "config", "", "configuration `FILE` with named keys (default $ESDK_CONFIG, or esdk/config.toml in the user's configuration directory)")
	flags.String("profile", "", "`NAME` of a profile of the configuration (default $ESDK_PROFILE, or its default-profile); empty for none")
	AllowEmpty(flags, "profile")
}

// ApplyProfile sets flags of a command that uses keys from a profile: the one
// named by --profile, else by $ESDK_PROFILE, else the default profile of the
// configuration. An empty name means no profile.
func (s *Settings) ApplyProfile(flags *pflag.FlagSet) error {
	if flags.Lookup("key") == nil {
		return nil
	}
	p, err := s.chosenProfile(flags.Lookup("profile"))
	if err != nil || p == nil {
		return err
	}
	s.Profile = p
	return p.applyFlags(flags)
}

// chosenProfile returns nil if there is no profile.
func (s *Settings) chosenProfile(flag *pflag.Flag) (*Profile, error) {
	name, given := flag.Value.String(), flag.Changed
	if !given {
		name, given = os.LookupEnv("ESDK_PROFILE")
	}
	if name == "" && !s.Keys.HasConfig() {
		return nil, nil
	}
	c, file, err := s.Keys.LoadConfig()
	if err != nil && name != "" && !s.Keys.HasConfig() {
		return nil, cli.Hinted(err, "profile %s belongs in this file (see \"esdk help config\"); AWS_PROFILE chooses a profile of AWS", cli.Printable(name))
	}
	if err != nil {
		return nil, err
	}
	if !given {
		name = c.DefaultProfile
	}
	if name == "" {
		return nil, nil
	}
	p, ok := c.Profiles[name]
	if !ok {
		return nil, cli.UsageError("%s has no profile %s", file, cli.Printable(name)).
			WithHint("defined profiles: %s", keyspec.NamesOf(c.Profiles))
	}
	return &Profile{Profile: p, name: name}, nil
}

// values returns the values of a profile, by the names of their flags.
func (p *Profile) values() (map[string]string, error) {
	names := &Names{cache: "cache", commitment: "commitment", suite: "suite"}
	values := make(map[string]string)
	for name, v := range map[string]*string{"commitment": p.Commitment, "suite": p.Suite, "cache": p.Cache} {
		if v != nil && *v == "" {
			return nil, p.errorf("%s is empty", name)
		}
	}
	if p.Keys != nil && len(p.Keys) == 0 {
		return nil, p.errorf("keys is empty")
	}
	if v := p.Commitment; v != nil {
		if _, err := names.parsePolicy(*v); err != nil {
			return nil, p.errorf("%w", err)
		}
		values["commitment"] = *v
	}
	if v := p.Suite; v != nil {
		if _, err := names.parseSuite(*v, false, 0); err != nil {
			return nil, cli.Hinted(p.errorf("%w", err), "%s", cli.Hint(err))
		}
		values["suite"] = *v
	}
	if v := p.Cache; v != nil {
		if _, err := names.parseCache(*v); err != nil {
			return nil, p.errorf("%w", err)
		}
		values["cache"] = *v
	}
	if p.Unsigned {
		values["unsigned"] = "true"
	}
	for name, field := range map[string]struct {
		value      *int64
		least, max int64
	}{"frame-length": {p.FrameLength, 1, math.MaxUint32}, "max-keys": {p.MaxKeys, 0, math.MaxInt32}, "jobs": {p.Jobs, 0, math.MaxInt32}} {
		if field.value == nil {
			continue
		}
		if *field.value < field.least || *field.value > field.max {
			return nil, p.errorf("%s %d: must be %d to %d", name, *field.value, field.least, field.max)
		}
		values[name] = strconv.FormatInt(*field.value, 10)
	}
	return values, nil
}

// applyFlags sets the flags that the command has and the user didn't give.
func (p *Profile) applyFlags(flags *pflag.FlagSet) error {
	given := func(name string) bool { f := flags.Lookup(name); return f == nil || f.Changed }
	values, err := p.values()
	if err != nil {
		return err
	}
	if given("unsigned") { // it excludes --suite
		delete(values, "suite")
	}
	if given("suite") {
		delete(values, "unsigned")
	}
	keysGiven := given("key")
	for name, value := range values {
		if given(name) {
			continue
		}
		if err := flags.Lookup(name).Value.Set(value); err != nil {
			return p.errorf("%s: %w", name, err)
		}
	}
	return p.applyLists(flags, keysGiven)
}

// applyLists adds the keys, unless the user gave some, and each pair of the
// encryption context whose key the user didn't give.
func (p *Profile) applyLists(flags *pflag.FlagSet, keysGiven bool) error {
	if !keysGiven {
		p.keys = true
		for _, k := range p.Keys {
			if err := flags.Lookup("key").Value.Set(k); err != nil {
				return err
			}
		}
	}
	context := flags.Lookup("context")
	if context == nil {
		return nil
	}
	pairs, err := flags.GetStringArray("context")
	if err != nil {
		return cli.Errorf("internal error: %w", err)
	}
	for _, k := range slices.Sorted(maps.Keys(p.Context)) {
		switch {
		case k == "":
			return p.errorf("context: a key is empty")
		case strings.Contains(k, "="):
			return p.errorf("context: key %q must not contain an equals sign", k)
		case IsReserved(k):
			return p.errorf("context: key %q is reserved", k)
		}
		if slices.ContainsFunc(pairs, func(pair string) bool { name, _, _ := strings.Cut(pair, "="); return name == k }) {
			continue
		}
		p.context = append(p.context, k)
		if err := context.Value.Set(k + "=" + p.Context[k]); err != nil {
			return err
		}
	}
	return nil
}
