// Package cli has what all parts of the command share: errors with exit codes and
// hints, standard streams, and text that a terminal can show.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"esdk"
)

// The exit codes are a promise; docs/cli.md and "esdk help exit-codes" list
// them. New ones may be added.
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

// kinds name the exit codes in JSON.
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

// An Error is an error with an exit code, and maybe a hint how to go on.
type Error struct {
	Code  int
	About string // names the file or object, if the error is about one
	Err   error
	Hint  string
	Kind  string // see Kind; "" for what the exit code stands for
}

func (e *Error) Error() string { return textOf(e) }

// Unwrap is for package errors.
func (e *Error) Unwrap() error { return e.Err }

// Of names what the error is about: the text begins with it, unless it is reported
// for an input of this name.
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

// NamedFile returns the error of opening a file that a flag names. It's one of usage if the
// name is the mistake, so that no engine tries again what can't go well.
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

// An inputError says which input an error is of. Only JSON tells: a line of text names
// one if there are several.
type inputError struct {
	name string
	error
}

func (e *inputError) Unwrap() error         { return e.error }
func (e *inputError) WithoutPrefix() string { return textOf(e.error) }

// OfInput returns an error that says which input it is of.
func OfInput(name string, err error) error { return &inputError{name, err} }

// WithCode returns an error with another exit code.
func WithCode(code int, err error) error { return &Error{Code: code, Err: err} }

// Errorf is [fmt.Errorf], but for the library's name, which the texts of its errors
// begin with: the command begins each line with its own.
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

// ExitStatus returns the exit code for an error. One for which a service or store is to
// blame, which may be back, is no verdict on keys.
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
	case errors.Is(err, esdk.ErrAuthentication), errors.Is(err, esdk.ErrCommitment), errors.As(err, &malformed):
		return ExitNotAuthentic
	case errors.Is(err, esdk.ErrNoDataKey):
		return ExitNoKey
	case errors.Is(err, esdk.ErrEncryptionContext):
		return ExitContext
	case errors.Is(err, esdk.ErrCommitmentPolicy), errors.Is(err, esdk.ErrSigned), errors.Is(err, esdk.ErrLimit):
		return ExitPolicy
	case errors.Is(err, fs.ErrExist):
		return ExitNotWritten
	}
	return ExitError
}

// Hint returns the hint of an error or of one that it wraps, "" if none has one.
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

// hintOnFormat is a hint on a message that is not one.
func hintOnFormat(err error) string {
	var malformed *esdk.FormatError
	switch {
	case !errors.As(err, &malformed) || malformed.Offset != 0:
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "there is nothing in it"
	case malformed.Field == "version":
		return "it does not begin as an encrypted message does"
	}
	return ""
}
