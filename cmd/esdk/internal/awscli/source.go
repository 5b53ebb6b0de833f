package awscli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Source provides the text of @FILE and the variables in it.
type Source struct {
	ReadFile  func(name string) ([]byte, error)
	LookupEnv func(name string) (string, bool)
	Home      func(user string) (string, bool) // home directory of a user, "" being the current one
	Escape    rune                             // backslash; backquote on Windows
}

// Limits for files that refer to each other. They might refer to themselves, or
// double the arguments at each level.
const (
	maxDepth     = 16
	maxArguments = 100_000
	maxText      = 16 << 20 // bytes, of all files
)

// expand replaces @FILE by the arguments in the file.
func (s Source) expand(args []string) ([]string, error) {
	e := &expansion{source: s}
	if err := e.add(args, 0); err != nil {
		return nil, err
	}
	return e.args, nil
}

type expansion struct {
	source Source
	args   []string
	read   int // bytes
}

func (e *expansion) add(args []string, depth int) error {
	for _, arg := range args {
		name, isFile := strings.CutPrefix(arg, "@")
		if !isFile {
			if len(e.args) == maxArguments {
				return fmt.Errorf("more than %d arguments", maxArguments)
			}
			e.args = append(e.args, arg)
			continue
		}
		if err := e.addFile(name, depth+1); err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
	}
	return nil
}

func (e *expansion) addFile(name string, depth int) error {
	if depth > maxDepth {
		return errors.New("files name each other too deep")
	}
	text, err := e.source.ReadFile(name)
	if err != nil {
		return err
	}
	if e.read += len(text) + 1; e.read > maxText {
		return errors.New("too much text")
	}
	if !utf8.Valid(text) {
		return errors.New("is not UTF-8 text")
	}
	for _, line := range strings.FieldsFunc(string(text), isLineEnd) {
		args, err := e.source.splitLine(line)
		if err != nil {
			return err
		}
		if err := e.add(args, depth); err != nil {
			return err
		}
	}
	return nil
}

// isLineEnd reports whether Python ends a line at a character.
func isLineEnd(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) }

// splitLine splits a line into arguments, and expands variables and the home
// directory in each.
func (s Source) splitLine(line string) ([]string, error) {
	w := &splitter{escape: s.Escape}
	for _, r := range line {
		if !w.add(r) {
			break
		}
	}
	if w.quote != 0 || w.escaped {
		return nil, fmt.Errorf("a quotation or escape does not end: %q", line)
	}
	w.end()
	for i, arg := range w.args {
		w.args[i] = s.expandVariables(s.expandHome(strings.TrimSpace(arg)))
	}
	return w.args, nil
}

// A splitter splits text like Python's shlex as the program sets it up: the
// escape character works within both kinds of quotes, and # starts a comment
// even within a word.
type splitter struct {
	escape  rune
	quote   rune // 0 outside of quotes
	escaped bool // the next character is escaped
	word    strings.Builder
	inWord  bool // a word has begun; it may be empty, in quotes
	args    []string
}

// add processes a character, and reports whether to continue.
func (w *splitter) add(r rune) bool {
	switch {
	case w.escaped:
		// In quotes, the escape character stays unless an escape character or
		// the quote follows.
		if w.quote != 0 && r != w.escape && r != w.quote {
			w.word.WriteRune(w.escape)
		}
		w.word.WriteRune(r)
		w.escaped = false
	case r == w.escape:
		w.escaped, w.inWord = true, true
	case w.quote != 0 && r == w.quote:
		w.quote = 0
	case w.quote != 0:
		w.word.WriteRune(r)
	case r == '"' || r == '\'':
		w.quote, w.inWord = r, true
	case r == '#':
		return false
	case r == ' ' || r == '\t':
		w.end()
	default:
		w.word.WriteRune(r)
		w.inWord = true
	}
	return true
}

func (w *splitter) end() {
	if w.inWord {
		w.args = append(w.args, w.word.String())
	}
	w.word.Reset()
	w.inWord = false
}

// expandHome expands ~ and ~USER at the start.
func (s Source) expandHome(arg string) string {
	if !strings.HasPrefix(arg, "~") {
		return arg
	}
	end := strings.IndexByte(arg, '/')
	if end < 0 {
		end = len(arg)
	}
	if home, ok := s.Home(arg[1:end]); ok {
		return strings.TrimRight(home, "/") + arg[end:]
	}
	return arg
}

var variable = regexp.MustCompile(`\$(?:([A-Za-z0-9_]+)|\{([^}]*)\})`)

// expandVariables expands $NAME and ${NAME}, and keeps unset variables as they
// are.
func (s Source) expandVariables(arg string) string {
	return variable.ReplaceAllStringFunc(arg, func(text string) string {
		m := variable.FindStringSubmatch(text)
		if value, ok := s.LookupEnv(m[1] + m[2]); ok {
			return value
		}
		return text
	})
}
