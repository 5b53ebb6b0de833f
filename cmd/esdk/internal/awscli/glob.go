package awscli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// HasPattern reports whether the tool takes a name for a pattern.
func HasPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// Glob returns the names that --input stands for: itself, or those that match it,
// sorted. As in Python and other than in [filepath.Glob], a wildcard does not match
// a leading dot, [!x] is any but x, and nothing escapes, but [*] stands for *.
func Glob(name string) ([]string, error) {
	dir, base := filepath.Split(name)
	if !HasPattern(name) {
		switch _, err := os.Lstat(name); {
		case err == nil:
			return []string{name}, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		default:
			return nil, err
		}
	}
	if base == "" { // only folders match
		return globBelow(filepath.Clean(dir), func(parent string) ([]string, error) {
			return []string{parent + string(filepath.Separator)}, nil
		})
	}
	if dir == "" {
		return match("", base)
	}
	return globBelow(trimSeparator(dir), func(parent string) ([]string, error) {
		return match(parent, base)
	})
}

// trimSeparator leaves the root as it is.
func trimSeparator(dir string) string {
	if trimmed := strings.TrimRight(dir, string(filepath.Separator)); trimmed != "" && trimmed != filepath.VolumeName(dir) {
		return trimmed
	}
	return dir
}

// globBelow joins what there is in each folder that a name stands for.
func globBelow(dir string, list func(string) ([]string, error)) (names []string, err error) {
	parents, err := Glob(dir)
	if err != nil {
		return nil, err
	}
	for _, parent := range parents {
		if info, err := os.Stat(parent); err != nil || !info.IsDir() {
			continue
		}
		below, err := list(parent)
		if err != nil {
			return nil, err
		}
		names = append(names, below...)
	}
	return names, nil
}

// match returns what matches in one folder; "" is the current one.
func match(dir, base string) (names []string, err error) {
	if !HasPattern(base) {
		path := filepath.Join(dir, base)
		if _, err := os.Lstat(path); err != nil {
			return nil, nil
		}
		return []string{path}, nil
	}
	open := dir
	if open == "" {
		open = "."
	}
	f, err := os.Open(open)
	if err != nil {
		return nil, nil // as there: what cannot be read does not match
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	pattern := compile(base)
	for _, name := range all {
		hidden := strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".")
		if !hidden && pattern.MatchString(name) {
			names = append(names, filepath.Join(dir, name))
		}
	}
	return names, nil
}

// compile turns a pattern into a regular expression.
func compile(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for len(pattern) > 0 {
		switch end := classEnd(pattern); {
		case pattern[0] == '*':
			b.WriteString(".*")
		case pattern[0] == '?':
			b.WriteString(".")
		case end > 0:
			b.WriteString(class(pattern[1:end]))
			pattern = pattern[end:]
		default:
			b.WriteString(regexp.QuoteMeta(pattern[:1]))
		}
		pattern = pattern[1:]
	}
	b.WriteString(`\z`)
	compiled, err := regexp.Compile(b.String())
	if err != nil { // such as of a range whose end is before its start
		return regexp.MustCompile(`\A\z.`) // matches nothing
	}
	return compiled
}

// classEnd is where the ] is that ends the class at the start of a pattern, or 0.
// One that comes first is a member.
func classEnd(pattern string) int {
	if pattern[0] != '[' {
		return 0
	}
	start := 1
	if strings.HasPrefix(pattern[start:], "!") {
		start++
	}
	if strings.HasPrefix(pattern[start:], "]") {
		start++
	}
	end := strings.IndexByte(pattern[start:], ']')
	if end < 0 {
		return 0
	}
	return start + end
}

// class turns the inside of [...] into a class of a regular expression, in which
// only - and the leading ! have a meaning.
func class(inside string) string {
	negated := ""
	if rest, ok := strings.CutPrefix(inside, "!"); ok {
		negated, inside = "^", rest
	}
	escaped := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`, `~`, `\~`, `|`, `\|`).Replace(inside)
	return "[" + negated + escaped + "]"
}
