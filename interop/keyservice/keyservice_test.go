// Package keyservice makes the official Go SDK read messages with data keys of
// an unknown keyring.
package keyservice

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"esdk"
	"esdk/interop/gosdk"
	"esdk/keyservice"
)

// TestIgnored: the official SDK skips the service's data key, first or last,
// and decrypts the message with a key of its own; with another key it finds
// none.
func TestIgnored(t *testing.T) {
	vault, err := keyservice.NewKeyring(memory{newGCM(t)}, "orders")
	if err != nil {
		t.Fatal(err)
	}
	wrappingKey := make([]byte, 32)
	raw, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "app", Name: "backup", Key: wrappingKey})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range [][2]esdk.Keyring{{vault, raw}, {raw, vault}} {
		multi, err := esdk.NewMultiKeyring(order[0], order[1])
		if err != nil {
			t.Fatal(err)
		}
		message, err := esdk.Encrypt(t.Context(), multi, []byte("hello"), esdk.EncryptionContext{"tenant": "17"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := official(t, "backup", wrappingKey, message); err != nil || string(got) != "hello" {
			t.Errorf("the official SDK decrypts %q, %v", got, err)
		}
		if _, err := official(t, "other", wrappingKey, message); err == nil {
			t.Error("the official SDK decrypts with another key")
		}
		if got, err := esdk.Decrypt(t.Context(), vault, message, nil); err != nil || string(got) != "hello" {
			t.Errorf("the service decrypts %q, %v", got, err)
		}
	}
}

func official(t *testing.T, name string, wrappingKey, message []byte) ([]byte, error) {
	t.Helper()
	client, err := gosdk.NewClient(mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt)
	if err != nil {
		t.Fatal(err)
	}
	keyrings, err := gosdk.NewKeyrings("")
	if err != nil {
		t.Fatal(err)
	}
	kr, err := keyrings.CreateRawAesKeyring(t.Context(), mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: "app", KeyName: name, WrappingKey: wrappingKey, WrappingAlg: mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.Decrypt(t.Context(), officialtypes.DecryptInput{Ciphertext: message, Keyring: kr})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// memory is a service with a key in memory.
type memory struct{ cipher.AEAD }

func (m memory) Encrypt(_ context.Context, plaintext []byte) ([]byte, error) {
	return m.Seal(nil, nil, plaintext, nil), nil
}

func (m memory) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	return m.Open(nil, nil, ciphertext, nil)
}

func newGCM(t *testing.T) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}
