//go:build full

package main

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"esdk"
	"esdk/esdktest"
	"esdk/keyservice"
	"github.com/hashicorp/vault/api"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/hashivault"
	"gocloud.dev/secrets/localsecrets"
)

// A *secrets.Keeper implements Service as it is.
var _ keyservice.Service = (*secrets.Keeper)(nil)

func serviceKeyring(t testing.TB, k *secrets.Keeper, name string) esdk.Keyring {
	t.Helper()
	t.Cleanup(func() { k.Close() })
	kr, err := keyservice.NewKeyring(k, name)
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// local returns the CDK's service in memory, which uses NaCl's secretbox.
func local(t testing.TB) *secrets.Keeper {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	return localsecrets.NewKeeper(key)
}

func TestServiceLocal(t *testing.T) {
	esdktest.TestKeyring(t, serviceKeyring(t, local(t), "local"))
}

func TestServiceLocalErrors(t *testing.T) {
	message, err := esdk.Encrypt(t.Context(), serviceKeyring(t, local(t), "local"), []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = esdk.Decrypt(t.Context(), serviceKeyring(t, local(t), "local"), message, nil)
	if !errors.Is(err, esdk.ErrNoDataKey) || gcerrors.Code(firstOf(err)) == gcerrors.OK {
		t.Errorf("another key: %v", err)
	}
	closed := local(t)
	kr := serviceKeyring(t, closed, "local")
	closed.Close()
	if _, err := esdk.Encrypt(t.Context(), kr, nil, nil); gcerrors.Code(err) != gcerrors.FailedPrecondition {
		t.Errorf("a closed service: %v", err)
	}
}

// firstOf returns the first error in a NoDataKeyError.
func firstOf(err error) error {
	none, ok := errors.AsType[*esdk.NoDataKeyError](err)
	if !ok || len(none.Errors) == 0 {
		return nil
	}
	return none.Errors[0]
}

// vault returns a client for the server at VAULT_ADDR, and the name of a key of
// its transit engine. The key is used only to encrypt and decrypt.
func vault(t *testing.T) (*api.Client, string) {
	t.Helper()
	if os.Getenv("VAULT_ADDR") == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal("VAULT_ADDR is not set")
		}
		t.Skip("set VAULT_ADDR, VAULT_TOKEN and ESDK_VAULT_KEY, a key of the transit engine, to run this")
	}
	c, err := hashivault.Dial(t.Context(), &hashivault.Config{
		Token: os.Getenv("VAULT_TOKEN"), APIConfig: api.Config{Address: os.Getenv("VAULT_ADDR")},
	})
	if err != nil {
		t.Fatal(err)
	}
	key := os.Getenv("ESDK_VAULT_KEY")
	if key == "" {
		key = "esdk"
	}
	return c, key
}

func TestVault(t *testing.T) {
	c, key := vault(t)
	esdktest.TestKeyring(t, serviceKeyring(t, hashivault.OpenKeeper(c, key, nil), key))
}

// TestVaultErrors checks that the errors of Vault's client can be unwrapped.
func TestVaultErrors(t *testing.T) {
	c, key := vault(t)
	message, err := esdk.Encrypt(t.Context(), serviceKeyring(t, hashivault.OpenKeeper(c, key, nil), key), []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken("not-a-token")
	denied := serviceKeyring(t, hashivault.OpenKeeper(c, key, nil), key)
	_, encryptErr := esdk.Encrypt(t.Context(), denied, nil, nil)
	_, decryptErr := esdk.Decrypt(t.Context(), denied, message, nil)
	for what, err := range map[string]error{"Encrypt": encryptErr, "Decrypt": decryptErr} {
		answer, ok := errors.AsType[*api.ResponseError](err)
		if !ok || answer.StatusCode < http.StatusBadRequest {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}
