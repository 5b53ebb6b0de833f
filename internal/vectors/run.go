package vectors

import (
	"context"
	"errors"

	"esdk"
)

// An Outcome is the outcome of a case.
type Outcome string

// The outcomes.
const (
	Passed      Outcome = "passed"
	Failed      Outcome = "failed"
	Unsupported Outcome = "unsupported" // no keyring for the type of key
)

// A Result is the outcome of a case and its reason.
type Result struct {
	ID          string
	Description string
	Outcome     Outcome

	// KeyType is the key type of the case. If the case isn't supported, it's
	// the unsupported type, which may be a part of another one.
	KeyType string

	// Err says why a case failed or isn't supported. For a negative case that
	// passed, it's the error of decryption.
	Err error
}

// A Summary counts results. The zero value counts none yet.
type Summary struct {
	Passed, Failed, Unsupported int

	// UnsupportedTypes counts the unsupported cases by key type.
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

// Total returns the number of results.
func (s *Summary) Total() int { return s.Passed + s.Failed + s.Unsupported }

// A test does the work of a case, for one kind of manifest.
type test interface {
	// opens decrypts, and returns an error if the result is wrong.
	opens(ctx context.Context, cmm esdk.CMM) error

	// refused returns the error of decryption. It returns a failure of the case
	// if a file can't be read or decryption doesn't fail.
	refused(ctx context.Context, cmm esdk.CMM) (refusal, failure error)
}

// Run runs a case. Several cases may run concurrently.
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
