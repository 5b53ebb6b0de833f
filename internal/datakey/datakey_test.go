package datakey

import (
	"bytes"
	"testing"
)

type suite int

func (s suite) DataKeyLength() int { return int(s) }

func TestToWrap(t *testing.T) {
	given := bytes.Repeat([]byte{1}, 16)
	if dataKey, generated, err := ToWrap(suite(16), given); err != nil || !bytes.Equal(dataKey, given) || generated != nil {
		t.Errorf("given: %x, %x, %v", dataKey, generated, err)
	}
	dataKey, generated, err := ToWrap(suite(32), nil)
	if err != nil || len(dataKey) != 32 || !bytes.Equal(dataKey, generated) || bytes.Equal(dataKey, make([]byte, 32)) {
		t.Errorf("new: %d and %d bytes, %v", len(dataKey), len(generated), err)
	}
	for name, c := range map[string]struct {
		suite suite
		given []byte
	}{"unknown suite": {0, nil}, "unknown suite, given": {0, given}, "short": {32, given}, "long": {8, given}, "empty": {16, []byte{}}} {
		if _, generated, err := ToWrap(c.suite, c.given); err == nil || generated != nil {
			t.Errorf("%s: %d bytes, %v", name, len(generated), err)
		}
	}
}

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
