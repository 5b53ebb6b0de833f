package branchkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/awskms"
	"esdk/internal/isnil"
	"esdk/internal/kmsarn"
)

// providerID is also part of the user agent, as the specification requires.
const providerID = "aws-kms-hierarchy"

// keyLength is the length of branch keys and beacon keys, in bytes.
const keyLength = 32

// A keyMaker is a client of AWS KMS that can create keys.
type keyMaker interface {
	GenerateDataKeyWithoutPlaintext(context.Context, *kms.GenerateDataKeyWithoutPlaintextInput, ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error)
	ReEncrypt(context.Context, *kms.ReEncryptInput, ...func(*kms.Options)) (*kms.ReEncryptOutput, error)
}

func userAgent(o *kms.Options) {
	o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKey(providerID))
}

// configuredARN is the key that encrypts. It is empty with discovery.
func (s *Store) configuredARN() string { return s.config.KMS.KeyARN + s.config.KMS.MRKeyARN }

// keyFor returns the KMS key to use with an item, or [ErrKMSKey] if it isn't
// allowed.
//
// Specification: framework/branch-key-store.md#aws-key-arn-compatibility.
func (s *Store) keyFor(item *Item) (string, error) {
	stored := item.Attributes[kmsARNAttribute]
	arn, err := kmsarn.ParseKey(stored)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrItem, kmsARNAttribute, err)
	}
	k := &s.config.KMS
	reads := func(key kmsarn.ARN) bool { return key == arn || k.MRKeyARN != "" && kmsarn.MatchMRK(key, arn) }
	switch {
	case k.Discovery, k.MRDiscovery != "" && !arn.IsMRK():
		return stored, nil
	case k.MRDiscovery != "":
		return arn.In(k.MRDiscovery).String(), nil
	case reads(s.key):
		return s.configuredARN(), nil
	}
	if i := slices.IndexFunc(s.former, reads); i >= 0 {
		return s.former[i].String(), nil
	}
	return "", fmt.Errorf("%w: the item is under %s, but the key store is configured with %s", ErrKMSKey, stored, s.configuredARN())
}

// decrypt returns the plaintext key of an item.
//
// Specification: framework/branch-key-store.md#aws-kms-branch-key-decryption.
func (s *Store) decrypt(ctx context.Context, item *Item) ([]byte, error) {
	keyID, err := s.keyFor(item)
	if err != nil {
		return nil, err
	}
	client, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := answered(client.Decrypt(ctx, &kms.DecryptInput{
		KeyId:             &keyID,
		CiphertextBlob:    item.Enc,
		EncryptionContext: item.kmsContext(s.config.LogicalName),
		GrantTokens:       s.config.GrantTokens,
	}, userAgent, limitKMS))
	if err != nil {
		return nil, s.kmsError("Decrypt", keyID, err)
	}
	err = checkAnswer(keyID, out.KeyId)
	if err == nil && len(out.Plaintext) != keyLength {
		err = fmt.Errorf("the answer has a key of %d bytes, need %d", len(out.Plaintext), keyLength)
	}
	if err != nil {
		clear(out.Plaintext)
		return nil, s.kmsError("Decrypt", keyID, err)
	}
	return out.Plaintext, nil
}

func (s *Store) client(ctx context.Context) (awskms.Client, error) {
	client, err := s.config.Clients.Client(ctx, s.region)
	if err == nil && isnil.Value(client) {
		err = errors.New("branchkey: no KMS client")
	}
	return client, err
}

func (s *Store) keyMaker(ctx context.Context) (keyMaker, error) {
	client, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	m, ok := client.(keyMaker)
	if !ok {
		return nil, fmt.Errorf("branchkey: the KMS client, a %T, has no GenerateDataKeyWithoutPlaintext and ReEncrypt", client)
	}
	return m, nil
}

// generate asks AWS KMS for a new key, and stores its ciphertext in the item.
func (s *Store) generate(ctx context.Context, item *Item) error {
	m, err := s.keyMaker(ctx)
	if err != nil {
		return err
	}
	keyID := s.configuredARN()
	out, err := answered(m.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId:             &keyID,
		NumberOfBytes:     aws.Int32(keyLength),
		EncryptionContext: item.kmsContext(s.config.LogicalName),
		GrantTokens:       s.config.GrantTokens,
	}, userAgent, limitKMS))
	if err == nil {
		err = checkBlob(keyID, out.CiphertextBlob, out.KeyId)
	}
	if err != nil {
		return s.kmsError("GenerateDataKeyWithoutPlaintext", keyID, err)
	}
	item.Enc = out.CiphertextBlob
	return nil
}

// reEncrypt asks AWS KMS to re-encrypt the key of an item: from the KMS key
// source to destination, and from the context of one item to the context of
// another. It returns the ciphertext.
func (s *Store) reEncrypt(ctx context.Context, from *Item, source string, to *Item, destination string) ([]byte, error) {
	m, err := s.keyMaker(ctx)
	if err != nil {
		return nil, err
	}
	out, err := answered(m.ReEncrypt(ctx, &kms.ReEncryptInput{
		CiphertextBlob:               from.Enc,
		SourceKeyId:                  &source,
		SourceEncryptionContext:      from.kmsContext(s.config.LogicalName),
		DestinationKeyId:             &destination,
		DestinationEncryptionContext: to.kmsContext(s.config.LogicalName),
		GrantTokens:                  s.config.GrantTokens,
	}, userAgent, limitKMS))
	if err == nil {
		err = cmp.Or(checkAnswer(source, out.SourceKeyId), checkBlob(destination, out.CiphertextBlob, out.KeyId))
	}
	if err != nil && source != destination {
		err = fmt.Errorf("to %s: %w", destination, err)
	}
	if err != nil {
		return nil, s.kmsError("ReEncrypt", source, err)
	}
	return out.CiphertextBlob, nil
}

func checkBlob(keyID string, ciphertext []byte, answered *string) error {
	if len(ciphertext) == 0 {
		return errors.New("the answer has no ciphertext")
	}
	return checkAnswer(keyID, answered)
}

// checkAnswer fails unless AWS KMS used the requested key.
func checkAnswer(keyID string, answered *string) error {
	if got := aws.ToString(answered); got != keyID {
		return fmt.Errorf("%w: the answer is for %q", ErrKMSKey, got)
	}
	return nil
}

// kmsError adds the KMS key, and marks errors caused by the item with
// [ErrItem].
func (s *Store) kmsError(operation, keyID string, err error) error {
	var invalid *types.InvalidCiphertextException
	var incorrect *types.IncorrectKeyException
	if errors.As(err, &invalid) || errors.As(err, &incorrect) {
		err = fmt.Errorf("%w under the logical name %q: %w", ErrItem, s.config.LogicalName, withoutTail{err})
	}
	return fmt.Errorf("KMS key %s: %s: %w", keyID, operation, err)
}

// withoutTail is an error whose text doesn't end with the colon before an empty
// message: AWS KMS tells nothing about a ciphertext.
type withoutTail struct{ error }

func (e withoutTail) Error() string { return strings.TrimRight(e.error.Error(), ": ") }
func (e withoutTail) Unwrap() error { return e.error }
