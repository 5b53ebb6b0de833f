package branchkey

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"esdk/internal/kmsarn"
)

// rekeyPasses is how often the items of a branch key are looked through, while others make
// versions of it or re-key it, too.
const rekeyPasses = 10

// RekeyBranchKey has AWS KMS encrypt a branch key under another KMS key: the active version,
// all others and the beacon key. The keys themselves do not change, so that no message
// changes, and all decrypt as before. It returns how many items were encrypted again; 0 is
// that all were under the KMS key to already.
//
// What is encrypted again was encrypted under a KMS key of the [KMSConfig], Former ones
// among them. A Store that discovers its keys fails with [ErrDiscovery]: who can write to the
// storage could have a key of their own become one of to. Both keys are in one Region, and
// the caller may use kms:ReEncryptFrom and kms:ReEncryptTo. Plaintext keys stay in AWS KMS.
//
// Each item is replaced by itself, and only if it is as it was read. So each is readable at
// any time, under the one key or the other, and all who read meanwhile must be configured
// with both: with KeyARN and Former, or with Discovery, as the official SDKs can only be. A
// run that ended early is repeated. A version that [Store.VersionKey] makes meanwhile is
// re-keyed, too, and none is lost; a Store that is not configured with to can make none any
// more. The old KMS key is not needed any more once [Store.List] has no entry of it, caches
// that hold branch keys aside: they ask again, under the new one. A backup of the storage
// needs it for as long as it may be restored.
//
// An item that cannot be re-keyed does not keep the others from it; its error, one of
// [ErrItem], [ErrHierarchyVersion] and [ErrKMSKey], is returned at the end. It fails else
// with [ErrNotFound], with [ErrConflict] if others change the branch key without an end, or
// with an error of the storage or AWS KMS.
func (s *Store) RekeyBranchKey(ctx context.Context, id, to string) (changed int, err error) {
	if err := s.checkTarget(id, to); err != nil {
		return 0, err
	}
	for range rekeyPasses {
		n, conflicts, err := s.rekey(ctx, id, to)
		changed += n
		switch {
		case err != nil:
			return changed, fmt.Errorf("re-keying branch key %q: %w", id, err)
		case n+conflicts == 0: // and nobody has made another version before the active one was replaced
			return changed, nil
		}
	}
	return changed, fmt.Errorf("re-keying branch key %q: %w", id, ErrConflict)
}

func (s *Store) checkTarget(id, to string) error {
	if s.config.KMS.discovers() {
		return ErrDiscovery
	}
	if err := checkName("branch key id", id); err != nil {
		return err
	}
	target, err := kmsarn.ParseKey(to)
	switch {
	case err != nil:
		return fmt.Errorf("branchkey: the new KMS key: %w", err)
	case target.Region != s.region:
		return fmt.Errorf("branchkey: the new KMS key is in %s, the old one in %s, and AWS KMS re-encrypts in one Region only", target.Region, s.region)
	}
	return nil
}

// rekey looks at each item once, at the active one last: from then on, only those who know
// the new key make versions. It counts those that it changed, and those that others did.
func (s *Store) rekey(ctx context.Context, id, to string) (changed, conflicts int, err error) {
	one := func(item *Item, itemErr error) error {
		if itemErr == nil && item.Attributes[kmsARNAttribute] == to {
			return nil
		}
		if itemErr == nil {
			itemErr = s.rekeyItem(ctx, item, to)
		}
		switch {
		case itemErr == nil:
			changed++
		case errors.Is(itemErr, ErrConflict):
			conflicts++
		case errors.Is(itemErr, ErrItem), errors.Is(itemErr, ErrHierarchyVersion), errors.Is(itemErr, ErrKMSKey):
			if err == nil {
				err = itemErr
			}
		default:
			return itemErr
		}
		return nil
	}
	for item, itemErr := range s.items(ctx, id) {
		if item == nil {
			return changed, conflicts, itemErr
		}
		if item.Type == activeType {
			continue
		}
		if err := one(item, itemErr); err != nil {
			return changed, conflicts, err
		}
	}
	active, activeErr := s.get(ctx, id, activeType)
	if err := one(active, activeErr); err != nil {
		return changed, conflicts, err
	}
	return changed, conflicts, err
}

// rekeyItem replaces an item by one that says that it is of another KMS key, and is.
func (s *Store) rekeyItem(ctx context.Context, old *Item, to string) error {
	from, err := s.keyFor(old)
	if err != nil {
		return itemError(old.ID, old.Type, err)
	}
	item := &Item{ID: old.ID, Type: old.Type, Attributes: maps.Clone(old.Attributes)}
	item.Attributes[kmsARNAttribute] = to
	if item.Enc, err = s.reEncrypt(ctx, old, from, item, to); err != nil {
		return itemError(old.ID, old.Type, err)
	}
	return s.storage.Write(ctx, Put{Item: item, Replaces: old.Enc})
}
