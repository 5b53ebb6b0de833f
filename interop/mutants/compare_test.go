package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	got, err := parseList("# a comment\n\na/b.go | INVERT_BITWISE | x := y | z | both bits are never set\n  c.go | COVER | return err | it cannot fail  \n")
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{finding{"a/b.go", "INVERT_BITWISE", "x := y | z"}, "both bits are never set", 3},
		{finding{"c.go", "COVER", "return err"}, "it cannot fail", 4},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"a.go", "a.go | COVER | return err", "a.go | COVER | return err |", "a.go | COVER | return err |  ", "a.go |  | x | y", "a.go | COVER |  | y"} {
		if got, err := parseList("\n" + bad); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

func at(file, kind, text string, line int) located { return located{finding{file, kind, text}, line} }

func listed(lines ...string) []entry {
	entries, err := parseList(strings.Join(lines, "\n"))
	if err != nil {
		panic(err)
	}
	return entries
}

func TestCompare(t *testing.T) {
	found := []located{
		at("p/a.go", "COVER", "if err != nil {", 10), at("p/a.go", "COVER", "if err != nil {", 20), at("p/a.go", "CONDITIONALS_BOUNDARY", "if x < y {", 30),
	}
	const cover, boundary = "p/a.go | COVER | if err != nil { | r", "p/a.go | CONDITIONALS_BOUNDARY | if x < y { | r"
	for name, c := range map[string]struct {
		listed          []string
		unlisted, stale []int // lines
	}{
		"all listed":       {listed: []string{boundary, cover, cover}},
		"nothing listed":   {unlisted: []int{10, 20, 30}},
		"one of two":       {listed: []string{cover, boundary}, unlisted: []int{20}},
		"one too many":     {listed: []string{cover, cover, cover, boundary}, stale: []int{3}},
		"another package":  {listed: []string{cover, cover, boundary, "p/q/a.go | COVER | x | r", "a.go | COVER | x | r", "pp/a.go | COVER | x | r"}},
		"another file":     {listed: []string{cover, cover, strings.Replace(boundary, "a.go", "b.go", 1)}, unlisted: []int{30}, stale: []int{3}},
		"another mutator":  {listed: []string{cover, cover, strings.Replace(boundary, "BOUNDARY", "NEGATION", 1)}, unlisted: []int{30}, stale: []int{3}},
		"another text":     {listed: []string{cover, cover, strings.Replace(boundary, "<", "<=", 1)}, unlisted: []int{30}, stale: []int{3}},
		"the same, killed": {listed: []string{cover, cover, boundary, boundary}, stale: []int{4}},
	} {
		unlisted, stale := compare("p", found, listed(c.listed...))
		var gotUnlisted, gotStale []int
		for _, f := range unlisted {
			gotUnlisted = append(gotUnlisted, f.Line)
		}
		for _, e := range stale {
			gotStale = append(gotStale, e.Line)
		}
		if !reflect.DeepEqual(gotUnlisted, c.unlisted) || !reflect.DeepEqual(gotStale, c.stale) {
			t.Errorf("%s: not listed %v, stale %v; want %v and %v", name, gotUnlisted, gotStale, c.unlisted, c.stale)
		}
	}
	if _, stale := compare(".", nil, listed("a.go | COVER | x | r", cover)); len(stale) != 1 || stale[0].File != "a.go" {
		t.Errorf("of the root package: %v", stale)
	}
}

// A mutant that the tests found too late counts as killed, one that lived does
// not.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		result result
		want   []string
	}{
		"good":                    {result{Killed: 90, TimedOut: 5, Lived: 5, Statements: 100, Covered: 95}, nil},
		"too few killed":          {result{Killed: 189, TimedOut: 0, Lived: 10, Statements: 100, Covered: 100}, []string{"189 of 199 mutants"}},
		"too few covered":         {result{Killed: 1, Statements: 1000, Covered: 949}, []string{"949 of 1000 statements"}},
		"nothing was measured":    {result{}, []string{"0 of 0 mutants", "0 of 0 statements"}},
		"a survivor isn't listed": {result{Killed: 99, Lived: 1, Statements: 1, Covered: 1, Found: []located{at("p/a.go", "M", "x", 7)}}, []string{"not listed, line 7: p/a.go | M | x"}},
	} {
		c.result.Package = "p"
		got := c.result.faults(nil)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], c.want[i])
			}
		}
	}
	good := result{Package: "p", Killed: 1, Statements: 1, Covered: 1}
	if got := good.faults(listed("p/a.go | M | x | r")); len(got) != 1 || !strings.Contains(got[0], "line 1, but not found: p/a.go | M | x") {
		t.Errorf("a stale entry: %q", got)
	}
	good.TimedOut, good.Slow = 1, []located{at("p/a.go", "M", "x", 7)}
	if got := good.faults(listed("p/a.go | M | x | r")); got != nil {
		t.Errorf("an entry whose mutant timed out: %q", got)
	}
}

func TestRow(t *testing.T) {
	r := result{Package: "p", Killed: 17, TimedOut: 2, Lived: 1, Statements: 2000, Covered: 1999}
	if got, want := strings.Join(strings.Fields(r.row()), " "), "p 20 17 2 1 95.0 99.9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(r.row()) != len(tableHead) {
		t.Errorf("the row has %d columns, the head %d", len(r.row()), len(tableHead))
	}
}
