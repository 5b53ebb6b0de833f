package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	target     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	remote     = regexp.MustCompile(`^[a-z]+:`)
	heading    = regexp.MustCompile(`^#{1,6} +(.*)$`)
	linkText   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// brokenLinks returns the links in a Markdown file that lead to no file, or to
// no heading of a Markdown file. Links to other hosts aren't followed.
func brokenLinks(dir, name string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var broken []string
	for i, l := range outsideFences(string(text)) {
		for _, m := range target.FindAllStringSubmatch(inlineCode.ReplaceAllString(l, "x"), -1) {
			if remote.MatchString(m[1]) {
				continue
			}
			ok, err := leads(dir, name, m[1])
			if err != nil {
				return nil, err
			}
			if !ok {
				broken = append(broken, fmt.Sprintf("%s:%d: %s leads nowhere", name, i+1, m[1]))
			}
		}
	}
	return broken, nil
}

// leads reports whether a link in a file leads to something.
func leads(dir, name, to string) (bool, error) {
	path, anchor, _ := strings.Cut(to, "#")
	file := filepath.Join(dir, name)
	if path != "" {
		file = filepath.Join(dir, filepath.Dir(name), filepath.FromSlash(path))
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || anchor == "" {
		return err == nil, err
	}
	if info.IsDir() || filepath.Ext(file) != ".md" {
		return false, nil
	}
	text, err := os.ReadFile(file)
	return anchors(string(text))[anchor], err
}

// anchors returns the anchors of the headings in a Markdown text, by the rules
// of the usual hosts.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	for _, l := range outsideFences(text) {
		m := heading.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsNumber(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(linkText.ReplaceAllString(m[1], "$1")))
		anchor := name
		for n := 1; found[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", name, n)
		}
		found[anchor] = true
	}
	return found
}

// outsideFences returns the lines of a Markdown text. The lines of fenced code
// are empty.
func outsideFences(text string) []string {
	lines := strings.Split(text, "\n")
	inside := false
	for i, l := range lines {
		fence := strings.HasPrefix(strings.TrimLeft(l, " "), "```")
		if fence || inside {
			lines[i] = ""
		}
		if fence {
			inside = !inside
		}
	}
	return lines
}
