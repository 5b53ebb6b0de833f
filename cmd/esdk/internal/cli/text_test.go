package cli

import (
	"errors"
	"testing"

	"esdk"
)

func TestMessage(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{esdk.ErrAuthentication, "message authentication failed"},
		{Errorf("-k x: %w", esdk.ErrLimit), "-k x: limit exceeded"},
		{errors.New("table store-of-esdk: gone"), "table store-of-esdk: gone"},
		{errors.New("two\nlines \x1b[2J"), "two lines �[2J"},
	} {
		if got := Message(test.err); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
