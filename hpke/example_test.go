package hpke_test

import (
	"context"
	"fmt"
	"log"

	"esdk"
	"esdk/hpke"
)

// Anyone with the public key encrypts, and only the owner of the private key
// decrypts.
func Example() {
	ctx := context.Background()
	key, err := hpke.GenerateKey() // or ParsePrivateKey, of the output of "esdk keygen hpke"
	if err != nil {
		log.Fatal(err)
	}
	to, err := hpke.NewKeyring(hpke.Config{Name: "archive-2026", PublicKey: key.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, to, []byte("keep this secret"), esdk.EncryptionContext{"kind": "archive"})
	if err != nil {
		log.Fatal(err)
	}

	from, err := hpke.NewKeyring(hpke.Config{Name: "archive-2026", PrivateKey: key})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, from, message, esdk.EncryptionContext{"kind": "archive"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: keep this secret
}

// A message names the key that it needs, before you have the key.
func ExampleParseProviderInfo() {
	key, err := hpke.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	kr, err := hpke.NewKeyring(hpke.Config{Name: "archive-2026", PublicKey: key.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	wrapped, err := kr.Wrap(context.Background(), &esdk.WrapRequest{Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		log.Fatal(err)
	}
	for _, edk := range wrapped.EncryptedDataKeys {
		if edk.ProviderID != hpke.ProviderID {
			continue
		}
		name, fingerprint, err := hpke.ParseProviderInfo(edk.ProviderInfo)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, fingerprint == hpke.Fingerprint(key.PublicKey()))
	}
	// Output: archive-2026 true
}
