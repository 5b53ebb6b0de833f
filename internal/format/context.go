package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// AppendContext appends the serialized encryption context: nothing if it's
// empty, otherwise a count and the pairs, sorted by their keys' bytes.
//
// Specification: framework/structures.md#serialization.
func AppendContext(dst []byte, ec map[string]string) ([]byte, error) {
	if len(ec) == 0 {
		return dst, nil
	}
	var few fewPairs
	pairs, size, err := sortPairs(&few, ec)
	if err != nil {
		return nil, err
	}
	return appendPairs(slices.Grow(dst, size), pairs), nil
}

// AppendStored is like AppendContext. If the stored bytes of a header are the
// serialization, as they mostly are, it appends them.
func AppendStored(dst []byte, stored string, ec map[string]string) ([]byte, error) {
	if serializes(stored, ec) {
		return append(dst, stored...), nil
	}
	return AppendContext(dst, ec)
}

// serializes reports whether the stored bytes of a header are the serialization
// of a context with pairs.
func serializes(stored string, ec map[string]string) bool {
	if len(ec) == 0 || len(stored) < 2 || length(stored) != len(ec) {
		return false
	}
	last, rest := "", stored[2:]
	for i := range len(ec) {
		key, value, ok := "", "", false
		if key, rest, ok = cutField(rest); !ok || i > 0 && key <= last {
			return false
		}
		if value, rest, ok = cutField(rest); !ok {
			return false
		}
		if have, ok := ec[key]; !ok || have != value {
			return false
		}
		last = key
	}
	return rest == ""
}

// ContextSize returns the number of bytes that AppendContext appends, or its
// error.
func ContextSize(ec map[string]string) (int, error) {
	var few fewPairs
	_, size, err := sortPairs(&few, ec)
	return size, err
}

type pair struct{ key, value string }

// fewPairs is memory on the stack, for most contexts.
type fewPairs [8]pair

// sortPairs returns the pairs of a context that can be serialized, sorted by
// their keys' bytes, and the length of the serialization.
func sortPairs(few *fewPairs, ec map[string]string) (pairs []pair, size int, err error) {
	if len(ec) == 0 {
		return nil, 0, nil
	}
	pairs, size = few[:0], 2
	for k, v := range ec {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, 0, fmt.Errorf("pair %q: %q is not valid UTF-8", k, v)
		}
		size += 4 + len(k) + len(v)
		// Each length field, the count and the length of the whole have 16
		// bits, so one check is enough.
		if size > math.MaxUint16 {
			return nil, 0, limitf("encryption context takes more than 65,535 bytes")
		}
		pairs = append(pairs, pair{k, v})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return pairs, size, nil
}

func appendPairs(dst []byte, pairs []pair) []byte {
	if len(pairs) == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(pairs)))
	for _, p := range pairs {
		dst = appendField(dst, p.key)
		dst = appendField(dst, p.value)
	}
	return dst
}

func appendField[T string | []byte](dst []byte, field T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(field)))
	return append(dst, field...)
}

// parseContext is the inverse of AppendContext. It also accepts pairs in any
// order, since the JavaScript SDK once sorted them by locale, and an empty
// context with a count of zero, as some implementations wrote it.
func parseContext(text string) (map[string]string, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if len(text) < 2 {
		return nil, errors.New("no room for the count of pairs")
	}
	count := length(text)
	text = text[2:]
	if count == 0 && len(text) > 0 {
		return nil, errors.New("pairs beyond a count of zero")
	}
	ec := make(map[string]string, min(count, len(text)/4))
	for range count {
		key, rest, ok := cutField(text)
		if !ok {
			return nil, errors.New("key is longer than the context")
		}
		value, rest, ok := cutField(rest)
		if !ok {
			return nil, errors.New("value is longer than the context")
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, errors.New("pair is not valid UTF-8")
		}
		if _, dup := ec[key]; dup {
			return nil, fmt.Errorf("key %q twice", key)
		}
		ec[key] = value
		text = rest
	}
	if len(text) > 0 {
		return nil, fmt.Errorf("%d bytes beyond the last pair", len(text))
	}
	return ec, nil
}

// Pairs iterates over the pairs of a header that was read, in the message's
// order. Unlike Context, which may be passed on, they can't change.
func (h *Header) Pairs(yield func(key, value string) bool) {
	for text := h.stored[min(2, len(h.stored)):]; len(text) > 0; {
		key, rest, _ := cutField(text)
		value, rest, _ := cutField(rest)
		if !yield(key, value) {
			return
		}
		text = rest
	}
}

// Stored returns the context's bytes of a header that was read.
func (h *Header) Stored() string { return h.stored }

// length reads a length of 16 bits.
func length(text string) int { return int(text[0])<<8 | int(text[1]) }

func cutField(text string) (field, rest string, ok bool) {
	if len(text) < 2 {
		return "", "", false
	}
	n := length(text)
	if len(text) < 2+n {
		return "", "", false
	}
	return text[2 : 2+n], text[2+n:], true
}
