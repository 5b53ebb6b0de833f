package pkcs11

import (
	"fmt"

	"esdk/internal/datakey"
)

// checkName rejects namespaces and names that a raw keyring can't have.
func checkName(namespace, name string) error {
	if err := datakey.CheckName(namespace, name); err != nil {
		return fmt.Errorf("pkcs11: %w", err)
	}
	return nil
}

// moved returns a copy of a secret without spare capacity, and clears the whole
// array of the original, which may hold more of the secret.
func moved(secret []byte) []byte {
	b := make([]byte, len(secret))
	copy(b, secret)
	clear(secret[:cap(secret)])
	return b
}
