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

// HasPattern reports whether the program treats a name as a pattern.
func HasPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// Glob returns the names that --input stands for: the name itself, or the
// sorted matches of a pattern. It follows Python and differs from
// [filepath.Glob]: a wildcard doesn't match a leading dot, [!x] matches any
// character but x, and there is no escape character, but [*] matches *.
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
	if base == "" { // only directories match
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

// trimSeparator removes trailing separators, except from a root.
func trimSeparator(dir string) string {
	if trimmed := strings.TrimRight(dir, string(filepath.Separator)); trimmed != "" && trimmed != filepath.VolumeName(dir) {
		return trimmed
	}
	return dir
}

// globBelow lists the entries of each directory that a name stands for.
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

// match returns the matches in a directory. An empty dir is the working
// directory.
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
		return nil, nil // unreadable directories don't match, as in Python
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

// compile converts a pattern to a regular expression.
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
	if err != nil { // such as for a range whose end is before its start
		return regexp.MustCompile(`\A\z.`) // matches nothing
	}
	return compiled
}

// classEnd returns the index of the ] that ends the class at the start of a
// pattern, or 0. A ] that comes first is a member of the class.
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

// class converts the inside of [...] to a class of a regular expression. Only -
// and the leading ! are special.
func class(inside string) string {
	negated := ""
	if rest, ok := strings.CutPrefix(inside, "!"); ok {
		negated, inside = "^", rest
	}
	escaped := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`, `~`, `\~`, `|`, `\|`).Replace(inside)
	return "[" + negated + escaped + "]"
}
