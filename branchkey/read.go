package branchkey

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// A Key is the plaintext of a branch key's version or of a beacon key. Package
// fmt prints it without its secret, unless it is in an unexported field of
// another type, where fmt can't call methods. Package encoding/json leaves the
// secret out.
//
// Specification: [framework/structures.md#branch-key-materials].
//
// [framework/structures.md#branch-key-materials]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#branch-key-materials
type Key struct {
	ID      string // of the branch key
	Version string // a UUID; empty for a beacon key

	// EncryptionContext is the context given to [Store.CreateKey].
	EncryptionContext esdk.EncryptionContext

	KMSKeyARN  string // of the KMS key that encrypted it
	CreateTime string // of this version, in ISO 8601

	// Secret is the key itself, of 32 bytes. The caller owns it, and should
	// clear it after use.
	Secret []byte `json:"-"`
}

// Format implements [fmt.Formatter].
func (k Key) Format(f fmt.State, _ rune) {
	if k.Version == "" {
		fmt.Fprintf(f, "beacon key of branch key %q", k.ID)
	} else {
		fmt.Fprintf(f, "branch key %q version %s", k.ID, k.Version)
	}
}

// ActiveBranchKey returns the version of a branch key that wraps new data keys.
//
// The read is consistent: it sees every version created before. In DynamoDB, a
// consistent read costs one read unit instead of half a unit, and fails if the
// leading replica can't be reached. With stale reads, a keyring would keep an
// old version for its whole TTL, and a new branch key would now and then seem
// missing.
//
// It fails with [ErrNotFound], [ErrNoKeyStore], [ErrItem],
// [ErrHierarchyVersion], [ErrKMSKey], or an error of the storage or AWS KMS.
//
// Specification: [framework/branch-key-store.md#getactivebranchkey].
//
// [framework/branch-key-store.md#getactivebranchkey]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#getactivebranchkey
func (s *Store) ActiveBranchKey(ctx context.Context, id string) (*Key, error) {
	return s.read(ctx, id, activeType)
}

// BranchKeyVersion returns a version of a branch key by its UUID in lower case.
//
// A version never changes, and a stale item is merely under the KMS key that it
// was re-keyed from. So the read need not be consistent. Only if the version
// isn't found, it is read again consistently, since it may be new.
//
// It fails with the same errors as [Store.ActiveBranchKey].
//
// Specification: [framework/branch-key-store.md#getbranchkeyversion].
//
// [framework/branch-key-store.md#getbranchkeyversion]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#getbranchkeyversion
func (s *Store) BranchKeyVersion(ctx context.Context, id, version string) (*Key, error) {
	if _, err := parseUUID(version); err != nil {
		return nil, fmt.Errorf("branchkey: version %q: %w", version, err)
	}
	return s.read(ctx, id, versionPrefix+version)
}

// BeaconKey returns the beacon key that was created with a branch key. It is
// for searchable encryption, and the keyring does not use it. It reads as
// [Store.BranchKeyVersion] does, and fails with the same errors as
// [Store.ActiveBranchKey].
//
// Specification: [framework/branch-key-store.md#getbeaconkey].
//
// [framework/branch-key-store.md#getbeaconkey]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#getbeaconkey
func (s *Store) BeaconKey(ctx context.Context, id string) (*Key, error) {
	return s.read(ctx, id, beaconType)
}

func (s *Store) read(ctx context.Context, id, itemType string) (*Key, error) {
	item, err := s.get(ctx, id, itemType)
	if err != nil {
		return nil, err
	}
	secret, err := s.decrypt(ctx, item)
	if err != nil {
		return nil, itemError(id, itemType, err)
	}
	return &Key{
		ID:                id,
		Version:           item.version(),
		EncryptionContext: item.custom(),
		KMSKeyARN:         item.Attributes[kmsARNAttribute],
		CreateTime:        item.Attributes[timeAttribute],
		Secret:            secret,
	}, nil
}

// get reads an item and checks that it is complete, but not that it is
// authentic.
func (s *Store) get(ctx context.Context, id, itemType string) (*Item, error) {
	if err := checkName("branch key id", id); err != nil {
		return nil, err
	}
	item, err := s.storage.Get(ctx, id, itemType, itemType == activeType)
	if errors.Is(err, ErrNotFound) && itemType != activeType {
		item, err = s.storage.Get(ctx, id, itemType, true)
	}
	if err == nil && item == nil {
		err = errors.New("the storage returned no item")
	}
	if err == nil {
		err = item.check(id, itemType)
	}
	if err != nil {
		return nil, itemError(id, itemType, err)
	}
	return item, nil
}

func itemError(id, itemType string, err error) error {
	return fmt.Errorf("branch key %q, %s: %w", id, itemType, err)
}
