package datakey

import "testing"

func TestCheckName(t *testing.T) {
	for _, c := range []struct {
		namespace, name string
		ok              bool
	}{{"n", "k", true}, {"", "k", false}, {"n", "", false}, {"aws-kms", "k", false}, {"aws-kms-x", "k", false}, {"my-aws-kms", "k", true}} {
		if err := CheckName(c.namespace, c.name); (err == nil) != c.ok {
			t.Errorf("%q, %q: %v", c.namespace, c.name, err)
		}
	}
}
