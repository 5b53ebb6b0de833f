package branchkey

import (
	"context"
	"errors"
	"fmt"

	"esdk"
)

// A Key is a version of a branch key, or a beacon key, in the clear. Package fmt
// prints it without its secret, unless it is in an unexported field of another
// type: there, fmt can call no method. Package encoding/json leaves the secret out.
// Specification: framework/structures.md#branch-key-materials.
type Key struct {
	ID      string // of the branch key
	Version string // a UUID; empty for a beacon key

	// EncryptionContext is what was given to [Store.CreateKey].
	EncryptionContext esdk.EncryptionContext

	KMSKeyARN  string // of the KMS key that encrypted it
	CreateTime string // of this version, in ISO 8601

	// Secret are the 32 bytes. The caller owns them, and should clear them after
	// use.
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

// ActiveBranchKey returns the version of a branch key that new data keys are
// wrapped with.
//
// The read is consistent: it sees each version that was made before. In
// DynamoDB that costs twice as much as one that may be stale, one read unit
// instead of a half, and it fails if the leading replica cannot be reached. A
// keyring would keep a stale answer for all of its TTL, and a new branch key
// would now and then seem not to exist.
//
// It fails with [ErrNotFound], [ErrNoKeyStore], [ErrItem],
// [ErrHierarchyVersion], [ErrKMSKey], or an error of the storage or AWS KMS.
// Specification: framework/branch-key-store.md#getactivebranchkey.
func (s *Store) ActiveBranchKey(ctx context.Context, id string) (*Key, error) {
	return s.read(ctx, id, activeType)
}

// BranchKeyVersion returns a version of a branch key, by its UUID in lower case.
//
// A version never changes, and one that is stale is under the KMS key that it was
// re-keyed from. So the read need not be consistent. Only if there is no such
// version it is asked for again, consistently, since it may be new.
//
// It fails as [Store.ActiveBranchKey] does.
// Specification: framework/branch-key-store.md#getbranchkeyversion.
func (s *Store) BranchKeyVersion(ctx context.Context, id, version string) (*Key, error) {
	if _, err := parseUUID(version); err != nil {
		return nil, fmt.Errorf("branchkey: version %q: %w", version, err)
	}
	return s.read(ctx, id, versionPrefix+version)
}

// BeaconKey returns the beacon key that was made with a branch key. It is for
// searchable encryption, and the keyring does not use it. The read is as that of
// [Store.BranchKeyVersion], and it fails as [Store.ActiveBranchKey] does.
// Specification: framework/branch-key-store.md#getbeaconkey.
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

// get reads an item that is complete, but not yet authentic.
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
