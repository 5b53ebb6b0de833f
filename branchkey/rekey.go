package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"esdk/internal/kmsarn"
)

// rekeyPasses is how often the items of a branch key are looked through, while others make
// versions of it or re-key it, too.
const rekeyPasses = 10

// RekeyBranchKey has AWS KMS encrypt a branch key under another KMS key: the
// active version, all others and the beacon key. The keys themselves stay the
// same, so no message is touched, and all decrypt as before. Plaintext keys
// stay in AWS KMS. It returns how many items were encrypted again; 0 means that
// all said that they are under that KMS key. Reading them shows that it is
// true.
//
// The items must be under a KMS key of the [KMSConfig], a Former one for
// instance. A Store that discovers its keys fails with [ErrDiscovery]: whoever
// can write to the storage could make a key of their own a trusted one. For the
// same reason, re-key before others can encrypt with the old KMS key: what it
// vouches for, the new one vouches for afterwards. Both keys are in one Region.
// The caller needs kms:ReEncryptFrom on the old key and kms:ReEncryptTo on the
// new one.
//
// Each item is replaced by itself, and only if it is as it was read. So it is
// readable at any time, under one of the two keys, by all who are configured
// for both: with KeyARN and Former, or with Discovery, the only way that the
// official SDKs have. To resume a run that ended early, repeat it.
//
// A version that [Store.VersionKey] makes meanwhile is not lost, and is re-keyed
// too. Stores that make versions should have the new KMS key as their KeyARN
// before the run begins: those that have it as a Former one go on to use the
// old key. Keyrings need nothing: when their TTL is over, they ask for the
// branch key again, and get it under the new KMS key.
//
// The old key has done its work once [Store.List] shows no entry of it. Keep it
// for some seconds more, since reads of versions may be stale, and for as long
// as a backup of the storage may be restored.
//
// An item that cannot be re-keyed does not keep the others from it. The run
// goes on, and then fails with the error of the first one: [ErrItem],
// [ErrHierarchyVersion], [ErrKMSKey], or [ErrNotFound] if there is no active
// version, or no such branch key at all. RekeyBranchKey fails with
// [ErrConflict] if others change the branch key again and again, and else with
// an error of the storage or AWS KMS.
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

	// These are of the pass that goes on.
	disturbed bool  // others changed the branch key meanwhile
	refused   int   // how many items cannot be re-keyed
	reason    error // why the first of them cannot
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

// pass looks at each item once. The active one is the first: from then on,
// those who do not know the new KMS key make no version. Each new version
// replaces it. So if it is the same in the end, there is none that the list may
// have missed.
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
	last, _ := r.get(ctx, r.id, activeType) // the next pass tells what is wrong
	r.disturbed = r.disturbed || !bytes.Equal(active.enc(), last.enc())
	return nil
}

// rekey re-keys an item that was read, and returns it as it is afterwards, as
// far as that is known. An error ends the run.
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

// isRefusal reports whether an error is about one item, and not about all of
// them.
func isRefusal(err error) bool {
	return errors.Is(err, ErrItem) || errors.Is(err, ErrHierarchyVersion) || errors.Is(err, ErrKMSKey) || errors.Is(err, ErrNotFound)
}

// replace replaces an item by one that is under the new KMS key, and says so.
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
