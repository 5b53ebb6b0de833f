package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// AppendContext appends the serialized encryption context: nothing if it's
// empty, otherwise a count and the pairs, sorted by their keys' bytes.
//
// Specification: framework/structures.md#serialization.
func AppendContext(dst []byte, ec map[string]string) ([]byte, error) {
	size, err := ContextSize(ec)
	if err != nil {
		return nil, err
	}
	return appendPairs(slices.Grow(dst, size), ec), nil
}

// appendPairs appends a context that ContextSize accepts.
func appendPairs(dst []byte, ec map[string]string) []byte {
	if len(ec) == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(ec)))
	var few [8]string // on the stack, for most contexts
	keys := few[:0]
	for k := range ec {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		dst = appendField(dst, k)
		dst = appendField(dst, ec[k])
	}
	return dst
}

// ContextSize returns the number of bytes that AppendContext appends, or its
// error.
func ContextSize(ec map[string]string) (int, error) {
	if len(ec) == 0 {
		return 0, nil
	}
	size := 2
	for k, v := range ec {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return 0, fmt.Errorf("pair %q: %q is not valid UTF-8", k, v)
		}
		size += 4 + len(k) + len(v)
		// Each length field, the count and the length of the whole have 16
		// bits, so one check is enough.
		if size > math.MaxUint16 {
			return 0, limitf("encryption context takes more than 65,535 bytes")
		}
	}
	return size, nil
}

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(field)))
	return append(dst, field...)
}

// parseContext is the inverse of AppendContext. It also accepts pairs in any
// order, since the JavaScript SDK once sorted them by locale, and an empty
// context with a count of zero, as some implementations wrote it.
func parseContext(b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 2 {
		return nil, errors.New("no room for the count of pairs")
	}
	count := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if count == 0 && len(b) > 0 {
		return nil, errors.New("pairs beyond a count of zero")
	}
	ec := make(map[string]string, min(count, len(b)/4))
	for range count {
		key, rest, ok := cutField(b)
		if !ok {
			return nil, errors.New("key is longer than the context")
		}
		value, rest, ok := cutField(rest)
		if !ok {
			return nil, errors.New("value is longer than the context")
		}
		if !utf8.Valid(key) || !utf8.Valid(value) {
			return nil, errors.New("pair is not valid UTF-8")
		}
		if _, dup := ec[string(key)]; dup {
			return nil, fmt.Errorf("key %q twice", key)
		}
		ec[string(key)] = string(value)
		b = rest
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes beyond the last pair", len(b))
	}
	return ec, nil
}

func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}
