package kmssim_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func rsaCalls() []sharedCall {
	const oaep = types.EncryptionAlgorithmSpecRsaesOaepSha256
	rsaKey := func(b *backend) types.KeyMetadata {
		return b.key("rsa", kms.CreateKeyInput{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeEncryptDecrypt})
	}
	return []sharedCall{
		{name: "RSA: public key", moto: "CustomerMasterKeySpec=RSA_2048 EncryptionAlgorithms=[RSAES_OAEP_SHA_1,RSAES_OAEP_SHA_256] KeyId=rsa.id KeyUsage=ENCRYPT_DECRYPT PublicKey[294]",
			want: "CustomerMasterKeySpec=RSA_2048 EncryptionAlgorithms=[RSAES_OAEP_SHA_1,RSAES_OAEP_SHA_256] KeyId=rsa.arn KeySpec=RSA_2048 KeyUsage=ENCRYPT_DECRYPT PublicKey[294]",
			why:  "KeyId is not an ARN, and there is no KeySpec",
			call: func(b *backend) (any, error) {
				return b.west.GetPublicKey(b.t.Context(), &kms.GetPublicKeyInput{KeyId: rsaKey(b).Arn})
			}},
		{name: "RSA: encrypt and decrypt", want: "EncryptionAlgorithm=RSAES_OAEP_SHA_256 KeyId=rsa.arn Plaintext=SECRET",
			call: func(b *backend) (any, error) {
				k := rsaKey(b)
				b.names["secret"] = "SECRET"
				out, err := b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: k.Arn, Plaintext: []byte("secret"), EncryptionAlgorithm: oaep})
				if err != nil {
					return nil, err
				}
				return b.west.Decrypt(b.t.Context(), &kms.DecryptInput{KeyId: k.Arn, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: oaep})
			}},
		{name: "RSA: decrypt what others encrypted", want: "EncryptionAlgorithm=RSAES_OAEP_SHA_256 KeyId=rsa.arn Plaintext=SECRET",
			moto: "InvalidCiphertextException", why: "RSA ciphertexts are of its own format",
			call: func(b *backend) (any, error) { return decryptOutside(b, rsaKey(b)) }},
		{name: "RSA: encrypt without an algorithm", want: "InvalidKeyUsageException", moto: "CiphertextBlob KeyId=rsa.arn", why: "algorithms are ignored",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: rsaKey(b).Arn, Plaintext: []byte("secret")})
			}},
		{name: "RSA: encrypt 191 bytes", want: "ValidationException", moto: "CiphertextBlob KeyId=rsa.arn", why: "RSA ciphertexts are of its own format",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: rsaKey(b).Arn, Plaintext: make([]byte, 191), EncryptionAlgorithm: oaep})
			}},
		{name: "RSA: data key", want: "InvalidKeyUsageException", moto: "CiphertextBlob KeyId=rsa.arn Plaintext[32]", why: "any key makes data keys",
			call: func(b *backend) (any, error) {
				return b.west.GenerateDataKey(b.t.Context(), &kms.GenerateDataKeyInput{KeyId: rsaKey(b).Arn, KeySpec: types.DataKeySpecAes256})
			}},
		{name: "symmetric: public key", want: "UnsupportedOperationException", why: "a symmetric key has an RSA key",
			moto: "CustomerMasterKeySpec=SYMMETRIC_DEFAULT EncryptionAlgorithms=[SYMMETRIC_DEFAULT] KeyId=key.id PublicKey[294] SigningAlgorithms=[]",
			call: func(b *backend) (any, error) {
				return b.west.GetPublicKey(b.t.Context(), &kms.GetPublicKeyInput{KeyId: b.symmetric("key").Arn})
			}},
	}
}

// decryptOutside encrypts with the public key alone, and decrypts with KMS.
func decryptOutside(b *backend, k types.KeyMetadata) (any, error) {
	public, err := b.west.GetPublicKey(b.t.Context(), &kms.GetPublicKeyInput{KeyId: k.Arn})
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(public.PublicKey)
	if err != nil {
		return nil, err
	}
	blob, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key.(*rsa.PublicKey), []byte("secret"), nil)
	if err != nil {
		return nil, err
	}
	b.names["secret"] = "SECRET"
	return b.west.Decrypt(b.t.Context(), &kms.DecryptInput{KeyId: k.Arn, CiphertextBlob: blob, EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha256})
}

func ecdhCalls() []sharedCall {
	eccKey := func(b *backend) types.KeyMetadata {
		return b.key("ecc", kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeKeyAgreement})
	}
	return []sharedCall{
		{name: "ECDH: public key", why: "KeyId is not an ARN, there is no KeySpec and no KeyAgreementAlgorithms, and algorithms of other uses instead",
			want: "CustomerMasterKeySpec=ECC_NIST_P256 KeyAgreementAlgorithms=[ECDH] KeyId=ecc.arn KeySpec=ECC_NIST_P256 KeyUsage=KEY_AGREEMENT PublicKey[91]",
			moto: "CustomerMasterKeySpec=ECC_NIST_P256 EncryptionAlgorithms=[RSAES_OAEP_SHA_1,RSAES_OAEP_SHA_256] KeyId=ecc.id KeyUsage=KEY_AGREEMENT PublicKey[91] SigningAlgorithms=[ECDSA_SHA_256]",
			call: func(b *backend) (any, error) {
				return b.west.GetPublicKey(b.t.Context(), &kms.GetPublicKeyInput{KeyId: eccKey(b).Arn})
			}},
		{name: "ECDH: shared secret", want: "KeyAgreementAlgorithm=ECDH KeyId=ecc.arn KeyOrigin=AWS_KMS SharedSecret=SHARED",
			moto: "status 500", why: "it has no DeriveSharedSecret",
			call: func(b *backend) (any, error) { return deriveOutside(b, eccKey(b)) }},
		{name: "ECDH: encrypt", want: "InvalidKeyUsageException", moto: "CiphertextBlob KeyId=ecc.arn", why: "any key encrypts",
			call: func(b *backend) (any, error) {
				return b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: eccKey(b).Arn, Plaintext: []byte("secret")})
			}},
	}
}

// deriveOutside agrees on a secret with KMS, and derives it here too.
func deriveOutside(b *backend, k types.KeyMetadata) (any, error) {
	public, err := b.west.GetPublicKey(b.t.Context(), &kms.GetPublicKeyInput{KeyId: k.Arn})
	if err != nil {
		return nil, err
	}
	mine, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := mine.ECDH(parseECDH(b.t, public.PublicKey))
	if err != nil {
		return nil, err
	}
	b.names[string(secret)] = "SHARED"
	der, err := x509.MarshalPKIXPublicKey(mine.PublicKey())
	if err != nil {
		return nil, err
	}
	return b.west.DeriveSharedSecret(b.t.Context(), &kms.DeriveSharedSecretInput{KeyId: k.Arn, PublicKey: der, KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh})
}

func parseECDH(t *testing.T, der []byte) *ecdh.PublicKey {
	t.Helper()
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	key, err := public.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
