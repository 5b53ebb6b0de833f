package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"esdk"
	"esdk/internal/kmsarn"
)

// symmetricKeyring uses its one configured key only.
type symmetricKeyring struct {
	key     key
	matches func(configured, arn string) bool
}

// NewKeyring returns a keyring that wraps data keys under symmetric keys of AWS
// KMS. The generator makes the data key and wraps it. Then the other keys wrap
// it, all at the same time; the encrypted data keys are in the order of the
// arguments. If one key fails, the call fails, and the other requests are
// cancelled. On decryption, the keyring tries its keys that the message
// names, in that order.
//
// With an empty generator, the keyring only wraps data keys that another
// keyring made, as a child of [esdk.NewMultiKeyring]. A generator alone also
// wraps existing data keys; a generator with other keys does not.
//
// Name keys by their ARN. An alias, its ARN or a bare key id encrypts but
// doesn't decrypt, and the error then says so. Without a Region in it, it
// refers to the default Region. The keyring needs the permissions
// kms:GenerateDataKey for the generator, kms:Encrypt for the others, and
// kms:Decrypt.
//
// Specification: [framework/aws-kms/aws-kms-keyring.md] and
// [framework/aws-kms/aws-kms-multi-keyrings.md].
//
// [framework/aws-kms/aws-kms-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-keyring.md
// [framework/aws-kms/aws-kms-multi-keyrings.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-multi-keyrings.md
func NewKeyring(c Config, generator string, keys ...string) (esdk.Keyring, error) {
	return newStrictKeyring(c, generator, keys, func(configured, arn string) bool { return configured == arn })
}

// NewMRKKeyring returns a keyring like [NewKeyring] that also decrypts messages
// encrypted by other replicas of its multi-Region keys. It calls its own key in
// its own Region. NewMRKKeyring fails if two of the keys are replicas of the
// same multi-Region key.
//
// Specification: [framework/aws-kms/aws-kms-mrk-keyring.md] and
// [framework/aws-kms/aws-kms-mrk-multi-keyrings.md].
//
// [framework/aws-kms/aws-kms-mrk-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-mrk-keyring.md
// [framework/aws-kms/aws-kms-mrk-multi-keyrings.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-mrk-multi-keyrings.md
func NewMRKKeyring(c Config, generator string, keys ...string) (esdk.Keyring, error) {
	all := slices.Clone(keys)
	if generator != "" {
		all = append([]string{generator}, all...)
	}
	if err := checkMRKsUnique(all); err != nil {
		return nil, err
	}
	return newStrictKeyring(c, generator, keys, matchMRK)
}

func newStrictKeyring(c Config, generator string, keys []string, matches func(configured, arn string) bool) (esdk.Keyring, error) {
	if generator == "" && len(keys) == 0 {
		return nil, errors.New("awskms: keyring needs a key")
	}
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	var first esdk.Keyring
	if generator != "" {
		if first, err = c.newSymmetricKeyring(generator, matches); err != nil {
			return nil, err
		}
	}
	var others []esdk.Keyring
	for _, id := range keys {
		kr, err := c.newSymmetricKeyring(id, matches)
		if err != nil {
			return nil, err
		}
		others = append(others, kr)
	}
	if len(others) == 0 {
		return first, nil
	}
	return esdk.NewMultiKeyring(first, others...)
}

func (c Config) newSymmetricKeyring(id string, matches func(configured, arn string) bool) (esdk.Keyring, error) {
	k, err := c.newKey(id)
	if err != nil {
		return nil, err
	}
	return &symmetricKeyring{k, matches}, nil
}

func (kr *symmetricKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if req.DataKey != nil {
		return wrap(req, func(dataKey, _ []byte) (esdk.EncryptedDataKey, error) { return kr.key.encrypt(ctx, req, dataKey) })
	}
	if req.Suite.DataKeyLength() == 0 {
		return nil, fmt.Errorf("awskms: unknown algorithm suite %v", req.Suite)
	}
	// The AWS SDK would alter a context that isn't valid UTF-8 instead of
	// refusing it.
	if _, err := req.EncryptionContext.AppendBinary(nil); err != nil {
		return nil, err
	}
	dataKey, edk, err := kr.key.generate(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("awskms: %w", err)
	}
	return &esdk.WrapResult{DataKey: dataKey, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}}, nil
}

func (kr *symmetricKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(arn kmsarn.ARN) bool { return kr.matches(kr.key.id, arn.String()) }
	dataKey, err := unwrap(ctx, req, kmsProvider, matches, func(_ kmsarn.ARN, edk *esdk.EncryptedDataKey, _ []byte) ([]byte, error) {
		return kr.key.decryptSymmetric(ctx, req, edk)
	})
	if none, ok := err.(*esdk.NoDataKeyError); ok {
		none.Errors = append(none.Errors, kr.unusable(req)...)
	}
	return dataKey, err
}

// unusable returns an error if the key can't decrypt because of the form of its
// name, and it may have encrypted the message.
func (kr *symmetricKeyring) unusable(req *esdk.UnwrapRequest) []error {
	var arns []string
	for _, edk := range req.EncryptedDataKeys {
		if arn := string(edk.ProviderInfo); edk.ProviderID == kmsProvider && !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	if len(arns) == 0 || isKeyARN(kr.key.id) {
		return nil
	}
	return []error{fmt.Errorf("KMS key %s encrypts but cannot decrypt, since messages name keys by ARN: "+
		"configure the key's ARN; this message names %s", kr.key.id, strings.Join(arns, ", "))}
}
