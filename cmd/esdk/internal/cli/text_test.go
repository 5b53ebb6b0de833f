package cli

import (
	"errors"
	"os/exec"
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
		{errors.New("KMS: InvalidCiphertextException: "), "KMS: InvalidCiphertextException"},
		{errors.New("two\nlines \x1b[2J"), "two lines �[2J"},
	} {
		if got := Message(test.err); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// TestMessageAbout checks that the name of an input appears at the start of a
// line, and not again in the text.
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

func TestFirstColumns(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"plain", 5, "plain"}, {"plain", 4, "plai"}, {"plain", 0, ""}, {"plain", -1, ""}, {"", 3, ""},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本"}, {"日本語", 1, ""}, {"e\u0301e", 1, "e\u0301"}, {"ｆｕ", 2, "ｆ"}, {"grün", 3, "grü"},
	} {
		if got := FirstColumns(c.text, c.columns); got != c.want {
			t.Errorf("%d columns of %q: %q, want %q", c.columns, c.text, got, c.want)
		}
	}
}

// TestQuoted asks a shell.
func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"aes:n/k@a.key":           "aes:n/k@a.key",
		"arn:aws:kms:r:1:key/2-3": "arn:aws:kms:r:1:key/2-3",
		"Schlüssel":               "Schlüssel",
		"branch:t/i?kms=a&file=b": "'branch:t/i?kms=a&file=b'",
		"a key":                   "'a key'",
		"it's $HOME `x` \\":       `'it'\''s $HOME ` + "`x` \\'",
		"~/a.key":                 "'~/a.key'",
		"":                        "''",
	} {
		got := Quoted(text)
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+got).Output()
		if err != nil || string(out) != text {
			t.Errorf("%s: a shell passes %q, %v", got, out, err)
		}
	}
}
