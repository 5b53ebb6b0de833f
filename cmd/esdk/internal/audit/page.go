package audit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
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

// Named returns the first inputs.
func (p *Page) Named() []string { return p.Inputs[:min(len(p.Inputs), mostInputs)] }

// Unnamed returns the number of further inputs.
func (p *Page) Unnamed() int { return len(p.Inputs) - len(p.Named()) }

// A bar is a part of a whole.
type bar struct{ Part, Of int64 }

// Width is between 0 and 1000. The smallest part is still visible.
func (b bar) Width() string { return fmt.Sprintf("%.1f", b.width()) }

func (b bar) width() float64 {
	if b.Part <= 0 || b.Of <= 0 {
		return 0
	}
	return max(4, 1000*float64(b.Part)/float64(b.Of))
}

// Percent is the alternative text.
func (b bar) Percent() string { return percentText(b.Part, b.Of) }

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

// A part is a segment of the chart of all inputs.
type part struct {
	Class, Name, About string
	Tally
	Start, Width string // in the chart, of 1000
}

// Parts returns the segments of the chart, one for each kind of input.
func (p *Page) Parts() []part {
	s := p.Summary
	parts := []part{
		{Class: "message", Name: "messages", About: "encrypted, as their headers say", Tally: s.Messages},
		{Class: "other", Name: "not a message", About: "do not begin as a message does", Tally: s.NoMessages},
		{Class: "broken", Name: "broken header", About: "begin as a message, and cannot be read on", Tally: s.Broken},
		{Class: "failed", Name: "failed", About: "could not be looked at", Tally: s.Failed},
	}
	at := 0.0
	for i := range parts {
		width := 1000 * float64(parts[i].Messages) / float64(max(1, s.Inputs))
		parts[i].Start, parts[i].Width = fmt.Sprintf("%.1f", at), fmt.Sprintf("%.1f", width)
		at += width
	}
	return parts
}

// Heading says how much of the page is authenticated.
func (p *Page) Heading() string {
	s := p.Summary
	switch {
	case s.verified():
		return "The headers of all messages were verified"
	case s.anotherKey():
		return "No message opened with the given keys: is it another key?"
	case s.allVerified():
		return fmt.Sprintf("The headers of %s messages were verified, and %s files or objects could not be read", numberText(s.Messages.Messages), numberText(s.unknown()))
	case s.WithKeys:
		return "Only a part of this page is authenticated"
	}
	return "Nothing on this page is authenticated"
}

// Unknown describes the inputs that may be messages. It returns "" if there are
// none.
func (p *Page) Unknown() string {
	if p.Summary.unknown() == 0 {
		return ""
	}
	return p.Summary.unknownText()
}

// Unverified reports whether there are messages whose headers no key verified.
func (p *Page) Unverified() bool { return !p.Summary.allVerified() }

// Verified reports whether all information from headers on the page is
// authenticated.
func (p *Page) Verified() bool { return p.Summary.verified() }

// A point is something to act on, or to know.
type point struct {
	ID, Level, Title, About string // Level: act, look or note
	Count                   int64
	Flag                    string // lists all of them
	Samples                 []string
}

// More returns the number of inputs besides the samples.
func (p point) More() int64 { return p.Count - int64(len(p.Samples)) }

// Points returns the points that apply, the urgent ones first.
func (p *Page) Points() []point {
	s := p.Summary
	all := []point{
		{ID: sampleNotAuthentic, Level: "act", Title: "Headers that are not authentic", Count: s.NotAuthentic, Flag: "--unopened",
			About: "A key opened their data key, and the header does not agree with it: they were changed or made up after they were encrypted."},
		{ID: sampleNoMessage, Level: "act", Title: "Files or objects that are not messages", Count: s.NoMessages.Messages, Flag: "--not-a-message",
			About: "They do not begin as an encrypted message does. What is in them may be open to everybody who can read them."},
		{ID: sampleBroken, Level: "act", Title: "Broken headers", Count: s.Broken.Messages, Flag: "--not-a-message",
			About: "They begin as a message and are malformed or cut short behind that. Nobody can decrypt them as they are."},
		{ID: sampleFailed, Level: "act", Title: "Could not be looked at", Count: s.Failed.Messages,
			About: "This page says nothing of them. Look at them again once the reason is mended: " + kindsText(s.FailedBy) + "."},
		{ID: sampleNotOpened, Level: "act", Title: "Messages that none of the keys opened", Count: s.NotOpened - s.NotAuthentic, Flag: "--unopened",
			About: "They are under other keys, or a policy keeps them closed: " + kindsText(s.notOpenedOtherwise()) + "."},
		{ID: sampleUncommitted, Level: "act", Title: "Messages without key commitment", Count: s.Uncommitted.Messages, Flag: "--uncommitted",
			About: "Their suites let somebody with several keys make one message that opens differently under each. Encrypt them again with the default suite."},
		{ID: sampleNET400, Level: "look", Title: "Messages with the fault of .NET 4.0.0", Count: s.NET400, Flag: "--net-4.0.0",
			About: "That version wrote messages that other versions do not read. Encrypt them again."},
		{ID: sampleUnsigned, Level: "note", Title: "Messages without a signature", Count: s.Unsigned.Messages, Flag: "--unsigned",
			About: "Everybody who can decrypt such a message could also have written it. That is a choice, and often the right one."},
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

// Matching returns samples of the inputs that match the filter.
func (p *Page) Matching() []string { return p.Summary.samples[sampleMatches] }

// MoreMatching returns the number of further matches.
func (p *Page) MoreMatching() int64 { return p.Summary.Matches - int64(len(p.Matching())) }

// A table groups messages by a property.
type table struct {
	ID, Title, About, Column string
	Rows                     []tallyLine
	More                     int   // rows that aren't shown
	Others                   Tally // messages with names beyond the limit of distinct ones
	Of                       int64 // messages, for the bars
	WithKeys                 bool
}

// Tables returns the tables that have rows.
func (p *Page) Tables() []table {
	s := p.Summary
	all := []table{
		p.table("keys", "Wrapping keys", "A message under several keys counts for each: any one of them opens it.", "Wrapping key", s.Keys.tallies, s.Keys.others),
		p.table("suites", "Algorithm suites", "", "Suite", s.Suites, Tally{}),
		p.table("versions", "Versions of the format", "Messages of version 2 commit to their key.", "Version", named(s.Versions, 0), Tally{}),
		p.table("datakeys", "Data keys in a message", "Each data key is under one wrapping key.", "Data keys", named(s.DataKeys, manyDataKeys), Tally{}),
		p.table("context", "Keys of encryption contexts", "The context is stored as plain text beside the message. Values are not on this page.", "Key", s.ContextKeys.tallies, s.ContextKeys.others),
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

// Took returns the duration of the audit.
func (p *Page) Took() string {
	took := p.Summary.Ended.Sub(p.Summary.Started)
	if took < time.Second {
		return "less than a second"
	}
	return took.Round(time.Second).String()
}
