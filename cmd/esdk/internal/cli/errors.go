// Package cli provides the common parts of the command: errors with exit codes
// and hints, standard streams, and text that is safe to print on a terminal.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"esdk"
)

// The exit codes are stable; docs/cli.md and "esdk help exit-codes" list them.
// New ones may be added.
const (
	ExitOK           = 0
	ExitError        = 1
	ExitUsage        = 2
	ExitSomeFailed   = 3
	ExitNotAuthentic = 4
	ExitNoKey        = 5
	ExitContext      = 6
	ExitPolicy       = 7
	ExitNotWritten   = 8
	ExitUnavailable  = 9
	ExitInterrupted  = 130
)

// kinds are the names of the exit codes in JSON.
var kinds = map[int]string{
	ExitError:        "error",
	ExitUsage:        "usage",
	ExitSomeFailed:   "some-failed",
	ExitNotAuthentic: "not-authentic",
	ExitNoKey:        "no-key",
	ExitContext:      "context",
	ExitPolicy:       "policy",
	ExitNotWritten:   "not-written",
	ExitUnavailable:  KindUnavailable,
	ExitInterrupted:  "interrupted",
}

// An Error is an error with an exit code and an optional hint.
type Error struct {
	Code  int
	About string // name of the file or object that the error is about, if any
	Err   error
	Hint  string
	Kind  string // see [Kind]; "" stands for the kind of the exit code
}

func (e *Error) Error() string { return textOf(e) }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Of sets the name of the file or object that the error is about. The text of
// the error begins with it, unless the error is reported for the input of this
// name.
func (e *Error) Of(name string) *Error {
	e.About = name
	return e
}

// WithHint adds a hint.
func (e *Error) WithHint(text string, args ...any) *Error {
	e.Hint = fmt.Sprintf(text, args...)
	return e
}

// NewError returns an error with an exit code. It formats as [Errorf] does.
func NewError(code int, text string, args ...any) *Error {
	return &Error{Code: code, Err: Errorf(text, args...)}
}

// UsageError returns an error about the arguments.
func UsageError(text string, args ...any) *Error { return NewError(ExitUsage, text, args...) }

// NamedFile returns the error of opening a file given by a flag. If the name is
// wrong, it is a usage error, so that no engine retries it in vain.
func NamedFile(flag string, err error) error {
	for _, mistake := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS} {
		if errors.Is(err, mistake) {
			return UsageError("%s: %w", flag, err)
		}
	}
	return err
}

// Hinted adds a hint to an error without changing its exit code.
func Hinted(err error, text string, args ...any) error {
	return (&Error{Code: ExitStatus(err), Err: err}).WithHint(text, args...)
}

// An inputError adds to an error the name of its input. Only JSON shows it: a
// line of text has the name if there are several inputs.
type inputError struct {
	name string
	error
}

func (e *inputError) Unwrap() error         { return e.error }
func (e *inputError) WithoutPrefix() string { return textOf(e.error) }

// OfInput returns an error with the name of its input.
func OfInput(name string, err error) error { return &inputError{name, err} }

// WithCode returns an error with another exit code.
func WithCode(code int, err error) error { return &Error{Code: code, Err: err} }

// Errorf is like [fmt.Errorf], but strips the library's name from wrapped
// errors: the command begins each line with its own name.
func Errorf(text string, args ...any) error {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = bare{err}
		}
	}
	return fmt.Errorf(text, args...)
}

// bare is an error without the library's name.
type bare struct{ error }

func (b bare) Error() string { return textOf(b.error) }
func (b bare) Unwrap() error { return b.error }

func textOf(err error) string {
	switch e := err.(type) {
	case *Error:
		if e.About != "" {
			return e.About + ": " + textOf(e.Err)
		}
		return textOf(e.Err)
	case interface{ WithoutPrefix() string }:
		return e.WithoutPrefix()
	}
	return err.Error()
}

// ExitStatus returns the exit code for an error. ExitUnavailable takes
// precedence over ExitError and ExitNoKey if the error is [Retryable]: the
// failure of a service or store, which may recover, says nothing about the
// keys.
func ExitStatus(err error) int {
	code := status(err)
	if (code == ExitError || code == ExitNoKey) && Retryable(err) {
		return ExitUnavailable
	}
	return code
}

func status(err error) int {
	var e *Error
	var malformed *esdk.FormatError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, esdk.ErrNoDataKey): // also if the data keys aren't authentic
		return ExitNoKey
	case errors.Is(err, esdk.ErrAuthentication), errors.Is(err, esdk.ErrCommitment), errors.As(err, &malformed):
		return ExitNotAuthentic
	case errors.Is(err, esdk.ErrEncryptionContext):
		return ExitContext
	case errors.Is(err, esdk.ErrCommitmentPolicy), errors.Is(err, esdk.ErrSigned), errors.Is(err, esdk.ErrLimit):
		return ExitPolicy
	case errors.Is(err, fs.ErrExist):
		return ExitNotWritten
	}
	return ExitError
}

// Hint returns the hint of an error or of one that it wraps, or "" if none has
// one.
func Hint(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// hintOnName returns a hint for the name of a file that doesn't exist, if it
// comes from a list of lines with Windows line ends.
func hintOnName(err error) string {
	var missing *fs.PathError
	if errors.As(err, &missing) && errors.Is(missing, fs.ErrNotExist) && strings.HasSuffix(missing.Path, "\r") {
		return `the name ends in a carriage return, as lines do on Windows: remove it with tr -d '\r'`
	}
	return ""
}

// hintOnFormat returns a hint for an input that isn't a whole message.
func hintOnFormat(err error) string {
	var malformed *esdk.FormatError
	switch {
	case !errors.As(err, &malformed):
	case errors.Is(err, io.ErrUnexpectedEOF) && malformed.Offset == 0:
		return "the input is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the input ends before the message does: copy all of it again"
	case malformed.Field == "version":
		return "this isn't a message of the AWS Encryption SDK"
	}
	return ""
}
