package cli

import (
	"math"
	"testing"
)

func TestToInt(t *testing.T) {
	for _, n := range []int64{math.MinInt64, -1<<32 - 1, -1 << 32, math.MinInt32, -1, 0, 1, math.MaxInt32, 1 << 32, 1<<32 + 1, math.MaxInt64} {
		want := n
		if n > math.MaxInt {
			want = math.MaxInt
		} else if n < math.MinInt {
			want = math.MinInt
		}
		if got := ToInt(n); int64(got) != want {
			t.Errorf("ToInt(%d) = %d, want %d", n, got, want)
		}
	}
}
