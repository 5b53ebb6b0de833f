package keyspec

import (
	"context"
	"net/url"
	"strings"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/keyservice"
	"gocloud.dev/secrets"
)

// serviceTimeout limits a call to a key service. Some drivers, such as Vault's,
// ignore the context and may wait forever.
const serviceTimeout = time.Minute

// serviceForm returns the form of a key service's keys. Its driver is in the
// full build.
func serviceForm(scheme, key string) form {
	prefix := scheme + "://"
	return form{prefix, prefix + key, func(ks *Keys, ctx context.Context, text string, _ bool) (esdk.Keyring, error) {
		return ks.newServiceKeyring(ctx, prefix+text)
	}}
}

// newServiceKeyring returns a keyring whose messages name the key by its URL,
// as given.
func (ks *Keys) newServiceKeyring(ctx context.Context, text string) (esdk.Keyring, error) {
	scheme, key, ok := strings.Cut(text, "://")
	u, err := url.Parse(text)
	if !ok || key == "" || err != nil {
		return nil, cli.UsageError("expected SERVICE://KEY, such as hashivault://orders")
	}
	mux := secrets.DefaultURLMux()
	if !mux.ValidKeeperScheme(scheme) {
		return nil, cli.UsageError("this build does not support %s", cli.Printable(scheme)).WithHint("%s", cli.FullBuild)
	}
	k, err := mux.OpenKeeperURL(ctx, u)
	if err != nil {
		return nil, err
	}
	return keyservice.NewKeyring(&patientService{k}, text)
}

// A patientService waits at most serviceTimeout.
type patientService struct{ keyservice.Service }

func (k *patientService) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	return inTime(ctx, plaintext, k.Service.Encrypt)
}

func (k *patientService) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	return inTime(ctx, ciphertext, k.Service.Decrypt)
}

// inTime returns after serviceTimeout at the latest. A call that takes longer
// goes on in the background.
func inTime(ctx context.Context, input []byte, call func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	type result struct {
		output []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		output, err := call(ctx, input)
		done <- result{output, err}
	}()
	select {
	case r := <-done:
		return r.output, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
