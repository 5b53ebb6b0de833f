package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// wrapFile wraps the paragraphs of a file that have too wide a line. Other
// paragraphs stay as they are.
func wrapFile(name, data string) string {
	if filepath.Ext(name) == ".md" {
		return wrapMarkdown(data)
	}
	return wrapComments(name, data)
}

// A paragraph is a run of lines that begin with the same characters, such as
// "\t// ".
type paragraph struct {
	first, last int // lines, from 0
	lead, hang  string
	most        int
}

func wrapComments(name, data string) string {
	lines := strings.Split(data, "\n")
	var paragraphs []paragraph
	var open *paragraph
	comment := commentRows(name, data)
	for i, text := range lines {
		indent := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
		body, ok := strings.CutPrefix(text[len(indent):], "//")
		if !ok || !comment[i] || isDirective(text[len(indent):]) || !prosaic(body) {
			open = nil
			continue
		}
		lead := indent + "// "
		if open != nil && open.last == i-1 && open.lead == lead {
			open.last = i
			continue
		}
		paragraphs = append(paragraphs, paragraph{i, i, lead, lead, commentWidth})
		open = &paragraphs[len(paragraphs)-1]
	}
	return strings.Join(wrapAll(lines, paragraphs), "\n")
}

// commentRows reports which rows of a file begin with a comment. Lines of a
// string that look like comments don't count.
func commentRows(name, data string) map[int]bool {
	rows := make(map[int]bool)
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, data, parser.ParseComments)
	if err != nil || ast.IsGenerated(f) {
		return rows
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			rows[set.Position(c.Pos()).Line-1] = true
		}
	}
	return rows
}

// prosaic reports whether the text of a comment is part of a paragraph, not a
// heading, list, example of output or code.
func prosaic(body string) bool {
	text, ok := strings.CutPrefix(body, " ")
	switch {
	case !ok, text == "", strings.TrimLeft(text, " \t") != text:
		return false
	}
	return !strings.HasPrefix(text, "# ") && !strings.HasPrefix(text, "Output:") && !strings.HasPrefix(text, "Unordered output:") &&
		!item.MatchString(text) && !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "Deprecated:")
}

var item = regexp.MustCompile(`^\s*([-*+•]|[0-9]+[.)])\s+`)

func wrapMarkdown(data string) string {
	lines := strings.Split(data, "\n")
	var paragraphs []paragraph
	var open *paragraph
	fenced := false
	for i, text := range lines {
		marker := item.FindString(text)
		indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
		switch {
		case strings.HasPrefix(strings.TrimSpace(text), "```"):
			fenced, open = !fenced, nil
		case fenced, strings.TrimSpace(text) == "", fixed(text) && open == nil, strings.HasPrefix(text, "|"), strings.HasPrefix(text, "#"),
			open == nil && len(indent) >= 4, strings.HasSuffix(text, "  "), strings.HasPrefix(text, "\t"):
			open = nil
		case marker != "":
			paragraphs = append(paragraphs, paragraph{i, i, marker, strings.Repeat(" ", len(marker)), proseWidth})
			open = &paragraphs[len(paragraphs)-1]
		case open != nil && open.last == i-1:
			open.last = i
		default:
			paragraphs = append(paragraphs, paragraph{i, i, indent, indent, proseWidth})
			open = &paragraphs[len(paragraphs)-1]
		}
	}
	return strings.Join(wrapAll(lines, paragraphs), "\n")
}

// wrapAll replaces the paragraphs that are too wide.
func wrapAll(lines []string, paragraphs []paragraph) []string {
	for _, p := range slices.Backward(paragraphs) {
		part := lines[p.first : p.last+1]
		if !slices.ContainsFunc(part, func(text string) bool { return columns(text) > p.most }) {
			continue
		}
		var texts []string
		for i, text := range part {
			lead := p.hang
			if i == 0 {
				lead = p.lead
			}
			texts = append(texts, strings.TrimSpace(strings.TrimPrefix(text, lead)))
		}
		words := splitWords(strings.Join(texts, " ")) // of all lines, since code may go on in the next one
		lines = slices.Replace(lines, p.first, p.last+1, wrapWords(words, p)...)
	}
	return lines
}

// splitWords doesn't split code and links, since their spaces must not become
// line breaks.
func splitWords(text string) []string { return words.FindAllString(text, -1) }

var words = regexp.MustCompile("(?:`[^`]*`|\\[[^\\]]*\\]\\([^)]*\\)|[^\\s`])+|`")

func wrapWords(words []string, p paragraph) []string {
	var out []string
	current := p.lead
	empty := true
	for _, w := range words {
		if !empty && columns(current)+1+columns(w) > p.most {
			out, current, empty = append(out, current), p.hang, true
		}
		if !empty {
			current += " "
		}
		current += w
		empty = false
	}
	return append(out, current)
}
