package main

import (
	"fmt"
	"html"
	"math"
	"strings"

	"esdk/bench/internal/peer"
)

// The plot has a panel for each measure, and in it a row for each peer, with a
// dot for each series on a logarithmic scale.
const (
	plotWidth  = 860
	labelWidth = 150
	rowHeight  = 22
	panelGap   = 92
)

// A panel is one chart. Higher is better in all.
type panel struct {
	title, unit string
	series      []series
	rows        []plotRow
	limits      []plotLimit
}

// A series has a style of its own, distinguishable without color, too.
type series struct{ name, color, shape string }

type plotRow struct {
	label  string
	values []float64 // for each series; 0 means none
}

// A plotLimit is a line across all rows.
type plotLimit struct {
	label string
	value float64
}

var encryptDecrypt = []series{{"encrypt", "#2f7ed8", "circle"}, {"decrypt", "#d9822b", "diamond"}}

// overview returns overview.svg, the first panel of the plot, for the README.
func overview(r *results) string { return draw(r, panelsOf(r)[:1]) }

// plot returns performance.svg.
func plot(r *results) string { return draw(r, panelsOf(r)) }

func panelsOf(r *results) []panel {
	return []panel{
		throughputPanel(r, "Unsigned (0478), 100 MiB in memory", peer.Request{Suite: "0478", Size: 100 * mib}),
		throughputPanel(r, "Unsigned (0478), 100 MiB stream", peer.Request{Suite: "0478", Size: 100 * mib, Stream: true}),
		throughputPanel(r, "Signed (0578), 100 MiB in memory", peer.Request{Suite: "0578", Size: 100 * mib}),
		messagePanel(r, "Unsigned (0478), messages of 1 KiB", "0478"),
		messagePanel(r, "Signed (0578), messages of 1 KiB", "0578"),
	}
}

func draw(r *results, panels []panel) string {
	height := 70
	for _, p := range panels {
		height += p.height()
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title" font-family="sans-serif" font-size="12">
<title id="title">Throughput of esdk beside other libraries</title>
<style>
text{fill:#24292f} .axis{stroke:#8c959f} .grid{stroke:#d0d7de} .limit{stroke:#57606a;stroke-dasharray:5 4} .us{font-weight:bold} .back{fill:#fff}
@media (prefers-color-scheme:dark){text{fill:#e6edf3} .axis{stroke:#8b949e} .grid{stroke:#30363d} .limit{stroke:#c9d1d9} .back{fill:#0d1117}}
</style>
<rect class="back" width="100%%" height="100%%"/>
<text x="20" y="30" font-size="17">esdk beside the limits and other libraries: more is better, logarithmic scale</text>
`, plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, `<text x="20" y="50">%s</text>`+"\n", html.EscapeString(fmt.Sprintf("%d cores of %s, %s, %s", r.Machine.Cores, r.Machine.CPU, r.Machine.Go, r.Machine.Date)))
	top := 70
	for _, p := range panels {
		p.draw(&b, top)
		top += p.height()
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func throughputPanel(r *results, title string, request peer.Request) panel {
	p := panel{title: title, unit: "MiB/s", series: encryptDecrypt}
	p.fill(r, request, func(seconds float64) float64 { return float64(request.Size) / mib / seconds })
	limit, label := bulkLimit("encrypt", 1, true), "AES-GCM, one core"
	if request.Suite == "0578" {
		limit, label = cell{limits, peer.Request{Op: "sha384", Size: 100 * mib, Cores: 1}}, "SHA-384, one core"
	}
	p.addLimit(r, label, limit, float64(request.Size)/mib)
	return p
}

func messagePanel(r *results, title, suite string) panel {
	p := panel{title: title, unit: "messages/s", series: encryptDecrypt}
	p.fill(r, peer.Request{Suite: suite, Size: kib}, func(seconds float64) float64 { return 1 / seconds })
	limit, label := forcedCalls("encrypt", false), "the forced calls, encrypt"
	if suite == "0578" {
		limit, label = cell{limits, peer.Request{Op: "sign", Cores: 1}}, "P-384 key and signature"
	}
	p.addLimit(r, label, limit, 1)
	return p
}

// fill adds a row for each peer with a figure.
func (p *panel) fill(r *results, request peer.Request, value func(seconds float64) float64) {
	for _, c := range contestants {
		row := plotRow{label: c.label}
		has := false
		for _, op := range operations {
			request.Op = op
			v := 0.0
			if seconds, why := r.typical(cell{c.name, request}); why == "" && seconds > 0 {
				v, has = value(seconds), true
			}
			row.values = append(row.values, v)
		}
		if has {
			p.rows = append(p.rows, row)
		}
	}
}

func (p *panel) addLimit(r *results, label string, c cell, amount float64) {
	if seconds, why := r.typical(c); why == "" && seconds > 0 {
		p.limits = append(p.limits, plotLimit{label, amount / seconds})
	}
}

func (p *panel) height() int { return panelGap + rowHeight*len(p.rows) }

// decades returns the powers of ten that enclose the values.
func (p *panel) decades() (low, high int) {
	least, most := math.Inf(1), 0.0
	see := func(v float64) {
		if v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	for _, row := range p.rows {
		for _, v := range row.values {
			see(v)
		}
	}
	for _, l := range p.limits {
		see(l.value)
	}
	if most == 0 {
		return 0, 1
	}
	low, high = int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most)))
	return low, max(high, low+1)
}

func (p *panel) draw(b *strings.Builder, top int) {
	low, high := p.decades()
	x := func(v float64) float64 {
		return labelWidth + (math.Log10(v)-float64(low))/float64(high-low)*(plotWidth-labelWidth-40)
	}
	first, last := top+42, top+42+rowHeight*len(p.rows)
	fmt.Fprintf(b, `<text x="20" y="%d" font-size="14" class="us">%s</text>`+"\n", top+18, html.EscapeString(p.title))
	p.legend(b, top+18)
	for decade := low; decade <= high; decade++ {
		v := math.Pow(10, float64(decade))
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(v), x(v), first, last, x(v), last+16, axisText(v))
	}
	fmt.Fprintf(b, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/><text x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
		labelWidth, plotWidth-40, last, last, labelWidth-34, last+16, p.unit)
	for _, l := range p.limits {
		anchor := "middle"
		if x(l.value) > plotWidth-180 {
			anchor = "end"
		}
		fmt.Fprintf(b, `<line class="limit" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text x="%.1f" y="%d" text-anchor="%s" font-size="11">%s</text>`+"\n",
			x(l.value), x(l.value), first-4, last, x(l.value), first-8, anchor, html.EscapeString(l.label))
	}
	for i, row := range p.rows {
		y := first + rowHeight*i + rowHeight/2
		class := ""
		if i == 0 {
			class = ` class="us"`
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end"%s>%s</text>`+"\n", labelWidth-12, y+4, class, html.EscapeString(row.label))
		for j, v := range row.values {
			if v > 0 {
				// Shifted, so that equal figures don't hide each other.
				p.series[j].draw(b, x(v), float64(y)+float64(2*j-1)*3.5, row.label, v, p.unit)
			}
		}
	}
}

func (p *panel) legend(b *strings.Builder, y int) {
	for i, s := range p.series {
		at := plotWidth - 190 + 90*i
		s.draw(b, float64(at), float64(y-4), "", 0, "")
		fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", at+10, y, s.name)
	}
}

func (s series) draw(b *strings.Builder, x, y float64, label string, v float64, unit string) {
	title := ""
	if label != "" {
		title = fmt.Sprintf("<title>%s, %s: %s %s</title>", html.EscapeString(label), s.name, digits(v), unit)
	}
	if s.shape == "circle" {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s">%s</circle>`+"\n", x, y, s.color, title)
		return
	}
	fmt.Fprintf(b, `<path d="M%.1f %.1fl5 5 -5 5 -5 -5z" fill="%s">%s</path>`+"\n", x, y-5, s.color, title)
}

// axisText formats a power of ten.
func axisText(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g k", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
