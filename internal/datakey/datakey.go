// Package datakey holds the rules for raw wrapping keys, for the root package
// and the packages that import it. Its errors have no prefix, so that each
// package can add its own.
package datakey

import (
	"errors"
	"fmt"
	"strings"
)

// IsZero reports whether a key is all zeros. No random key is. But a key that
// was cleared while still in use is, and everyone can open messages sealed with
// it.
func IsZero(key []byte) bool {
	for _, b := range key {
		if b != 0 {
			return false
		}
	}
	return true
}

// CannotDecrypt is the error of a keyring without a key to decrypt with. It
// says nothing about a message.
type CannotDecrypt string

func (e CannotDecrypt) Error() string { return string(e) }

// maxName is the maximum length of a name in bytes: raw AES adds 20 bytes to it
// in the provider info, whose length has 16 bits. RSA has the same limit as
// AES, so that the two are alike.
const maxName = 65535 - 20

// CheckName rejects a namespace or name that a raw keyring must not use.
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
