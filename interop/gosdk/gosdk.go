// Package gosdk makes the keyrings and key stores of the official Go SDK from the
// texts that name keys on the command line of esdk.
package gosdk

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	keystore "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygenerated"
	keystoretypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographykeystoresmithygeneratedtypes"
	mpl "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygenerated"
	mpltypes "github.com/aws/aws-cryptographic-material-providers-library/releases/go/mpl/awscryptographymaterialproviderssmithygeneratedtypes"
	primitives "github.com/aws/aws-cryptographic-material-providers-library/releases/go/primitives/awscryptographyprimitivessmithygeneratedtypes"
	official "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygenerated"
	officialtypes "github.com/aws/aws-encryption-sdk/releases/go/encryption-sdk/awscryptographyencryptionsdksmithygeneratedtypes"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// NewClient returns a client that encrypts and decrypts with commitment only.
func NewClient() (*official.Client, error) {
	policy := mpltypes.ESDKCommitmentPolicyRequireEncryptRequireDecrypt
	return official.NewClient(officialtypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy})
}

// KMS returns a client of AWS KMS in a Region, or the default one.
func KMS(ctx context.Context, region string) (*kms.Client, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(c, func(o *kms.Options) {
		if region != "" {
			o.Region = region
		}
	}), nil
}

func kmsOf(ctx context.Context, arn string) (*kms.Client, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 {
		return nil, fmt.Errorf("%q is no ARN", arn)
	}
	return KMS(ctx, parts[3])
}

// KeyStore returns the key store in a table of DynamoDB, which is also its
// logical name.
func KeyStore(ctx context.Context, table, arn string) (*keystore.Client, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	client, err := kmsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	return keystore.NewClient(keystoretypes.KeyStoreConfig{
		DdbTableName: table, LogicalKeyStoreName: table,
		DdbClient: dynamodb.NewFromConfig(c), KmsClient: client,
		KmsConfiguration: &keystoretypes.KMSConfigurationMemberkmsKeyArn{Value: arn},
	})
}

// Keyring returns the keyring of a key: aes:…, rsa:…, arn:…, kms-discovery:…,
// kms-rsa:…, kms-ecdh:… or branch:….
func Keyring(ctx context.Context, key string) (mpltypes.IKeyring, error) {
	m, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil {
		return nil, err
	}
	kind, rest, _ := strings.Cut(key, ":")
	what, where, _ := strings.Cut(rest, "@")
	switch kind {
	case "aes":
		return rawAES(ctx, m, what, where)
	case "rsa":
		return rawRSA(ctx, m, what, where)
	case "arn":
		return strict(ctx, m, key)
	case "kms-discovery":
		return discovery(ctx, m, what, where)
	case "kms-rsa":
		return kmsRSA(ctx, m, what, where)
	case "kms-ecdh":
		return kmsECDH(ctx, m, what, where)
	case "branch":
		return branch(ctx, m, rest)
	}
	return nil, fmt.Errorf("bad key %q", key)
}

func rawAES(ctx context.Context, m *mpl.Client, id, file string) (mpltypes.IKeyring, error) {
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	namespace, name, _ := strings.Cut(id, "/")
	return m.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: namespace, KeyName: name, WrappingKey: key,
		WrappingAlg: mpltypes.AesWrappingAlg(fmt.Sprintf("ALG_AES%d_GCM_IV12_TAG16", 8*len(key))),
	})
}

var paddings = map[string]mpltypes.PaddingScheme{
	"pkcs1":       mpltypes.PaddingSchemePkcs1,
	"oaep-sha1":   mpltypes.PaddingSchemeOaepSha1Mgf1,
	"oaep-sha256": mpltypes.PaddingSchemeOaepSha256Mgf1,
	"oaep-sha384": mpltypes.PaddingSchemeOaepSha384Mgf1,
	"oaep-sha512": mpltypes.PaddingSchemeOaepSha512Mgf1,
}

func rawRSA(ctx context.Context, m *mpl.Client, id, where string) (mpltypes.IKeyring, error) {
	file, padding, ok := strings.Cut(where, "?pad=")
	if !ok {
		padding = "oaep-sha256"
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	namespace, name, _ := strings.Cut(id, "/")
	in := mpltypes.CreateRawRsaKeyringInput{KeyNamespace: namespace, KeyName: name, PaddingScheme: paddings[padding]}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%s is not PEM", file)
	case block.Type == "PUBLIC KEY":
		in.PublicKey = text
		return m.CreateRawRsaKeyring(ctx, in)
	}
	// The SDK wants the public half apart from the private one.
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
	if err != nil {
		return nil, err
	}
	in.PrivateKey, in.PublicKey = text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return m.CreateRawRsaKeyring(ctx, in)
}

func strict(ctx context.Context, m *mpl.Client, arn string) (mpltypes.IKeyring, error) {
	client, err := kmsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	if strings.Contains(arn, ":key/mrk-") {
		return m.CreateAwsKmsMrkKeyring(ctx, mpltypes.CreateAwsKmsMrkKeyringInput{KmsKeyId: arn, KmsClient: client})
	}
	return m.CreateAwsKmsKeyring(ctx, mpltypes.CreateAwsKmsKeyringInput{KmsKeyId: arn, KmsClient: client})
}

func discovery(ctx context.Context, m *mpl.Client, what, region string) (mpltypes.IKeyring, error) {
	partition, account, _ := strings.Cut(what, "/")
	filter := &mpltypes.DiscoveryFilter{Partition: partition, AccountIds: []string{account}}
	client, err := KMS(ctx, region)
	if err != nil {
		return nil, err
	}
	if region != "" {
		return m.CreateAwsKmsMrkDiscoveryKeyring(ctx, mpltypes.CreateAwsKmsMrkDiscoveryKeyringInput{KmsClient: client, Region: region, DiscoveryFilter: filter})
	}
	return m.CreateAwsKmsDiscoveryKeyring(ctx, mpltypes.CreateAwsKmsDiscoveryKeyringInput{KmsClient: client, DiscoveryFilter: filter})
}

func kmsRSA(ctx context.Context, m *mpl.Client, arn, file string) (mpltypes.IKeyring, error) {
	client, err := kmsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	in := mpltypes.CreateAwsKmsRsaKeyringInput{
		KmsKeyId: arn, KmsClient: client, EncryptionAlgorithm: kmstypes.EncryptionAlgorithmSpecRsaesOaepSha256,
	}
	if file != "" {
		if in.PublicKey, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return m.CreateAwsKmsRsaKeyring(ctx, in)
}

// kmsECDH takes keys on P-384, as ../kms/peer.py makes them.
func kmsECDH(ctx context.Context, m *mpl.Client, arn, file string) (mpltypes.IKeyring, error) {
	client, err := kmsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	in := mpltypes.CreateAwsKmsEcdhKeyringInput{
		KmsClient: client, CurveSpec: primitives.ECDHCurveSpecEccNistP384,
		KeyAgreementScheme: &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPublicKeyDiscovery{
			Value: mpltypes.KmsPublicKeyDiscoveryInput{RecipientKmsIdentifier: arn},
		},
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s is not PEM", file)
		}
		in.KeyAgreementScheme = &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPrivateKeyToStaticPublicKey{
			Value: mpltypes.KmsPrivateKeyToStaticPublicKeyInput{SenderKmsIdentifier: arn, RecipientPublicKey: block.Bytes},
		}
	}
	return m.CreateAwsKmsEcdhKeyring(ctx, in)
}

// branch reads TABLE/ID?kms=ARN.
func branch(ctx context.Context, m *mpl.Client, text string) (mpltypes.IKeyring, error) {
	where, arn, _ := strings.Cut(text, "?kms=")
	table, id, _ := strings.Cut(where, "/")
	s, err := KeyStore(ctx, table, arn)
	if err != nil {
		return nil, err
	}
	return m.CreateAwsKmsHierarchicalKeyring(ctx, mpltypes.CreateAwsKmsHierarchicalKeyringInput{
		KeyStore: s, BranchKeyId: &id, TtlSeconds: 600,
	})
}
