package vectors

import (
	"context"
	"errors"

	"esdk"
)

// An Outcome is what came of a case.
type Outcome string

// The outcomes.
const (
	Passed      Outcome = "passed"
	Failed      Outcome = "failed"
	Unsupported Outcome = "unsupported" // no keyring for the type of key
)

// A Result is what came of a case, and why.
type Result struct {
	ID          string
	Description string
	Outcome     Outcome

	// KeyType is that of the case, and if it is not supported the type that is
	// not, which may be part of another.
	KeyType string

	// Err says why a case failed or is not supported. Of a negative case that
	// passed, it is the error that decryption ended with.
	Err error
}

// A Summary counts results. The zero value counts none yet.
type Summary struct {
	Passed, Failed, Unsupported int

	// UnsupportedTypes counts the cases that are not supported, by the type of
	// key.
	UnsupportedTypes map[string]int
}

// Add counts a result.
func (s *Summary) Add(r Result) {
	switch r.Outcome {
	case Passed:
		s.Passed++
	case Failed:
		s.Failed++
	case Unsupported:
		s.Unsupported++
		if s.UnsupportedTypes == nil {
			s.UnsupportedTypes = map[string]int{}
		}
		s.UnsupportedTypes[r.KeyType]++
	}
}

// Total is the number of results.
func (s *Summary) Total() int { return s.Passed + s.Failed + s.Unsupported }

// A test is what the cases of one kind of manifest do.
type test interface {
	// opens decrypts, and says what is wrong with what came out.
	opens(ctx context.Context, cmm esdk.CMM) error

	// refused returns how decryption failed, or a failure of the case: to read
	// a file, or to fail.
	refused(ctx context.Context, cmm esdk.CMM) (refusal, failure error)
}

// Run runs a case. It may run together with others.
func (c *Case) Run(ctx context.Context) Result {
	r := Result{ID: c.ID, Description: c.Description, KeyType: c.KeyType, Outcome: Passed}
	cmm, err := c.cmm()
	var unsupported *UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		r.Outcome, r.KeyType, r.Err = Unsupported, unsupported.KeyType, err
		return r
	case err == nil && c.Negative:
		r.Err, err = c.test.refused(ctx, cmm)
		if errors.Is(r.Err, ErrInconclusive) {
			err = r.Err
		}
	case err == nil:
		err = c.test.opens(ctx, cmm)
	}
	if err != nil {
		r.Outcome, r.Err = Failed, err
	}
	return r
}
