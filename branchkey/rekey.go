package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"esdk/internal/kmsarn"
)

// rekeyPasses bounds the passes over the items of a branch key while others
// version or re-key it, too.
const rekeyPasses = 10

// RekeyBranchKey asks AWS KMS to re-encrypt a branch key under another KMS key:
// the active version, all others and the beacon key. The keys themselves stay
// the same, so messages need no change and decrypt as before. The plaintext
// keys never leave AWS KMS. It returns the number of re-encrypted items; 0
// means that all items claimed to be under that KMS key. Reading them proves
// the claim.
//
// The items must be under a KMS key of the [KMSConfig], a Former one for
// instance. A Store with discovery fails with [ErrDiscovery]: anyone who can
// write to the storage could turn a key of their own into a trusted one. For
// the same reason, re-key before others can encrypt with the old KMS key: the
// new key vouches for everything that the old key vouched for. Both keys are in
// the same Region. The caller needs kms:ReEncryptFrom on the old key and
// kms:ReEncryptTo on the new one.
//
// Each item is replaced on its own, and only if it is unchanged since it was
// read. So it is readable at any time, under one of the two keys, for everyone
// configured with both: with KeyARN and Former, or with Discovery, which is the
// only way that the official SDKs have. To resume an interrupted run, repeat
// it.
//
// A version that [Store.VersionKey] creates meanwhile is not lost, and is
// re-keyed, too. Configure Stores that create versions with the new KMS key as
// their KeyARN before the run begins: a Store that has it as a Former key keeps
// using the old key. Keyrings need no change: when their TTL expires, they
// fetch the branch key again, under the new KMS key.
//
// The old key is no longer needed once [Store.List] shows no entry under it.
// Keep it for a few more seconds, since reads of versions may be stale, and for
// as long as a backup of the storage may be restored.
//
// An item that can't be re-keyed doesn't stop the run, which then fails with
// the error of the first such item: [ErrItem], [ErrHierarchyVersion],
// [ErrKMSKey], or [ErrNotFound] if there is no active version, or no such
// branch key at all. RekeyBranchKey fails with [ErrConflict] if others keep
// changing the branch key, and otherwise with an error of the storage or AWS
// KMS.
func (s *Store) RekeyBranchKey(ctx context.Context, id, to string) (changed int, err error) {
	if err := s.checkTarget(id, to); err != nil {
		return 0, err
	}
	r := &rekeying{Store: s, id: id, to: to}
	if err := r.run(ctx); err != nil {
		return r.changed, fmt.Errorf("re-keying branch key %q: %w", id, err)
	}
	return r.changed, nil
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

// A rekeying is a run of [Store.RekeyBranchKey].
type rekeying struct {
	*Store
	id, to  string
	changed int

	// These belong to the current pass.
	disturbed bool  // others changed the branch key meanwhile
	refused   int   // the number of items that can't be re-keyed
	reason    error // the error of the first of them
}

func (r *rekeying) run(ctx context.Context) error {
	for range rekeyPasses {
		r.disturbed, r.refused, r.reason = false, 0, nil
		if err := r.pass(ctx); err != nil {
			return err
		}
		if !r.disturbed {
			break
		}
	}
	if r.refused > 1 {
		r.reason = fmt.Errorf("%w (and %d items more)", r.reason, r.refused-1)
	}
	if r.disturbed {
		return errors.Join(ErrConflict, r.reason)
	}
	return r.reason
}

// pass looks at each item once, the active one first: from then on, Stores that
// don't know the new KMS key can't create versions. Each new version replaces
// the active item. So if the active item is unchanged at the end, the list
// missed no version.
func (r *rekeying) pass(ctx context.Context) error {
	active, err := r.get(ctx, r.id, activeType)
	if active, err = r.rekey(ctx, active, err); err != nil {
		return err
	}
	for item, err := range r.items(ctx, r.id) {
		if item == nil {
			return err
		}
		if item.Type == activeType {
			continue
		}
		if _, err := r.rekey(ctx, item, err); err != nil {
			return err
		}
	}
	last, _ := r.get(ctx, r.id, activeType) // the next pass reports the error
	r.disturbed = r.disturbed || !bytes.Equal(active.enc(), last.enc())
	return nil
}

// rekey re-keys an item that was read. It returns the item as it is afterwards,
// as far as known. An error ends the run.
func (r *rekeying) rekey(ctx context.Context, item *Item, err error) (*Item, error) {
	if err == nil && item.Attributes[kmsARNAttribute] == r.to {
		return item, nil
	}
	if err == nil {
		var replaced *Item
		if replaced, err = r.replace(ctx, item); err == nil {
			r.changed++
			return replaced, nil
		}
	}
	switch {
	case errors.Is(err, ErrConflict):
		r.disturbed = true
	case isRefusal(err):
		if r.refused++; r.refused == 1 {
			r.reason = err
		}
	default:
		return nil, err
	}
	return item, nil
}

// isRefusal reports whether an error concerns one item, not all of them.
func isRefusal(err error) bool {
	return errors.Is(err, ErrItem) || errors.Is(err, ErrHierarchyVersion) || errors.Is(err, ErrKMSKey) || errors.Is(err, ErrNotFound)
}

// replace replaces an item by one under the new KMS key, whose attributes name
// that key.
func (r *rekeying) replace(ctx context.Context, old *Item) (*Item, error) {
	from, err := r.keyFor(old)
	if err != nil {
		return nil, itemError(old.ID, old.Type, err)
	}
	item := &Item{ID: old.ID, Type: old.Type, Attributes: maps.Clone(old.Attributes)}
	item.Attributes[kmsARNAttribute] = r.to
	if item.Enc, err = r.reEncrypt(ctx, old, from, item, r.to); err != nil {
		return nil, itemError(old.ID, old.Type, err)
	}
	return item, r.storage.Write(ctx, Put{Item: item, Replaces: old.Enc})
}
