package awskms

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// endless is a body that ends far behind the limit, so that a test without one
// ends too.
func endless() io.ReadCloser {
	return io.NopCloser(io.LimitReader(zeros{}, 8*maxAnswer))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// throughLimit returns the answer and the error as they pass limitBody.
func throughLimit(t *testing.T, raw any, err error) (any, error) {
	t.Helper()
	next := middleware.DeserializeHandlerFunc(func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return middleware.DeserializeOutput{RawResponse: raw}, middleware.Metadata{}, err
	})
	out, _, err := limitBody(t.Context(), middleware.DeserializeInput{}, next)
	return out.RawResponse, err
}

// Answers are bounded, those of errors too. Answers without a body pass.
func TestLimitBody(t *testing.T) {
	failure := errors.New("failure")
	for _, err := range []error{nil, failure} {
		for length, fits := range map[int]bool{0: true, 1: true, maxAnswer: true, maxAnswer + 1: false} {
			body := io.NopCloser(strings.NewReader(strings.Repeat(" ", length)))
			raw, got := throughLimit(t, &smithyhttp.Response{Response: &http.Response{Body: body}}, err)
			b, readErr := io.ReadAll(raw.(*smithyhttp.Response).Body)
			if got != err || (readErr == nil) != fits || fits && len(b) != length || len(b) > maxAnswer {
				t.Errorf("%d bytes and %v: read %d, %v, %v", length, err, len(b), readErr, got)
			}
		}
		raw, _ := throughLimit(t, &smithyhttp.Response{Response: &http.Response{Body: endless()}}, err)
		if b, err := io.ReadAll(raw.(*smithyhttp.Response).Body); err == nil || len(b) > maxAnswer {
			t.Errorf("read %d bytes of an endless answer, %v", len(b), err)
		}
		for _, raw := range []any{nil, (*smithyhttp.Response)(nil), "no response", &smithyhttp.Response{Response: new(http.Response)}} {
			if got, gotErr := throughLimit(t, raw, err); got != raw || gotErr != err {
				t.Errorf("%T: %v, %v", raw, got, gotErr)
			}
		}
	}
}
