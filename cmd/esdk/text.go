package main

import (
	"strings"
	"unicode"
)

// message is an error's text without the package's name, on one line. The name
// stands at the start of the text of an error, which may be within another's.
func message(err error) string {
	// What a service says may have lines.
	text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "esdk: ")
	return printable(strings.NewReplacer(": esdk: ", ": ", "; esdk: ", "; ").Replace(text))
}

// printable replaces what could move the cursor or end the line. Names and
// encryption contexts come from files that anybody can have written.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}
