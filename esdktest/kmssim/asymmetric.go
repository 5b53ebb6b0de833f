package kmssim

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"hash"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// checkAlgorithm checks that the key encrypts, and with this algorithm.
func (k *key) checkAlgorithm(algorithm types.EncryptionAlgorithmSpec, ec map[string]string) error {
	switch {
	case !slices.Contains(algorithm.Values(), algorithm):
		return constraint("encryptionAlgorithm", "'"+string(algorithm)+"'", "satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256]")
	case k.usage != types.KeyUsageTypeEncryptDecrypt:
		return invalidUsage("%s key usage is %s which is not valid for encryption.", k.arn(), k.usage)
	case !slices.Contains(k.encryptionAlgorithms(), algorithm):
		return invalidUsage("Algorithm %s is incompatible with key spec %s.", algorithm, k.spec)
	case k.material.symmetric == nil && len(ec) > 0:
		return invalid("An encryption context is not supported for key spec %s.", k.spec)
	}
	return nil
}

func oaepHash(algorithm types.EncryptionAlgorithmSpec) hash.Hash {
	if algorithm == types.EncryptionAlgorithmSpecRsaesOaepSha1 {
		return sha1.New()
	}
	return sha256.New()
}

func (k *key) encryptRSA(algorithm types.EncryptionAlgorithmSpec, plaintext []byte) ([]byte, error) {
	h := oaepHash(algorithm)
	public := &k.material.rsa.PublicKey
	if most := public.Size() - 2*h.Size() - 2; len(plaintext) > most {
		return nil, invalid("Algorithm %s and key spec %s cannot encrypt data larger than %d bytes.", algorithm, k.spec, most)
	}
	return rsa.EncryptOAEP(h, rand.Reader, public, plaintext, nil)
}

func (k *key) decryptRSA(algorithm types.EncryptionAlgorithmSpec, blob []byte) ([]byte, error) {
	plaintext, err := rsa.DecryptOAEP(oaepHash(algorithm), nil, k.material.rsa, blob, nil)
	if err != nil {
		return nil, errInvalidCiphertext
	}
	return plaintext, nil
}

// publicKey returns the key's public half, or nil if it has none.
func (k *key) publicKey() any {
	switch {
	case k.material.rsa != nil:
		return k.material.rsa.Public()
	case k.material.ecdh != nil:
		return k.material.ecdh.PublicKey()
	}
	return nil
}

func (s *Server) getPublicKey(region string, in *kms.GetPublicKeyInput) (answer, error) {
	k, err := s.keys.usable(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	public := k.publicKey()
	if public == nil {
		return nil, unsupported("%s has no public key.", k.arn())
	}
	if err := s.checkCall(in.GrantTokens, nil); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	out := answer{
		"KeyId":                 k.arn(),
		"PublicKey":             der,
		"CustomerMasterKeySpec": k.spec,
		"KeySpec":               k.spec,
		"KeyUsage":              k.usage,
	}
	k.addAlgorithms(out)
	return out, err
}

func (s *Server) deriveSharedSecret(region string, in *kms.DeriveSharedSecretInput) (answer, error) {
	if in.Recipient != nil {
		return nil, unsupported("kmssim has no enclaves")
	}
	if in.KeyAgreementAlgorithm != types.KeyAgreementAlgorithmSpecEcdh {
		return nil, constraint("keyAgreementAlgorithm", "'"+string(in.KeyAgreementAlgorithm)+"'", "satisfy enum value set: [ECDH]")
	}
	if err := checkLength("publicKey", in.PublicKey, 8192); err != nil {
		return nil, err
	}
	k, err := s.keys.usable(region, aws.ToString(in.KeyId))
	if err != nil {
		return nil, err
	}
	if k.usage != types.KeyUsageTypeKeyAgreement {
		return nil, invalidUsage("%s key usage is %s which is not valid for DeriveSharedSecret.", k.arn(), k.usage)
	}
	if err := s.checkCall(in.GrantTokens, in.DryRun); err != nil {
		return nil, err
	}
	secret, err := k.agree(in.PublicKey)
	return answer{
		"KeyId":                 k.arn(),
		"SharedSecret":          secret,
		"KeyAgreementAlgorithm": in.KeyAgreementAlgorithm,
		"KeyOrigin":             types.OriginTypeAwsKms,
	}, err
}

// agree derives the shared secret with a public key in DER on the same curve.
func (k *key) agree(der []byte) ([]byte, error) {
	peer, err := parseECDH(der)
	if err != nil || peer.Curve() != k.material.ecdh.Curve() {
		return nil, invalid("The public key is not a key of spec %s in DER.", k.spec)
	}
	return k.material.ecdh.ECDH(peer)
}

func parseECDH(der []byte) (*ecdh.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, x509.ErrUnsupportedAlgorithm
	}
	return key.ECDH()
}
