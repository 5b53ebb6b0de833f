package awscli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// A parser reads the arguments once.
type parser struct {
	options []option
	rest    []string
	seen    map[string]bool // long names of options
	keys    [][]pair        // of --wrapping-keys
	result  Args
}

// Parse parses a command line without the program's name. It also reads the
// files of arguments such as @FILE.
func (s Source) Parse(args []string) (*Args, error) {
	args, err := s.expand(args)
	if err != nil {
		return nil, err
	}
	p := &parser{options: options(), rest: args, seen: make(map[string]bool)}
	for len(p.rest) > 0 {
		if err := p.next(); err != nil {
			return nil, err
		}
		// As in Python, the rest isn't checked after --help or --version.
		if p.result.Help || p.result.Version {
			return &Args{Help: p.result.Help, Version: p.result.Version}, nil
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p.result, nil
}

// next reads an option with its values, or several options in one argument.
func (p *parser) next() error {
	arg := p.rest[0]
	p.rest = p.rest[1:]
	switch {
	case arg == "--" || !p.isOption(arg):
		return fmt.Errorf("unexpected argument %q", arg)
	case strings.HasPrefix(arg, "--"):
		return p.longOption(arg[2:])
	}
	if o := p.long(beforeEqual(arg[1:])); o != nil {
		return fmt.Errorf("unknown option %q: did you mean %q?", arg, "-"+arg)
	}
	return p.letters(arg[1:])
}

func (p *parser) longOption(arg string) error {
	name, value, attached := strings.Cut(arg, "=")
	o := p.long(name)
	if o == nil {
		return p.unknown(name)
	}
	switch {
	case !attached:
		return p.take(o, "--"+name)
	case o.arity == none:
		return fmt.Errorf("--%s takes no value", name)
	}
	return p.apply(o, "--"+name, []string{value})
}

// unknown returns the error for an unknown option. It suggests the options that
// it may abbreviate.
func (p *parser) unknown(name string) error {
	var like []string
	for _, o := range p.options {
		if name != "" && strings.HasPrefix(o.long, name) {
			like = append(like, "--"+o.long)
		}
	}
	if len(like) > 0 {
		return fmt.Errorf("unknown option %q: options are not abbreviated; did you mean %s?", "--"+name, strings.Join(like, " or "))
	}
	return fmt.Errorf("unknown option %q", "--"+name)
}

// letters reads options of one letter each. The last one may have its value
// attached.
func (p *parser) letters(arg string) error {
	for i, letter := range arg {
		name := "-" + string(letter)
		o := p.short(letter)
		if o == nil {
			return fmt.Errorf("unknown option %q in %q", name, "-"+arg)
		}
		attached := arg[i+1:]
		switch {
		case o.arity == none && strings.HasPrefix(attached, "="):
			return fmt.Errorf("%s takes no value", name)
		case o.arity == none:
			if err := p.apply(o, name, nil); err != nil {
				return err
			}
		case attached != "":
			return p.apply(o, name, []string{strings.TrimPrefix(attached, "=")})
		default:
			return p.take(o, name)
		}
	}
	return nil
}

// take passes an option the values that follow it.
func (p *parser) take(o *option, name string) error {
	n := 0
	for most := p.most(o); n < most && !p.isOption(p.rest[n]); {
		n++
	}
	if n == 0 && (o.arity == one || o.arity == many) {
		return fmt.Errorf("%s needs a value", name)
	}
	values := p.rest[:n]
	p.rest = p.rest[n:]
	return p.apply(o, name, values)
}

// most returns the largest number of values that an option can have here.
func (p *parser) most(o *option) int {
	switch o.arity {
	case none:
		return 0
	case many:
		return len(p.rest)
	}
	return min(1, len(p.rest))
}

func (p *parser) apply(o *option, name string, values []string) error {
	if o.once && p.seen[o.long] {
		return fmt.Errorf("%s twice", name)
	}
	p.seen[o.long] = true
	if err := o.set(p, values); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *parser) long(name string) *option {
	for i := range p.options {
		if o := &p.options[i]; o.long == name && name != "" {
			return o
		}
	}
	return nil
}

func (p *parser) short(letter rune) *option {
	for i := range p.options {
		if o := &p.options[i]; strings.ContainsRune(o.short, letter) {
			return o
		}
	}
	return nil
}

var negativeNumber = regexp.MustCompile(`^-([0-9]+|[0-9]*\.[0-9]+)$`)

// isOption reports whether argparse treats an argument as an option rather than
// as a value. A value may start with a dash if it has a space, or is a number.
func (p *parser) isOption(arg string) bool {
	switch {
	case len(arg) < 2 || arg[0] != '-':
		return false
	case p.long(beforeEqual(strings.TrimPrefix(arg[1:], "-"))) != nil:
		return true
	}
	if letter, _ := utf8.DecodeRuneInString(arg[1:]); p.short(letter) != nil {
		return true
	}
	return !negativeNumber.MatchString(arg) && !strings.Contains(arg, " ")
}

func beforeEqual(text string) string {
	before, _, _ := strings.Cut(text, "=")
	return before
}

// A pair is KEY=VALUE.
type pair struct{ key, value string }

func parsePair(text string) (pair, error) {
	key, value, _ := strings.Cut(text, "=")
	if key == "" || value == "" {
		return pair{}, fmt.Errorf("%q is not KEY=VALUE", text)
	}
	return pair{key, value}, nil
}

func parsePairs(texts []string) (pairs []pair, err error) {
	for _, text := range texts {
		pair, err := parsePair(text)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// setContext rejects duplicate keys. The program would use only one of them.
func (p *parser) setContext(values []string) error {
	seen := make(map[string]bool)
	for _, value := range values {
		key := beforeEqual(value)
		if key == "" {
			return errors.New("a key is empty")
		}
		if seen[key] {
			return fmt.Errorf("key %q twice", key)
		}
		seen[key] = true
	}
	p.result.Context = values
	return nil
}
