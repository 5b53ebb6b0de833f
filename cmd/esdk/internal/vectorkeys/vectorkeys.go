// Package vectorkeys makes the keyrings of test vectors for AWS KMS and branch
// keys. Package vectors can't make them, since it imports only the standard
// library.
package vectorkeys

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"slices"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"esdk/internal/vectors"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// Keyring returns a function that makes these keyrings. It uses AWS KMS only if
// askKMS is true.
func Keyring(ctx context.Context, ks *keyspec.Keys, askKMS bool) vectors.KeyringFunc {
	config := awskms.Config{Clients: vectorClients{ks.KMS("").Clients}}
	return func(d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
		newKeyring := kmsVectorKeyrings[d.Type]
		switch {
		case d.Type == "aws-kms-hierarchy":
			return staticBranchKeyring(d, keys)
		case newKeyring == nil:
			return nil, vectors.ErrUnsupported
		case !askKMS:
			return nil, cli.Errorf("%w without --kms, which calls AWS KMS", vectors.ErrUnsupported)
		}
		return newKeyring(ctx, config, d, keys)
	}
}

type newKMSVectorKeyring func(context.Context, awskms.Config, *vectors.KeyDescription, vectors.Keys) (esdk.Keyring, error)

// OfKMS returns the types of AWS KMS keys.
func OfKMS() []string { return slices.Sorted(maps.Keys(kmsVectorKeyrings)) }

// kmsVectorKeyrings make AWS KMS keyrings, by type of key.
var kmsVectorKeyrings = map[string]newKMSVectorKeyring{
	"aws-kms":                     strictVectorKeyring(awskms.NewKeyring),
	"aws-kms-mrk-aware":           strictVectorKeyring(awskms.NewMRKKeyring),
	"aws-kms-mrk-aware-discovery": discoveryVectorKeyring,
	"aws-kms-rsa":                 rsaVectorKeyring,
	"aws-kms-ecdh":                ecdhVectorKeyring,
}

func strictVectorKeyring(newKeyring func(awskms.Config, string, ...string) (esdk.Keyring, error)) newKMSVectorKeyring {
	return func(_ context.Context, c awskms.Config, d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
		k, err := findVectorKey(keys, d.Key, "aws-kms")
		if err != nil {
			return nil, err
		}
		return newKeyring(c, k.ID)
	}
}

func discoveryVectorKeyring(_ context.Context, c awskms.Config, d *vectors.KeyDescription, _ vectors.Keys) (esdk.Keyring, error) {
	return awskms.NewMRKDiscoveryKeyring(c, (*awskms.Filter)(d.Filter), d.Region)
}

// findVectorKey returns an entry of the keys manifest, which must be of the
// given type.
func findVectorKey(keys vectors.Keys, name, keyType string) (vectors.Key, error) {
	k, err := keys.Get(name)
	if err == nil && k.Type != keyType {
		err = fmt.Errorf("key %q is of type %q, need %s", name, k.Type, keyType)
	}
	return k, err
}

func rsaVectorKeyring(_ context.Context, c awskms.Config, d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
	k, err := findVectorKey(keys, d.Key, "aws-kms-rsa")
	if err != nil {
		return nil, err
	}
	hash := map[string]crypto.Hash{"RSAES_OAEP_SHA_1": crypto.SHA1, "RSAES_OAEP_SHA_256": crypto.SHA256}[d.Algorithm]
	if hash == 0 {
		return nil, fmt.Errorf("encryption algorithm %q is not supported", d.Algorithm)
	}
	r := awskms.RSAConfig{KeyID: k.ID, Hash: hash}
	// It isn't needed for decryption.
	if len(k.Material) > 0 {
		if r.PublicKey, err = k.RSAPublicKey(); err != nil {
			return nil, err
		}
	}
	return awskms.NewRSAKeyring(c, r)
}

// ecdhVectorKeyring returns the sender's keyring if both parties are known,
// otherwise the recipient's, as for raw keys.
func ecdhVectorKeyring(ctx context.Context, c awskms.Config, d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
	sender, recipient, err := keys.Parties(d)
	if err != nil {
		return nil, err
	}
	recipientKey, err := recipient.PublicKey()
	if err != nil {
		return nil, cli.Errorf("recipient's public key: %w", err)
	}
	if sender == nil {
		return awskms.NewECDHDiscoveryKeyring(ctx, c, awskms.ECDHConfig{KeyID: recipient.Material, PublicKey: recipientKey})
	}
	senderKey, err := sender.PublicKey()
	if err != nil {
		return nil, cli.Errorf("sender's public key: %w", err)
	}
	return awskms.NewECDHKeyring(ctx, c, awskms.ECDHConfig{KeyID: sender.Material, PublicKey: senderKey, Peer: recipientKey})
}

// staticBranchKey is a key store with one version of one branch key.
type staticBranchKey struct{ key vectors.Key }

func staticBranchKeyring(d *vectors.KeyDescription, keys vectors.Keys) (esdk.Keyring, error) {
	k, err := findVectorKey(keys, d.Key, "static-branch-key")
	if err != nil {
		return nil, err
	}
	return branchkey.NewKeyring(branchkey.KeyringConfig{Store: staticBranchKey{k}, BranchKeyID: k.ID, TTL: keyspec.BranchKeyTTL})
}

func (s staticBranchKey) LogicalName() string { return "vectors" }

func (s staticBranchKey) ActiveBranchKey(context.Context, string) (*branchkey.Key, error) {
	return &branchkey.Key{ID: s.key.ID, Version: s.key.BranchKeyVersion, Secret: bytes.Clone(s.key.BranchKey)}, nil
}

func (s staticBranchKey) BranchKeyVersion(ctx context.Context, id, version string) (*branchkey.Key, error) {
	if id != s.key.ID || version != s.key.BranchKeyVersion {
		return nil, branchkey.ErrNotFound
	}
	return s.ActiveBranchKey(ctx, id)
}

// vectorClients wraps the errors of its clients in vectorKMSError.
type vectorClients struct{ awskms.Clients }

func (c vectorClients) Client(ctx context.Context, region string) (awskms.Client, error) {
	client, err := c.Clients.Client(ctx, region)
	if err != nil {
		return nil, &vectorKMSError{err}
	}
	return vectorClient{client}, nil
}

type vectorClient struct{ awskms.Client }

func (c vectorClient) Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	out, err := c.Client.Decrypt(ctx, in, options...)
	if err != nil {
		return nil, &vectorKMSError{err}
	}
	return out, nil
}

func (c vectorClient) DeriveSharedSecret(ctx context.Context, in *kms.DeriveSharedSecretInput, options ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error) {
	out, err := c.Client.DeriveSharedSecret(ctx, in, options...)
	if err != nil {
		return nil, &vectorKMSError{err}
	}
	return out, nil
}

// A vectorKMSError is the error of a request to AWS KMS.
type vectorKMSError struct{ err error }

// Error returns the same text for the same answer. The AWS SDK's error contains
// the request ID, and all ways to decrypt a message must fail alike.
func (e *vectorKMSError) Error() string {
	var answer smithy.APIError
	if errors.As(e.err, &answer) {
		return answer.Error()
	}
	return e.err.Error()
}

func (e *vectorKMSError) Unwrap() error { return e.err }

// Is reports that an error is inconclusive unless AWS KMS says that the
// ciphertext is wrong. A missing key, a missing permission or a network failure
// say nothing about the message.
func (e *vectorKMSError) Is(target error) bool {
	return target == vectors.ErrInconclusive &&
		!errors.As(e.err, new(*types.InvalidCiphertextException)) && !errors.As(e.err, new(*types.IncorrectKeyException))
}
