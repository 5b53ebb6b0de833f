package cdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/hashivault"
	"gocloud.dev/secrets/localsecrets"

	"esdk"
	"esdk/esdktest"
	"esdk/keeper"
)

// A *secrets.Keeper is a keeper as it is.
var _ keeper.Keeper = (*secrets.Keeper)(nil)

func newKeyring(t testing.TB, k *secrets.Keeper, name string) esdk.Keyring {
	t.Helper()
	t.Cleanup(func() { k.Close() })
	kr, err := keeper.NewKeyring(k, name)
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// local is the CDK's keeper in memory, which uses NaCl's secretbox.
func local(t testing.TB) *secrets.Keeper {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	return localsecrets.NewKeeper(key)
}

func TestLocal(t *testing.T) {
	esdktest.TestKeyring(t, newKeyring(t, local(t), "local"))
}

func TestLocalErrors(t *testing.T) {
	message, err := esdk.Encrypt(t.Context(), newKeyring(t, local(t), "local"), []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = esdk.Decrypt(t.Context(), newKeyring(t, local(t), "local"), message, nil)
	if !errors.Is(err, esdk.ErrNoDataKey) || gcerrors.Code(firstOf(err)) == gcerrors.OK {
		t.Errorf("another key: %v", err)
	}
	closed := local(t)
	kr := newKeyring(t, closed, "local")
	closed.Close()
	if _, err := esdk.Encrypt(t.Context(), kr, nil, nil); gcerrors.Code(err) != gcerrors.FailedPrecondition {
		t.Errorf("a closed keeper: %v", err)
	}
}

// firstOf returns the first error behind a NoDataKeyError.
func firstOf(err error) error {
	none, ok := errors.AsType[*esdk.NoDataKeyError](err)
	if !ok || len(none.Errors) == 0 {
		return nil
	}
	return none.Errors[0]
}

// vault returns a client of the server at VAULT_ADDR, and the name of a key of its
// transit engine, of which no more than encryption and decryption is asked.
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
	esdktest.TestKeyring(t, newKeyring(t, hashivault.OpenKeeper(c, key, nil), key))
}

// The errors of Vault's client are within reach.
func TestVaultErrors(t *testing.T) {
	c, key := vault(t)
	message, err := esdk.Encrypt(t.Context(), newKeyring(t, hashivault.OpenKeeper(c, key, nil), key), []byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetToken("not-a-token")
	denied := newKeyring(t, hashivault.OpenKeeper(c, key, nil), key)
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

// TestProgram runs what the programs do, for each service that there is.
func TestProgram(t *testing.T) {
	urls := []string{"base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="}
	if os.Getenv("VAULT_ADDR") != "" {
		_, key := vault(t)
		urls = append(urls, "hashivault://"+key)
	}
	for _, url := range urls {
		plaintext := []byte("a key-encryption key of 32 bytes")
		var ciphertext, got bytes.Buffer
		if err := run(t.Context(), []string{"encrypt", url}, bytes.NewReader(plaintext), &ciphertext); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(ciphertext.Bytes(), plaintext) {
			t.Errorf("%s: the ciphertext is not one", url)
		}
		if err := run(t.Context(), []string{"decrypt", url}, &ciphertext, &got); err != nil || !bytes.Equal(got.Bytes(), plaintext) {
			t.Errorf("%s: got %q, %v", url, got.Bytes(), err)
		}
	}
}

func TestProgramErrors(t *testing.T) {
	long := strings.NewReader(strings.Repeat("x", maxInput+1))
	if err := run(t.Context(), []string{"encrypt", "base64key://"}, long, io.Discard); err == nil {
		t.Error("an input over the limit: no error")
	}
	for _, args := range [][]string{
		nil, {"encrypt"}, {"sign", "base64key://"}, {"encrypt", "nosuch://key"}, {"encrypt", "hashivault://key?x=y"},
		{"decrypt", "base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4="},
	} {
		var out bytes.Buffer
		if err := run(context.Background(), args, strings.NewReader("not a ciphertext"), &out); err == nil || out.Len() > 0 {
			t.Errorf("%q: %d bytes, %v", args, out.Len(), err)
		}
	}
}
