package pkcs11

import (
	"fmt"

	"esdk/internal/datakey"
)

// checkName refuses a namespace or name that a raw keyring may not use.
func checkName(namespace, name string) error {
	if err := datakey.CheckName(namespace, name); err != nil {
		return fmt.Errorf("pkcs11: %w", err)
	}
	return nil
}

// moved returns a secret in an array of its own length, and clears the array that
// it was in, which may be longer and hold more of it.
func moved(secret []byte) []byte {
	b := make([]byte, len(secret))
	copy(b, secret)
	clear(secret[:cap(secret)])
	return b
}
