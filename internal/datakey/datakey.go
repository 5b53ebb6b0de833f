// Package datakey has what all keyrings do before their key is used: those of
// the root package, and those of the packages that import it. Its errors have no
// prefix, so that each can put its own before them.
package datakey

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// A Suite is an algorithm suite; the root package has the type. The length is 0 if
// the suite is not known.
type Suite interface{ DataKeyLength() int }

// Check refuses a data key that is not one of the suite. Nil stands for a new one.
func Check[S Suite](suite S, dataKey []byte) error {
	length := suite.DataKeyLength()
	switch {
	case length == 0:
		return fmt.Errorf("unknown algorithm suite %v", suite)
	case dataKey != nil && len(dataKey) != length:
		return fmt.Errorf("data key to wrap has %d bytes, suite %v takes %d", len(dataKey), suite, length)
	}
	return nil
}

// ToWrap returns the data key to wrap, and the one for the result: nil unless it
// is new.
func ToWrap[S Suite](suite S, given []byte) (dataKey, generated []byte, err error) {
	if err := Check(suite, given); err != nil || given != nil {
		return given, nil, err
	}
	generated = make([]byte, suite.DataKeyLength())
	rand.Read(generated)
	return generated, generated, nil
}

// CheckName refuses a namespace or name that a raw keyring may not use.
func CheckName(namespace, name string) error {
	switch {
	case namespace == "" || name == "":
		return errors.New("keyring needs a key namespace and a key name")
	case strings.HasPrefix(namespace, "aws-kms"):
		return fmt.Errorf("key namespace %q: those that start with aws-kms are reserved", namespace)
	}
	return nil
}
