// Package branchkey implements the AWS KMS hierarchical keyring and the key
// store that holds its branch keys.
//
// A branch key wraps data keys locally, and AWS KMS encrypts the branch key. So
// the keyring calls AWS KMS when a branch key isn't in its cache, not for each
// message as package [esdk/awskms] does. A [Supplier] gives each tenant a
// branch key of its own, all under one KMS key.
//
// A [Store] keeps branch keys in DynamoDB or in a file:
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
//	message, err := esdk.Encrypt(ctx, kr, plaintext, nil)
//
// A branch key has several versions, one of which is active. The active
// version, used to encrypt, and each version used to decrypt take one call to
// AWS KMS each. To manage branch keys:
//
//   - [Store.CreateKeyStore] and [Store.CreateKey] set up a key store.
//   - [Store.VersionKey] rotates a branch key: once a year, or as often as your
//     policy demands. Old versions are kept, so old messages still decrypt.
//   - [Store.RekeyBranchKey] moves a branch key to another KMS key without
//     touching any message.
//   - [Warm] fills the cache of a keyring before the first message.
//
// Tables and messages are interchangeable with the official SDKs, which can use
// the same table side by side with this package, under the same logical name.
//
// Branch key ids, logical names and partition ids are UTF-8 strings of 1 to
// 2048 bytes without a NUL.
//
// Specification: [framework/branch-key-store.md] and
// [framework/aws-kms/aws-kms-hierarchical-keyring.md].
//
// [framework/branch-key-store.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md
// [framework/aws-kms/aws-kms-hierarchical-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-hierarchical-keyring.md
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
	// Storage stores the items.
	Storage Storage

	// LogicalName is bound to every key. All users of the table must agree on
	// it for as long as the table lives. Use a logical name for one table only;
	// a table restored under another name keeps it. It is often the name of the
	// table.
	LogicalName string

	// KMS selects the keys of AWS KMS that encrypt the branch keys.
	KMS KMSConfig

	// Clients makes the client of AWS KMS, as for the keyrings of package
	// awskms; nil means [awskms.DefaultClients]. Creating and versioning keys
	// also needs the methods GenerateDataKeyWithoutPlaintext and ReEncrypt of
	// *kms.Client.
	Clients awskms.Clients

	// GrantTokens are sent with each request to AWS KMS.
	GrantTokens []string

	// ID names this Store in its [Info]; empty means a random UUID.
	ID string
}

// A KMSConfig selects the keys of AWS KMS that encrypt the branch keys of a
// [Store]. Exactly one field is set, not counting Former.
//
// Specification: [framework/branch-key-store.md#aws-kms-configuration].
//
// [framework/branch-key-store.md#aws-kms-configuration]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#aws-kms-configuration
type KMSConfig struct {
	// KeyARN is the only key. It may be a multi-Region key.
	KeyARN string

	// MRKeyARN is the only key. If it is a multi-Region key, it also decrypts
	// items that its replicas in other Regions encrypted.
	MRKeyARN string

	// Former are keys of the same Region that items may still be encrypted
	// under. The Store reads these items, and [Store.RekeyBranchKey]
	// re-encrypts them. The Store encrypts new items under KeyARN or MRKeyARN,
	// one of which must be set. With MRKeyARN, the Former keys also decrypt
	// items that their replicas encrypted.
	Former []string

	// Discovery uses whichever key an item names. So anyone who can write to
	// the storage chooses the key, among the keys that the caller may decrypt
	// with. Such a Store can't create or version keys.
	Discovery bool

	// MRDiscovery is a Region. It works like Discovery, but replaces a
	// multi-Region key by its replica in that Region.
	MRDiscovery string
}

// Info describes the configuration of a [Store].
type Info struct {
	ID          string
	StorageName string // of the table or the file
	LogicalName string
	KMS         KMSConfig
	GrantTokens []string
}

// A Store manages branch keys. It is safe for concurrent use.
//
// Specification: [framework/branch-key-store.md].
//
// [framework/branch-key-store.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md
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

// A regional storage makes its own client, in the Region of the KMS keys.
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
//
// Specification: [framework/branch-key-store.md#getkeystoreinfo].
//
// [framework/branch-key-store.md#getkeystoreinfo]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/branch-key-store.md#getkeystoreinfo
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
