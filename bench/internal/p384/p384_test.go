package p384

import (
	"errors"
	"sync/atomic"
	"testing"
)

func TestRepeat(t *testing.T) {
	verify, err := NewVerify()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []func() error{Sign, verify} {
		if err := Repeat(3, op); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []int{0, 1, 7, 100} {
		var calls atomic.Int64
		err := Repeat(n, func() error {
			calls.Add(1)
			return nil
		})
		if err != nil || calls.Load() != int64(n) {
			t.Errorf("%d calls, want %d: %v", calls.Load(), n, err)
		}
	}
	broken := errors.New("broken")
	if err := Repeat(5, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
