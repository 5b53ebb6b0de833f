package audit

import (
	"fmt"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// A Filter selects the inputs to list. A message must meet all conditions on
// headers. It meets Under or Suites if it matches one of their elements, and
// NotUnder if it matches none. NotAMessage adds the inputs without a header.
type Filter struct {
	Under, NotUnder []Pattern
	Suites          []esdk.SuiteID
	Uncommitted     bool
	Unsigned        bool
	Unopened        bool // no key opens it
	NET400          bool

	NotAMessage bool
}

// Empty reports whether the filter lists everything.
func (f *Filter) Empty() bool { return !f.ofHeaders() && !f.NotAMessage }

func (f *Filter) ofHeaders() bool {
	return len(f.Under)+len(f.NotUnder)+len(f.Suites) > 0 || f.Uncommitted || f.Unsigned || f.Unopened || f.NET400
}

// Check rejects a filter that no message can match, since --fail-if would then
// always pass.
func (f *Filter) Check() error {
	for _, p := range f.Under {
		if slices.Contains(f.NotUnder, p) {
			return cli.UsageError("--under and --not-under both name %s", Visible(string(p)))
		}
	}
	some := func(is func(esdk.SuiteID) bool) bool { return len(f.Suites) == 0 || slices.ContainsFunc(f.Suites, is) }
	switch {
	case f.Uncommitted && !some(func(s esdk.SuiteID) bool { return !s.Commits() }):
		return cli.UsageError("--uncommitted and --suite contradict each other: %s commits to its key", orList(f.Suites))
	case f.Unsigned && !some(func(s esdk.SuiteID) bool { return !s.Signed() }):
		return cli.UsageError("--unsigned and --suite contradict each other: %s signs", orList(f.Suites))
	case !some(func(s esdk.SuiteID) bool { return !(f.Uncommitted && s.Commits()) && !(f.Unsigned && s.Signed()) }):
		return cli.UsageError("--uncommitted, --unsigned and --suite contradict each other: no such suite is both")
	}
	return nil
}

// Match reports whether a message is listed.
func (f *Filter) Match(h *esdk.Header, v *Verification) bool {
	switch {
	case !f.ofHeaders():
		return !f.NotAMessage
	case len(f.Under) > 0 && !anyUnder(f.Under, h), anyUnder(f.NotUnder, h):
		return false
	case len(f.Suites) > 0 && !slices.Contains(f.Suites, h.Suite):
		return false
	case f.Uncommitted && h.Suite.Commits(), f.Unsigned && h.Suite.Signed():
		return false
	case f.Unopened && (v == nil || v.Opened), f.NET400 && (v == nil || !v.NET400):
		return false
	}
	return true
}

// MatchOther reports whether an input without a header is listed. A failed
// input never is.
func (f *Filter) MatchOther(kind string) bool {
	return kind != CouldNotLook && (f.NotAMessage || f.Empty())
}

func anyUnder(patterns []Pattern, h *esdk.Header) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.MatchAny(h) })
}

// String describes the filter in words. It returns "" if everything is listed.
func (f *Filter) String() string {
	var all []string
	add := func(is bool, text string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(text, args...))
		}
	}
	add(len(f.Under) > 0, "under %s", orList(f.Under))
	add(len(f.NotUnder) > 0, "not under %s", orList(f.NotUnder))
	add(len(f.Suites) > 0, "of the suite %s", orList(f.Suites))
	add(f.Uncommitted, "without key commitment")
	add(f.Unsigned, "without a signature")
	add(f.Unopened, "opened by none of the keys")
	add(f.NET400, "with the fault of .NET 4.0.0")
	text := strings.Join(all, ", ")
	switch {
	case text == "" && f.NotAMessage:
		return "inputs that are not messages"
	case text == "":
		return ""
	case f.NotAMessage:
		return "messages " + text + "; and inputs that are not messages"
	}
	return "messages " + text
}

func orList[T any](all []T) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, Visible(fmt.Sprint(one)))
	}
	return strings.Join(texts, " or ")
}
