package main

import (
	"cmp"
	"crypto/fips140"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE:  func(*cobra.Command, []string) error { return a.version() },
	}
}

func (a *app) version() error {
	v := buildVersion()
	fips := ""
	if v.FIPS {
		fips = ", FIPS 140-3 mode"
	}
	return a.Print(v, "esdk %s (%s, %s%s)\n", v.Version, v.Go, v.Platform, fips)
}

type versionRecord struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	FIPS     bool   `json:"fips140"`
}

// tag is the tag of a release, set by release/build.sh. The go command can't
// set it, since this module isn't at the root of the repository.
var tag string

func buildVersion() versionRecord {
	v := versionRecord{
		Version:  "(devel)",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FIPS:     fips140.Enabled(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(tag, info.Main.Version, v.Version)
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}
