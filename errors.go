package esdk

import (
	"context"
	"errors"
	"slices"
	"strings"

	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/stream"
)

// These errors are for callers to decide on. Each error of this package wraps one
// of these, a [*FormatError], the error of a keyring, CMM, reader, writer or
// context, or is about a mistake in the arguments. Test for them with [errors.Is].
var (
	// ErrAuthentication says that a tag or the signature is not valid: the
	// message was changed, or is read with another key or context. It does not
	// say which of them, by intent.
	ErrAuthentication = stream.ErrAuthentication

	// ErrCommitment says that the data key is not the one that the message
	// commits to.
	ErrCommitment = errtext.Errorf("key commitment does not match")

	// ErrCommitmentPolicy says that the [CommitmentPolicy] forbids the suite.
	ErrCommitmentPolicy = errtext.Errorf("suite is not allowed by the commitment policy")

	// ErrEncryptionContext says that an encryption context is not valid, or not
	// the one of the message. Together with [ErrNoDataKey], [ErrCommitment] or
	// [ErrAuthentication] it says that the context may be the reason: the message
	// does not store some of the keys that were given, which the error names.
	ErrEncryptionContext = errtext.Errorf("encryption context")

	// ErrNoDataKey says that no keyring could decrypt any of the encrypted data
	// keys. [errors.As] finds a [*NoDataKeyError].
	ErrNoDataKey = errtext.Errorf("no encrypted data key could be decrypted")

	// ErrSigned says that the message is signed, and [RejectSigned] or
	// [Client.NewReaderAt] refuses it.
	ErrSigned = errtext.Errorf("message is signed, and only unsigned ones are accepted")

	// ErrLimit says that a message is over a limit of the [Config] or of the
	// format.
	ErrLimit = format.ErrLimit
)

// A FormatError is a violation of the message format, a message that is cut
// short included: that one wraps [io.ErrUnexpectedEOF].
type FormatError struct {
	Offset int64  // where the field starts, in bytes from the start of the message
	Field  string // the field of the format
	Err    error
}

func (e *FormatError) Error() string { return (*format.Error)(e).Error() }

// WithoutPrefix returns the text of Error without "esdk: ", for programs that begin
// their messages with a name of their own. Other errors of this package have this
// method too; [errors.As] finds it as an interface.
func (e *FormatError) WithoutPrefix() string { return (*format.Error)(e).WithoutPrefix() }

func (e *FormatError) Unwrap() error { return e.Err }

// A NoDataKeyError says why each keyring, or each attempt of one, could not
// decrypt a data key. It has no errors if none of the encrypted data keys was
// for the keyring. It matches [ErrNoDataKey], and [errors.Is] and [errors.As]
// reach each of the errors.
type NoDataKeyError struct {
	Errors []error
}

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

// texts appends the texts of the errors. Several keys may find the same fault with
// one encrypted data key.
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

// stops reports whether a context has ended, and has the errors say so: what is left
// is not tried.
func (e *NoDataKeyError) stops(ctx context.Context) bool {
	err := ctx.Err()
	if err != nil && !errors.Is(e, err) {
		e.Errors = append(e.Errors, err)
	}
	return err != nil
}

// Unwrap makes errors.Is and errors.As look into each error.
func (e *NoDataKeyError) Unwrap() []error { return e.Errors }

// Is reports whether the target is [ErrNoDataKey].
func (e *NoDataKeyError) Is(target error) bool { return target == ErrNoDataKey }

// public returns the error of an internal package as this one publishes it.
func public(err error) error {
	if e, ok := err.(*format.Error); ok {
		return (*FormatError)(e)
	}
	return err
}

// explainUnstored adds to an error of decryption what else may be its cause: a
// reproduced pair that is not stored is taken for a required one, even if its key
// is only misspelt, and neither a keyring nor a tag can tell. It names keys only,
// which the caller knows, so that it tells nothing of the message's secrets.
func explainUnstored(err error, stored, reproduced EncryptionContext) error {
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
	return errtext.Errorf("%w; %w", err, contextError("the message does not store keys %q, which were taken for required ones", keys))
}

// contextError reports what is wrong with an encryption context.
func contextError(text string, args ...any) error {
	return errtext.Errorf("%w: "+text, append([]any{ErrEncryptionContext}, args...)...)
}
