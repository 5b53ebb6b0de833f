package branchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"esdk"
)

// warmers is the number of branch keys that Warm fetches at the same time. It
// is less than the fan-out of a storm-tracking cache.
const warmers = 16

// Warm fills the cache of a keyring of [NewKeyring], so that the first messages
// don't wait for AWS KMS. It fetches the active version of each branch key
// twice, to encrypt and to decrypt, with two calls to AWS KMS. It doesn't fetch
// keys that are in the cache already. Older versions are fetched when a message
// needs them.
//
// Without ids, Warm uses the BranchKeyID of the keyring. A keyring with a
// Supplier needs ids. Warm fetches a bounded number of branch keys at the same
// time. The cache needs room for two entries per branch key.
//
// A branch key that can't be fetched doesn't stop the others, and the errors
// are joined. The keyring stays usable: it fetches missing keys later. Warm
// also fails if the keyring is not one of NewKeyring, but for instance a
// multi-keyring around one. In that case, warm the inner one.
func Warm(ctx context.Context, kr esdk.Keyring, ids ...string) error {
	k, ok := kr.(*keyring)
	if !ok || k == nil {
		return fmt.Errorf("branchkey: Warm needs a keyring of NewKeyring itself, not a %T", kr)
	}
	ids, err := k.idsToWarm(ids)
	if err != nil {
		return err
	}
	errs := make([]error, len(ids), len(ids)+1)
	var begun atomic.Int64
	var all sync.WaitGroup
	for range min(warmers, len(ids)) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(begun.Add(1)) - 1
				if i >= len(ids) {
					return
				}
				errs[i] = k.warm(ctx, ids[i])
			}
		})
	}
	all.Wait()
	if int(begun.Load()) < len(ids) {
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

// idsToWarm returns the ids without duplicates, or an error if the keyring
// can't use them.
func (k *keyring) idsToWarm(ids []string) ([]string, error) {
	switch {
	case len(ids) == 0 && k.Supplier != nil:
		return nil, errors.New("branchkey: Warm needs the branch key ids of a keyring with a Supplier")
	case len(ids) == 0:
		return []string{k.BranchKeyID}, nil
	}
	for _, id := range ids {
		if err := checkName("branch key id", id); err != nil {
			return nil, err
		}
		if k.Supplier == nil && id != k.BranchKeyID {
			return nil, fmt.Errorf("branchkey: Warm: the keyring uses the branch key %q, and never %q", k.BranchKeyID, id)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(ids))), nil
}

func (k *keyring) warm(ctx context.Context, id string) error {
	key, err := k.load(ctx, id, "")
	if err == nil {
		_, err = k.load(ctx, id, formatUUID(key.version))
	}
	if err != nil {
		return fmt.Errorf("warming branch key %q: %w", id, err)
	}
	return nil
}
