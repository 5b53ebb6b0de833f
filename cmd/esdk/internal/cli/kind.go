package cli

import (
	"errors"
	"io/fs"
	"net/http"

	"esdk"
	"github.com/aws/smithy-go"
)

// Kinds of errors that the exit code does not tell apart, for who is to act on them.
const (
	KindNotFound    = "not-found"
	KindForbidden   = "forbidden"
	KindThrottled   = "throttled"
	KindChanged     = "changed"       // meanwhile, by somebody else
	KindNotAMessage = "not-a-message" // it does not begin as one
	KindUnreachable = "unreachable"   // by this command, for its name
	KindUnavailable = "unavailable"   // a service didn't answer, or was not asked for lack of credentials
)

// OfKind says of which kind an error is.
func (e *Error) OfKind(kind string) *Error {
	e.Kind = kind
	return e
}

// Kind returns the kind of an error: one of those above, or what its exit code stands for.
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
	return kinds[code]
}

// Unasked returns an error of a key service that didn't say whether its key opens a message,
// with the kind that says why, or nil if err is none.
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

// forbidden reports whether an error is itself the answer of a service that the caller may
// not ask for that.
func forbidden(err error) bool {
	switch e := err.(type) {
	case interface{ ErrorCode() string }:
		return forbidding[e.ErrorCode()]
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode() == http.StatusUnauthorized || e.HTTPStatusCode() == http.StatusForbidden
	}
	return false
}

// forbidding are the codes of AWS for it, some of which have the status 400.
var forbidding = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true, "IncompleteSignature": true, "IncompleteSignatureException": true,
	"MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true, "ExpiredToken": true, "ExpiredTokenException": true,
	"NotAuthorized": true, "OptInRequired": true,
}

// unanswered reports whether an error is a call of AWS that got no answer.
func unanswered(err error) bool {
	call, ok := err.(*smithy.OperationError)
	return ok && !errors.As(call.Err, new(smithy.APIError))
}

// throttled reports whether an error itself asks for patience.
func throttled(err error) bool {
	switch e := err.(type) {
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode() == http.StatusTooManyRequests || e.HTTPStatusCode() == http.StatusServiceUnavailable
	case interface{ ErrorCode() string }:
		return throttling[e.ErrorCode()]
	}
	return false
}

// throttling are the codes of AWS for it, which are among those of patience.
var throttling = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "ThrottledException": true, "RequestThrottled": true, "RequestThrottledException": true,
	"TooManyRequestsException": true, "ProvisionedThroughputExceededException": true, "RequestLimitExceeded": true, "SlowDown": true,
}
