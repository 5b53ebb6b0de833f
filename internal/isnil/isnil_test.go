package isnil

import (
	"errors"
	"testing"
)

func TestValue(t *testing.T) {
	n := 0
	var nilError error
	for name, c := range map[string]struct {
		value any
		want  bool
	}{
		"nothing": {nil, true}, "interface": {nilError, true}, "pointer": {(*int)(nil), true}, "func": {(func())(nil), true},
		"map": {map[int]int(nil), false}, "slice": {[]int(nil), false},
		"zero": {0, false}, "struct": {struct{}{}, false}, "set pointer": {&n, false}, "set func": {func() {}, false},
		"empty map": {map[int]int{}, false}, "empty slice": {[]int{}, false}, "error": {errors.New(""), false},
	} {
		if got := Value(c.value); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
