package audit

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk"
)

// TestMarkup checks that text and values of attributes are escaped as
// html/template does. The one difference is a plus sign: html/template escapes
// it, which means the same.
func TestMarkup(t *testing.T) {
	reference := template.Must(template.New("").Parse(`<p class="{{.}}">{{.}}<b></b></p>`))
	for range 2000 {
		given := strings.ReplaceAll(randomText(10), "\x00", "+")
		var got bytes.Buffer
		el("p", attrs{{"class", given}}, text(given), el("b", nil)).write(&got)
		var want strings.Builder
		if err := reference.Execute(&want, given); err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(want.String(), "&#43;", "+"); got.String() != want {
			t.Fatalf("%q, want %q", got.String(), want)
		}
	}
}

// TestPage checks that pages with text from an attacker have only elements that
// are closed, and the names of inputs and keys as text.
func TestPage(t *testing.T) {
	const title = `<th scope="row" role="rowheader" class="name">`
	for i := range 60 {
		p := randomPage(t, i)
		page := pageOf(t, p)
		checkPage(t, page)
		checkBalance(t, page)
		for _, given := range p.firstInputs() {
			if want := `<li class="name">` + html.EscapeString(Visible(given)) + "</li>"; !strings.Contains(page, want) {
				t.Errorf("page %d lacks %q", i, want)
			}
		}
		for of, names := range p.Summary.samples {
			if of == sampleMatches && p.Filter.Empty() { // no section has them
				continue
			}
			for _, given := range names {
				if want := `<li class="name">` + html.EscapeString(Visible(given)) + "</li>"; !strings.Contains(page, want) {
					t.Errorf("page %d lacks %q", i, want)
				}
			}
		}
		for _, table := range p.tables() {
			for _, row := range table.Rows {
				if want := title + html.EscapeString(Visible(row.Name)) + "</th>"; !strings.Contains(page, want) {
					t.Errorf("page %d lacks %q", i, want)
				}
			}
		}
	}
}

// checkBalance fails if an element of a page has no end, or has it in the wrong
// place, or if a link on the page has no target.
func checkBalance(t *testing.T, page string) {
	t.Helper()
	var open []string
	for _, m := range regexp.MustCompile(`<(/?)([a-z][a-z0-9]*)[^>]*?(/?)>`).FindAllStringSubmatch(page, -1) {
		switch tag := m[2]; {
		case m[3] == "/" || tag == "meta" || tag == "link":
		case m[1] == "":
			open = append(open, tag)
		case len(open) == 0 || open[len(open)-1] != tag:
			t.Fatalf("%s ends within %q", tag, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%q have no end", open)
	}
	for _, m := range regexp.MustCompile(`(?:href="#|aria-labelledby=")([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if n := strings.Count(page, ` id="`+m[1]+`"`); n != 1 {
			t.Errorf("%d elements have the ID %s", n, m[1])
		}
	}
	if !slices.Equal(regexp.MustCompile(`Content-Security-Policy" content="([^;]*)`).FindStringSubmatch(page)[1:], []string{"default-src 'none'"}) {
		t.Error("the policy doesn't forbid requests")
	}
}

// randomPage returns a page of at least some messages, other inputs, filters,
// keys and versions, with text from an attacker.
func randomPage(t *testing.T, number int) *Page {
	t.Helper()
	coin := func() bool { return random.IntN(2) == 0 }
	filter := new(Filter)
	if coin() {
		filter = &Filter{Under: []Pattern{Pattern(randomText(5)), "corp/*"}, NotAMessage: coin(), Unsigned: coin()}
	}
	withKeys := coin()
	s := NewSummary(withKeys, filter.Under...)
	onlyMessages := coin()
	for range number % 30 * random.IntN(2) {
		f := hostileFinding(t, filter, withKeys)
		switch {
		case onlyMessages && f.Kind != IsMessage:
			continue
		case f.Verification != nil && onlyMessages:
			f.Verification.Opened, f.Authenticated = true, true
		case f.Verification != nil && coin():
			f.Verification.ErrorKind = []string{notAuthentic, noKey, wrongKey}[random.IntN(3)]
		}
		if f.Verification != nil && f.Verification.Opened {
			f.Authenticated, f.Verification.NET400 = true, coin()
		}
		f.Name += randomText(3) + "+"
		s.Add(f)
	}
	if number%30 == 29 { // more keys than a table shows
		for i := range 3000 {
			f := NewFinding("in", fmt.Sprint("in", i))
			h := &esdk.Header{Version: 2, Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{fmt.Sprint(i, "<b>"): ""}}
			for k := range 40 {
				h.EncryptedDataKeys = append(h.EncryptedDataKeys, esdk.EncryptedDataKey{ProviderID: "p", ProviderInfo: fmt.Appendf(nil, "<%d>", i+k)})
			}
			f.SetHeader(h, true)
			s.Add(f)
		}
	}
	for range random.IntN(3) * 600 {
		s.Skip()
	}
	s.CurrentOnly, s.AllVersions = coin(), coin()
	if coin() {
		s.InventoryCreated = time.UnixMilli(1793379845678)
	}
	s.End(random.Int64N(1 << 40))
	s.Ended = s.Started.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
	p := &Page{Summary: s, Filter: filter, Version: "v1+" + Visible(randomText(3))}
	for range random.IntN(2 * mostInputs) {
		p.Inputs = append(p.Inputs, randomText(20))
	}
	return p
}
