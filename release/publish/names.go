package main

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// checkPath checks the module path of the root, which is also the repository's
// address.
func checkPath(path string) error {
	if err := module.CheckPath(path); err != nil {
		return err
	}
	if _, major, _ := module.SplitPathVersion(path); major != "" {
		return fmt.Errorf("module path %q ends in %s: give it without a major version", path, major)
	}
	return nil
}

// checkVersion checks a version. It rejects major version 2 and later: all
// module paths and imports would have to end in the major version.
func checkVersion(version string) error {
	switch {
	case !semver.IsValid(version):
		return fmt.Errorf("version %q isn't one: use vX.Y.Z", version)
	case semver.Canonical(version) != version:
		return fmt.Errorf("version %q isn't complete or has build metadata: use %s", version, semver.Canonical(version))
	case module.IsPseudoVersion(version):
		return fmt.Errorf("version %q looks like a pseudo-version: use vX.Y.Z", version)
	case semver.Compare(semver.Major(version), "v1") > 0:
		return fmt.Errorf("version %q: from v2 on, module paths end in the major version, which isn't supported", version)
	}
	return nil
}

// checkNext checks that a version is later than the last one.
func checkNext(last, version string) error {
	if semver.Compare(version, last) <= 0 {
		return fmt.Errorf("version %s isn't later than %s", version, last)
	}
	return nil
}

// mayBreak returns an error if a version must not have incompatible changes
// since the last one. Its message gives the reason.
func mayBreak(last, version string, allowed bool) error {
	switch {
	case semver.Major(version) != semver.Major(last):
		return nil
	case semver.Major(version) != "v0":
		return fmt.Errorf("%s has incompatible changes since %s: they need a new major version", version, last)
	case semver.MajorMinor(version) == semver.MajorMinor(last):
		return fmt.Errorf("%s has incompatible changes since %s: they need a new minor version", version, last)
	case !allowed:
		return fmt.Errorf("%s has incompatible changes since %s: if they are meant, use -incompatible", version, last)
	}
	return nil
}

// sections returns the versions that a change log has a section for.
func sections(changelog string) (versions []string) {
	for line := range strings.Lines(changelog) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "##" && semver.IsValid("v"+fields[1]) {
			versions = append(versions, "v"+fields[1])
		}
	}
	return versions
}

// hasSection reports whether a change log has a section for a version.
func hasSection(changelog, version string) bool {
	return slices.Contains(sections(changelog), version)
}

// earlierSection returns a version that a change log has and that is earlier
// than the given one, or "".
func earlierSection(changelog, version string) string {
	for _, v := range sections(changelog) {
		if semver.Compare(v, version) < 0 {
			return v
		}
	}
	return ""
}
