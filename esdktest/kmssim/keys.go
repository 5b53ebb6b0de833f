package kmssim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A key is a KMS key in one region. Once it's in the store, only its state
// changes.
type key struct {
	id, region  string
	spec        types.KeySpec
	usage       types.KeyUsageType
	description string
	created     time.Time
	family      *family // for a multi-Region key
	material    *material
	state       types.KeyState
	deletion    time.Time // if the state is PendingDeletion
}

// A family is a set of multi-Region keys that are related by replication.
type family struct {
	primary  string   // its region
	replicas []string // their regions
}

// material is the part that related keys share.
type material struct {
	id        string
	symmetric cipher.AEAD
	rsa       *rsa.PrivateKey
	ecdh      *ecdh.PrivateKey
}

func arnOf(region, resource string) string {
	return fmt.Sprintf("arn:%s:kms:%s:%s:%s", partition, region, Account, resource)
}

func (k *key) arn() string { return arnOf(k.region, "key/"+k.id) }

// newKey makes a key that isn't in any store. Its usage must fit its spec.
func newKey(region string, spec types.KeySpec, usage types.KeyUsageType, multiRegion bool) (*key, error) {
	m, err := newMaterial(spec)
	if err != nil {
		return nil, err
	}
	k := &key{
		id:       newUUID(),
		region:   region,
		spec:     spec,
		usage:    usage,
		created:  time.Now(),
		material: m,
		state:    types.KeyStateEnabled,
	}
	if multiRegion {
		k.id = "mrk-" + strings.ReplaceAll(k.id, "-", "")
		k.family = &family{primary: region}
	}
	return k, nil
}

func newMaterial(spec types.KeySpec) (*material, error) {
	m := &material{id: hex.EncodeToString(random(32))}
	var err error
	switch spec {
	case types.KeySpecSymmetricDefault:
		m.symmetric, err = newAEAD()
	case types.KeySpecRsa2048:
		m.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	case types.KeySpecRsa3072:
		m.rsa, err = rsa.GenerateKey(rand.Reader, 3072)
	case types.KeySpecRsa4096:
		m.rsa, err = rsa.GenerateKey(rand.Reader, 4096)
	case types.KeySpecEccNistP256:
		m.ecdh, err = newECDH(elliptic.P256())
	case types.KeySpecEccNistP384:
		m.ecdh, err = newECDH(elliptic.P384())
	case types.KeySpecEccNistP521:
		m.ecdh, err = newECDH(elliptic.P521())
	default:
		return nil, unsupported("kmssim does not make keys of spec %s", spec)
	}
	return m, err
}

func newAEAD() (cipher.AEAD, error) {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func newECDH(curve elliptic.Curve) (*ecdh.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, err
	}
	return key.ECDH()
}

// usagesOf returns the usages that KMS allows for keys of a spec.
func usagesOf(spec types.KeySpec) []types.KeyUsageType {
	switch {
	case spec == types.KeySpecSymmetricDefault:
		return []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt}
	case strings.HasPrefix(string(spec), "RSA_"):
		return []types.KeyUsageType{types.KeyUsageTypeEncryptDecrypt, types.KeyUsageTypeSignVerify}
	case strings.HasPrefix(string(spec), "ECC_NIST_P"):
		return []types.KeyUsageType{types.KeyUsageTypeKeyAgreement, types.KeyUsageTypeSignVerify}
	}
	return nil
}

// encryptionAlgorithms returns the algorithms that the key supports.
func (k *key) encryptionAlgorithms() []types.EncryptionAlgorithmSpec {
	switch {
	case k.usage != types.KeyUsageTypeEncryptDecrypt:
		return nil
	case k.material.symmetric != nil:
		return []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault}
	}
	return []types.EncryptionAlgorithmSpec{
		types.EncryptionAlgorithmSpecRsaesOaepSha1,
		types.EncryptionAlgorithmSpecRsaesOaepSha256,
	}
}

// metadata describes the key as DescribeKey does.
func (k *key) metadata() answer {
	m := answer{
		"AWSAccountId":          Account,
		"Arn":                   k.arn(),
		"CreationDate":          unixTime(k.created),
		"CustomerMasterKeySpec": k.spec,
		"Description":           k.description,
		"Enabled":               k.state == types.KeyStateEnabled,
		"KeyId":                 k.id,
		"KeyManager":            types.KeyManagerTypeCustomer,
		"KeySpec":               k.spec,
		"KeyState":              k.state,
		"KeyUsage":              k.usage,
		"MultiRegion":           k.family != nil,
		"Origin":                types.OriginTypeAwsKms,
	}
	k.addAlgorithms(m)
	if k.material.symmetric != nil {
		m["CurrentKeyMaterialId"] = k.material.id
	}
	if k.state == types.KeyStatePendingDeletion {
		m["DeletionDate"] = unixTime(k.deletion)
	}
	if k.family != nil {
		m["MultiRegionConfiguration"] = k.familyMetadata()
	}
	return m
}

// addAlgorithms adds the key's algorithms to its description.
func (k *key) addAlgorithms(m answer) {
	switch k.usage {
	case types.KeyUsageTypeEncryptDecrypt:
		m["EncryptionAlgorithms"] = k.encryptionAlgorithms()
	case types.KeyUsageTypeKeyAgreement:
		m["KeyAgreementAlgorithms"] = []string{string(types.KeyAgreementAlgorithmSpecEcdh)}
	case types.KeyUsageTypeSignVerify:
		m["SigningAlgorithms"] = k.signingAlgorithms()
	}
}

func (k *key) signingAlgorithms() []types.SigningAlgorithmSpec {
	switch k.spec {
	case types.KeySpecEccNistP256:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha256}
	case types.KeySpecEccNistP384:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha384}
	case types.KeySpecEccNistP521:
		return []types.SigningAlgorithmSpec{types.SigningAlgorithmSpecEcdsaSha512}
	}
	return []types.SigningAlgorithmSpec{
		types.SigningAlgorithmSpecRsassaPkcs1V15Sha256,
		types.SigningAlgorithmSpecRsassaPkcs1V15Sha384,
		types.SigningAlgorithmSpecRsassaPkcs1V15Sha512,
		types.SigningAlgorithmSpecRsassaPssSha256,
		types.SigningAlgorithmSpecRsassaPssSha384,
		types.SigningAlgorithmSpecRsassaPssSha512,
	}
}

func (k *key) familyMetadata() answer {
	member := func(region string) map[string]string {
		return map[string]string{"Arn": arnOf(region, "key/"+k.id), "Region": region}
	}
	replicas := []map[string]string{}
	for _, region := range k.family.replicas {
		replicas = append(replicas, member(region))
	}
	kind := types.MultiRegionKeyTypeReplica
	if k.region == k.family.primary {
		kind = types.MultiRegionKeyTypePrimary
	}
	return answer{"MultiRegionKeyType": kind, "PrimaryKey": member(k.family.primary), "ReplicaKeys": replicas}
}

// inFamily reports whether the region already has a related key.
func (k *key) inFamily(region string) bool {
	return k.family.primary == region || slices.Contains(k.family.replicas, region)
}

// unixTime returns a time in the form of AWS JSON 1.1.
func unixTime(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
