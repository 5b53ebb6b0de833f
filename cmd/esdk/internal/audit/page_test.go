package audit

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"testing"
	"time"

	"esdk"
)

//go:embed testdata/page.html
var reference string

// TestPageAsTemplate checks that a page is the same as one of html/template,
// which escapes by context, for summaries of each kind with text from an
// attacker. The one difference is a plus sign: html/template escapes it, which
// means the same.
func TestPageAsTemplate(t *testing.T) {
	parsed := template.Must(template.New("page").Funcs(template.FuncMap{
		"visible": Visible, "bytes": bytesText, "number": numberText, "percent": percentText, "time": timeText,
		"bar": func(part, of int64) bar { return bar{Part: part, Of: of} },
	}).Parse(reference))
	for i := range 60 {
		p := randomPage(t, i)
		var want strings.Builder
		if err := parsed.Execute(&want, p); err != nil {
			t.Fatal(err)
		}
		got := pageOf(t, p)
		checkPage(t, got)
		if want := strings.ReplaceAll(want.String(), "&#43;", "+"); got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			from := max(0, at-200)
			t.Fatalf("page %d differs at byte %d:\n%.400s\nwant\n%.400s", i, at, got[from:], want[from:])
		}
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
			f.Verification.ErrorKind = []string{notAuthentic, noKey}[random.IntN(2)]
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
