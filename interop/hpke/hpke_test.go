// Package hpke makes the official Go SDK decrypt messages with an unknown
// encrypted data key, among others.
package hpke

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"

	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	official "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
	"esdk/hpke"
	"esdk/interop/gosdk"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A known key is a key with keyrings in both SDKs.
type known struct {
	name   string
	ours   esdk.Keyring
	theirs mpltypes.IKeyring
}

// TestOfficialGo: with another encrypted data key before or after the HPKE one,
// the official SDK decrypts the message with the other, and this library with
// either.
func TestOfficialGo(t *testing.T) {
	key := must[esdk.Keyring](t)(newHPKE())
	client := must[*official.Client](t)(gosdk.NewClient(mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt))
	ec := map[string]string{"kind": "archive"}
	plaintext := bytes.Repeat([]byte("x"), 5000)
	for _, k := range knownKeys(t) {
		for order, keyrings := range map[string][]esdk.Keyring{"first": {key, k.ours}, "last": {k.ours, key}} {
			t.Run(k.name+"/"+order, func(t *testing.T) {
				both := must[esdk.Keyring](t)(esdk.NewMultiKeyring(keyrings[0], keyrings[1]))
				message := must[[]byte](t)(esdk.Encrypt(t.Context(), both, plaintext, ec))
				out, err := client.Decrypt(t.Context(), officialtypes.DecryptInput{Ciphertext: message, Keyring: k.theirs, EncryptionContext: ec})
				if err != nil || !bytes.Equal(out.Plaintext, plaintext) {
					t.Errorf("the official SDK: %v", err)
				}
				for _, kr := range []esdk.Keyring{key, k.ours, both} {
					if got, err := esdk.Decrypt(t.Context(), kr, message, ec); err != nil || !bytes.Equal(got, plaintext) {
						t.Errorf("we: %v", err)
					}
				}
				theirs, err := client.Encrypt(t.Context(), officialtypes.EncryptInput{Plaintext: plaintext, Keyring: k.theirs, EncryptionContext: ec})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := esdk.Decrypt(t.Context(), both, theirs.Ciphertext, ec); err != nil || !bytes.Equal(got, plaintext) {
					t.Errorf("we, a message of the official SDK: %v", err)
				}
			})
		}
		// An HPKE data key alone is an error.
		alone := must[[]byte](t)(esdk.Encrypt(t.Context(), key, plaintext, ec))
		if _, err := client.Decrypt(t.Context(), officialtypes.DecryptInput{Ciphertext: alone, Keyring: k.theirs, EncryptionContext: ec}); err == nil {
			t.Errorf("%s: opens a message to another key", k.name)
		}
	}
}

func newHPKE() (esdk.Keyring, error) {
	key, err := hpke.GenerateKey()
	if err != nil {
		return nil, err
	}
	return hpke.NewKeyring(hpke.Config{Name: "archive", PublicKey: key.PublicKey(), PrivateKey: key})
}

func knownKeys(t *testing.T) []known {
	k := must[*gosdk.Keyrings](t)(gosdk.NewKeyrings(""))
	return []known{kmsKey(t, k), aesKey(t, k), ecdhKey(t, k)}
}

func kmsKey(t *testing.T, k *gosdk.Keyrings) known {
	const region = "us-west-2"
	sim := kmssim.New()
	t.Cleanup(sim.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": sim.URL(), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none",
	} {
		t.Setenv(name, value)
	}
	arn := sim.CreateKey(region, types.KeySpecSymmetricDefault)
	return known{
		"KMS",
		must[esdk.Keyring](t)(awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(sim.Client(region))}, arn)),
		must[mpltypes.IKeyring](t)(k.Strict(context.Background(), arn, false)),
	}
}

func aesKey(t *testing.T, k *gosdk.Keyrings) known {
	key := make([]byte, 32)
	rand.Read(key)
	return known{
		"raw AES",
		must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "test", Name: "aes", Key: key})),
		must[mpltypes.IKeyring](t)(k.CreateRawAesKeyring(context.Background(), mpltypes.CreateRawAesKeyringInput{
			KeyNamespace: "test", KeyName: "aes", WrappingKey: key, WrappingAlg: mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
		})),
	}
}

func ecdhKey(t *testing.T, k *gosdk.Keyrings) known {
	key := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(rand.Reader))
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key))})
	public := must[[]byte](t)(x509.MarshalPKIXPublicKey(key.PublicKey()))
	return known{
		"raw ECDH",
		must[esdk.Keyring](t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: key, Peer: key.PublicKey()})),
		must[mpltypes.IKeyring](t)(k.CreateRawEcdhKeyring(context.Background(), mpltypes.CreateRawEcdhKeyringInput{
			CurveSpec: primitives.ECDHCurveSpecEccNistP384,
			KeyAgreementScheme: &mpltypes.RawEcdhStaticConfigurationsMemberRawPrivateKeyToStaticPublicKey{
				Value: mpltypes.RawPrivateKeyToStaticPublicKeyInput{SenderStaticPrivateKey: private, RecipientPublicKey: public},
			},
		})),
	}
}
