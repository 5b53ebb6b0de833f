package datakey

import (
	"strings"
	"testing"
)

func TestIsZero(t *testing.T) {
	for _, c := range []struct {
		key  string
		want bool
	}{{"", true}, {"\x00", true}, {"\x00\x00\x00", true}, {"\x01\x00\x00", false}, {"\x00\x00\x80", false}} {
		if got := IsZero([]byte(c.key)); got != c.want {
			t.Errorf("%q: %t", c.key, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		namespace, name string
		ok              bool
	}{{"n", "k", true}, {"", "k", false}, {"n", "", false}, {"aws-kms", "k", false}, {"aws-kms-x", "k", false}, {"my-aws-kms", "k", true},
		{strings.Repeat("n", 65515), strings.Repeat("k", 65515), true}, {strings.Repeat("n", 65516), "k", false}, {"n", strings.Repeat("k", 65516), false}} {
		if err := CheckName(c.namespace, c.name); (err == nil) != c.ok {
			t.Errorf("%.20q, %.20q: %v", c.namespace, c.name, err)
		}
	}
}
