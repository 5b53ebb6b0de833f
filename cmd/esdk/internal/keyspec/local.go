package keyspec

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

const localNamespace = "esdk-local"

// localKeyring returns the keyring for -k local: a key in the configuration
// directory that is made on first encryption.
func (ks *Keys) localKeyring(_ context.Context, _ string, encrypt bool) (esdk.Keyring, error) {
	dir, err := newConfigDir()
	if err != nil {
		return nil, cli.Hinted(err, hintOnLocalKey)
	}
	if encrypt {
		if err := dir.check(); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir.path(), localKeyFile)
	ks.Protected.AddPath(file)
	kr, err := ks.openLocalKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return kr, err
	}
	if encrypt {
		return &newLocalKey{sync.OnceValues(func() (esdk.Keyring, error) {
			if err := ks.makeLocalKey(dir, file); err != nil {
				return nil, cli.Hinted(cli.Errorf("making a local key: %w", err), hintOnLocalKey)
			}
			return ks.openLocalKey(file)
		})}, nil
	}
	return nil, cli.NewError(cli.ExitNoKey, "no local key at %s", file).
		WithHint("\"esdk encrypt -k local\" creates it on first use; to use a copy from elsewhere, give -k local@FILE")
}

// localCopyKeyring reads a copy of a local key. It never makes one.
func (ks *Keys) localCopyKeyring(_ context.Context, file string, _ bool) (esdk.Keyring, error) {
	if file == "" {
		return nil, cli.UsageError("no file after the @")
	}
	return ks.openLocalKey(file)
}

func (ks *Keys) openLocalKey(file string) (esdk.Keyring, error) {
	key, err := ks.readAESKey(file, "")
	if err != nil {
		return nil, err
	}
	defer clear(key.bytes)
	// The name distinguishes the keys of different machines, also in messages.
	sum := sha256.Sum256(append([]byte("esdk local key\x00"), key.bytes...))
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: localNamespace, Name: hex.EncodeToString(sum[:8]), Key: key.bytes})
}

// newLocalKey makes the local key on first use, so that a command that fails
// before leaves nothing behind.
type newLocalKey struct{ make func() (esdk.Keyring, error) }

func (k *newLocalKey) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	kr, err := k.make()
	if err != nil {
		return nil, err
	}
	return kr.Wrap(ctx, req)
}

func (k *newLocalKey) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	return nil, errors.New("internal error: a key not made yet cannot decrypt")
}

// makeLocalKey makes the key unless it exists. It always tells the user: nobody
// keeps a copy of a key that they don't know of.
func (ks *Keys) makeLocalKey(dir *configDir, file string) error {
	if err := dir.make(); err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	defer clear(key)
	err := ks.WriteSecret(file, FormatAESKey(key, ""), nil)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	ks.UI.Announce("local_key_made", map[string]string{"path": file},
		"made a new local key: "+cli.Printable(file), "keep a copy of it in a safe place: without it, the messages under it are lost")
	return nil
}
