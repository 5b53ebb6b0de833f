//go:build !pkcs11 && !full

package main

import (
	"strings"
	"testing"
)

// A build without PKCS #11 says which one has it, and shows no PIN.
func TestPKCS11NotBuilt(t *testing.T) {
	const uri = "pkcs11:token=t;object=k?module-path=/lib/x.so&pin-value=8642&namespace=n&name=m"
	_, err := newApp().parseKey(t.Context(), uri, true)
	if err == nil || exitStatus(err) != exitUsage || strings.Contains(err.Error(), "8642") || !strings.Contains(hint(err), "build-full") {
		t.Errorf("%v; %s", err, hint(err))
	}
}
