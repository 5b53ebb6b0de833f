package audit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// A Page is a summary for auditors: a single HTML file that has no script and
// loads nothing.
type Page struct {
	Summary *Summary
	Filter  *Filter
	Inputs  []string // the audited inputs, in a form that may be shown
	Version string   // of the command
}

// mostRows is the largest number of rows in a table of the page.
const mostRows = 50

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	return writePage(w, text("Audit of encrypted messages, "+timeText(p.Summary.Started)), p.body()...)
}

// mostInputs is the largest number of inputs that the page names.
const mostInputs = 20

// firstInputs returns the first inputs.
func (p *Page) firstInputs() []string { return p.Inputs[:min(len(p.Inputs), mostInputs)] }

// furtherInputs returns the number of further inputs.
func (p *Page) furtherInputs() int { return len(p.Inputs) - len(p.firstInputs()) }

// A bar is a part of a whole.
type bar struct{ Part, Of int64 }

// width is between 0 and 1000. The smallest part is still visible.
func (b bar) width() string {
	if b.Part <= 0 || b.Of <= 0 {
		return "0.0"
	}
	return fmt.Sprintf("%.1f", max(4, 1000*float64(b.Part)/float64(b.Of)))
}

// percent is the alternative text.
func (b bar) percent() string { return percentText(b.Part, b.Of) }

func percentText(part, of int64) string {
	switch p := 100 * float64(part) / float64(max(1, of)); {
	case part == 0:
		return "0 %"
	case part == of:
		return "100 %"
	case p < 0.1:
		return "< 0.1 %"
	case p > 99.9:
		return "> 99.9 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

// numberText separates thousands by thin spaces.
func numberText(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// countText returns a number with its noun in the singular or plural.
func countText(n int64, one, many string) string {
	return numberText(n) + " " + cli.Noun(n, one, many)
}

// A part is a segment of the chart of all inputs.
type part struct {
	Class, Name, About string
	Tally
	Start, Width string // in the chart, of 1000
}

// parts returns the segments of the chart, one for each kind of input.
func (p *Page) parts() []part {
	s := p.Summary
	parts := []part{
		{Class: "message", Name: "messages", About: "encrypted, according to their headers", Tally: s.Messages},
		{Class: "other", Name: "not a message", About: "do not begin like a message", Tally: s.NoMessages},
		{Class: "broken", Name: "broken header", About: "begin like a message, but cannot be parsed", Tally: s.Broken},
		{Class: "failed", Name: "failed", About: "could not be checked", Tally: s.Failed},
	}
	at := 0.0
	for i := range parts {
		width := 1000 * float64(parts[i].Messages) / float64(max(1, s.Inputs))
		parts[i].Start, parts[i].Width = fmt.Sprintf("%.1f", at), fmt.Sprintf("%.1f", width)
		at += width
	}
	return parts
}

// heading says how much of the page is authenticated.
func (p *Page) heading() string {
	s := p.Summary
	switch {
	case s.verified():
		return "The headers of all messages were verified"
	case s.anotherKey():
		return "The given keys opened no message; check -k"
	case s.allVerified():
		return "The headers of " + countText(s.Messages.Messages, "message", "messages") + " were verified, but " + countText(s.unknown(), "file or object is", "files or objects are") + " unknown"
	case s.WithKeys:
		return "Only part of this page is authenticated"
	}
	return "Nothing on this page is authenticated"
}

// unknown describes the inputs that may be messages. It returns "" if there are
// none.
func (p *Page) unknown() string {
	if p.Summary.unknown() == 0 {
		return ""
	}
	return p.Summary.unknownText()
}

// A point is something to act on, or to know.
type point struct {
	ID, Level, Title, About string // Level: act, look or note
	Count                   int64
	Flag                    string // lists all of them
	Samples                 []string
}

// more returns the number of inputs besides the samples.
func (p point) more() int64 { return p.Count - int64(len(p.Samples)) }

// applying returns the points that apply, the urgent ones first.
func (p *Page) applying() []point {
	s := p.Summary
	all := []point{
		{ID: sampleNotAuthentic, Level: "act", Title: "Headers that failed verification", Count: s.NotAuthentic, Flag: "--unopened",
			About: "A key opened their data key, but the header does not match it. The header was modified or forged."},
		{ID: sampleNoMessage, Level: "act", Title: "Files or objects that are not messages", Count: s.NoMessages.Messages, Flag: "--not-a-message",
			About: "They do not begin like an encrypted message. They may be plaintext to everybody who can read them."},
		{ID: sampleBroken, Level: "act", Title: "Broken headers", Count: s.Broken.Messages, Flag: "--not-a-message",
			About: "They begin like a message, but the header is malformed or cut short. Nobody can decrypt them as they are."},
		{ID: sampleFailed, Level: "act", Title: "Files or objects that could not be checked", Count: s.Failed.Messages,
			About: "The rest of this page does not cover them. Fix the cause and audit them again: " + kindsText(s.FailedBy) + "."},
		{ID: sampleNotOpened, Level: "act", Title: "Messages that no key opened", Count: s.NotOpened - s.NotAuthentic, Flag: "--unopened",
			About: "They are under other keys, or a policy rejects them: " + kindsText(s.notOpenedOtherwise()) + "."},
		{ID: sampleUncommitted, Level: "act", Title: "Messages without key commitment", Count: s.Uncommitted.Messages, Flag: "--uncommitted",
			About: "Under their suites, somebody with several keys can craft one message that decrypts differently under each. Encrypt them again with the default suite."},
		{ID: sampleNET400, Level: "look", Title: "Messages with the .NET 4.0.0 fault", Count: s.NET400, Flag: "--net-4.0.0",
			About: "Version 4.0.0 of the .NET SDK wrote messages that other versions do not read. Encrypt them again."},
		{ID: sampleUnsigned, Level: "note", Title: "Messages without a signature", Count: s.Unsigned.Messages, Flag: "--unsigned",
			About: "Everybody who can decrypt such a message can also have written it. This is a choice, and often the right one."},
	}
	points := slices.DeleteFunc(all, func(p point) bool { return p.Count == 0 })
	for i := range points {
		points[i].Samples = s.samples[points[i].ID]
	}
	return points
}

// notOpenedOtherwise returns the number of messages that weren't opened but may
// be authentic, by reason.
func (s *Summary) notOpenedOtherwise() map[string]int64 {
	rest := maps.Clone(s.NotOpenedBy)
	delete(rest, notAuthentic)
	return rest
}

// kindsText lists the number of errors of each kind.
func kindsText(kinds map[string]int64) string {
	var texts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		texts = append(texts, fmt.Sprintf("%s (%s)", Visible(kind), numberText(kinds[kind])))
	}
	return listOf(texts, 0)
}

// matching returns samples of the inputs that match the filter.
func (p *Page) matching() []string { return p.Summary.samples[sampleMatches] }

// moreMatching returns the number of further matches.
func (p *Page) moreMatching() int64 { return p.Summary.Matches - int64(len(p.matching())) }

// A table groups messages by a property.
type table struct {
	ID, Title, About, Column string
	Rows                     []tallyLine
	More                     int   // rows that aren't shown
	Others                   Tally // messages with names beyond the limit of distinct ones
	Of                       int64 // messages, for the bars
	WithKeys                 bool
}

// tables returns the tables that have rows.
func (p *Page) tables() []table {
	s := p.Summary
	all := []table{
		p.table("keys", "Wrapping keys", "A message under several keys counts under each. Any one of them opens it.", "Wrapping key", s.Keys.tallies, s.Keys.others),
		p.table("suites", "Algorithm suites", "", "Suite", s.Suites, Tally{}),
		p.table("versions", "Format versions", "Messages of version 2 commit to their key.", "Version", named(s.Versions, 0), Tally{}),
		p.table("datakeys", "Data keys per message", "Each data key is encrypted under one wrapping key.", "Data keys", named(s.DataKeys, manyDataKeys), Tally{}),
		p.table("context", "Encryption context keys", "The header stores the context in plaintext. This page omits the values.", "Key", s.ContextKeys.tallies, s.ContextKeys.others),
	}
	return slices.DeleteFunc(all, func(t table) bool { return len(t.Rows) == 0 && t.Others.Messages == 0 })
}

func (p *Page) table(id, title, about, column string, m map[string]*Tally, others Tally) table {
	rows := tallyLines(m)
	shown := rows[:min(len(rows), mostRows)]
	return table{id, title, about, column, shown, len(rows) - len(shown), others, p.Summary.Messages.Messages, p.Summary.WithKeys}
}

// named converts numbers to texts.
func named(m map[int]*Tally, andMore int) map[string]*Tally {
	texts := make(map[string]*Tally)
	for n, t := range m {
		text := fmt.Sprint(n)
		if n == andMore {
			text += " or more"
		}
		texts[text] = t
	}
	return texts
}

// took returns the duration of the audit.
func (p *Page) took() string {
	took := p.Summary.Ended.Sub(p.Summary.Started)
	if took < time.Second {
		return "less than a second"
	}
	return took.Round(time.Second).String()
}
