package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"esdk"
)

// CreateKeyStore creates the table or file unless it exists, and returns the
// ARN of the table or the path of the file. It waits up to 5 minutes until a
// new table can be used. It fails with [ErrSchema] if the existing table or
// file isn't a key store.
//
// Specification: [framework/branch-key-store.md#createkeystore].
//
// [framework/branch-key-store.md#createkeystore]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#createkeystore
func (s *Store) CreateKeyStore(ctx context.Context) (string, error) {
	name, err := s.storage.Create(ctx)
	if err != nil {
		return "", fmt.Errorf("creating key store %q: %w", s.storage.Name(), err)
	}
	return name, nil
}

// CreateKey creates a branch key with its first version and its beacon key, and
// returns its id. An empty id means a random UUID; with an id, the encryption
// context must not be empty. The encryption context is bound to all versions of
// the key, and stored in the clear.
//
// It fails with [ErrExists] if the branch key exists, with [ErrNoKeyStore],
// [ErrDiscovery], [ErrKMSKey], [esdk.ErrEncryptionContext], or an error of the
// storage or AWS KMS.
//
// Specification: [framework/branch-key-store.md#createkey].
//
// [framework/branch-key-store.md#createkey]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#createkey
func (s *Store) CreateKey(ctx context.Context, id string, ec esdk.EncryptionContext) (string, error) {
	if s.config.KMS.discovers() {
		return "", ErrDiscovery
	}
	if id != "" && len(ec) == 0 {
		return "", errors.New("branchkey: a branch key with an id of its own needs an encryption context")
	}
	if id == "" {
		id = formatUUID(newUUID())
	}
	if err := checkName("branch key id", id); err != nil {
		return "", err
	}
	if _, err := ec.AppendBinary(nil); err != nil {
		return "", err
	}
	attributes := newAttributes(s.configuredARN(), time.Now(), ec)
	beacon := &Item{ID: id, Type: beaconType, Attributes: attributes}
	stays, active, err := s.newVersion(ctx, id, attributes)
	if err == nil {
		err = s.generate(ctx, beacon)
	}
	if err == nil {
		err = s.storage.Write(ctx, Put{Item: stays}, Put{Item: active}, Put{Item: beacon})
	}
	if err != nil {
		return "", fmt.Errorf("creating branch key %q: %w", id, err)
	}
	return id, nil
}

// newVersion asks AWS KMS for the key of a new version.
//
// Specification: framework/branch-key-store.md#wrapped-branch-key-creation.
func (s *Store) newVersion(ctx context.Context, id string, attributes map[string]string) (stays, active *Item, err error) {
	stays, active = newVersionItems(id, formatUUID(newUUID()), attributes)
	if err := s.generate(ctx, stays); err != nil {
		return nil, nil, err
	}
	active.Enc, err = s.reEncrypt(ctx, stays, s.configuredARN(), active, s.configuredARN())
	return stays, active, err
}

// VersionKey creates a new version of a branch key and makes it the active one.
// Old versions stay. The new version takes the KMS key and the encryption
// context of the version before, which AWS KMS authenticates first. If the
// version before is under a Former key of the [KMSConfig], the new one is under
// KeyARN or MRKeyARN.
//
// If somebody else creates a version at the same time, one of the two calls
// gets [ErrConflict], and its version is not stored. If the branch key was only
// re-keyed meanwhile, VersionKey reads it again. The read is consistent, since
// a stale one would always lose. The other errors are the errors of
// [Store.CreateKey] and [Store.ActiveBranchKey].
//
// Specification: [framework/branch-key-store.md#versionkey].
//
// [framework/branch-key-store.md#versionkey]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#versionkey
func (s *Store) VersionKey(ctx context.Context, id string) error {
	if s.config.KMS.discovers() {
		return ErrDiscovery
	}
	old, err := s.get(ctx, id, activeType)
	if err != nil {
		return err
	}
	for range versionAttempts {
		version := old.version()
		if err = s.version(ctx, old); !errors.Is(err, ErrConflict) {
			break
		}
		now, getErr := s.get(ctx, id, activeType)
		if getErr != nil || now.version() != version || bytes.Equal(now.Enc, old.Enc) {
			break
		}
		old = now
	}
	if err != nil {
		return fmt.Errorf("versioning branch key %q: %w", id, err)
	}
	return nil
}

// versionAttempts bounds the attempts to create a version if the branch key is
// re-keyed between each of them.
const versionAttempts = 4

func (s *Store) version(ctx context.Context, old *Item) error {
	key, err := s.keyFor(old)
	if err != nil {
		return err
	}
	if _, err := s.reEncrypt(ctx, old, key, old, key); err != nil {
		return err
	}
	attributes := old.Attributes
	if key != s.configuredARN() { // a former key
		attributes[kmsARNAttribute] = s.configuredARN()
	}
	attributes[timeAttribute] = time.Now().UTC().Format(timeFormat)
	delete(attributes, versionAttribute)
	stays, active, err := s.newVersion(ctx, old.ID, attributes)
	if err != nil {
		return err
	}
	return s.storage.Write(ctx, Put{Item: stays}, Put{Item: active, Replaces: old.Enc})
}
