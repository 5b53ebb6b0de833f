package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// leastPercent is the least share of killed mutants, and of covered statements.
const leastPercent = 95

// kindCover is the kind of a finding that is an uncovered block of statements.
// All other kinds are names of mutators.
const kindCover = "COVER"

// A finding is a mutant that survives, or a block that no test reaches. It has
// the text of its line instead of a number, so that the list outlives changes
// elsewhere in the file.
type finding struct{ File, Kind, Text string }

// A located finding knows its line.
type located struct {
	finding
	Line int
}

// An entry is a line of the list.
type entry struct {
	finding
	Reason string
	Line   int // in the list
}

const separator = " | "

func (f finding) String() string {
	return strings.Join([]string{f.File, f.Kind, f.Text}, separator)
}

// parseList parses lines of the form "file | kind | text | reason". The text
// may contain the separator, the reason may not. Empty lines and comments,
// which start with #, are skipped.
func parseList(text string) ([]entry, error) {
	var entries []entry
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		e.Line = i + 1
		entries = append(entries, e)
	}
	return entries, nil
}

func parseEntry(line string) (entry, error) {
	fields := strings.Split(line, separator)
	if len(fields) < 4 {
		return entry{}, fmt.Errorf("need file | kind | text | reason: %s", line)
	}
	last := len(fields) - 1
	e := entry{
		finding: finding{File: strings.TrimSpace(fields[0]), Kind: strings.TrimSpace(fields[1]), Text: strings.TrimSpace(strings.Join(fields[2:last], separator))},
		Reason:  strings.TrimSpace(fields[last]),
	}
	if e.File == "" || e.Kind == "" || e.Text == "" || e.Reason == "" {
		return entry{}, fmt.Errorf("empty field: %s", line)
	}
	return e, nil
}

// compare returns the findings that the list lacks, and the entries for a
// package that stand for no finding. Equal lines count: two of them stand for
// two findings.
func compare(pkg string, found []located, listed []entry) (unlisted []located, stale []entry) {
	open := make(map[finding][]located)
	for _, f := range found {
		open[f.finding] = append(open[f.finding], f)
	}
	for _, e := range listed {
		switch same := open[e.finding]; {
		case path.Dir(e.File) != pkg:
		case len(same) == 0:
			stale = append(stale, e)
		default:
			open[e.finding] = same[1:]
		}
	}
	for _, f := range found {
		same := open[f.finding]
		if len(same) > 0 && same[0] == f {
			unlisted, open[f.finding] = append(unlisted, f), same[1:]
		}
	}
	return unlisted, stale
}

// A result holds the figures of a package.
type result struct {
	Package string

	// Mutants in covered code. A timeout counts as a kill: the tests did not
	// pass. Mutants that don't compile count for nothing.
	Killed, TimedOut, Lived int

	Statements, Covered int

	Found []located

	// Slow are mutants that timed out: one that is listed may survive on a
	// machine that has less to do.
	Slow []located
}

func (r *result) mutants() int { return r.Killed + r.TimedOut + r.Lived }

const tableHead = "package               mutants  killed  timed out  lived  killed %  coverage %"

func (r *result) row() string {
	return fmt.Sprintf("%-20s %8d %7d %10d %6d %9s %11s", r.Package, r.mutants(), r.Killed, r.TimedOut, r.Lived,
		percent(r.Killed+r.TimedOut, r.mutants()), percent(r.Covered, r.Statements))
}

// percent rounds down, so that a row never looks better than it is.
func percent(n, of int) string {
	if of == 0 {
		return "none"
	}
	tenths := 1000 * n / of
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}

// enough reports whether a share is at least leastPercent. A share of nothing
// is not, since nothing was measured.
func enough(n, of int) bool { return of > 0 && 100*n >= leastPercent*of }

// faults returns everything that is wrong with a package, a line each.
func (r *result) faults(listed []entry) (faults []string) {
	add := func(format string, args ...any) {
		faults = append(faults, r.Package+": "+fmt.Sprintf(format, args...))
	}
	if !enough(r.Killed+r.TimedOut, r.mutants()) {
		add("%d of %d mutants are killed, need %d %%", r.Killed+r.TimedOut, r.mutants(), leastPercent)
	}
	if !enough(r.Covered, r.Statements) {
		add("%d of %d statements are covered, need %d %%", r.Covered, r.Statements, leastPercent)
	}
	unlisted, stale := compare(r.Package, r.Found, listed)
	for _, f := range unlisted {
		add("not listed, line %d: %s", f.Line, f.finding)
	}
	for _, e := range stale {
		if slices.ContainsFunc(r.Slow, func(l located) bool { return l.finding == e.finding }) {
			continue
		}
		add("listed, line %d, but not found: %s", e.Line, e.finding)
	}
	return faults
}
