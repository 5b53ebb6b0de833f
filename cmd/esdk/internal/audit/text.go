package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"esdk/cmd/esdk/internal/cli"
)

// TableHead is the head of the table of findings.
const TableHead = "KIND           SUITE   COMMITS  SIGNED  OPENS  KEYS         SIZE  NAME AND WRAPPING KEYS\n"

// Line returns a line of the table. The columns have fixed positions, since
// lines are written as they arrive.
func (f *Finding) Line() string {
	row := func(suite, commits, signed, keys, about string) string {
		return fmt.Sprintf("%-14s %-7s %-8s %-7s %-6s %4s %12s  %s%s\n", f.Kind, suite, commits, signed, f.opens(), keys, f.sizeText(), Visible(f.Name), about)
	}
	if f.Header == nil || f.Kind != IsMessage {
		return row("-", "-", "-", "-", ": "+Visible(f.Error))
	}
	h := f.Header
	about := "  " + Visible(listOf(h.keyNames(), h.WrappingKeysLeftOut))
	if h.Context != nil {
		about += "  " + Visible(listOf(h.pairs(), h.ContextKeysLeftOut))
	}
	return row(h.AlgorithmID, yes(h.Committed), yes(h.Signed), fmt.Sprint(h.DataKeys), about)
}

func (h *Header) keyNames() (names []string) {
	for _, k := range h.WrappingKeys {
		names = append(names, k.String())
	}
	return names
}

func (h *Header) pairs() (pairs []string) {
	for _, k := range h.ContextKeys {
		pairs = append(pairs, k+"="+h.Context[k])
	}
	return pairs
}

func (f *Finding) sizeText() string {
	if f.Size == nil {
		return "-"
	}
	return fmt.Sprint(*f.Size)
}

func (f *Finding) opens() string {
	switch v := f.Verification; {
	case v == nil:
		return "-"
	case v.NET400:
		return "4.0.0"
	default:
		return yes(v.Opened)
	}
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// listOf joins texts, and adds the number of texts left out.
func listOf(texts []string, leftOut int) string {
	if leftOut > 0 {
		texts = append(slices.Clone(texts), fmt.Sprintf("and %d more", leftOut))
	}
	return strings.Join(texts, ", ")
}

// mostLines is the largest number of keys in the text. JSON has all of them, up
// to the limit of distinct ones.
const mostLines = 20

// WriteText writes a summary for people.
func (s *Summary) WriteText(w io.Writer, filter *Filter) error {
	b := new(strings.Builder)
	line := func(text string, args ...any) { fmt.Fprintf(b, text+"\n", args...) }
	tally := func(name string, t Tally) { line("  %-32s %10d  %s", name, t.Messages, bytesText(t.Bytes)) }
	line("%s", s.Trust())
	for _, text := range []string{s.VersionsText(), s.InventoryText()} {
		if text != "" {
			line("%s", text)
		}
	}
	line("")
	line("%s audited, %s read, in %s", cli.Count(s.Inputs, "input", "inputs"), bytesText(s.BytesRead), s.took())
	tally("messages", s.Messages)
	tally("not a message", s.NoMessages)
	tally("broken header", s.Broken)
	tally("failed", s.Failed)
	line("among the messages")
	tally("without key commitment", s.Uncommitted)
	tally("without a signature", s.Unsigned)
	if s.WithKeys {
		line("  %-32s %10d", "opened, header verified", s.Opened)
		line("  %-32s %10d", "opened, fault of .NET 4.0.0", s.NET400)
		line("  %-32s %10d  of them %d modified or forged", "not opened", s.NotOpened, s.NotAuthentic)
		if text := s.Calls.String(); text != "" {
			line("  %s", text)
		}
	}
	writeTallies(b, "messages by wrapping key", s.Keys.tallies, s.Keys.others)
	writeTallies(b, "messages by suite", s.Suites, Tally{})
	writeTallies(b, "messages by context key", s.ContextKeys.tallies, s.ContextKeys.others)
	if text := filter.String(); text != "" {
		line("%d match: %s", s.Matches, text)
	}
	for _, text := range s.UnderNone() {
		line("%s", text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTallies(b *strings.Builder, title string, m map[string]*Tally, others Tally) {
	if len(m) == 0 {
		return
	}
	fmt.Fprintln(b, title)
	names := byMessages(m)
	for _, name := range names[:min(len(names), mostLines)] {
		fmt.Fprintf(b, "  %10d  %10s  %s\n", m[name].Messages, bytesText(m[name].Bytes), Visible(name))
	}
	if n := len(names) - mostLines; n > 0 {
		fmt.Fprintf(b, "  and %d more; --json lists them\n", n)
	}
	if others.Messages > 0 {
		fmt.Fprintf(b, "  %10d  %10s  messages with other names, too many to list\n", others.Messages, bytesText(others.Bytes))
	}
}

// Trust says how far the summary can be trusted.
func (s *Summary) Trust() string {
	switch {
	case !s.WithKeys:
		return "NOT AUTHENTICATED: no key was used, so anybody who can write to these places can have forged a header."
	case s.Messages.Messages == 0:
		return "No header was verified: no message was found."
	case s.anotherKey():
		return "The given keys opened no message; check -k. The headers are NOT AUTHENTICATED: anybody who can write to these places can have forged them. Bodies were not read."
	case s.allVerified() && s.unknown() > 0:
		return fmt.Sprintf("The headers of %s were verified with a key. %s UNKNOWN: %s. Bodies were not read.",
			cli.Count(s.Messages.Messages, "message", "messages"), cli.Count(s.unknown(), "input is", "inputs are"), s.unknownText())
	case !s.verified():
		return fmt.Sprintf("%d of %d headers were verified with a key. The others are NOT AUTHENTICATED: anybody who can write to these places can have forged them. Bodies were not read.", s.Messages.Verified, s.Messages.Messages)
	}
	return "The headers of all messages were verified with a key. Bodies were not read."
}

// unknownText describes the inputs that may be messages.
func (s *Summary) unknownText() string {
	return fmt.Sprintf("%d failed, %d with a broken header", s.Failed.Messages, s.Broken.Messages)
}

// VersionsText describes the versions that the summary doesn't cover. It
// returns "" if there are none.
func (s *Summary) VersionsText() string {
	if !s.CurrentOnly {
		return ""
	}
	return "CURRENT VERSIONS ONLY: older versions, which a bucket may keep, and versions behind delete markers were not audited. The old key still opens them."
}

// InventoryText describes the versions in an inventory and its date. It returns
// "" if there is none.
func (s *Summary) InventoryText() string {
	text := ""
	if s.AllVersions {
		text = "All versions in the inventory were audited, including versions behind delete markers. "
	}
	if !s.InventoryCreated.IsZero() {
		text += "The inventory was written on " + timeText(s.InventoryCreated) + ". Later changes are not in it."
	}
	return strings.TrimSpace(text)
}

func timeText(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

func (s *Summary) took() string { return fmt.Sprintf("%.1f s", s.Ended.Sub(s.Started).Seconds()) }

func bytesText(n int64) string { return cli.ByteSize(float64(n)) }
