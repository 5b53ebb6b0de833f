// Official is the peer of the official Go SDK, which does not stream.
package main

import (
	"context"

	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	official "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	"github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"

	"esdk/bench/internal/peer"
)

func main() {
	peer.Main("github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk", peer.Schemes(setUp))
}

func setUp(r *peer.Request) (*peer.Scheme, error) {
	ctx := context.Background()
	providers, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return nil, err
	}
	keyring, err := providers.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: "bench",
		KeyName:      "aes256",
		WrappingKey:  peer.Key(),
		WrappingAlg:  mpltypes.AesWrappingAlgAlgAes256GcmIv12Tag16,
	})
	if err != nil {
		return nil, err
	}
	client, err := official.NewClient(awscryptographyencryptionsdksmithygeneratedtypes.AwsEncryptionSdkConfig{})
	if err != nil {
		return nil, err
	}
	suite := mpltypes.ESDKAlgorithmSuiteId("0x" + r.Suite)
	frame := int64(4096)
	return &peer.Scheme{
		Encrypt: func(_, plaintext []byte) ([]byte, error) {
			out, err := client.Encrypt(ctx, awscryptographyencryptionsdksmithygeneratedtypes.EncryptInput{
				Plaintext:         plaintext,
				AlgorithmSuiteId:  &suite,
				EncryptionContext: map[string]string{"purpose": "bench"},
				FrameLength:       &frame,
				Keyring:           keyring,
			})
			if err != nil {
				return nil, err
			}
			return out.Ciphertext, nil
		},
		Decrypt: func(_, message []byte) ([]byte, error) {
			out, err := client.Decrypt(ctx, awscryptographyencryptionsdksmithygeneratedtypes.DecryptInput{
				Ciphertext: message,
				Keyring:    keyring,
			})
			if err != nil {
				return nil, err
			}
			return out.Plaintext, nil
		},
	}, nil
}
