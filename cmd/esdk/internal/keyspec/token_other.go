//go:build !pkcs11 && !full

package keyspec

import (
	"context"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// tokens is empty in this build. Keys in tokens need cgo, and a command that is
// copied between machines works better without it.
type tokens struct{}

func (tokens) close() {}

func (ks *Keys) pkcs11Keyring(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	return ks.newPKCS11Keyring(ctx, text, "", encrypt)
}

func (ks *Keys) newPKCS11Keyring(context.Context, string, string, bool) (esdk.Keyring, error) {
	return nil, cli.UsageError("this build does not support PKCS #11").
		WithHint("%s; with cgo, which tokens need", cli.FullBuild)
}
