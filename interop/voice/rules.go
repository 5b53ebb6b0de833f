package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A line is a line of text, without comment markers.
type line struct {
	number int
	text   string
	width  int // in its file, in columns
	most   int // the widest allowed; 0 if it can't be wrapped
}

// A rule says which lines break it.
type rule struct {
	name   string
	broken func(line) bool
}

var (
	// headless matches clauses that begin with a bare pronoun: "what was read".
	// Questions and reported questions ("tells what failed") are rare enough
	// not to be distinguished.
	headless = regexp.MustCompile(`(?i)\b(what|whatever|whoever)\b(?:[^?]*$|[^?]*[.;:])|(?:^|[.;:(] )who\b|\b(?:of|to|by|for|and|or|lest|but|as|if) who\b`)
	thatOf   = regexp.MustCompile(`(?i)\b(that|those) of\b`)
	folder   = regexp.MustCompile(`(?i)\bfolders?\b`)
	code     = regexp.MustCompile("`[^`]*`|\"[^\"]*\"|“[^”]*”")
)

var rules = []rule{
	{"headless", func(l line) bool { return headless.MatchString(prose(l.text)) }},
	{"that-of", func(l line) bool { return thatOf.MatchString(prose(l.text)) }},
	{"folder", func(l line) bool { return folder.MatchString(prose(l.text)) }},
	{"wide", func(l line) bool { return l.most > 0 && l.width > l.most }},
}

// prose leaves code and quotations out.
func prose(text string) string { return code.ReplaceAllString(text, "x") }

const (
	proseWidth   = 100
	commentWidth = 80
)

// textLines returns the comments of a Go file, or the lines of a Markdown file.
func textLines(name, data string) []line {
	if filepath.Ext(name) == ".md" {
		return markdownLines(data)
	}
	return commentLines(name, data)
}

func commentLines(name, data string) []line {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, data, parser.ParseComments)
	if err != nil || ast.IsGenerated(f) {
		return nil
	}
	all := strings.Split(data, "\n")
	var lines []line
	for _, group := range f.Comments {
		for _, c := range group.List {
			first := set.Position(c.Pos())
			if !strings.HasPrefix(c.Text, "//") || isDirective(c.Text) {
				continue
			}
			l := line{number: first.Line, text: strings.TrimSpace(c.Text[2:])}
			whole := all[first.Line-1]
			l.width = columns(whole)
			alone := strings.TrimSpace(whole[:first.Column-1]) == ""
			if alone && wrappable(c.Text[2:]) {
				l.most = commentWidth
			}
			lines = append(lines, l)
		}
	}
	return lines
}

var directive = regexp.MustCompile(`^//[a-z0-9]+:[a-z0-9]|^//(line|export|extern) `)

func isDirective(text string) bool { return directive.MatchString(text) }

// wrappable reports whether the text of a comment, with the space that it
// begins with, is prose in which lines may break: it isn't indented, has more
// than one word, and doesn't define a link.
func wrappable(text string) bool {
	text, ok := strings.CutPrefix(text, " ")
	return ok && text != "" && !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\t") && strings.Contains(text, " ") && !link.MatchString(text)
}

// link matches the definition of a link in a doc comment.
var link = regexp.MustCompile(`^\[[^\]]+\]: [a-z]+:`)

// columns returns the width of a line, with tabs of four.
func columns(text string) int {
	return utf8.RuneCountInString(strings.ReplaceAll(text, "\t", "    "))
}

// markdownLines leaves code blocks out. Tables and headings can't be wrapped.
func markdownLines(data string) []line {
	var lines []line
	fenced := false
	for i, text := range strings.Split(data, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(text), "```"):
			fenced = !fenced
			continue
		case fenced, strings.TrimSpace(text) == "", strings.HasPrefix(text, "    ") || strings.HasPrefix(text, "\t"):
			continue
		}
		l := line{number: i + 1, text: strings.TrimSpace(text), width: columns(text), most: proseWidth}
		if fixed(text) {
			l.most = 0
		}
		lines = append(lines, l)
	}
	return lines
}

// fixed reports whether a line of Markdown can't be wrapped.
func fixed(text string) bool {
	return strings.HasPrefix(text, "|") || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "<") || !strings.Contains(strings.TrimSpace(text), " ")
}
