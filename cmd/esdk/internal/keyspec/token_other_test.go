//go:build !pkcs11 && !full

package keyspec

import (
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// A build without PKCS #11 tells which build has it, and shows no PIN.
func TestPKCS11NotBuilt(t *testing.T) {
	const uri = "pkcs11:token=t;object=k?module-path=/lib/x.so&pin-value=8642&namespace=n&name=m"
	_, err := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected)).Parse(t.Context(), uri, true)
	if err == nil || cli.ExitStatus(err) != cli.ExitUsage || strings.Contains(err.Error(), "8642") || !strings.Contains(cli.Hint(err), "build-full") {
		t.Errorf("%v; %s", err, cli.Hint(err))
	}
}
