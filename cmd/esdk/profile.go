package main

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// applyProfile sets the flags of a command that uses keys from the profile that is
// named: by --profile, else $ESDK_PROFILE, else as the default in the configuration.
func (a *app) applyProfile(cmd *cobra.Command) error {
	if cmd.Flags().Lookup("key") == nil {
		return nil
	}
	p, err := a.chosenProfile()
	if err != nil || p == nil {
		return err
	}
	return applyFlags(p, cmd.Flags())
}

// chosenProfile is nil if there is none.
func (a *app) chosenProfile() (*keyspec.Profile, error) {
	name := a.profileName
	if name == "" {
		name = os.Getenv("ESDK_PROFILE")
	}
	if name == "" && !a.keys.HasConfig() {
		return nil, nil
	}
	c, file, err := a.keys.LoadConfig()
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = c.DefaultProfile
	}
	if name == "" {
		return nil, nil
	}
	p, ok := c.Profiles[name]
	if !ok {
		return nil, cli.UsageError("%s has no profile %s", file, cli.Printable(name)).
			WithHint("it has: %s", keyspec.NamesOf(c.Profiles))
	}
	return &p, nil
}

// applyFlags sets those flags that the command has and the user did not give.
func applyFlags(p *keyspec.Profile, flags *pflag.FlagSet) error {
	given := func(name string) bool { f := flags.Lookup(name); return f == nil || f.Changed }
	values := map[string]string{"commitment": p.Commitment, "cache": p.Cache}
	if !given("unsigned") { // which says the same as --suite
		values["suite"] = p.Suite
	}
	if !given("suite") && p.Unsigned {
		values["unsigned"] = "true"
	}
	if p.FrameLength != 0 {
		values["frame-length"] = strconv.FormatInt(p.FrameLength, 10)
	}
	if p.MaxKeys != nil {
		values["max-keys"] = strconv.Itoa(*p.MaxKeys)
	}
	if p.Jobs != 0 {
		values["jobs"] = strconv.Itoa(p.Jobs)
	}
	for name, value := range values {
		if value == "" || given(name) {
			continue
		}
		if err := flags.Lookup(name).Value.Set(value); err != nil {
			return cli.UsageError("profile: %s: %v", name, err)
		}
	}
	return applyLists(p, flags, given("key"))
}

// applyLists adds keys, unless some are given, and pairs of the encryption context
// whose keys are not.
func applyLists(p *keyspec.Profile, flags *pflag.FlagSet, keysGiven bool) error {
	if !keysGiven {
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
		if slices.ContainsFunc(pairs, func(pair string) bool { name, _, _ := strings.Cut(pair, "="); return name == k }) {
			continue
		}
		if err := context.Value.Set(k + "=" + p.Context[k]); err != nil {
			return err
		}
	}
	return nil
}
