package awskms

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/isnil"
	"esdk/internal/kmsarn"
)

// These are the providers of encrypted data keys.
const (
	kmsProvider     = "aws-kms"
	rsaProvider     = "aws-kms-rsa"
	ecdhProvider    = datakey.KMSECDH
	rawECDHProvider = datakey.RawECDH
)

// A key is a key of AWS KMS, as a caller or a message names it, and a way to
// reach it.
type key struct {
	Config
	id     string
	region string // of the client; empty for the default one
}

// newKey returns the key that a caller named. Its client is for the Region of
// the ARN.
func (c Config) newKey(id string) (key, error) {
	region, err := checkIdentifier(id)
	if err != nil {
		return key{}, fmt.Errorf("awskms: %w", err)
	}
	return key{c, id, region}, nil
}

// call makes a request with a key and checks the answer. Errors name the key
// and the Region.
func call[In, Out any](
	ctx context.Context, k key,
	operation func(Client, context.Context, *In, ...func(*kms.Options)) (*Out, error), in *In,
	check func(*Out) error,
) (*Out, error) {
	region := k.region
	out, err := func() (*Out, error) {
		client, err := k.Clients.Client(ctx, k.region)
		if err != nil {
			return nil, err
		}
		if isnil.Value(client) {
			return nil, errors.New("no client for the Region")
		}
		if region == "" {
			region = regionOf(client)
		}
		out, err := operation(client, ctx, in, limitAnswer)
		if err == nil && out == nil {
			err = errors.New("the client returned no answer")
		}
		if err == nil {
			err = check(out)
		}
		return out, err
	}()
	if err != nil {
		if region == "" {
			region = "the default Region"
		}
		return nil, fmt.Errorf("KMS key %s in %s: %w", k.id, region, err)
	}
	return out, nil
}

// generate asks AWS KMS for a new data key, and returns it with its encrypted
// form.
func (k key) generate(ctx context.Context, req *esdk.WrapRequest) ([]byte, esdk.EncryptedDataKey, error) {
	length := req.Suite.DataKeyLength()
	out, err := call(ctx, k, Client.GenerateDataKey, &kms.GenerateDataKeyInput{
		KeyId:             &k.id,
		NumberOfBytes:     aws.Int32(int32(length)),
		EncryptionContext: req.EncryptionContext,
		GrantTokens:       k.GrantTokens,
	}, func(out *kms.GenerateDataKeyOutput) error {
		err := cmp.Or(k.checkWrapped(out.KeyId, out.CiphertextBlob), checkLength(out.Plaintext, length))
		if err != nil {
			clear(out.Plaintext)
		}
		return err
	})
	if err != nil {
		return nil, esdk.EncryptedDataKey{}, err
	}
	return out.Plaintext, newEncryptedDataKey(out.KeyId, out.CiphertextBlob), nil
}

// encrypt asks AWS KMS to encrypt a data key.
func (k key) encrypt(ctx context.Context, req *esdk.WrapRequest, dataKey []byte) (esdk.EncryptedDataKey, error) {
	dataKey = bytes.Clone(dataKey) // a client may clear its input
	defer clear(dataKey)
	out, err := call(ctx, k, Client.Encrypt, &kms.EncryptInput{
		KeyId:             &k.id,
		Plaintext:         dataKey,
		EncryptionContext: req.EncryptionContext,
		GrantTokens:       k.GrantTokens,
	}, func(out *kms.EncryptOutput) error { return k.checkWrapped(out.KeyId, out.CiphertextBlob) })
	if err != nil {
		return esdk.EncryptedDataKey{}, err
	}
	return newEncryptedDataKey(out.KeyId, out.CiphertextBlob), nil
}

func newEncryptedDataKey(keyID *string, ciphertext []byte) esdk.EncryptedDataKey {
	return esdk.EncryptedDataKey{ProviderID: kmsProvider, ProviderInfo: []byte(*keyID), Ciphertext: ciphertext}
}

// maxCiphertext is the longest ciphertext that AWS KMS decrypts, in bytes.
const maxCiphertext = 6144

// decrypt asks AWS KMS for a plaintext of the given length. The caller sets the
// fields of the request that differ between keyrings. The error matches
// [esdk.ErrAuthentication] if AWS KMS reports that the ciphertext isn't
// authentic or isn't one of the key, or if its length is wrong.
func (k key) decrypt(ctx context.Context, in *kms.DecryptInput, length int) ([]byte, error) {
	if n := len(in.CiphertextBlob); n == 0 || n > maxCiphertext {
		return nil, errtext.Inauthentic(fmt.Errorf("KMS key %s: ciphertext has %d bytes, need 1 to %d", k.id, n, maxCiphertext))
	}
	in.KeyId, in.GrantTokens = &k.id, k.GrantTokens
	out, err := call(ctx, k, Client.Decrypt, in, func(out *kms.DecryptOutput) error {
		err := checkLength(out.Plaintext, length)
		if got := aws.ToString(out.KeyId); got != k.id {
			err = fmt.Errorf("the answer is for another key, %q", got)
		}
		if err != nil {
			clear(out.Plaintext)
		}
		return err
	})
	_, invalid := errors.AsType[*types.InvalidCiphertextException](err)
	_, incorrect := errors.AsType[*types.IncorrectKeyException](err)
	if invalid || incorrect {
		err = errtext.Inauthentic(err)
	}
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// decryptSymmetric decrypts a data key encrypted under a symmetric key.
func (k key) decryptSymmetric(ctx context.Context, req *esdk.UnwrapRequest, edk *esdk.EncryptedDataKey) ([]byte, error) {
	dataKey, err := k.decrypt(ctx, &kms.DecryptInput{
		CiphertextBlob:    edk.Ciphertext,
		EncryptionContext: req.EncryptionContext,
	}, req.Suite.DataKeyLength())
	if _, invalid := errors.AsType[*types.InvalidCiphertextException](err); invalid {
		// The answer gives no reason, and a wrong context is the most likely
		// one.
		return nil, fmt.Errorf("wrong encryption context or altered data key: %w", err)
	}
	return dataKey, err
}

// deriveSharedSecret asks AWS KMS for the shared secret with the owner of a
// public key, in SubjectPublicKeyInfo form.
func (k key) deriveSharedSecret(ctx context.Context, peer []byte, length int) ([]byte, error) {
	out, err := call(ctx, k, Client.DeriveSharedSecret, &kms.DeriveSharedSecretInput{
		KeyId:                 &k.id,
		KeyAgreementAlgorithm: types.KeyAgreementAlgorithmSpecEcdh,
		PublicKey:             peer,
		GrantTokens:           k.GrantTokens,
	}, func(out *kms.DeriveSharedSecretOutput) error {
		err := cmp.Or(k.checkKeyID(out.KeyId), checkLength(out.SharedSecret, length))
		if err != nil {
			clear(out.SharedSecret)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.SharedSecret, nil
}

// checkWrapped checks an answer whose ciphertext goes into a message.
func (k key) checkWrapped(keyID *string, ciphertext []byte) error {
	if len(ciphertext) == 0 {
		return errors.New("the answer has no ciphertext")
	}
	return k.checkKeyID(keyID)
}

// checkKeyID checks that an answer names its key by an ARN. If the key was
// requested by its ARN, the answer must have the same ARN.
func (k key) checkKeyID(keyID *string) error {
	got := aws.ToString(keyID)
	if _, err := kmsarn.ParseKey(got); err != nil {
		return fmt.Errorf("the answer does not name its key: %w", err)
	}
	if isKeyARN(k.id) && got != k.id {
		return fmt.Errorf("the answer is for another key, %q", got)
	}
	return nil
}

func checkLength(secret []byte, want int) error {
	if len(secret) != want {
		return fmt.Errorf("the answer has a key of %d bytes, need %d", len(secret), want)
	}
	return nil
}
