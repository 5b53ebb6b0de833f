package kmssim_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"hash"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/esdktest/kmssim"
)

const north = "eu-north-1"

// TestRSA encrypts with the public key and with KMS, and decrypts with KMS.
func TestRSA(t *testing.T) {
	s := newServer(t)
	client := s.Client(west)
	plaintext := []byte("secret")
	for spec, size := range map[types.KeySpec]int{types.KeySpecRsa2048: 256, types.KeySpecRsa3072: 384, types.KeySpecRsa4096: 512} {
		arn := s.CreateKey(west, spec)
		public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.ParsePKIXPublicKey(public.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		hashes := map[types.EncryptionAlgorithmSpec]hash.Hash{"RSAES_OAEP_SHA_1": sha1.New(), "RSAES_OAEP_SHA_256": sha256.New()}
		for algorithm, h := range hashes {
			outside, err := rsa.EncryptOAEP(h, rand.Reader, key.(*rsa.PublicKey), plaintext, nil)
			if err != nil {
				t.Fatal(err)
			}
			inside, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: plaintext, EncryptionAlgorithm: algorithm})
			if err != nil {
				t.Fatal(err)
			}
			for _, blob := range [][]byte{outside, inside.CiphertextBlob} {
				testDecryptRSA(t, client, arn, algorithm, blob, size)
			}
		}
	}
}

func testDecryptRSA(t *testing.T, client *kms.Client, arn string, algorithm types.EncryptionAlgorithmSpec, blob []byte, size int) {
	t.Helper()
	in := kms.DecryptInput{KeyId: &arn, CiphertextBlob: blob, EncryptionAlgorithm: algorithm}
	out, err := client.Decrypt(t.Context(), &in)
	if err != nil || string(out.Plaintext) != "secret" || *out.KeyId != arn || out.EncryptionAlgorithm != algorithm || len(blob) != size {
		t.Fatalf("%s: got %+v %v", algorithm, out, err)
	}
	for want, edit := range map[string]func(*kms.DecryptInput){
		"InvalidCiphertextException": func(in *kms.DecryptInput) { in.CiphertextBlob = append([]byte{blob[0] ^ 1}, blob[1:]...) },
		"InvalidKeyUsageException":   func(in *kms.DecryptInput) { in.EncryptionAlgorithm = "" },
		"ValidationException":        func(in *kms.DecryptInput) { in.KeyId = nil },
	} {
		bad := in
		edit(&bad)
		_, err := client.Decrypt(t.Context(), &bad)
		wantCode(t, want, err, want)
	}
	bad := in
	bad.EncryptionContext = map[string]string{"a": "b"}
	_, err = client.Decrypt(t.Context(), &bad)
	wantCode(t, "context", err, "ValidationException")
	bad = in
	bad.EncryptionAlgorithm = map[types.EncryptionAlgorithmSpec]types.EncryptionAlgorithmSpec{
		"RSAES_OAEP_SHA_1": "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_256": "RSAES_OAEP_SHA_1"}[algorithm]
	_, err = client.Decrypt(t.Context(), &bad)
	wantCode(t, "another hash", err, "InvalidCiphertextException")
}

// TestECDH agrees with KMS on each curve.
func TestECDH(t *testing.T) {
	s := newServer(t)
	client := s.Client(west)
	curves := map[types.KeySpec]ecdh.Curve{types.KeySpecEccNistP256: ecdh.P256(), types.KeySpecEccNistP384: ecdh.P384(), types.KeySpecEccNistP521: ecdh.P521()}
	for spec, curve := range curves {
		arn := s.CreateKey(west, spec)
		public, err := client.GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
		if err != nil || public.KeyUsage != types.KeyUsageTypeKeyAgreement || public.KeySpec != spec {
			t.Fatalf("%s: got %+v %v", spec, public, err)
		}
		mine, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		want, err := mine.ECDH(parseECDH(t, public.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		out, err := derive(t, client, arn, mine.PublicKey())
		if err != nil || !bytes.Equal(out.SharedSecret, want) || *out.KeyId != arn || out.KeyAgreementAlgorithm != "ECDH" {
			t.Errorf("%s: got %+v %v", spec, out, err)
		}
		for other, curve := range curves {
			if other == spec {
				continue
			}
			key, err := curve.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			_, err = derive(t, client, arn, key.PublicKey())
			wantCode(t, "another curve", err, "ValidationException")
		}
	}
}

func derive(t *testing.T, client *kms.Client, arn string, public any) (*kms.DeriveSharedSecretOutput, error) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return client.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &arn, PublicKey: der, KeyAgreementAlgorithm: "ECDH"})
}

// TestUsage uses keys for purposes that their usage doesn't allow.
func TestUsage(t *testing.T) {
	s := newServer(t)
	client := s.Client(west)
	rsaKey, eccKey, plain := s.CreateKey(west, types.KeySpecRsa2048), s.CreateKey(west, types.KeySpecEccNistP256), s.CreateKey(west, types.KeySpecSymmetricDefault)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range []string{rsaKey, plain} {
		_, err := derive(t, client, arn, peer.PublicKey())
		wantCode(t, "derive", err, "InvalidKeyUsageException")
	}
	for _, arn := range []string{rsaKey, eccKey} {
		_, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: "AES_256"})
		wantCode(t, "data key", err, "InvalidKeyUsageException")
		_, err = client.GenerateDataKeyWithoutPlaintext(t.Context(), &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: &arn, KeySpec: "AES_256"})
		wantCode(t, "data key without plaintext", err, "InvalidKeyUsageException")
	}
	_, err = client.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &eccKey, PublicKey: []byte("x"), KeyAgreementAlgorithm: "ECDH"})
	wantCode(t, "not a public key", err, "ValidationException")
	_, err = client.DeriveSharedSecret(t.Context(), &kms.DeriveSharedSecretInput{KeyId: &eccKey, PublicKey: []byte("x"), KeyAgreementAlgorithm: "DH"})
	wantCode(t, "not an algorithm", err, "ValidationException")

	signing, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: types.KeySpecEccNistP256, KeyUsage: types.KeyUsageTypeSignVerify})
	if err != nil {
		t.Fatal(err)
	}
	_, err = derive(t, client, *signing.KeyMetadata.Arn, peer.PublicKey())
	wantCode(t, "derive with a signing key", err, "InvalidKeyUsageException")
}

// TestReEncryptRSA moves data between keys of different kinds.
func TestReEncryptRSA(t *testing.T) {
	s := newServer(t)
	client := s.Client(west)
	source, destination := s.CreateKey(west, types.KeySpecSymmetricDefault), s.CreateKey(west, types.KeySpecRsa2048)
	blob, err := encrypt(t, client, source)
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: &destination, DestinationEncryptionAlgorithm: "RSAES_OAEP_SHA_1"})
	if err != nil {
		t.Fatal(err)
	}
	if *out.SourceKeyId != source || *out.KeyId != destination || out.DestinationKeyMaterialId != nil || out.SourceKeyMaterialId == nil {
		t.Errorf("got %+v", out)
	}
	got, err := client.Decrypt(t.Context(), &kms.DecryptInput{KeyId: &destination, CiphertextBlob: out.CiphertextBlob, EncryptionAlgorithm: "RSAES_OAEP_SHA_1"})
	if err != nil || string(got.Plaintext) != "x" {
		t.Errorf("got %+v %v", got, err)
	}
}

func TestMultiRegion(t *testing.T) {
	s := newServer(t)
	primary := s.CreateMultiRegionKey(west, types.KeySpecSymmetricDefault)
	replica := s.Replicate(primary, east)
	if !strings.Contains(primary, ":key/mrk-") || replica != strings.Replace(primary, west, east, 1) {
		t.Fatalf("got %s and %s", primary, replica)
	}
	blob, err := encrypt(t, s.Client(west), primary)
	if err != nil {
		t.Fatal(err)
	}
	for _, keyID := range []string{"", replica, primary[strings.Index(primary, "mrk-"):], s.CreateAlias(east, "alias/replica", replica)} {
		in := &kms.DecryptInput{CiphertextBlob: blob}
		if keyID != "" {
			in.KeyId = &keyID
		}
		out, err := s.Client(east).Decrypt(t.Context(), in)
		if err != nil || *out.KeyId != replica || string(out.Plaintext) != "x" {
			t.Errorf("with %q: got %+v %v", keyID, out, err)
		}
	}
	_, err = s.Client(east).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, KeyId: &primary})
	wantCode(t, "the primary's ARN in the replica's region", err, "NotFoundException")
	_, err = s.Client(north).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantCode(t, "without a replica", err, "AccessDeniedException")

	s.Disable(replica)
	_, err = s.Client(east).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob})
	wantCode(t, "a disabled replica", err, "DisabledException")
	if _, err := s.Client(west).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil {
		t.Errorf("with the replica disabled: %v", err)
	}
	_, err = s.Client(east).ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &replica, ReplicaRegion: aws.String(north)})
	wantCode(t, "replicate a replica", err, "UnsupportedOperationException")
	_, err = s.Client(west).ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &primary, ReplicaRegion: aws.String(west)})
	wantCode(t, "replicate to its own region", err, "AlreadyExistsException")
	out, err := s.Client(west).ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: &primary, ReplicaRegion: aws.String(north)})
	if err != nil || len(out.ReplicaKeyMetadata.MultiRegionConfiguration.ReplicaKeys) != 2 {
		t.Errorf("got %+v %v", out, err)
	}
}

// TestMultiRegionAsymmetric: related keys have one public key.
func TestMultiRegionAsymmetric(t *testing.T) {
	s := newServer(t)
	primary := s.CreateMultiRegionKey(west, types.KeySpecEccNistP256)
	replica := s.Replicate(primary, east)
	a, err := s.Client(west).GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &primary})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Client(east).GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &replica})
	if err != nil || !bytes.Equal(a.PublicKey, b.PublicKey) || *b.KeyId != replica {
		t.Errorf("got %+v %v", b, err)
	}
}

// TestNames looks up keys by malformed or foreign names.
func TestNames(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.CreateAlias(east, "alias/east", s.CreateKey(east, types.KeySpecSymmetricDefault))
	for name, want := range map[string]string{
		arn:          "",
		"alias/east": "NotFoundException",
		"arn:aws:kms:us-west-2:111122223333:key/":               "NotFoundException",
		"arn:aws:kms:us-west-2:111122223333:alias":              "InvalidArnException",
		"arn:aws:kms:us-west-2":                                 "InvalidArnException",
		"arn:aws:s3:::bucket/x":                                 "InvalidArnException",
		strings.Replace(arn, kmssim.Account, "999999999999", 1): "AccessDeniedException",
		strings.Replace(arn, "aws", "aws-cn", 1):                "NotFoundException",
		strings.Replace(arn, ":key/", ":secret/", 1):            "NotFoundException",
		"key/" + arn[len(arn)-36:]:                              "NotFoundException",
		strings.Repeat("x", 2049):                               "ValidationException",
	} {
		_, err := encrypt(t, s.Client(west), name)
		wantCode(t, name, err, want)
	}
}

func TestStates(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	client := s.Client(west)
	s.Disable(arn)
	_, err := encrypt(t, client, arn)
	wantCode(t, "disabled", err, "DisabledException")
	s.Enable(arn)
	_, err = encrypt(t, client, arn)
	wantCode(t, "enabled", err, "")
	s.ScheduleDeletion(arn)
	_, err = encrypt(t, client, arn)
	wantCode(t, "pending deletion", err, "KMSInvalidStateException")
	_, err = client.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &arn})
	wantCode(t, "enable a key that is pending deletion", err, "KMSInvalidStateException")
	out, err := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
	if err != nil || out.KeyMetadata.KeyState != types.KeyStatePendingDeletion || out.KeyMetadata.DeletionDate == nil {
		t.Errorf("got %+v %v", out, err)
	}
}

func TestGrantTokens(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	token := s.CreateGrant(arn)
	if g := s.Grants()[token]; g.KeyARN != arn || g.Token != token || len(g.Operations) == 0 {
		t.Errorf("got %+v", g)
	}
	for n, want := range map[int]string{1: "", 10: "", 11: "ValidationException"} {
		tokens := make([]string, n)
		for i := range tokens {
			tokens[i] = token
		}
		_, err := s.Client(west).DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn, GrantTokens: tokens})
		wantCode(t, "tokens", err, want)
	}
}

// TestSetupPanics: mistakes in a test aren't ignored.
func TestSetupPanics(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	for name, f := range map[string]func(){
		"unknown spec":        func() { s.CreateKey(west, types.KeySpecHmac256) },
		"unknown key":         func() { s.Disable(arn + "0") },
		"not an ARN":          func() { s.Enable("x") },
		"single-Region key":   func() { s.Replicate(arn, east) },
		"alias without alias": func() { s.CreateAlias(west, "x", arn) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestContextWithZeros: bytes in a value don't pass for another pair.
func TestContextWithZeros(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	out, err := s.Client(west).Encrypt(t.Context(), &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x"),
		EncryptionContext: map[string]string{"a": "b", "c": "d"}})
	if err != nil {
		t.Fatal(err)
	}
	const zeros = "\x00\x00\x00\x00"
	_, err = s.Client(west).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob,
		EncryptionContext: map[string]string{"a": "b" + zeros + "c" + zeros + "d"}})
	wantCode(t, "zeros", err, "InvalidCiphertextException")
}
