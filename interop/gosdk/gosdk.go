// Package gosdk makes the keyrings and key stores of the official Go SDK from
// descriptions of keys.
package gosdk

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
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

	"esdk/interop/peer"
)

// NewClient returns a client with a commitment policy.
func NewClient(policy mpltypes.ESDKCommitmentPolicy) (*official.Client, error) {
	return official.NewClient(officialtypes.AwsEncryptionSdkConfig{CommitmentPolicy: &policy})
}

// KMS returns a client of AWS KMS in a Region.
func KMS(ctx context.Context, region string) (*kms.Client, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return kms.NewFromConfig(c, func(o *kms.Options) { o.Region = region }), nil
}

func kmsOf(ctx context.Context, arn string) (*kms.Client, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 {
		return nil, fmt.Errorf("%q is no ARN", arn)
	}
	return KMS(ctx, parts[3])
}

// KeyStore returns the key store in a table of DynamoDB. The logical name is
// the name of the table. The ARN may be [peer.Discovery].
func KeyStore(ctx context.Context, table, arn string) (*keystore.Client, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	store := keystoretypes.KeyStoreConfig{
		DdbTableName: table, LogicalKeyStoreName: table, DdbClient: dynamodb.NewFromConfig(c),
		KmsConfiguration: &keystoretypes.KMSConfigurationMemberkmsKeyArn{Value: arn},
	}
	if arn == peer.Discovery {
		store.KmsClient = kms.NewFromConfig(c)
		store.KmsConfiguration = &keystoretypes.KMSConfigurationMemberdiscovery{}
		return keystore.NewClient(store)
	}
	if store.KmsClient, err = kmsOf(ctx, arn); err != nil {
		return nil, err
	}
	return keystore.NewClient(store)
}

// Entries are the entries of a keys manifest.
type Entries map[string]struct {
	Type               string
	ID                 string `json:"key-id"`
	Material           string
	SenderMaterial     string `json:"sender-material"`
	RecipientMaterial  string `json:"recipient-material"`
	RecipientPublicKey []byte `json:"recipient-material-public-key"`
}

// Keyrings makes keyrings.
type Keyrings struct {
	*mpl.Client
	keys Entries
}

// NewKeyrings returns Keyrings with the entries of a keys manifest, or without
// entries if manifest is empty.
func NewKeyrings(manifest string) (*Keyrings, error) {
	client, err := mpl.NewClient(mpltypes.MaterialProvidersConfig{})
	if err != nil || manifest == "" {
		return &Keyrings{Client: client}, err
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return nil, err
	}
	var m struct{ Keys Entries }
	err = json.Unmarshal(text, &m)
	return &Keyrings{client, m.Keys}, err
}

// pemOf returns PEM as the SDK requires it: with exactly one line feed at the
// end.
func pemOf(text string) []byte { return []byte(strings.TrimSpace(text) + "\n") }

// Keyring returns the keyring for a description.
func (k *Keyrings) Keyring(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	switch d.Type {
	case "raw":
		if d.Algorithm == "aes" {
			return k.rawAES(ctx, d)
		}
		return k.rawRSA(ctx, d)
	case "raw-ecdh":
		return k.rawECDH(ctx, d)
	case "multi-keyring":
		return k.multi(ctx, d)
	case "aws-kms", "aws-kms-mrk-aware":
		return k.Strict(ctx, k.keys[d.Key].ID, d.Type == "aws-kms-mrk-aware")
	case "aws-kms-discovery", "aws-kms-mrk-aware-discovery":
		return k.discovery(ctx, d)
	case "aws-kms-rsa":
		return k.kmsRSA(ctx, d)
	case "aws-kms-ecdh":
		return k.kmsECDH(ctx, d)
	case "branch-key":
		return k.Branch(ctx, d.Table, d.KMS, d.ID)
	}
	return nil, fmt.Errorf("no keyring for %q", d.Type)
}

func (k *Keyrings) rawAES(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	key, err := base64.StdEncoding.DecodeString(k.keys[d.Key].Material)
	if err != nil {
		return nil, err
	}
	return k.CreateRawAesKeyring(ctx, mpltypes.CreateRawAesKeyringInput{
		KeyNamespace: d.ProviderID, KeyName: k.keys[d.Key].ID, WrappingKey: key,
		WrappingAlg: mpltypes.AesWrappingAlg(fmt.Sprintf("ALG_AES%d_GCM_IV12_TAG16", 8*len(key))),
	})
}

func (k *Keyrings) rawRSA(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	padding := mpltypes.PaddingSchemePkcs1
	if d.Padding != "pkcs1" {
		padding = mpltypes.PaddingScheme("OAEP_" + strings.ToUpper(d.Hash) + "_MGF1")
	}
	in := mpltypes.CreateRawRsaKeyringInput{KeyNamespace: d.ProviderID, KeyName: k.keys[d.Key].ID, PaddingScheme: padding}
	text := pemOf(k.keys[d.Key].Material)
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, fmt.Errorf("key %q is not PEM", d.Key)
	case block.Type == "PUBLIC KEY":
		in.PublicKey = text
		return k.CreateRawRsaKeyring(ctx, in)
	}
	// The SDK requires a separate public key.
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public())
	if err != nil {
		return nil, err
	}
	in.PrivateKey, in.PublicKey = text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return k.CreateRawRsaKeyring(ctx, in)
}

// curve translates ecc-256 to the SDK's name.
func curve(d *peer.Key) primitives.ECDHCurveSpec {
	return primitives.ECDHCurveSpec("ECC_NIST_P" + strings.TrimPrefix(d.Curve, "ecc-"))
}

func (k *Keyrings) rawECDH(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	recipient := k.keys[d.Recipient]
	in := mpltypes.CreateRawEcdhKeyringInput{CurveSpec: curve(d)}
	switch d.Schema {
	case "static":
		in.KeyAgreementScheme = &mpltypes.RawEcdhStaticConfigurationsMemberRawPrivateKeyToStaticPublicKey{
			Value: mpltypes.RawPrivateKeyToStaticPublicKeyInput{
				SenderStaticPrivateKey: pemOf(k.keys[d.Sender].SenderMaterial), RecipientPublicKey: recipient.RecipientPublicKey,
			},
		}
	case "ephemeral":
		in.KeyAgreementScheme = &mpltypes.RawEcdhStaticConfigurationsMemberEphemeralPrivateKeyToStaticPublicKey{
			Value: mpltypes.EphemeralPrivateKeyToStaticPublicKeyInput{RecipientPublicKey: recipient.RecipientPublicKey},
		}
	default:
		in.KeyAgreementScheme = &mpltypes.RawEcdhStaticConfigurationsMemberPublicKeyDiscovery{
			Value: mpltypes.PublicKeyDiscoveryInput{RecipientStaticPrivateKey: pemOf(recipient.RecipientMaterial)},
		}
	}
	return k.CreateRawEcdhKeyring(ctx, in)
}

func (k *Keyrings) multi(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	var in mpltypes.CreateMultiKeyringInput
	var err error
	if d.Generator != nil {
		if in.Generator, err = k.Keyring(ctx, d.Generator); err != nil {
			return nil, err
		}
	}
	for _, child := range d.Children {
		kr, err := k.Keyring(ctx, child)
		if err != nil {
			return nil, err
		}
		in.ChildKeyrings = append(in.ChildKeyrings, kr)
	}
	return k.CreateMultiKeyring(ctx, in)
}

// RequiredContext returns the CMM for a description.
func (k *Keyrings) RequiredContext(ctx context.Context, d *peer.Key) (mpltypes.ICryptographicMaterialsManager, error) {
	kr, err := k.Keyring(ctx, d.Underlying)
	if err != nil {
		return nil, err
	}
	cmm, err := k.CreateDefaultCryptographicMaterialsManager(ctx, mpltypes.CreateDefaultCryptographicMaterialsManagerInput{Keyring: kr})
	if err != nil {
		return nil, err
	}
	return k.CreateRequiredEncryptionContextCMM(ctx, mpltypes.CreateRequiredEncryptionContextCMMInput{
		UnderlyingCMM: cmm, RequiredEncryptionContextKeys: d.RequiredKeys,
	})
}

// Strict returns the keyring of one key in AWS KMS.
func (k *Keyrings) Strict(ctx context.Context, arn string, multiRegion bool) (mpltypes.IKeyring, error) {
	client, err := kmsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	if multiRegion {
		return k.CreateAwsKmsMrkKeyring(ctx, mpltypes.CreateAwsKmsMrkKeyringInput{KmsKeyId: arn, KmsClient: client})
	}
	return k.CreateAwsKmsKeyring(ctx, mpltypes.CreateAwsKmsKeyringInput{KmsKeyId: arn, KmsClient: client})
}

func (k *Keyrings) discovery(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	filter := &mpltypes.DiscoveryFilter{Partition: d.Filter.Partition, AccountIds: d.Filter.Accounts}
	client, err := KMS(ctx, d.Region+d.MRKRegion) // exactly one is set
	if err != nil {
		return nil, err
	}
	if d.MRKRegion != "" {
		return k.CreateAwsKmsMrkDiscoveryKeyring(ctx, mpltypes.CreateAwsKmsMrkDiscoveryKeyringInput{
			KmsClient: client, Region: d.MRKRegion, DiscoveryFilter: filter,
		})
	}
	return k.CreateAwsKmsDiscoveryKeyring(ctx, mpltypes.CreateAwsKmsDiscoveryKeyringInput{KmsClient: client, DiscoveryFilter: filter})
}

func (k *Keyrings) kmsRSA(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	entry := k.keys[d.Key]
	client, err := kmsOf(ctx, entry.ID)
	if err != nil {
		return nil, err
	}
	return k.CreateAwsKmsRsaKeyring(ctx, mpltypes.CreateAwsKmsRsaKeyringInput{
		KmsKeyId: entry.ID, KmsClient: client, PublicKey: pemOf(entry.Material),
		EncryptionAlgorithm: kmstypes.EncryptionAlgorithmSpec(d.Algorithm),
	})
}

func (k *Keyrings) kmsECDH(ctx context.Context, d *peer.Key) (mpltypes.IKeyring, error) {
	entry := k.keys[d.Recipient]
	in := mpltypes.CreateAwsKmsEcdhKeyringInput{CurveSpec: curve(d)}
	arn := entry.RecipientMaterial
	if d.Schema == "static" {
		arn = k.keys[d.Sender].SenderMaterial
		in.KeyAgreementScheme = &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPrivateKeyToStaticPublicKey{
			Value: mpltypes.KmsPrivateKeyToStaticPublicKeyInput{SenderKmsIdentifier: arn, RecipientPublicKey: entry.RecipientPublicKey},
		}
	} else {
		in.KeyAgreementScheme = &mpltypes.KmsEcdhStaticConfigurationsMemberKmsPublicKeyDiscovery{
			Value: mpltypes.KmsPublicKeyDiscoveryInput{RecipientKmsIdentifier: arn},
		}
	}
	var err error
	if in.KmsClient, err = kmsOf(ctx, arn); err != nil {
		return nil, err
	}
	return k.CreateAwsKmsEcdhKeyring(ctx, in)
}

// Branch returns the hierarchical keyring of a branch key.
func (k *Keyrings) Branch(ctx context.Context, table, arn, id string) (mpltypes.IKeyring, error) {
	s, err := KeyStore(ctx, table, arn)
	if err != nil {
		return nil, err
	}
	return k.CreateAwsKmsHierarchicalKeyring(ctx, mpltypes.CreateAwsKmsHierarchicalKeyringInput{
		KeyStore: s, BranchKeyId: &id, TtlSeconds: 600,
	})
}
