package branchkey_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/esdktest/kmssim"
)

// This example moves a branch key to another KMS key, while others read it.
func ExampleStore_RekeyBranchKey() {
	ctx := context.Background()
	server := kmssim.New()
	defer server.Close()
	oldKey := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	newKey := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	dir, err := os.MkdirTemp("", "branchkey")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	storage, err := branchkey.NewFileStorage(filepath.Join(dir, "branch-keys.db"))
	if err != nil {
		log.Fatal(err)
	}
	open := func(k branchkey.KMSConfig) *branchkey.Store {
		store, err := branchkey.NewStore(branchkey.Config{
			Storage: storage, LogicalName: "branch-keys", KMS: k, Clients: awskms.FixedClient(server.Client("us-west-2")),
		})
		if err != nil {
			log.Fatal(err)
		}
		return store
	}
	before := open(branchkey.KMSConfig{KeyARN: oldKey})
	if _, err := before.CreateKeyStore(ctx); err != nil {
		log.Fatal(err)
	}
	id, err := before.CreateKey(ctx, "", nil)
	if err != nil {
		log.Fatal(err)
	}

	// First, configure all readers for both keys. Then:
	both := open(branchkey.KMSConfig{KeyARN: newKey, Former: []string{oldKey}})
	changed, err := both.RekeyBranchKey(ctx, id, newKey)
	if err != nil {
		log.Fatal(err) // to resume, repeat it
	}
	fmt.Println(changed, "items: the active version, the same version by its UUID, the beacon key")

	// Finally, nobody needs the old key.
	server.Disable(oldKey)
	after := open(branchkey.KMSConfig{KeyARN: newKey})
	key, err := after.ActiveBranchKey(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	defer clear(key.Secret)
	fmt.Println(key.KMSKeyARN == newKey)
	// Output:
	// 3 items: the active version, the same version by its UUID, the beacon key
	// true
}

// This example lists branch keys, and how often each was rotated.
func ExampleStore_List() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	for _, tenant := range []string{"17", "18"} {
		if _, err := store.CreateKey(ctx, "tenant-"+tenant, esdk.EncryptionContext{"tenant": tenant}); err != nil {
			log.Fatal(err)
		}
	}
	if err := store.VersionKey(ctx, "tenant-18"); err != nil {
		log.Fatal(err)
	}
	versions := map[string]int{}
	for entry, err := range store.List(ctx, "") {
		if err != nil {
			log.Fatal(err) // or go on, if there is an entry: the item is malformed
		}
		if !entry.Active && !entry.Beacon() {
			versions[entry.ID]++
		}
	}
	fmt.Println(versions)
	// Output: map[tenant-17:1 tenant-18:2]
}

// This example warms the keyring of a server that knows its tenants, before it
// takes requests.
func ExampleWarm() {
	ctx := context.Background()
	store, cleanup := exampleStore()
	defer cleanup()
	ids := []string{"tenant-17", "tenant-18"}
	for _, id := range ids {
		if _, err := store.CreateKey(ctx, id, esdk.EncryptionContext{"id": id}); err != nil {
			log.Fatal(err)
		}
	}
	kr, err := branchkey.NewKeyring(branchkey.KeyringConfig{
		Store: store,
		Supplier: func(_ context.Context, ec esdk.EncryptionContext) (string, error) {
			return "tenant-" + ec["tenant"], nil
		},
		TTL: time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := branchkey.Warm(ctx, kr, ids...); err != nil {
		log.Print(err) // the keyring is usable all the same
	}
	fmt.Println("warm")
	// Output: warm
}
