package branchkey

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// A Source provides branch keys to a hierarchical keyring. [*Store] is one. It
// must be safe for concurrent use. The caller owns the returned keys: each call
// returns a [Key] with a Secret of its own, and the keyring clears it.
type Source interface {
	// LogicalName is the same for Sources with the same keys.
	LogicalName() string

	// ActiveBranchKey returns the version of a branch key that wraps new data
	// keys.
	ActiveBranchKey(ctx context.Context, id string) (*Key, error)

	// BranchKeyVersion returns a version of a branch key by its UUID in lower
	// case.
	BranchKeyVersion(ctx context.Context, id, version string) (*Key, error)
}

// A Supplier chooses the branch key of a message by its encryption context, for
// instance by its tenant. It must not change the context. On decryption, the
// context contains the pairs of the message and the pairs that the caller
// reproduced, and the message must have been encrypted under the chosen branch
// key. It must be safe for concurrent use.
//
// Specification:
// [framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-supplier].
//
// [framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-supplier]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-supplier
type Supplier func(ctx context.Context, ec esdk.EncryptionContext) (branchKeyID string, err error)

// KeyringConfig configures [NewKeyring].
type KeyringConfig struct {
	// Store provides the branch keys. It must be set.
	Store Source

	// BranchKeyID or Supplier selects the branch key: exactly one of them is
	// set.
	BranchKeyID string
	Supplier    Supplier

	// TTL is how long the keyring uses a branch key before it asks the Store
	// again. It must be set. After this time at the latest, the keyring
	// encrypts with a new version, and revoked access to AWS KMS takes effect.
	TTL time.Duration

	// Cache keeps branch keys; nil means a [caching.NewStormTracking] of the
	// keyring's own, with defaults. TTL must exceed the grace period of such a
	// cache, 10 seconds by default. A cache of [caching.NewLRU] takes any TTL.
	Cache caching.Cache

	// PartitionID is shared by the keyrings that share entries in one Cache,
	// provided that their logical names and branch key ids are equal, too. A
	// branch key that one of them may read is then usable by all. Empty means
	// that this keyring shares with none.
	PartitionID string
}

type keyring struct {
	KeyringConfig
	partition string // as it is in cache ids
}

// NewKeyring returns the AWS KMS hierarchical keyring. It wraps each data key
// under a key derived from a branch key, without a call to AWS KMS if the
// branch key is in the cache. It also decrypts messages encrypted with older
// versions of the branch key.
//
// If a branch key can't be fetched, encryption returns the error of the Store;
// decryption returns an [*esdk.NoDataKeyError] that contains it.
//
// Specification: [framework/aws-kms/aws-kms-hierarchical-keyring.md].
//
// [framework/aws-kms/aws-kms-hierarchical-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-hierarchical-keyring.md
func NewKeyring(c KeyringConfig) (esdk.Keyring, error) {
	if isnil.Value(c.Store) {
		return nil, errors.New("branchkey: KeyringConfig needs a Store")
	}
	if (c.BranchKeyID == "") == (c.Supplier == nil) {
		return nil, errors.New("branchkey: KeyringConfig needs either a BranchKeyID or a Supplier")
	}
	if c.Supplier == nil {
		if err := checkName("branch key id", c.BranchKeyID); err != nil {
			return nil, err
		}
	}
	if err := checkName("logical name", c.Store.LogicalName()); err != nil {
		return nil, err
	}
	if err := c.setCache(); err != nil {
		return nil, err
	}
	if c.PartitionID == "" {
		u := newUUID()
		return &keyring{c, string(u[:])}, nil
	}
	if err := checkName("partition id", c.PartitionID); err != nil {
		return nil, err
	}
	return &keyring{c, c.PartitionID}, nil
}

// defaultGracePeriod is the default of [caching.NewStormTracking].
const defaultGracePeriod = 10 * time.Second

func (c *KeyringConfig) setCache() (err error) {
	if c.TTL <= 0 {
		return errors.New("branchkey: KeyringConfig needs a TTL")
	}
	grace := time.Duration(0)
	if c.Cache != nil && isnil.Value(c.Cache) {
		return fmt.Errorf("branchkey: KeyringConfig: Cache is a nil %T", c.Cache)
	}
	if c.Cache == nil {
		c.Cache, err = caching.NewStormTracking(caching.StormTrackingConfig{})
		grace = defaultGracePeriod
	} else if g, ok := c.Cache.(interface{ GracePeriod() time.Duration }); ok {
		grace = g.GracePeriod()
	}
	if c.TTL <= grace {
		err = fmt.Errorf("branchkey: TTL %v must be more than the cache's grace period of %v", c.TTL, grace)
	}
	return err
}

func (k *keyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, ec []byte) (esdk.EncryptedDataKey, error) {
		id, err := k.branchKeyID(ctx, req.EncryptionContext)
		if err != nil {
			return esdk.EncryptedDataKey{}, err
		}
		key, err := k.load(ctx, id, "")
		if err != nil {
			return esdk.EncryptedDataKey{}, err
		}
		ciphertext, err := key.wrap(dataKey, ec)
		return esdk.EncryptedDataKey{ProviderID: providerID, ProviderInfo: []byte(id), Ciphertext: ciphertext}, err
	})
}

func (k *keyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	ours := func(edk esdk.EncryptedDataKey) bool { return edk.ProviderID == providerID }
	if !slices.ContainsFunc(req.EncryptedDataKeys, ours) {
		return nil, new(esdk.NoDataKeyError) // a Supplier need not know messages that are not for it
	}
	id, err := k.branchKeyID(ctx, req.EncryptionContext)
	if err != nil {
		return nil, err
	}
	// An id in invalid UTF-8 never matches.
	matches := func(edk *esdk.EncryptedDataKey) bool { return ours(*edk) && string(edk.ProviderInfo) == id }
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, ec []byte) ([]byte, error) {
		return k.unwrap(ctx, id, edk.Ciphertext, ec, req.Suite)
	})
}

func (k *keyring) unwrap(ctx context.Context, id string, ciphertext, ec []byte, suite esdk.SuiteID) ([]byte, error) {
	if want := overhead + suite.DataKeyLength(); len(ciphertext) != want {
		return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", len(ciphertext), want, suite))
	}
	version := versionOf(ciphertext)
	key, err := k.load(ctx, id, version)
	if err != nil {
		return nil, err
	}
	dataKey, err := key.unwrap(ciphertext, ec)
	if err != nil {
		return nil, fmt.Errorf("branch key %q version %s: %w", id, version, err)
	}
	return dataKey, nil
}

func (k *keyring) branchKeyID(ctx context.Context, ec esdk.EncryptionContext) (string, error) {
	if k.Supplier == nil {
		return k.BranchKeyID, nil
	}
	id, err := k.Supplier(ctx, ec)
	if err == nil {
		err = checkName("branch key id", id)
	}
	if err != nil {
		return "", fmt.Errorf("branchkey: supplier: %w", err)
	}
	return id, nil
}

// loadAttempts bounds the calls to a cache that returns entries that are too
// old for the keyring. The cache may be the user's own, and may keep entries
// that it is told to remove.
const loadAttempts = 3

// load returns a version of a branch key, the active one if version is empty.
func (k *keyring) load(ctx context.Context, id, version string) (*branchKey, error) {
	start := time.Now()
	cacheID := k.cacheID(id, version)
	fetch := func(ctx context.Context) (*caching.Entry, error) { return k.fetch(ctx, cacheID, id, version) }
	for range loadAttempts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := k.Cache.Load(ctx, cacheID, fetch)
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, errors.New("branchkey: the cache returned no entry")
		}
		key, ok := e.Value.(*branchKey)
		if !ok || key == nil {
			return nil, fmt.Errorf("branchkey: cache returned a %T", e.Value)
		}
		if key.cacheID != cacheID {
			return nil, errors.New("branchkey: cache returned the entry of another id")
		}
		// A keyring with a longer TTL may have made the entry. An entry fetched
		// since this call began is as new as can be, even if the fetch took
		// longer than the TTL.
		if !e.Created.Before(start) || time.Since(e.Created) < k.TTL {
			return key, nil
		}
		k.Cache.Remove(cacheID, e)
	}
	e, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	return e.Value.(*branchKey), nil
}

func (k *keyring) fetch(ctx context.Context, cacheID, id, version string) (*caching.Entry, error) {
	created := time.Now()
	var stored *Key
	var err error
	if version == "" {
		stored, err = k.Store.ActiveBranchKey(ctx, id)
	} else {
		stored, err = k.Store.BranchKeyVersion(ctx, id, version)
	}
	if err == nil && stored == nil {
		err = fmt.Errorf("branch key %q: the store returned no key", id)
	}
	if err != nil {
		return nil, err
	}
	key, err := newBranchKey(stored, id, version)
	if err != nil {
		return nil, err
	}
	key.cacheID = cacheID
	return &caching.Entry{Value: key, Created: created, Expires: created.Add(k.TTL)}, nil
}

// cacheID joins fields without NULs. Only a random partition may contain some.
//
// Specification:
// framework/aws-kms/aws-kms-hierarchical-keyring.md#appendix-a-cache-entry-identifier-formulas.
func (k *keyring) cacheID(id, version string) string {
	const resource, encrypt, decrypt = "\x02", "\x01", "\x02"
	fields := []string{resource, encrypt, k.partition, k.Store.LogicalName(), id}
	if version != "" {
		fields[1] = decrypt
		fields = append(fields, version)
	}
	sum := sha512.Sum384([]byte(strings.Join(fields, "\x00")))
	return string(sum[:])
}
