package pkcs11_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"fmt"
	"log"
	"os"

	"esdk"
	"esdk/pkcs11"
)

func Example() {
	ctx := context.Background()
	token, err := pkcs11.Open(ctx, pkcs11.Config{
		Module: "/usr/lib/softhsm/libsofthsm2.so",
		Token:  "payments",
		PIN:    pkcs11.PINFile("/run/secrets/pin"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer token.Close()
	kr, err := pkcs11.NewAESKeyring(ctx, token, pkcs11.AESConfig{
		Namespace: "corp", Name: "backup", Key: pkcs11.KeyRef{Label: "wrapping"},
	})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("plaintext"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(message))
}

func ExampleNewRSAKeyring() {
	ctx := context.Background()
	token, err := pkcs11.Open(ctx, pkcs11.Config{
		URI: "pkcs11:token=payments?module-path=/usr/lib/libkryoptic_pkcs11.so&pin-source=file:/run/secrets/pin",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer token.Close()
	kr, err := pkcs11.NewRSAKeyring(ctx, token, pkcs11.RSAConfig{
		Namespace: "corp", Name: "archive", Key: pkcs11.KeyRef{Label: "archive"}, Hash: crypto.SHA384,
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{Keyring: kr})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client != nil)
}

// Either party decrypts, here the owner of the key in the token. A discovery
// keyring decrypts what anyone encrypted to the key.
func ExampleNewECDHKeyring() {
	ctx := context.Background()
	token, err := pkcs11.Open(ctx, pkcs11.Config{
		Module: "/usr/lib/softhsm/libsofthsm2.so",
		Token:  "payments",
		PIN:    pkcs11.PINFile("/run/secrets/pin"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer token.Close()
	peerPEM, err := os.ReadFile("peer.pem")
	if err != nil {
		log.Fatal(err)
	}
	peer, err := esdk.ParsePEM[*ecdh.PublicKey](peerPEM)
	if err != nil {
		log.Fatal(err)
	}
	kr, err := pkcs11.NewECDHKeyring(ctx, token, pkcs11.ECDHConfig{Key: pkcs11.KeyRef{Label: "agree"}, Peer: peer})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("plaintext"), nil)
	if err != nil {
		log.Fatal(err)
	}
	discovery, err := pkcs11.NewECDHDiscoveryKeyring(ctx, token, pkcs11.ECDHConfig{Key: pkcs11.KeyRef{Label: "agree"}})
	if err != nil {
		log.Fatal(err)
	}
	both, err := esdk.NewMultiKeyring(kr, discovery)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, both, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(plaintext))
}
