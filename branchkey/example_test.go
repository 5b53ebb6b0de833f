package branchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest/kmssim"
)

// Here a simulator replaces AWS KMS, and a file replaces DynamoDB. Without
// Clients, the store calls AWS KMS; with NewDynamoDBStorage(nil,
// "branch-keys"), the keys are in a table.
func exampleStore() (store *branchkey.Store, cleanup func()) {
	server := kmssim.New()
	dir, err := os.MkdirTemp("", "branchkey")
	if err != nil {
		log.Fatal(err)
	}
	storage, err := branchkey.NewFileStorage(filepath.Join(dir, "branch-keys.db"))
	if err != nil {
		log.Fatal(err)
	}
	store, err = branchkey.NewStore(branchkey.Config{
		Storage:     storage,
		LogicalName: "branch-keys",
		KMS:         branchkey.KMSConfig{KeyARN: server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)},
		Clients:     awskms.FixedClient(server.Client("us-west-2")),
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.CreateKeyStore(context.Background()); err != nil {
		log.Fatal(err)
	}
	return store, func() {
		server.Close()
		os.RemoveAll(dir)
	}
}

func Example() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()

	// Once: create a branch key.
	id, err := store.CreateKey(ctx, "", nil)
	if err != nil {
		log.Fatal(err)
	}
	// In each process: make a keyring that uses it.
	kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
		Store:       store,
		BranchKeyID: id,
		TTL:         time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("my secret"), esdk.EncryptionContext{"purpose": "example"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	// Output: my secret
}

// This example uses a branch key for each tenant.
func ExampleSupplier() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	for _, tenant := range []string{"17", "18"} {
		if _, err := store.CreateKey(ctx, "tenant-"+tenant, esdk.EncryptionContext{"tenant": tenant}); err != nil {
			log.Fatal(err)
		}
	}
	kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
		Store: store,
		Supplier: func(_ context.Context, ec esdk.EncryptionContext) (string, error) {
			if ec["tenant"] == "" {
				return "", errors.New("no tenant in the encryption context")
			}
			return "tenant-" + ec["tenant"], nil
		},
		TTL: time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: kr})
	if err != nil {
		log.Fatal(err)
	}
	for _, tenant := range []string{"17", "18"} {
		_, header, err := client.Encrypt(ctx, []byte("my secret"), esdk.EncryptionContext{"tenant": tenant})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(header.EncryptedDataKeys[0].ProviderInfo))
	}
	_, _, err = client.Encrypt(ctx, []byte("my secret"), nil)
	fmt.Println(err)
	// Output:
	// tenant-17
	// tenant-18
	// branchkey: supplier: no tenant in the encryption context
}

// This example shares a cache between two keyrings.
func ExampleKeyringConfig_sharedCache() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	id, err := store.CreateKey(ctx, "", nil)
	if err != nil {
		log.Fatal(err)
	}
	cache, err := caching.NewLRU(100)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
			Store:       store,
			BranchKeyID: id,
			TTL:         time.Minute,
			Cache:       cache,
			PartitionID: "my-app",
		})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := esdk.Encrypt(ctx, kr, []byte("my secret"), nil); err != nil {
			log.Fatal(err)
		}
	}
	stats := cache.Stats()
	fmt.Println(stats.Misses, "call,", stats.Hits, "hit")
	// Output: 1 call, 1 hit
}

func ExampleStore_CreateKey() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	id, err := store.CreateKey(ctx, "tenant-17", esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
	_, err = store.CreateKey(ctx, "tenant-17", esdk.EncryptionContext{"tenant": "17"})
	fmt.Println(errors.Is(err, branchkey.ErrExists))
	// Output:
	// tenant-17
	// true
}

func ExampleStore_VersionKey() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	id, err := store.CreateKey(ctx, "", nil)
	if err != nil {
		log.Fatal(err)
	}
	before, err := store.ActiveBranchKey(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	err = store.VersionKey(ctx, id)
	if errors.Is(err, branchkey.ErrConflict) {
		fmt.Println("somebody else was faster; there is a new version all the same")
	} else if err != nil {
		log.Fatal(err)
	}
	after, err := store.ActiveBranchKey(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	old, err := store.BranchKeyVersion(ctx, id, before.Version)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(after.Version != before.Version, old.Version == before.Version)
	// Output: true true
}

func ExampleStore_BeaconKey() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	if _, err := store.CreateKey(ctx, "tenant-17", esdk.EncryptionContext{"tenant": "17"}); err != nil {
		log.Fatal(err)
	}
	key, err := store.BeaconKey(ctx, "tenant-17")
	if err != nil {
		log.Fatal(err)
	}
	defer clear(key.Secret)
	fmt.Println(key, key.EncryptionContext, len(key.Secret))
	// Output: beacon key of branch key "tenant-17" map[tenant:17] 32
}

func ExampleStore_Info() {
	store, cleanup := exampleStore()
	defer cleanup()
	info := store.Info()
	fmt.Println(info.LogicalName, filepath.Base(info.StorageName))
	// Output: branch-keys branch-keys.db
}
