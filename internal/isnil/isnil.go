// Package isnil detects nil values in interfaces.
package isnil

import "reflect"

// Value reports whether an interface is nil or holds a nil pointer or func:
// such an interface doesn't compare as nil, and its methods panic long after it
// was passed. A nil slice or map is usable as an empty one.
func Value(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return r.IsNil()
	}
	return false
}
