package awskms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/internal/errtext"
	"esdk/internal/kmsarn"
)

// RSAConfig configures [NewRSAKeyring].
type RSAConfig struct {
	// KeyID is the ARN of an RSA key of AWS KMS for encryption and decryption.
	// Any replica of the same multi-Region key can decrypt, too.
	KeyID string

	// PublicKey is the public key of that key, of at least 2048 bits. It
	// encrypts; without it, the keyring only decrypts. NewRSAKeyring doesn't
	// check that it belongs to the key. [esdk.ParsePEM] reads it.
	PublicKey *rsa.PublicKey

	// Hash is the hash of OAEP and its MGF1, SHA-1 or SHA-256. 0 means SHA-256.
	Hash crypto.Hash
}

const minRSABits = 2048

var rsaAlgorithms = map[crypto.Hash]types.EncryptionAlgorithmSpec{
	crypto.SHA1:   types.EncryptionAlgorithmSpecRsaesOaepSha1,
	crypto.SHA256: types.EncryptionAlgorithmSpecRsaesOaepSha256,
}

type rsaKeyring struct {
	key    key
	public *rsa.PublicKey
	hash   crypto.Hash
}

// NewRSAKeyring returns a keyring that wraps data keys under an RSA key of AWS
// KMS. It encrypts with the public key, without AWS; AWS KMS decrypts.
//
// It takes only suites that don't sign, such as
// [esdk.AES256GCMHKDFSHA512Commit]. Anyone may have the public key, so a
// signature wouldn't show who encrypted. It needs the permission kms:Decrypt.
//
// Specification: [framework/aws-kms/aws-kms-rsa-keyring.md].
//
// [framework/aws-kms/aws-kms-rsa-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-rsa-keyring.md
func NewRSAKeyring(c Config, r RSAConfig) (esdk.Keyring, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	k, err := c.newKey(r.KeyID)
	if err != nil {
		return nil, err
	}
	if !isKeyARN(r.KeyID) {
		return nil, fmt.Errorf("awskms: RSA keyring needs the ARN of its key, for messages to name it, not %q", r.KeyID)
	}
	if r.Hash == 0 {
		r.Hash = crypto.SHA256
	}
	if rsaAlgorithms[r.Hash] == "" {
		return nil, fmt.Errorf("awskms: RSA keyring: hash %v is neither SHA-1 nor SHA-256", r.Hash)
	}
	kr := &rsaKeyring{key: k, hash: r.Hash}
	if r.PublicKey != nil {
		if err := checkRSA(r.PublicKey); err != nil {
			return nil, fmt.Errorf("awskms: RSA keyring: %w", err)
		}
		kr.public = &rsa.PublicKey{N: new(big.Int).Set(r.PublicKey.N), E: r.PublicKey.E}
	}
	return kr, nil
}

// checkRSA rejects keys that can't encrypt: they would panic, or fail only with
// the first message.
func checkRSA(public *rsa.PublicKey) error {
	switch n, e := public.N, public.E; {
	case n == nil || n.Sign() != 1 || n.BitLen() < minRSABits:
		return fmt.Errorf("the public key has less than %d bits", minRSABits)
	case n.Bit(0) == 0:
		return errors.New("the public key has an even modulus")
	case e < 3 || e%2 == 0:
		return fmt.Errorf("the public key has the exponent %d", e)
	}
	return nil
}

func checkUnsigned(id esdk.SuiteID) error {
	if id.Signed() {
		return fmt.Errorf("awskms: RSA keyring takes only suites that do not sign, not %v", id)
	}
	return nil
}

func (kr *rsaKeyring) Wrap(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if kr.public == nil {
		return nil, fmt.Errorf("awskms: RSA keyring of %s has no public key, and cannot encrypt", kr.key.id)
	}
	if err := checkUnsigned(req.Suite); err != nil {
		return nil, err
	}
	return wrap(req, func(dataKey, serialized []byte) (esdk.EncryptedDataKey, error) {
		digest := sha512.Sum384(serialized)
		plaintext := slices.Concat(digest[:], dataKey)
		defer clear(plaintext)
		ciphertext, err := rsa.EncryptOAEP(kr.hash.New(), rand.Reader, kr.public, plaintext, nil)
		if err != nil {
			return esdk.EncryptedDataKey{}, fmt.Errorf("KMS key %s: %w", kr.key.id, err)
		}
		return esdk.EncryptedDataKey{ProviderID: rsaProvider, ProviderInfo: []byte(kr.key.id), Ciphertext: ciphertext}, nil
	})
}

func (kr *rsaKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	if err := checkUnsigned(req.Suite); err != nil {
		return nil, &esdk.NoDataKeyError{Errors: []error{err}}
	}
	matches := func(arn kmsarn.ARN) bool { return matchMRK(kr.key.id, arn.String()) }
	return unwrap(ctx, req, rsaProvider, matches, func(_ kmsarn.ARN, edk *esdk.EncryptedDataKey, serialized []byte) ([]byte, error) {
		return kr.decrypt(ctx, edk.Ciphertext, serialized, req.Suite.DataKeyLength())
	})
}

// decrypt returns the data key if the hash in front of it matches the context:
// RSA has no other way to bind the two.
func (kr *rsaKeyring) decrypt(ctx context.Context, ciphertext, serialized []byte, length int) ([]byte, error) {
	plaintext, err := kr.key.decrypt(ctx, &kms.DecryptInput{
		CiphertextBlob:      ciphertext,
		EncryptionAlgorithm: rsaAlgorithms[kr.hash],
	}, sha512.Size384+length)
	if err != nil {
		return nil, err
	}
	digest := sha512.Sum384(serialized)
	if subtle.ConstantTimeCompare(digest[:], plaintext[:sha512.Size384]) != 1 {
		clear(plaintext)
		return nil, errtext.Inauthentic(fmt.Errorf("KMS key %s: %w is not the one that the data key is bound to", kr.key.id, errtext.Bare(esdk.ErrEncryptionContext)))
	}
	return plaintext[sha512.Size384:], nil
}
