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
	return a.Print(v, "esdk %s (%s, %s%s)\n", v.Version, v.Go, v.Platform, v.fips())
}

type versionRecord struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	FIPS     bool   `json:"fips140"`

	// FIPSModule is the version of Go's FIPS 140-3 module that was built in:
	// "latest" is the code of Go's own version.
	FIPSModule string `json:"fips140_module"`
}

// fips is empty if nobody has asked for FIPS 140-3.
func (v *versionRecord) fips() string {
	switch {
	case v.FIPS:
		return ", FIPS 140-3 mode, module " + v.FIPSModule
	case v.FIPSModule != "latest":
		return ", FIPS 140-3 mode off, module " + v.FIPSModule
	}
	return ""
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

		FIPSModule: fips140.Version(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(tag, info.Main.Version, v.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "GOFIPS140": // which tells apart copies of one version
			v.FIPSModule = s.Value
		}
	}
	return v
}
