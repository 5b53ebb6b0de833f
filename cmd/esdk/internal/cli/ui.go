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

// A UI is how the command talks to its user: data goes to standard output,
// diagnostics to standard error. One goroutine at a time uses it.
type UI struct {
	Stdin, Stdout, Stderr *os.File

	Quiet      bool // print errors only
	NoProgress bool
	JSON       bool // results and errors

	// Advice returns a hint on an error that has none, "" if there is none. It
	// names options, and so depends on whose the command line is.
	Advice func(error) string

	hints        map[string]bool // that were given on inputs
	stdinUsed    string          // what reads standard input, which only one thing can
	stdoutClosed bool            // at the start
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
		return nil, NewError(ExitError, "standard input is closed, and would be %s", what)
	}
	return u.Stdin, nil
}

// CheckStdout fails if there is no standard output for what is to go there.
func (u *UI) CheckStdout(what string) error {
	if u.stdoutClosed {
		return NewError(ExitNotWritten, "standard output is closed, and would be %s", what)
	}
	return nil
}

// Note prints a line that is not a result, unless the user wants quiet.
func (u *UI) Note(text string, args ...any) {
	switch {
	case u.Quiet:
	case u.JSON:
		line, _ := JSON(map[string]string{"note": fmt.Sprintf(text, args...)}) // of a text cannot fail
		u.Stderr.Write(line)
	default:
		fmt.Fprintf(u.Stderr, "esdk: "+text+"\n", args...)
	}
}

// NoteObject prints an object under a name as a line of JSON that is not a result,
// unless the user wants quiet.
func (u *UI) NoteObject(name string, object any) {
	if u.Quiet {
		return
	}
	line, err := JSON(map[string]any{name: object})
	if err == nil {
		u.Stderr.Write(line)
	}
}

// Announce tells what the user must know, even one who wants quiet: in lines of
// text, or as one line of JSON, an object under a name.
func (u *UI) Announce(name string, object any, lines ...string) {
	text, _ := JSON(map[string]any{name: object}) // of texts cannot fail
	if !u.JSON {
		text = []byte("esdk: " + strings.Join(lines, "\nesdk: ") + "\n")
	}
	u.Stderr.Write(text) // at once, between lines of others
}

// Print prints a result as JSON or as text.
func (u *UI) Print(result any, text string, args ...any) error {
	if u.JSON {
		return u.PrintJSON(result)
	}
	_, err := fmt.Fprintf(u.Stdout, text, args...)
	return err
}

// Hint returns advice on an error, "" if there is none.
func (u *UI) Hint(err error) string {
	hint := cmp.Or(Hint(err), hintOnFormat(err))
	if hint == "" && u.Advice != nil {
		hint = u.Advice(err)
	}
	return hint
}

// Report prints an error about an input, if it is about one. Who reads no more from a
// pipe does not want to hear of it either.
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
		line, _ := JSON(map[string]body{"error": {code, kinds[code], input, text, hint, Bytes(input), Retryable(err)}}) // of texts cannot fail
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

// maxHints bounds the memory for hints that differ with each input.
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
