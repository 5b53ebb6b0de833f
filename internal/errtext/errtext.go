// Package errtext makes the errors that the module's users see. Their text begins
// with the module's name, and has it once, however deep errors are within each
// other.
package errtext

import "fmt"

const prefix = "esdk: "

// An Error is an error whose text begins with the module's name.
type Error struct{ err error }

// Errorf is [fmt.Errorf] with the prefix, which errors among the arguments lose.
func Errorf(format string, args ...any) error {
	for i, a := range args {
		if err, ok := a.(error); ok {
			args[i] = bare{err}
		}
	}
	return &Error{fmt.Errorf(format, args...)}
}

func (e *Error) Error() string { return prefix + e.err.Error() }

// Unwrap is for package errors.
func (e *Error) Unwrap() error { return e.err }

// WithoutPrefix returns the text without the prefix, for a program that begins its
// messages with a name of its own.
func (e *Error) WithoutPrefix() string { return e.err.Error() }

// Text returns the text of an error without the prefix, if it has it.
func Text(err error) string {
	if e, ok := err.(interface{ WithoutPrefix() string }); ok {
		return e.WithoutPrefix()
	}
	return err.Error()
}

// Bare returns an error with the text without the prefix, to be wrapped by one that
// has no prefix or another one.
func Bare(err error) error { return bare{err} }

// bare is an error within another one.
type bare struct{ error }

func (b bare) Error() string { return Text(b.error) }
func (b bare) Unwrap() error { return b.error }
