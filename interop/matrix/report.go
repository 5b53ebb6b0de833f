package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"esdk/interop/peer"
)

// A direction is a direction of messages.
type direction int

const (
	oursToTheirs direction = iota
	theirsToOurs
)

// A cell counts the tests of a row and an SDK.
type cell struct {
	passed  [2]int
	reasons []string // why some are unsupported
}

// results are the results of all peers. They are safe for concurrent use.
type results struct {
	mu     sync.Mutex
	peers  map[string]*peer.Answer
	cells  map[[2]string]*cell // of a row and a peer
	failed []string
	passed int
	shown  map[[2]string]int // tests that show a fault, by title and peer
}

func newResults() *results {
	return &results{peers: map[string]*peer.Answer{}, cells: map[[2]string]*cell{}, shown: map[[2]string]int{}}
}

func (r *results) setPeer(name string, hello *peer.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[name] = hello
}

func (r *results) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, text)
}

func (r *results) add(name string, t *test, d direction, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := [2]string{t.feature, name}
	if r.cells[at] == nil {
		r.cells[at] = new(cell)
	}
	c := r.cells[at]
	var unsupported peer.UnsupportedError
	fault := faultOf(name, t, d)
	switch {
	case errors.As(err, &unsupported):
		if !slices.Contains(c.reasons, string(unsupported)) {
			c.reasons = append(c.reasons, string(unsupported))
		}
	case fault != nil && err != nil && strings.Contains(err.Error(), fault.text):
		r.shown[[2]string{fault.title, name}]++
		err = nil
	case fault != nil && err == nil && !fault.sometimes:
		err = errors.New("passes, but is known to fail: mend the faults")
	case err == nil:
		c.passed[d]++
		r.passed++
	}
	if err != nil && unsupported == "" {
		r.failed = append(r.failed, fmt.Sprintf("%s, %s: %s: %v", name, [2]string{"ours to theirs", "theirs to ours"}[d], t, err))
	}
	if *verbose {
		fmt.Printf("%s %d %s: %v\n", name, d, t, err)
	}
}

// summary prints the totals. It fails if a test failed, or if there was none.
func (r *results) summary(w io.Writer) error {
	slices.Sort(r.failed)
	for _, f := range r.failed {
		fmt.Fprintln(w, "FAILED", f)
	}
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		n := [2]int{}
		for at, c := range r.cells {
			if at[1] == name {
				n[0] += c.passed[0]
				n[1] += c.passed[1]
			}
		}
		fmt.Fprintf(w, "%s %s: %d of ours to theirs, %d of theirs to ours\n", r.peers[name].Name, r.peers[name].Version, n[0], n[1])
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", r.passed, len(r.failed))
	if len(r.failed) > 0 || r.passed == 0 {
		return errors.New("not all passed")
	}
	return nil
}

// document returns docs/compatibility.md.
func (r *results) document() string {
	var names []string // of the peers in this run
	b := new(strings.Builder)
	fmt.Fprint(b, header)
	for _, name := range order {
		p := r.peers[name]
		if p == nil {
			fmt.Fprintf(b, "| %s | not run | |\n", titles[name])
			continue
		}
		names = append(names, name)
		fmt.Fprintf(b, "| %s | `%s` %s | %s |\n", titles[name], p.Name, p.Version, p.With)
	}
	fmt.Fprint(b, beforeTable)
	fmt.Fprintf(b, "| |")
	for _, name := range names {
		fmt.Fprintf(b, " %s |", titles[name])
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(names)))
	notes := new(footnotes)
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |", row)
		for _, name := range names {
			fmt.Fprintf(b, " %s |", r.cellText(row, name, notes))
		}
		fmt.Fprintln(b)
	}
	fmt.Fprintf(b, "\n%d messages in all.\n\n", r.passed)
	for i, n := range *notes {
		fmt.Fprintf(b, "%d. %s\n", i+1, n)
	}
	fmt.Fprint(b, beforeFaults)
	for _, f := range faults {
		var who []string
		for _, name := range names {
			if r.shown[[2]string{f.title, name}] > 0 {
				who = append(who, titles[name])
			}
		}
		fmt.Fprintf(b, "%s\n", f.paragraph(who))
	}
	fmt.Fprint(b, differential)
	return b.String()
}

// paragraph describes a fault in lines of at most 100 columns. The titles of
// the SDKs with the fault are given.
func (f *fault) paragraph(sdks []string) string {
	text := fmt.Sprintf("**%s** (%s). %s", strings.ToUpper(f.title[:1])+f.title[1:], strings.Join(sdks, ", "), f.says)
	b := new(strings.Builder)
	width := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case width == 0:
		case width+1+n > 100:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String() + "\n"
}

// footnotes are the distinct reasons.
type footnotes []string

func (f *footnotes) number(text string) int {
	i := slices.Index(*f, text)
	if i < 0 {
		i = len(*f)
		*f = append(*f, text)
	}
	return i + 1
}

func (r *results) cellText(row, name string, notes *footnotes) string {
	c := r.cells[[2]string{row, name}]
	if c == nil {
		return "–"
	}
	text := fmt.Sprintf("%d / %d", c.passed[oursToTheirs], c.passed[theirsToOurs])
	if c.passed == [2]int{} {
		text = "–"
	}
	for _, reason := range c.reasons {
		text += fmt.Sprintf(" <sup>%d</sup>", notes.number(reason))
	}
	return text
}

// order is the order of the SDKs on the page.
var order = []string{"python", "java", "javascript", "go", "rust", "c", "cli"}

var titles = map[string]string{
	"python": "Python", "java": "Java", "javascript": "JavaScript", "go": "Go", "rust": "Rust", "c": "C", "cli": "CLI",
}
