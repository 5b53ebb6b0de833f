package bounded

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Responses are limited, including error responses. Responses without a body
// pass.
func TestClient(t *testing.T) {
	request := new(http.Request)
	do := func(answer *http.Response, err error) (*http.Response, error) {
		return Client(doerFunc(func(r *http.Request) (*http.Response, error) {
			if r != request {
				t.Error("another request")
			}
			return answer, err
		}), 10).Do(request)
	}
	for _, err := range []error{nil, errors.New("failure")} {
		for length, fits := range map[int]bool{0: true, 1: true, 10: true, 11: false, 1000: false} {
			answer, got := do(&http.Response{Body: io.NopCloser(strings.NewReader(strings.Repeat(" ", length)))}, err)
			b, readErr := io.ReadAll(answer.Body)
			if got != err || (readErr == nil) != fits || fits && len(b) != length || len(b) > 10 {
				t.Errorf("%d bytes and %v: read %d, %v, %v", length, err, len(b), readErr, got)
			}
		}
		for _, answer := range []*http.Response{nil, {}} {
			if got, gotErr := do(answer, err); got != answer || gotErr != err {
				t.Errorf("%v: %v, %v", answer, got, gotErr)
			}
		}
	}
}
