// Package isnil finds what a caller forgot to make.
package isnil

import "reflect"

// Value reports whether an interface holds nothing, or a nil of some type: a nil
// pointer in it compares as not nil, and its methods panic, long after it was passed.
func Value(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}
