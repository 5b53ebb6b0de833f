// Package datakey holds the rules for raw wrapping keys, in the root package and
// those that import it. Its errors have no prefix, so that each can put its own
// before them.
package datakey

import (
	"errors"
	"fmt"
	"strings"
)

// IsZero reports whether a key is all zeros. No key that was drawn is; one that was
// cleared while somebody still had it is, and whatever it seals is open to all.
func IsZero(key []byte) bool {
	for _, b := range key {
		if b != 0 {
			return false
		}
	}
	return true
}

// maxName is the most bytes of a name: raw AES adds 20 to it in the provider info, whose
// length has 16 bits. What AES can have, RSA can, so that the two are alike.
const maxName = 65535 - 20

// CheckName refuses a namespace or name that a raw keyring may not use.
func CheckName(namespace, name string) error {
	switch {
	case namespace == "" || name == "":
		return errors.New("keyring needs a key namespace and a key name")
	case strings.HasPrefix(namespace, "aws-kms"):
		return fmt.Errorf("key namespace %q: those that start with aws-kms are reserved", namespace)
	case len(namespace) > maxName || len(name) > maxName:
		return fmt.Errorf("key namespace or key name of more than %d bytes", maxName)
	}
	return nil
}
