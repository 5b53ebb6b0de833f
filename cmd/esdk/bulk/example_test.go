package bulk_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"

	"esdk/cmd/esdk/bulk"
)

// The second file does not exist, which stops nothing. The flags name two key
// files. With a configuration, they can be "-k @new" and "--from-key @old".
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	oldKey, newKey := newKey(dir, "old"), newKey(dir, "new")

	client, err := bulk.OpenClient(ctx, []string{"-k", oldKey})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	message, _, err := client.Encrypt(ctx, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	file := filepath.Join(dir, "a.encrypted")
	if err := os.WriteFile(file, message, 0o600); err != nil {
		log.Fatal(err)
	}

	work, err := bulk.OpenRotation(ctx, []string{"--from-key", oldKey, "-k", newKey})
	if err != nil {
		log.Fatal(err)
	}
	defer work.Close()
	names := []string{file, filepath.Join(dir, "b.encrypted")}
	err = work.Do(ctx, slices.Values(names), func(r bulk.Result) error {
		fmt.Println(filepath.Base(r.Name), r.Status)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// a.encrypted ok
	// b.encrypted failed
}

// newKey makes a key file and returns it in the syntax of -k.
func newKey(dir, name string) string {
	key := make([]byte, 32)
	rand.Read(key)
	file := filepath.Join(dir, name+".key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		log.Fatal(err)
	}
	return "aes:corp/" + name + "@" + file
}
