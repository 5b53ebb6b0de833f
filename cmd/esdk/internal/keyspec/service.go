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

// serviceTimeout is how long a key service may take for a call. A driver may heed
// no context, as that of Vault, and wait for ever.
const serviceTimeout = time.Minute

// serviceForm is the form of keys of a key service, whose driver the full build has.
func serviceForm(scheme, key string) form {
	prefix := scheme + "://"
	return form{prefix, prefix + key, func(ks *Keys, ctx context.Context, text string, _ bool) (esdk.Keyring, error) {
		return ks.newServiceKeyring(ctx, prefix+text)
	}}
}

// newServiceKeyring names a key in messages by its URL, as it is given.
func (ks *Keys) newServiceKeyring(ctx context.Context, text string) (esdk.Keyring, error) {
	scheme, key, ok := strings.Cut(text, "://")
	u, err := url.Parse(text)
	if !ok || key == "" || err != nil {
		return nil, cli.UsageError("want SERVICE://KEY, such as hashivault://orders")
	}
	mux := secrets.DefaultURLMux()
	if !mux.ValidKeeperScheme(scheme) {
		return nil, cli.UsageError("this build does not have the service %s", cli.Printable(scheme)).WithHint("%s", cli.FullBuild)
	}
	k, err := mux.OpenKeeperURL(ctx, u)
	if err != nil {
		return nil, err
	}
	return keyservice.NewKeyring(&patientService{k}, text)
}

// A patientService does not wait longer than serviceTimeout.
type patientService struct{ keyservice.Service }

func (k *patientService) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	return inTime(ctx, plaintext, k.Service.Encrypt)
}

func (k *patientService) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	return inTime(ctx, ciphertext, k.Service.Decrypt)
}

// inTime leaves a call behind that does not end in time.
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
