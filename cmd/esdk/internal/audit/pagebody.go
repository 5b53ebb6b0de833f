package audit

import "fmt"

// body returns the contents of the page.
func (p *Page) body() nodes {
	return nodes{
		newline, el("a", attrs{{"class", "skip"}, {"href", "#main"}}, text("Skip to content")),
		newline, p.header(),
		newline, el("main", attrs{{"id", "main"}, {"tabindex", "-1"}},
			newline, p.trust(),
			newline, p.contents(),
			newline, p.kinds(),
			newline, p.points(),
			when(p.Filter.String() != "", newline, p.filtered()),
			each(p.tables(), func(t table) node { return nodes{newline, t.section()} }),
			newline),
		newline, el("footer", nil,
			newline, el("p", nil, text("Sizes are of whole files and objects, as they are stored. Invisible characters are shown by their number, such as ⟨U+202E⟩.")),
			newline),
		newline,
	}
}

func (p *Page) header() node {
	s := p.Summary
	row := func(title text, about ...node) node {
		return nodes{newline, el("dt", nil, title), el("dd", nil, about...)}
	}
	return el("header", nil,
		newline, el("h1", nil, text("Audit of encrypted messages")),
		newline, el("dl", nil,
			row("Inputs", el("ul", nil,
				each(p.firstInputs(), item),
				when(p.furtherInputs() > 0, el("li", nil, text(fmt.Sprintf("and %d more", p.furtherInputs())))))),
			row("Time", text(timeText(s.Started)+", took "+p.took())),
			row("Amount",
				text(countText(s.Inputs, "file or object", "files or objects")+", "+bytesText(s.BytesRead)+" read"),
				when(s.Skipped > 0, text("; "+numberText(s.Skipped)+" skipped"))),
			row("Tool", text("esdk audit, version "+p.Version)),
			newline),
		newline)
}

// item returns an item of a list of names.
func item(of string) node { return el("li", attrs{{"class", "name"}}, name(of)) }

func strong(words string) node { return el("strong", nil, text(words)) }

func code(words string) node { return el("code", nil, text(words)) }

// titled returns a section that is labelled by its title.
func titled(id, title string, contents ...node) node {
	return el("section", attrs{{"aria-labelledby", id}},
		newline, el("h2", attrs{{"id", id}}, text(title)), nodes(contents), newline)
}

func (p *Page) trust() node {
	s := p.Summary
	class := "trust"
	if s.verified() {
		class += " verified"
	}
	return el("section", attrs{{"class", class}, {"aria-labelledby", "trust"}},
		newline, el("h2", attrs{{"id", "trust"}}, text(p.heading())),
		newline, p.trusted(),
		when(s.VersionsText() != "", newline, el("p", nil,
			strong(s.VersionsText()), text(" To audit them, use "), code("--all-versions"), text(" with an inventory of all versions."))),
		when(s.InventoryText() != "", newline, el("p", nil, text(s.InventoryText()))),
		newline, el("p", nil,
			text("Only the beginning of each file or object was read. This page does not show whether a body can be decrypted, is complete or was modified; "),
			code("esdk verify"), text(" does.")),
		newline)
}

func (p *Page) trusted() node {
	s := p.Summary
	if !s.WithKeys {
		return el("p", nil,
			text("This page reports what messages claim. No key was used, so "),
			strong("anybody who can write to these places can have forged a header"),
			text(". It may name a wrong key or suite, or claim that plaintext is encrypted. "),
			code("esdk audit -k KEY"), text(" verifies headers."))
	}
	return el("p", nil,
		text(fmt.Sprintf("A key opened %s of %s and verified their headers: somebody wrote them who can encrypt or decrypt with that key.",
			numberText(s.Messages.Verified), countText(s.Messages.Messages, "message", "messages"))),
		when(!s.allVerified(), text(" "), strong("The other headers are not verified"),
			text(": anybody who can write to these places can have forged them.")),
		when(p.unknown() != "", text(" "), strong(countText(s.unknown(), "file or object is", "files or objects are")+" unknown"), text(": "+p.unknown()+".")))
}

// contents returns the links to the sections.
func (p *Page) contents() node {
	link := func(id, title string) node {
		return el("li", nil, el("a", attrs{{"href", "#" + id}}, text(title)))
	}
	return el("nav", attrs{{"aria-label", "On this page"}}, el("ul", nil,
		newline, link("overview", "Overview"), link("findings", "Findings"),
		when(p.Filter.String() != "", link("filter", "Filter")),
		each(p.tables(), func(t table) node { return link(t.ID, t.Title) }),
		newline))
}

// kinds returns the section on all inputs.
func (p *Page) kinds() node {
	inputs, label, parts := p.Summary.Inputs, "", p.parts()
	for i, part := range parts {
		if i > 0 {
			label += ", "
		}
		label += part.Name + " " + percentText(part.Messages, inputs)
	}
	return titled("overview", "Overview",
		newline, el("svg", attrs{{"class", "chart"}, {"viewBox", "0 0 1000 32"}, {"preserveAspectRatio", "none"}, {"role", "img"}, {"aria-label", label}},
			each(parts, func(part part) node {
				return when(part.Messages > 0, leaf("rect", attrs{
					{"class", "fill-" + part.Class}, {"x", part.Start}, {"y", "0"}, {"width", part.Width}, {"height", "32"},
				}))
			})),
		newline, tableOf("All files and objects, by kind",
			nodes{columnHead("Kind", ""), columnHead("Number", "n"), columnHead("Share", "n"), columnHead("Size", "n")},
			each(parts, func(part part) node {
				return row(
					el("th", attrs{{"scope", "row"}, {"role", "rowheader"}},
						el("svg", attrs{{"class", "swatch"}, {"viewBox", "0 0 10 10"}, {"aria-hidden", "true"}},
							leaf("rect", attrs{{"class", "fill-" + part.Class}, {"width", "10"}, {"height", "10"}, {"rx", "2"}})),
						text(part.Name), el("span", attrs{{"class", "soft"}}, text(": "+part.About))),
					cell("number", numberText(part.Messages)),
					cell("share", percentText(part.Messages, inputs)),
					cell("size", bytesText(part.Bytes)))
			})))
}

// tableOf returns a table. Its roles are explicit, since the style of narrow
// pages changes the display of its elements, and with that removes the roles.
func tableOf(caption string, columns nodes, rows ...node) node {
	return el("table", attrs{{"class", "stack"}, {"role", "table"}},
		newline, el("caption", nil, text(caption)),
		newline, el("thead", attrs{{"role", "rowgroup"}}, el("tr", attrs{{"role", "row"}}, columns)),
		newline, el("tbody", attrs{{"role", "rowgroup"}}, nodes(rows), newline),
		newline)
}

func columnHead(title, class string) node {
	a := attrs{{"scope", "col"}, {"role", "columnheader"}}
	if class != "" {
		a = append(a, attr{"class", class})
	}
	return el("th", a, text(title))
}

func row(cells ...node) node { return nodes{newline, el("tr", attrs{{"role", "row"}}, cells...)} }

// cell returns a cell with a number, and the column's title for narrow pages.
func cell(of, number string) node {
	return el("td", attrs{{"role", "cell"}, {"class", "n"}, {"data-of", of}}, text(number))
}

// points returns the section on findings.
func (p *Page) points() node {
	points := p.applying()
	nothing := "No file or object was audited."
	if p.Summary.Inputs > 0 {
		nothing = "None. All files and objects are messages that commit to their key and are signed, according to their headers."
	}
	return titled("findings", "Findings",
		each(points, func(of point) node { return nodes{newline, of.article()} }),
		when(len(points) == 0, newline, el("p", nil, text(nothing))))
}

func (p *point) article() node {
	id := "p-" + p.ID
	return el("article", attrs{{"class", "point " + p.Level}, {"aria-labelledby", id}},
		newline, el("h3", attrs{{"id", id}}, el("span", attrs{{"class", "level"}}, text(p.Level)), text(" "+p.Title+": "+numberText(p.Count))),
		newline, el("p", nil, text(p.About)),
		when(len(p.Samples) > 0, newline, samples(p.Samples, p.more())),
		when(p.Flag != "", el("p", attrs{{"class", "soft"}}, text("List all: "), code("esdk audit "+p.Flag))),
		newline)
}

// samples returns a list of names, which the reader opens.
func samples(names []string, more int64) node {
	title := fmt.Sprintf("Names of %d", len(names))
	if more != 0 {
		title += "; " + numberText(more) + " more are not listed"
	}
	return el("details", nil,
		el("summary", nil, text(title)),
		newline, el("ul", nil, each(names, item)))
}

// filtered returns the section on the inputs that match the filter.
func (p *Page) filtered() node {
	s := p.Summary
	return titled("filter", "Filter",
		newline, el("p", nil, text(numberText(s.Matches)+" of "+numberText(s.Inputs)+" match: "+p.Filter.String()+".")),
		each(s.UnderNone(), func(words string) node { return nodes{newline, el("p", nil, strong(words))} }),
		when(len(p.matching()) > 0, newline, samples(p.matching(), p.moreMatching())))
}

func (t *table) section() node {
	caption := "Of " + countText(t.Of, "message", "messages")
	if t.More > 0 {
		caption += fmt.Sprintf(". The first %d rows; --json lists %d more", len(t.Rows), t.More)
	}
	return titled(t.ID, t.Title,
		when(t.About != "", el("p", nil, text(t.About))),
		newline, tableOf(caption,
			nodes{
				columnHead(t.Column, ""), columnHead("Messages", "n"), columnHead("Share", "n"), columnHead("Chart", "b"),
				when(t.WithKeys, columnHead("Verified", "n")), columnHead("Size", "n"),
			},
			each(t.Rows, func(line tallyLine) node {
				return t.row(el("th", attrs{{"scope", "row"}, {"role", "rowheader"}, {"class", "name"}}, name(line.Name)), &line.Tally)
			}),
			when(t.Others.Messages > 0,
				t.row(el("th", attrs{{"scope", "row"}, {"role", "rowheader"}}, text("messages with other names, too many to list")), &t.Others))))
}

func (t *table) row(title node, of *Tally) node {
	b := bar{of.Messages, t.Of}
	return row(title,
		cell("messages", numberText(of.Messages)),
		cell("share", b.percent()),
		el("td", attrs{{"role", "cell"}, {"class", "b"}},
			el("svg", attrs{{"class", "bar"}, {"viewBox", "0 0 1000 10"}, {"preserveAspectRatio", "none"}, {"role", "img"}, {"aria-label", b.percent()}},
				leaf("rect", attrs{{"width", b.width()}, {"height", "10"}}))),
		when(t.WithKeys, cell("verified", numberText(of.Verified))),
		cell("size", bytesText(of.Bytes)))
}
