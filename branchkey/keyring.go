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
	"esdk/internal/isnil"
)

// A Source is where a hierarchical keyring gets its branch keys from. [*Store]
// is one. It is safe for concurrent use. The caller owns the keys that it returns:
// each call returns a [Key] with a Secret of its own, which the keyring clears.
type Source interface {
	// LogicalName is the same for Sources that have the same keys.
	LogicalName() string

	ActiveBranchKey(ctx context.Context, id string) (*Key, error)
	BranchKeyVersion(ctx context.Context, id, version string) (*Key, error)
}

// A Supplier chooses the branch key of a message by its encryption context,
// which it must not change: that of a tenant, for instance. To decrypt, the
// context is what the message stores and what the caller reproduced; the message
// must have been encrypted under the branch key that is chosen. It is called
// concurrently.
// Specification: framework/aws-kms/aws-kms-hierarchical-keyring.md#branch-key-supplier.
type Supplier func(ctx context.Context, ec esdk.EncryptionContext) (branchKeyID string, err error)

// KeyringConfig configures [NewKeyring].
type KeyringConfig struct {
	Store Source

	// BranchKeyID or Supplier says which branch key to use: exactly one of them
	// is set.
	BranchKeyID string
	Supplier    Supplier

	// TTL is how long a branch key is used before the Store is asked for it
	// again. It must be set. A new version is used to encrypt after it at the
	// latest, and access to AWS KMS that was taken away is lost after it.
	TTL time.Duration

	// Cache keeps branch keys; nil means one of [caching.NewStormTracking] with its
	// defaults, of the keyring alone. TTL must be more than the grace period of
	// such a cache, which is 10 seconds by default. A cache of [caching.NewLRU]
	// takes any TTL.
	Cache caching.Cache

	// PartitionID names those keyrings that share entries in one Cache, if they
	// also have the same logical name and branch key id; what one of them may
	// read, all may. Empty means that this one shares with none.
	PartitionID string
}

type keyring struct {
	KeyringConfig
	partition string // as it is in cache ids
}

// NewKeyring returns the AWS KMS hierarchical keyring: it wraps each data key
// under a key that it derives from a branch key, without a call to AWS KMS if
// the branch key is in the cache. It decrypts what it encrypted with older
// versions of the branch key, too.
//
// If a branch key cannot be fetched anew, the errors of the Store are returned
// to encrypt; to decrypt, they are among those of the [*esdk.NoDataKeyError].
// Specification: framework/aws-kms/aws-kms-hierarchical-keyring.md.
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
	// An id that is not valid UTF-8 is not equal either.
	matches := func(edk *esdk.EncryptedDataKey) bool { return ours(*edk) && string(edk.ProviderInfo) == id }
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, ec []byte) ([]byte, error) {
		return k.unwrap(ctx, id, edk.Ciphertext, ec, req.Suite)
	})
}

func (k *keyring) unwrap(ctx context.Context, id string, ciphertext, ec []byte, suite esdk.SuiteID) ([]byte, error) {
	if want := overhead + suite.DataKeyLength(); len(ciphertext) != want {
		return nil, fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", len(ciphertext), want, suite)
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

// loadAttempts is how often a cache is asked that returns an entry which is too
// old for the keyring. A cache need not be one of the package esdk: it may keep
// what it is told to remove.
const loadAttempts = 3

// load returns a version of a branch key; if version is empty, the active one.
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
		// A keyring with a longer TTL may have made the entry. One that was
		// fetched since this call began is as new as can be, even if it took
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

// cacheID joins fields that have no NUL, but for a random partition.
// Specification: framework/aws-kms/aws-kms-hierarchical-keyring.md#appendix-a-cache-entry-identifier-formulas.
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
