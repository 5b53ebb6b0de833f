package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"syscall"

	"github.com/aws/smithy-go"
)

// Retryable reports whether a retry of the same command may succeed: a service
// or store couldn't be reached, didn't answer, or asked to slow down. If an
// error has several causes, one of these is enough.
func Retryable(err error) bool { return anyCause(err, retryable) }

// anyCause reports whether is returns true for an error or for any error that
// it wraps.
func anyCause(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return anyCause(e.Unwrap(), is)
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if anyCause(cause, is) {
				return true
			}
		}
	}
	return false
}

// retryable checks a single error, without the errors that it wraps.
func retryable(err error) bool {
	switch e := err.(type) {
	case *Error:
		return e.Code == ExitUnavailable
	case *net.DNSError:
		return true
	case *net.OpError: // a broken pipe that is a connection
		return e.Timeout() || errors.Is(e.Err, syscall.EPIPE) || errors.Is(e.Err, net.ErrClosed)
	case *smithy.DeserializationError: // a truncated answer of AWS
		return errors.Is(e.Err, io.ErrUnexpectedEOF)
	case syscall.Errno:
		return unreachable[e]
	case *url.Error:
		return e.Timeout() || errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF)
	case net.Error:
		return e.Timeout() && !errors.Is(err, context.Canceled)
	case interface{ HTTPStatusCode() int }: // of AWS and Azure
		return temporary(e.HTTPStatusCode())
	case interface{ ErrorCode() string }: // of AWS
		return patience[e.ErrorCode()]
	}
	return errors.Is(err, context.DeadlineExceeded)
}

func temporary(status int) bool { return status == 429 || status >= 500 && status != 501 }

var unreachable = map[syscall.Errno]bool{
	syscall.ECONNREFUSED: true, syscall.ECONNRESET: true, syscall.ECONNABORTED: true,
	syscall.ETIMEDOUT: true, syscall.EHOSTUNREACH: true, syscall.ENETUNREACH: true, syscall.ENETDOWN: true,
	10051: true, 10053: true, 10054: true, 10060: true, 10061: true, 10065: true, // codes on Windows
}

// patience are the AWS error codes that ask to retry later.
var patience = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "ThrottledException": true, "RequestThrottled": true, "RequestThrottledException": true,
	"TooManyRequestsException": true, "ProvisionedThroughputExceededException": true, "RequestLimitExceeded": true,
	"SlowDown": true, "TransactionInProgressException": true, "PriorRequestNotComplete": true,
	"RequestTimeout": true, "RequestTimeoutException": true, "InternalError": true, "InternalServerError": true, "InternalFailure": true, "ServiceUnavailable": true,
	"KMSInternalException": true, "DependencyTimeoutException": true, "KeyUnavailableException": true,
}
