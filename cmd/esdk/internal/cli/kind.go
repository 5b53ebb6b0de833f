package cli

import (
	"errors"
	"io/fs"
	"net/http"

	"esdk"
	"github.com/aws/smithy-go"
)

// Kinds of errors that share an exit code, for callers that act on them.
const (
	KindNotFound    = "not-found"
	KindForbidden   = "forbidden"
	KindThrottled   = "throttled"
	KindChanged     = "changed"       // somebody else changed it in the meantime
	KindNotAMessage = "not-a-message" // it doesn't begin like a message
	KindUnreachable = "unreachable"   // this command can't reach it because of its name
	KindWrongKey    = "wrong-key"     // a key was tried, and its data key isn't authentic
	KindUnavailable = "unavailable"   // a service didn't answer, or wasn't called for lack of credentials
)

// OfKind sets the kind of an error.
func (e *Error) OfKind(kind string) *Error {
	e.Kind = kind
	return e
}

// Kind returns the kind of an error: one of the constants above, or the name of
// its exit code.
func Kind(err error) string {
	code := ExitStatus(err)
	var malformed *esdk.FormatError
	switch {
	case code == ExitUnavailable && anyCause(err, throttled):
		return KindThrottled
	case errors.As(err, &malformed) && malformed.Offset == 0 && malformed.Field == "version":
		return KindNotAMessage
	}
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Kind != "" {
			return e.Kind
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return KindNotFound
	case errors.Is(err, fs.ErrPermission):
		return KindForbidden
	}
	if code == ExitNoKey && errors.Is(err, esdk.ErrAuthentication) {
		return KindWrongKey
	}
	return kinds[code]
}

// Unasked handles the error of a key service. If the service didn't decide
// whether its key opens a message, Unasked returns the error, with a kind that
// gives the reason. Otherwise it returns nil, also if err is nil.
func Unasked(err error) error {
	kind := ""
	switch {
	case err == nil:
		return nil
	case Retryable(err):
		return err
	case anyCause(err, forbidden):
		kind = KindForbidden
	case anyCause(err, unanswered):
		kind = KindUnavailable
	default:
		return nil
	}
	return (&Error{Code: ExitStatus(err), Err: err}).OfKind(kind)
}

// forbidden reports whether an error itself, not a wrapped one, is an answer of
// a service that denies access.
func forbidden(err error) bool {
	switch e := err.(type) {
	case interface{ ErrorCode() string }:
		return forbidding[e.ErrorCode()]
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode() == http.StatusUnauthorized || e.HTTPStatusCode() == http.StatusForbidden
	}
	return false
}

// forbidding are AWS error codes that deny access. Some of them come with the
// status 400.
var forbidding = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true, "IncompleteSignature": true, "IncompleteSignatureException": true,
	"MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true, "ExpiredToken": true, "ExpiredTokenException": true,
	"NotAuthorized": true, "OptInRequired": true,
}

// unanswered reports whether an error is a call to AWS that got no answer.
func unanswered(err error) bool {
	call, ok := err.(*smithy.OperationError)
	return ok && !errors.As(call.Err, new(smithy.APIError))
}

// throttled reports whether an error itself, not a wrapped one, is due to
// throttling.
func throttled(err error) bool {
	switch e := err.(type) {
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode() == http.StatusTooManyRequests || e.HTTPStatusCode() == http.StatusServiceUnavailable
	case interface{ ErrorCode() string }:
		return throttling[e.ErrorCode()]
	}
	return false
}

// throttling are the AWS error codes for throttling. They are a subset of the
// codes in patience.
var throttling = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "ThrottledException": true, "RequestThrottled": true, "RequestThrottledException": true,
	"TooManyRequestsException": true, "ProvisionedThroughputExceededException": true, "RequestLimitExceeded": true, "SlowDown": true,
}
