package bulk

import (
	"context"
	"slices"
	"testing"

	"esdk/cmd/esdk/internal/place"
)

// TestTellTwice checks that the second input of the same name, which ends
// before the first one does, is reported after it.
func TestTellTwice(t *testing.T) {
	var got []Status
	tl := newTeller(func(r Result) error {
		got = append(got, r.Status)
		return nil
	})
	for _, name := range []string{"a", "b", "a", "a"} {
		tl.begin(name)
	}
	twice := Result{Name: "a", Status: Skipped, Reason: place.SkipTwice}
	for _, r := range []Result{twice, {Name: "b", Status: Failed}, twice, {Name: "a", Status: OK}} {
		if err := tl.tell(context.Background(), r); err != nil {
			t.Error(err)
		}
	}
	if want := []Status{OK, Failed, Skipped, Skipped}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
