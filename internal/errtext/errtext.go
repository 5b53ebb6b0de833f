// Package errtext makes the errors that the module's users see. Their text
// begins with the module's name, and contains it only once, however deeply
// errors are nested.
package errtext

import "fmt"

const prefix = "esdk: "

// An Error is an error whose text begins with the module's name.
type Error struct{ err error }

// Errorf is like [fmt.Errorf], but adds the prefix and removes it from errors
// among the arguments.
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

// WithoutPrefix returns the text without the prefix, for programs that begin
// their messages with their own name.
func (e *Error) WithoutPrefix() string { return e.err.Error() }

// Text returns the text of an error without the prefix, if it has one.
func Text(err error) string {
	if e, ok := err.(interface{ WithoutPrefix() string }); ok {
		return e.WithoutPrefix()
	}
	return err.Error()
}

// Bare returns an error whose text has no prefix, for wrapping in an error with
// no prefix or another one.
func Bare(err error) error { return bare{err} }

// ErrAuthentication is esdk.ErrAuthentication, for packages that the root
// package imports.
var ErrAuthentication = Errorf("message authentication failed")

// Inauthentic returns an error with the text of err that also matches
// ErrAuthentication: an encrypted data key isn't authentic.
func Inauthentic(err error) error { return inauthentic{err} }

type inauthentic struct{ error }

func (e inauthentic) Unwrap() error         { return e.error }
func (e inauthentic) Is(target error) bool  { return target == ErrAuthentication }
func (e inauthentic) WithoutPrefix() string { return Text(e.error) }

// bare is an error within another error.
type bare struct{ error }

func (b bare) Error() string { return Text(b.error) }
func (b bare) Unwrap() error { return b.error }
