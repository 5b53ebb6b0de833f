package keyservice_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"log"

	"esdk"
	"esdk/keyservice"
)

// memory keeps a key in memory, where others call a service. The Go CDK's
// services need no such type: a *secrets.Keeper is a Service.
type memory struct{ cipher.AEAD }

func (m memory) Encrypt(_ context.Context, plaintext []byte) ([]byte, error) {
	return m.Seal(nil, nil, plaintext, nil), nil
}

func (m memory) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	return m.Open(nil, nil, ciphertext, nil)
}

func Example() {
	ctx := context.Background()
	block, err := aes.NewCipher(make([]byte, 32)) // a key of zeros is for examples only
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		log.Fatal(err)
	}

	// With the Go CDK: k, err := secrets.OpenKeeper(ctx, "hashivault://orders")
	kr, err := keyservice.NewKeyring(memory{aead}, "orders")
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("hello"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)
	// Output: hello
}
