// Package isnil finds what a caller forgot to make.
package isnil

import "reflect"

// Value reports whether an interface holds nothing, or a nil pointer or func: that
// compares as not nil, and its methods panic, long after it was passed. A nil slice or
// map is of use, as an empty one.
func Value(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return r.IsNil()
	}
	return false
}
