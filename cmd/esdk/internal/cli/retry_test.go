package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"esdk"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

func TestRetryable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, refused := net.Dial("tcp", closed.Addr().String())
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer slow.Close()
	_, timeout := (&http.Client{Timeout: 10 * time.Millisecond}).Get(slow.URL)
	gone := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer gone.Close()
	_, eof := http.Get(gone.URL)
	code := func(text string) error { return &smithy.GenericAPIError{Code: text} }
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"refused":             {refused, ExitUnavailable},
		"timeout":             {timeout, ExitUnavailable},
		"cut off":             {eof, ExitUnavailable},
		"deadline":            {context.DeadlineExceeded, ExitUnavailable},
		"name":                {&url.Error{Err: &net.DNSError{IsNotFound: true}}, ExitUnavailable},
		"reset":               {os.NewSyscallError("read", syscall.ECONNRESET), ExitUnavailable},
		"broken":              {&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, ExitUnavailable},
		"closed":              {&url.Error{Op: "Put", Err: &net.OpError{Op: "write", Err: net.ErrClosed}}, ExitUnavailable},
		"cut answer":          {&smithy.OperationError{Err: &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}}, ExitUnavailable},
		"a pipe":              {&os.PathError{Op: "write", Err: syscall.EPIPE}, ExitError},
		"said so":             {NewError(ExitUnavailable, "it stalled"), ExitUnavailable},
		"patience":            {code("ThrottlingException"), ExitUnavailable},
		"one of several":      {&esdk.NoDataKeyError{Errors: []error{code("AccessDeniedException"), &esdk.NoDataKeyError{Errors: []error{refused}}}}, ExitUnavailable},
		"of an object":        {NewError(ExitError, "%w", refused).Of("s3://b/k"), ExitUnavailable},
		"denied":              {&esdk.NoDataKeyError{Errors: []error{code("AccessDeniedException")}}, ExitNoKey},
		"no key":              {&esdk.NoDataKeyError{}, ExitNoKey},
		"interrupted":         {context.Canceled, ExitInterrupted},
		"authentic, or not":   {fmt.Errorf("%w: %w", esdk.ErrAuthentication, refused), ExitNotAuthentic},
		"a file cut short":    {io.ErrUnexpectedEOF, ExitError},
		"no such file":        {os.ErrNotExist, ExitError},
		"the disk's":          {os.NewSyscallError("write", syscall.ENOSPC), ExitError},
		"a mistake":           {UsageError("%w", errors.New("no")), ExitUsage},
		"nothing is the case": {nil, ExitOK},
	} {
		if got := ExitStatus(c.err); got != c.want || Retryable(c.err) != (c.want == ExitUnavailable || name == "authentic, or not") {
			t.Errorf("%s: %v is %d, want %d", name, c.err, got, c.want)
		}
	}
	// An error that the AWS SDK retries is also worth a later retry.
	for text := range retry.DefaultThrottleErrorCodes {
		if !Retryable(code(text)) && text != "LimitExceededException" && text != "BandwidthLimitExceeded" && text != "EC2ThrottledException" {
			t.Errorf("%s is not retryable", text)
		}
	}
}
