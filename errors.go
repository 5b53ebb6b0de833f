package esdk

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
)

// These errors are for callers to act on. Every error of this package wraps one
// of these, a [*FormatError], or the error of a keyring, CMM, reader, writer or
// context, or reports a mistake in the arguments. Test for them with
// [errors.Is].
var (
	// ErrAuthentication is returned if a tag or the signature isn't valid: the
	// message was changed, or is being read with another key or context. By
	// design, it doesn't say which. A [*NoDataKeyError] matches it if each data
	// key that was tried isn't authentic.
	ErrAuthentication = stream.ErrAuthentication

	// ErrCommitment is returned if the message commits to another data key.
	ErrCommitment = errtext.Errorf("key commitment does not match")

	// ErrCommitmentPolicy is returned if the [CommitmentPolicy] forbids the
	// suite.
	ErrCommitmentPolicy = errtext.Errorf("suite is not allowed by the commitment policy")

	// ErrEncryptionContext is returned if an encryption context isn't valid or
	// doesn't match the message. Together with [ErrNoDataKey], [ErrCommitment]
	// or [ErrAuthentication] it means that the context may be the reason: the
	// message doesn't store some of the given keys, which the error names.
	ErrEncryptionContext = errtext.Errorf("encryption context")

	// ErrNoDataKey is returned if no keyring could decrypt any of the encrypted
	// data keys. [errors.As] finds a [*NoDataKeyError].
	ErrNoDataKey = errtext.Errorf("no encrypted data key could be decrypted")

	// ErrSigned is returned if the message is signed, and [RejectSigned] or
	// [Client.NewReaderAt] rejects it.
	ErrSigned = errtext.Errorf("message is signed, but only unsigned messages are accepted")

	// ErrLimit is returned if a message exceeds a limit of the [Config] or of
	// the format.
	ErrLimit = format.ErrLimit
)

// A FormatError reports a violation of the message format. For a truncated
// message it wraps [io.ErrUnexpectedEOF].
type FormatError struct {
	Offset int64  // where the field starts, in bytes from the start of the message
	Field  string // the field of the format
	Err    error
}

// Error returns the field, the offset and the reason.
func (e *FormatError) Error() string { return (*format.Error)(e).Error() }

// WithoutPrefix returns the text of Error without "esdk: ", for programs that
// begin their messages with their own name. Other errors of this package have
// this method too; [errors.As] finds it as an interface.
func (e *FormatError) WithoutPrefix() string { return (*format.Error)(e).WithoutPrefix() }

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// A NoDataKeyError holds the reason why each keyring, or each attempt of one,
// could not decrypt a data key. It matches [ErrNoDataKey]. There are three
// cases:
//
//   - It also matches [ErrAuthentication] if each data key that was tried isn't
//     authentic: it was changed, is malformed, or belongs to another wrapping
//     key of the same name or to another encryption context. The message is at
//     fault, or the key, and a retry is in vain.
//   - It has no errors if none of the encrypted data keys was for the keyring.
//   - Otherwise [errors.Is] and [errors.As] reach the errors of the services,
//     stores and tokens that were asked. A retry may help.
//
// The errors of data keys that aren't authentic match [ErrAuthentication]. If a
// service failed for another data key, errors.Is and errors.As don't reach
// them, so that an outage never seems to be the fault of a message.
type NoDataKeyError struct {
	Errors []error
}

// Error returns the texts of the errors, each one once.
func (e *NoDataKeyError) Error() string { return e.text().Error() }

// WithoutPrefix returns the text of Error without "esdk: ".
func (e *NoDataKeyError) WithoutPrefix() string { return errtext.Text(e.text()) }

func (e *NoDataKeyError) text() error {
	texts := e.texts(nil)
	if len(texts) == 0 {
		texts = []string{"none is for this keyring"}
	}
	return errtext.Errorf("%w: %s", ErrNoDataKey, strings.Join(texts, "; "))
}

// texts appends the texts of the errors, without repeats: several keys may
// report the same error for one encrypted data key.
func (e *NoDataKeyError) texts(texts []string) []string {
	for _, err := range e.Errors {
		if none, ok := err.(*NoDataKeyError); ok {
			texts = none.texts(texts)
		} else if err != nil && !slices.Contains(texts, errtext.Text(err)) {
			texts = append(texts, errtext.Text(err))
		}
	}
	return texts
}

// stops reports whether a context has ended, and if so adds its error: the
// remaining attempts aren't made.
func (e *NoDataKeyError) stops(ctx context.Context) bool {
	err := ctx.Err()
	if err != nil && !errors.Is(e, err) {
		e.Errors = append(e.Errors, err)
	}
	return err != nil
}

// Unwrap returns the errors for errors.Is and errors.As. If any of them is
// about something else than an inauthentic data key, it leaves out those that
// match [ErrAuthentication].
func (e *NoDataKeyError) Unwrap() []error {
	var others []error
	failed := false
	for _, err := range e.Errors {
		if !errors.Is(err, ErrAuthentication) {
			others = append(others, err)
			_, encryptOnly := errors.AsType[datakey.CannotDecrypt](err)
			failed = failed || !encryptOnly
		}
	}
	if failed {
		return others
	}
	return e.Errors
}

// Is reports whether the target is [ErrNoDataKey].
func (e *NoDataKeyError) Is(target error) bool { return target == ErrNoDataKey }

// public converts an error of an internal package to the one this package
// exports.
func public(err error) error {
	if e, ok := err.(*format.Error); ok {
		return (*FormatError)(e)
	}
	return err
}

// explainUnstored adds a possible cause to a decryption error. A reproduced
// pair that isn't stored is treated as a required pair, even if its key is only
// misspelt, and neither a keyring nor a tag can tell the difference. The error
// names only keys, which the caller knows, so it leaks none of the message's
// secrets.
func explainUnstored(err error, h *format.Header, reproduced EncryptionContext) error {
	stored := maps.Collect(h.Pairs)
	var keys []string
	for k := range reproduced {
		if _, ok := stored[k]; !ok {
			keys = append(keys, k)
		}
	}
	keyed := errors.Is(err, ErrNoDataKey) || errors.Is(err, ErrCommitment) || errors.Is(err, ErrAuthentication)
	if len(keys) == 0 || !keyed {
		return err
	}
	slices.Sort(keys)
	return errtext.Errorf("%w; %w", err, contextError("the message does not store keys %q, which were treated as required", keys))
}

// contextError returns an error that wraps ErrEncryptionContext.
func contextError(text string, args ...any) error {
	return errtext.Errorf("%w: "+text, append([]any{ErrEncryptionContext}, args...)...)
}
