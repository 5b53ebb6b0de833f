package kdf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"testing"
)

func sumOf(h func() hash.Hash, key, message string) []byte {
	mac := hmac.New(h, []byte(key))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

// Package branchkey runs the official vectors.
func TestCounter(t *testing.T) {
	for _, h := range []func() hash.Hash{sha256.New, sha512.New384} {
		var want []byte
		for _, counter := range []string{"\x01", "\x02", "\x03"} {
			want = append(want, sumOf(h, "key", "\x00\x00\x00"+counter+"input")...)
		}
		for n := range want {
			got := Counter(h, []byte("key"), []byte("input"), n)
			blocks := (n + h().Size() - 1) / h().Size()
			if !bytes.Equal(got, want[:n]) || cap(got) != blocks*h().Size() {
				t.Errorf("%d bytes: %x with room for %d, want %x", n, got, cap(got), want[:n])
			}
		}
	}
}

func TestFixedInput(t *testing.T) {
	for _, c := range []struct {
		label, context string
		length         int
		want           string
	}{
		{"", "", 0, "\x00\x00\x00\x00\x00"},
		{"label", "context", 32, "label\x00context\x00\x00\x01\x00"},
		{"l", "c", 64, "l\x00c\x00\x00\x02\x00"},
	} {
		got := FixedInput([]byte(c.label), []byte(c.context), c.length)
		if string(got) != c.want || len(got) != cap(got) {
			t.Errorf("%q, room for %d; want %q", got, cap(got), c.want)
		}
	}
}

// watchedHash keeps every array that a sum was appended to.
type watchedHash struct {
	hash.Hash
	arrays *[][]byte
}

func (w watchedHash) Sum(b []byte) []byte {
	if cap(b) > 0 {
		*w.arrays = append(*w.arrays, b[:cap(b)])
	}
	return w.Hash.Sum(b)
}

// The result is in one array: clearing it leaves nothing behind.
func TestCounterLeavesNothing(t *testing.T) {
	for _, length := range []int{1, 31, 32, 33, 64, 100} {
		var arrays [][]byte
		key := Counter(func() hash.Hash { return watchedHash{sha256.New(), &arrays} }, []byte("key"), []byte("info"), length)
		if len(key) != length || bytes.Count(key, []byte{0}) > length/2 {
			t.Fatalf("key is %x", key)
		}
		clear(key)
		for _, array := range arrays {
			if len(bytes.Trim(array, "\x00")) > 0 {
				t.Errorf("%d bytes: %x is left", length, array)
			}
		}
	}
}
