//go:build !cgo

package pkcs11

import (
	"errors"
	"testing"
)

func TestNoCgo(t *testing.T) {
	if _, err := Open(t.Context(), Config{Module: "/usr/lib/softhsm/libsofthsm2.so"}); !errors.Is(err, ErrNoCgo) {
		t.Error(err)
	}
}
