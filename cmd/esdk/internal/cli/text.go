package cli

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Message returns an error's text without the library's name, on one line.
// Texts from services may have several, or end with a colon and no more.
func Message(err error) string {
	return Printable(strings.TrimRight(strings.Join(strings.Fields(textOf(err)), " "), ": "))
}

// messageAbout is [Message] for a line that begins with the name of an input.
func messageAbout(input string, err error) string {
	for e, ok := err.(*Error); ok; e, ok = e.Err.(*Error) {
		if e.About == input && input != "" {
			return Message(e.Err)
		}
	}
	return Message(err)
}

// Printable replaces characters that could move the cursor or end the line.
// Names and encryption contexts come from files that anybody can have written.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}

// Quoted returns a word to type on a command line: printable, and in quotes if
// a shell would change it otherwise.
func Quoted(text string) string {
	text = Printable(text)
	if text != "" && !strings.ContainsFunc(text, changedByShell) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func changedByShell(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("@%+=:,./_-…", r)
}

// FirstColumns returns the longest start of a text that fits into a number of
// terminal columns.
func FirstColumns(text string, columns int) string {
	for i, r := range text {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
			continue // it combines with another character
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			columns--
		}
		if columns--; columns < 0 {
			return text[:i]
		}
	}
	return text
}

var errBytes = errors.New("not a number of bytes")

// ParseBytes parses a number of bytes of at least 1, with an optional unit of
// K, M, G or T.
func ParseBytes(text string) (int64, error) {
	unit := int64(1)
	if i := strings.IndexAny(text, "KMGT"); i >= 0 && i == len(text)-1 {
		unit <<= 10 * (1 + strings.IndexByte("KMGT", text[i]))
		text = text[:i]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, errBytes
	}
	return n * unit, nil
}

// ToInt converts a number to int. On a 32-bit machine it returns the closest
// int. Truncating the bits would turn a limit of 2^32 into 0, which means no
// limit.
func ToInt(n int64) int { return int(max(math.MinInt, min(n, math.MaxInt))) }

// Join joins path elements. The result is never the name of standard output.
func Join(dir, name string) string {
	if path := filepath.Join(dir, name); path != Standard {
		return path
	}
	return "." + string(filepath.Separator) + Standard
}

// Clean returns the absolute path of a file. It returns the name of standard
// input and output, and "", unchanged.
func Clean(name string) string {
	if name == Standard || name == "" {
		return name
	}
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// IsFolder reports whether a path leads to a directory.
func IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Count returns a number with its noun in the singular or plural.
func Count[N int | int64](n N, one, many string) string {
	return fmt.Sprintf("%d %s", n, Noun(n, one, many))
}

// Noun returns the noun for a number of things.
func Noun[N int | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// ByteSize formats a number of bytes for people.
func ByteSize(n float64) string {
	unit := 0
	for n >= 1024 && unit < len(byteUnits)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, byteUnits[unit])
}

var byteUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
