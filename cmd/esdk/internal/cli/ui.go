package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// Standard is the name of standard input and output on the command line.
const Standard = "-"

// A UI is the interface of the command to its user: data goes to standard
// output, diagnostics to standard error. It is not safe for concurrent use.
type UI struct {
	Stdin, Stdout, Stderr *os.File

	Quiet      bool // print errors only
	NoProgress bool
	JSON       bool // print results and errors as JSON

	// Advice returns a hint for an error without one, or "". It names options,
	// and so depends on the command line: esdk's own, or the one of
	// aws-encryption-cli.
	Advice func(error) string

	hints        map[string]bool // already given on inputs
	stdinUsed    string          // the use of standard input, which can only have one
	stdoutClosed bool            // when the command was started
}

// NewUI returns a UI on the process's standard streams.
func NewUI() *UI {
	u := &UI{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if u.stdoutClosed = Closed(os.Stdout); u.stdoutClosed {
		u.Stdout = unwritable(os.Stdout)
	}
	return u
}

// ClaimStdin reserves standard input for one use.
func (u *UI) ClaimStdin(what string) (io.Reader, error) {
	if u.stdinUsed != "" {
		return nil, UsageError("standard input cannot be both %s and %s", u.stdinUsed, what)
	}
	u.stdinUsed = what
	if Closed(u.Stdin) {
		return nil, NewError(ExitError, "standard input is closed: cannot read %s", what)
	}
	return u.Stdin, nil
}

// CheckStdout returns an error if standard output, needed for the given
// purpose, is closed.
func (u *UI) CheckStdout(what string) error {
	if u.stdoutClosed {
		return NewError(ExitNotWritten, "standard output is closed: cannot write %s", what)
	}
	return nil
}

// Note prints a line that is not a result, unless Quiet is set.
func (u *UI) Note(text string, args ...any) {
	switch {
	case u.Quiet:
	case u.JSON:
		line, _ := JSON(map[string]string{"note": fmt.Sprintf(text, args...)}) // marshaling a text can't fail
		u.Stderr.Write(line)
	default:
		fmt.Fprintf(u.Stderr, "esdk: "+text+"\n", args...)
	}
}

// NoteObject prints an object under a name as a line of JSON that is not a
// result, unless Quiet is set.
func (u *UI) NoteObject(name string, object any) {
	if u.Quiet {
		return
	}
	line, err := JSON(map[string]any{name: object})
	if err == nil {
		u.Stderr.Write(line)
	}
}

// Announce prints an essential message, even if Quiet is set: as lines of text,
// or in JSON mode as one line with an object under a name.
func (u *UI) Announce(name string, object any, lines ...string) {
	text, _ := JSON(map[string]any{name: object}) // marshaling texts can't fail
	if !u.JSON {
		text = []byte("esdk: " + strings.Join(lines, "\nesdk: ") + "\n")
	}
	u.Stderr.Write(text) // in a single write, so that other lines don't interleave
}

// Print prints a result as JSON or as text.
func (u *UI) Print(result any, text string, args ...any) error {
	if u.JSON {
		return u.PrintJSON(result)
	}
	_, err := fmt.Fprintf(u.Stdout, text, args...)
	return err
}

// Hint returns a hint for an error, or "" if there is none.
func (u *UI) Hint(err error) string {
	hint := cmp.Or(hintOnName(err), Hint(err), hintOnFormat(err))
	if hint == "" && u.Advice != nil {
		hint = u.Advice(err)
	}
	return hint
}

// Report prints an error, with the name of the input if the error is about one.
// It doesn't report a closed pipe, since the reader doesn't want any more
// output.
func (u *UI) Report(input string, err error) {
	if errors.Is(err, syscall.EPIPE) && !errors.As(err, new(*net.OpError)) {
		return
	}
	code, hint := ExitStatus(err), u.Hint(err)
	text := messageAbout(input, err)
	if u.JSON {
		type body struct {
			Code    int    `json:"code"`
			Kind    string `json:"kind"`
			Input   string `json:"input,omitempty"`
			Message string `json:"message"`
			Hint    string `json:"hint,omitempty"`

			InputBytes []byte `json:"input_bytes,omitempty"`
			Retryable  bool   `json:"retryable,omitempty"`
		}
		if of := (*inputError)(nil); input == "" && errors.As(err, &of) {
			input = of.name
		}
		line, _ := JSON(map[string]body{"error": {code, kinds[code], input, text, hint, Bytes(input), Retryable(err)}}) // marshaling texts can't fail
		u.Stderr.Write(line)
		return
	}
	if code == ExitInterrupted {
		fmt.Fprintln(u.Stderr, "esdk: interrupted")
		return
	}
	if input != "" {
		input = Printable(input) + ": "
	}
	fmt.Fprintf(u.Stderr, "esdk: %serror: %s\n", input, text)
	if hint != "" && (input == "" || u.isNew(hint)) {
		fmt.Fprintf(u.Stderr, "esdk: hint: %s\n", hint)
	}
}

// maxHints limits the memory for hints that differ with each input.
const maxHints = 100

// isNew reports whether a hint has not been given on another input.
func (u *UI) isNew(hint string) bool {
	known := u.hints[hint]
	if !known && len(u.hints) < maxHints {
		if u.hints == nil {
			u.hints = make(map[string]bool)
		}
		u.hints[hint] = true
	}
	return !known
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
