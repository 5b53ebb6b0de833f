package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"testing"

	"esdk"
	"github.com/aws/smithy-go"
)

func TestKind(t *testing.T) {
	_, notAMessage := esdk.ParseHeader(bytes.NewReader([]byte("text")))
	_, cut := esdk.ParseHeader(bytes.NewReader([]byte{2, 5, 0x78}))
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"none":          {nil, ""},
		"no such file":  {&os.PathError{Err: fs.ErrNotExist}, KindNotFound},
		"may not":       {Hinted(&os.PathError{Err: fs.ErrPermission}, "ask"), KindForbidden},
		"changed":       {OfInput("f", NewError(ExitNotWritten, "it was replaced").OfKind(KindChanged)), KindChanged},
		"wrapped":       {NewError(ExitError, "%w", NewError(ExitError, "no such object").OfKind(KindNotFound)), KindNotFound},
		"throttled":     {&esdk.NoDataKeyError{Errors: []error{&smithy.GenericAPIError{Code: "ThrottlingException"}}}, KindThrottled},
		"down":          {&smithy.GenericAPIError{Code: "KMSInternalException"}, "unavailable"},
		"denied":        {&esdk.NoDataKeyError{Errors: []error{&smithy.GenericAPIError{Code: "AccessDeniedException"}}}, "no-key"},
		"another key":   {&esdk.NoDataKeyError{}, "no-key"},
		"changed key":   {&esdk.NoDataKeyError{Errors: []error{esdk.ErrAuthentication}}, KindWrongKey},
		"one of two":    {&esdk.NoDataKeyError{Errors: []error{esdk.ErrAuthentication, &smithy.GenericAPIError{Code: "DisabledException"}}}, "no-key"},
		"one is down":   {&esdk.NoDataKeyError{Errors: []error{esdk.ErrAuthentication, &smithy.GenericAPIError{Code: "KMSInternalException"}}}, "unavailable"},
		"not a message": {notAMessage, KindNotAMessage},
		"cut":           {cut, "not-authentic"},
		"changed bytes": {fmt.Errorf("%w", esdk.ErrAuthentication), "not-authentic"},
		"a context":     {fmt.Errorf("%w", esdk.ErrEncryptionContext), "context"},
	} {
		if got := Kind(c.err); got != c.want {
			t.Errorf("%s: %v is %q, want %q", name, c.err, got, c.want)
		}
	}
}

// TestUnasked checks that Unasked distinguishes a decision of a key service
// from a missing answer, and from denied access.
func TestUnasked(t *testing.T) {
	call := func(err error) error {
		return &esdk.NoDataKeyError{Errors: []error{&smithy.OperationError{ServiceID: "KMS", OperationName: "Decrypt", Err: err}}}
	}
	code := func(code string) error { return call(&smithy.GenericAPIError{Code: code}) }
	for name, c := range map[string]struct {
		err  error
		want string // "" if the service has decided
	}{
		"none":           {nil, ""},
		"another key":    {&esdk.NoDataKeyError{}, ""},
		"not authentic":  {esdk.ErrAuthentication, ""},
		"ciphertext":     {code("InvalidCiphertextException"), ""},
		"disabled":       {code("DisabledException"), ""},
		"denied":         {code("AccessDeniedException"), KindForbidden},
		"expired":        {code("ExpiredTokenException"), KindForbidden},
		"throttled":      {code("ThrottlingException"), KindThrottled},
		"down":           {code("KMSInternalException"), KindUnavailable},
		"no credentials": {call(errors.New("get credentials")), KindUnavailable},
		"no answer":      {call(&net.DNSError{}), KindUnavailable},
	} {
		err := Unasked(c.err)
		if (err == nil) != (c.want == "") || err != nil && (Kind(err) != c.want || ExitStatus(err) != ExitStatus(c.err) || Retryable(err) != Retryable(c.err)) {
			t.Errorf("%s: %v is %q, want %q", name, err, Kind(err), c.want)
		}
	}
}
