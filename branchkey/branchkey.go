// Package branchkey holds the AWS KMS hierarchical keyring, and the key store
// that it takes its branch keys from.
//
// A branch key wraps data keys locally, and AWS KMS encrypts the branch key: so
// AWS KMS is called when the keyring does not have a branch key in its cache,
// and not for each message. The active version, to encrypt, and each version to
// decrypt with take a call of their own. A [Store] keeps the branch keys, each
// in several versions of which one is active, in DynamoDB or in a file:
//
//	storage, err := branchkey.NewDynamoDBStorage(nil, "branch-keys")
//	store, err := branchkey.NewStore(branchkey.Config{
//		Storage:     storage,
//		LogicalName: "branch-keys",
//		KMS:         branchkey.KMSConfig{KeyARN: "arn:aws:kms:us-west-2:111122223333:key/…"},
//	})
//	kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
//		Store:       store,
//		BranchKeyID: "tenant-17",
//		TTL:         time.Hour,
//	})
//
// [Store.CreateKeyStore] and [Store.CreateKey] set it up, and
// [Store.VersionKey] rotates a branch key, once a year or as often as the rules
// say. Old versions are kept, so that old messages decrypt.
// [Store.RekeyBranchKey] changes the KMS key, and touches no message. [Warm]
// fills the cache of a keyring before the first message.
//
// Tables and messages are those of the official SDKs, which can use the same
// table side by side with this package, under the same logical name.
//
// Branch key ids, logical names and partition ids are UTF-8 without a NUL, of 1
// to 2048 bytes.
//
// Specification: framework/branch-key-store.md and
// framework/aws-kms/aws-kms-hierarchical-keyring.md.
package branchkey

import (
	"errors"
	"fmt"
	"slices"

	"esdk/awskms"
	"esdk/internal/isnil"
	"esdk/internal/kmsarn"
)

// Config configures [NewStore].
type Config struct {
	// Storage keeps the items.
	Storage Storage

	// LogicalName is bound to every key, and must be the same for all who use
	// the table, as long as it lives. It should be used for one table only; a
	// table that was restored under another name keeps it. It is often the
	// name of the table.
	LogicalName string

	// KMS says which keys of AWS KMS encrypt the branch keys.
	KMS KMSConfig

	// Clients makes the client of AWS KMS, as for the keyrings of package
	// awskms; nil means [awskms.DefaultClients]. To create and version keys, it
	// needs the methods GenerateDataKeyWithoutPlaintext and ReEncrypt of
	// *kms.Client too.
	Clients awskms.Clients

	// GrantTokens go with each request to AWS KMS.
	GrantTokens []string

	// ID names this Store in its [Info]; empty means a random UUID.
	ID string
}

// A KMSConfig says which keys of AWS KMS encrypt the branch keys of a [Store].
// Exactly one field is set, besides Former.
// Specification: framework/branch-key-store.md#aws-kms-configuration.
type KMSConfig struct {
	// KeyARN is the one key, a multi-Region one or not.
	KeyARN string

	// MRKeyARN is the key; if it is a multi-Region key, it also reads what its
	// replicas in other Regions encrypted.
	MRKeyARN string

	// Former are keys, in the same Region, that items may still be under. The
	// Store reads these items, and [Store.RekeyBranchKey] encrypts them again.
	// What the Store makes is under KeyARN or MRKeyARN, one of which must be
	// set. With MRKeyARN, Former keys read what their replicas encrypted, too.
	Former []string

	// Discovery has whatever key an item names, so that who can write to the
	// storage chooses the key, among those that the caller may decrypt with.
	// Such a Store cannot create or version keys.
	Discovery bool

	// MRDiscovery is a Region, and is as Discovery, but of a multi-Region key
	// uses the replica in that Region.
	MRDiscovery string
}

// Info is what a [Store] was configured with.
type Info struct {
	ID          string
	StorageName string // the table's or the file's
	LogicalName string
	KMS         KMSConfig
	GrantTokens []string
}

// A Store keeps branch keys. It is safe for concurrent use.
// Specification: framework/branch-key-store.md.
type Store struct {
	config  Config
	storage Storage
	region  string       // of the KMS client; empty means the default one
	key     kmsarn.ARN   // of KeyARN or MRKeyARN
	former  []kmsarn.ARN // of Former
}

// NewStore returns a Store. It makes no request.
func NewStore(c Config) (*Store, error) {
	if isnil.Value(c.Storage) {
		return nil, errors.New("branchkey: Config needs a Storage")
	}
	if c.Clients != nil && isnil.Value(c.Clients) {
		return nil, fmt.Errorf("branchkey: Config: Clients is a nil %T", c.Clients)
	}
	if err := checkName("LogicalName", c.LogicalName); err != nil {
		return nil, err
	}
	if c.Clients == nil {
		c.Clients = awskms.DefaultClients()
	}
	if c.ID == "" {
		c.ID = formatUUID(newUUID())
	}
	c.GrantTokens, c.KMS.Former = slices.Clone(c.GrantTokens), slices.Clone(c.KMS.Former)
	s := &Store{config: c, storage: c.Storage}
	if err := s.parseKMS(); err != nil {
		return nil, err
	}
	if r, ok := c.Storage.(regional); ok {
		s.storage = r.in(s.region)
	}
	return s, nil
}

// A regional storage makes its own client, in the Region of the keys.
type regional interface{ in(region string) Storage }

func (s *Store) parseKMS() (err error) {
	k := s.config.KMS
	set := 0
	for _, is := range []bool{k.KeyARN != "", k.MRKeyARN != "", k.Discovery, k.MRDiscovery != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("branchkey: KMSConfig needs exactly one field set, has %d", set)
	}
	s.region = k.MRDiscovery
	if k.discovers() && len(k.Former) > 0 {
		return errors.New("branchkey: KMSConfig: Former needs KeyARN or MRKeyARN, and no discovery")
	}
	if k.discovers() {
		return nil
	}
	if s.key, err = kmsarn.ParseKey(k.KeyARN + k.MRKeyARN); err != nil {
		return fmt.Errorf("branchkey: KMSConfig: %w", err)
	}
	s.region = s.key.Region
	for _, former := range k.Former {
		key, err := kmsarn.ParseKey(former)
		if err == nil && key.Region != s.region {
			err = fmt.Errorf("%s is in %s, and not in %s", former, key.Region, s.region)
		}
		if err != nil {
			return fmt.Errorf("branchkey: KMSConfig: Former: %w", err)
		}
		s.former = append(s.former, key)
	}
	return nil
}

func (k *KMSConfig) discovers() bool { return k.Discovery || k.MRDiscovery != "" }

// LogicalName returns the logical name.
func (s *Store) LogicalName() string { return s.config.LogicalName }

// Info returns the configuration.
// Specification: framework/branch-key-store.md#getkeystoreinfo.
func (s *Store) Info() Info {
	i := Info{
		ID:          s.config.ID,
		StorageName: s.storage.Name(),
		LogicalName: s.config.LogicalName,
		KMS:         s.config.KMS,
		GrantTokens: slices.Clone(s.config.GrantTokens),
	}
	i.KMS.Former = slices.Clone(i.KMS.Former)
	return i
}
