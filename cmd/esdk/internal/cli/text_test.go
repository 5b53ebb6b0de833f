package cli

import (
	"errors"
	"testing"

	"esdk"
)

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{esdk.ErrAuthentication, "message authentication failed"},
		{Errorf("-k x: %w", esdk.ErrLimit), "-k x: limit exceeded"},
		{errors.New("table store-of-esdk: gone"), "table store-of-esdk: gone"},
		{errors.New("two\nlines \x1b[2J"), "two lines �[2J"},
	} {
		if got := Message(test.err); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// The name of an input stands at the start of a line, and not in the text again.
func TestMessageAbout(t *testing.T) {
	about := NewError(ExitError, "there is none").Of("in: put")
	for _, c := range []struct {
		input string
		err   error
		want  string
	}{
		{"in: put", about, "there is none"},
		{"in: put", Hinted(about, "look elsewhere"), "there is none"},
		{"other", about, "in: put: there is none"},
		{"", about, "in: put: there is none"},
		{"", errors.New("any"), "any"},
		{"in: put", errors.New("in: put: of its own"), "in: put: of its own"},
	} {
		if got := messageAbout(c.input, c.err); got != c.want {
			t.Errorf("about %q: %q, want %q", c.input, got, c.want)
		}
	}
}
