package bounded

import "net/http"

// A Doer sends requests, as [*http.Client] does.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Client returns a client whose response bodies fail if they are longer than a
// limit in bytes.
func Client(c Doer, limit int64) Doer { return &client{c, limit} }

type client struct {
	Doer
	limit int64
}

func (c *client) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.Doer.Do(r)
	if answer != nil && answer.Body != nil {
		answer.Body = Body(answer.Body, c.limit)
	}
	return answer, err
}
