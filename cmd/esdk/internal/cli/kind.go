package cli

import (
	"errors"
	"io/fs"
	"net/http"

	"esdk"
)

// Kinds of errors that the exit code does not tell apart, for who is to act on them.
const (
	KindNotFound    = "not-found"
	KindForbidden   = "forbidden"
	KindThrottled   = "throttled"
	KindChanged     = "changed"       // meanwhile, by somebody else
	KindNotAMessage = "not-a-message" // it does not begin as one
	KindUnreachable = "unreachable"   // by this command, for its name
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
