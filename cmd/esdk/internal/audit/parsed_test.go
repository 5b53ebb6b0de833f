package audit

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// allowedAttrs lists the attributes of each element of a page.
var allowedAttrs = map[string]string{
	"html": "lang", "head": "", "meta": "charset name content http-equiv", "link": "rel href", "title": "", "style": "", "body": "",
	"header": "", "main": "id tabindex", "footer": "", "nav": "aria-label aria-labelledby", "section": "class aria-labelledby", "article": "class aria-labelledby",
	"h1": "", "h2": "id", "h3": "id", "p": "class", "ul": "", "li": "class", "dl": "", "dt": "", "dd": "", "a": "class href",
	"code": "", "strong": "", "span": "class", "details": "", "summary": "",
	"svg": "class viewBox preserveAspectRatio role aria-label aria-hidden", "rect": "class x y width height rx",
	"table": "class role", "caption": "", "thead": "role", "tbody": "role", "tr": "role", "th": "scope role class", "td": "role class data-of",
}

// percents removes the signs of percentText.
var percents = strings.NewReplacer("< 0.1 %", "", "> 99.9 %", "")

// texts returns the texts of a page, and fails if it has another element or
// attribute than pages have, or a value of an attribute that isn't theirs.
func texts(t *testing.T, page string) (all []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch n.Type {
		case html.DoctypeNode:
		case html.TextNode:
			all = append(all, n.Data)
		case html.ElementNode:
			names, ok := allowedAttrs[n.Data]
			if !ok {
				t.Errorf("there is an element %s", n.Data)
			}
			for _, a := range n.Attr {
				if !slices.Contains(strings.Fields(names), a.Key) || a.Namespace != "" {
					t.Errorf("%s has an attribute %s", n.Data, a.Key)
				}
				if strings.ContainsAny(percents.Replace(a.Val), "<>\"'`\x00") && n.Data != "meta" {
					t.Errorf("%s of %s is %q", a.Key, n.Data, a.Val)
				}
				if a.Key == "href" && a.Val != "data:," && strings.Trim(strings.TrimPrefix(a.Val, "#"), "abcdefghijklmnopqrstuvwxyz-") != "" {
					t.Errorf("a link leads to %q", a.Val)
				}
			}
		default:
			t.Errorf("there is a node %v %q", n.Type, n.Data)
		}
	}
	return all
}

// hostile are names that a parser of HTML may take for something else.
var hostile = []string{
	"<script>alert(1)</script>", "</title><script>", "</li></ul></body></html><b>", "]]>", "<![CDATA[", "-->", "<!--", "<!DOCTYPE x>", "<?php", "</style>", "<style>",
	"<plaintext>", "<textarea>", "<svg/onload=alert(1)>", "<table><a>", "\" onmouseover=\"x", "' x='", "`", "javascript:alert(1)", "&lt;b&gt;", "&#60;b>", "&#x3c", "&", "&amp;lt;",
	"\x1b[31m", "\x00", "\r\n", "\ufeff", "\u202e", "\u2066", "\xed\xa0\x80", "\xff<b\xfe>", "<\x00script>", "\u2028", "a=b", "/>", "< b>", "<<b>>", strings.Repeat("<b>", 40_000),
}

// TestParsed checks that a parser of HTML finds only elements and attributes of
// pages in a page, and all names as they were given.
func TestParsed(t *testing.T) {
	for i := range 40 {
		p := randomPage(t, i)
		hostileName := func() string { return hostile[random.IntN(len(hostile))] + hostile[random.IntN(len(hostile))] }
		for range 5 {
			p.Inputs = append([]string{hostileName()}, p.Inputs...)
			p.Summary.Add(hostileFinding(t, p.Filter, p.Summary.WithKeys))
			f := NewFinding(hostileName(), hostileName())
			f.Kind, f.ErrorKind = IsNoMessage, hostileName()
			p.Summary.Add(f)
		}
		for _, tally := range p.Summary.Keys.tallies {
			p.Summary.Keys.tallies[hostileName()] = tally
			break
		}
		found := texts(t, pageOf(t, p))
		want := p.firstInputs()
		for of, names := range p.Summary.samples {
			if of != sampleMatches || p.Filter.String() != "" {
				want = append(slices.Clone(want), names...)
			}
		}
		for _, table := range p.tables() {
			for _, row := range table.Rows {
				want = append(want, row.Name)
			}
		}
		for _, name := range want {
			if name = Visible(name); name != "" && !slices.Contains(found, name) {
				t.Errorf("page %d lacks %.200q", i, name)
			}
		}
	}
}
