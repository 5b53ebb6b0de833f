// Package format converts the parts of a message to bytes and back: header,
// frames and footer. It handles no keys.
//
// Specification: data-format/message.md, message-header.md, message-body.md,
// message-body-aad.md and message-footer.md.
package format

import (
	"errors"
	"fmt"
	"io"

	"esdk/internal/errtext"
)

// ErrLimit is wrapped by every error about a message over a limit.
var ErrLimit = errtext.Errorf("limit exceeded")

// limitf returns an error that wraps ErrLimit but doesn't show its text.
// Callers add the field or part that the error is about.
func limitf(text string, args ...any) error { return &limitError{fmt.Sprintf(text, args...)} }

type limitError struct{ text string }

func (e *limitError) Error() string { return e.text }

func (e *limitError) Unwrap() error { return ErrLimit }

// Error reports a violation of the message format. The root package exports it.
type Error struct {
	Offset int64  // where the field starts, in bytes from the start of the message
	Field  string // the field of the format
	Err    error
}

func (e *Error) Error() string {
	return e.text().Error()
}

// WithoutPrefix is for package errtext.
func (e *Error) WithoutPrefix() string { return errtext.Text(e.text()) }

func (e *Error) text() error {
	return errtext.Errorf("malformed message: %s at byte %d: %v", e.Field, e.Offset, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Truncated returns the error for a message that ends within a field, given the
// error of the message's source. An error of the source itself isn't a format
// error.
func Truncated(offset int64, field string, err error) error {
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return errtext.Errorf("reading message: %w", err)
	}
	return &Error{Offset: offset, Field: field, Err: io.ErrUnexpectedEOF}
}

// NotEOF returns the error of a failed source, sink or context. If err matches
// io.EOF, the result doesn't, but has the same text and matches everything
// else. Otherwise a loop until errors.Is(err, io.EOF) would mistake a part of a
// message for the whole.
func NotEOF(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	return &notEOF{err}
}

// notEOF has no Unwrap, since errors.Is would find io.EOF in it.
type notEOF struct{ err error }

func (e *notEOF) Error() string { return e.err.Error() }

func (e *notEOF) WithoutPrefix() string { return errtext.Text(e.err) }

func (e *notEOF) Is(target error) bool { return target != io.EOF && errors.Is(e.err, target) }

func (e *notEOF) As(target any) bool { return errors.As(e.err, target) }
