package awskms_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// simulated starts a simulation of AWS KMS for the examples. With the real one,
// awskms.Config{} is enough.
func simulated() (*kmssim.Server, awskms.Config) {
	server := kmssim.New()
	return server, awskms.Config{Clients: awskms.DefaultClients(
		config.WithBaseEndpoint(server.URL()),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("id", "secret", "")),
		config.WithRegion("us-west-2"),
	)}
}

func Example() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)

	kr, err := awskms.NewKeyring(c, arn)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("hello"), esdk.EncryptionContext{"purpose": "greeting"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", plaintext)

	// The errors of the AWS SDK can be found in it.
	server.Disable(arn)
	_, err = esdk.Decrypt(ctx, kr, message, nil)
	var disabled *types.DisabledException
	var api smithy.APIError
	fmt.Println(errors.As(err, &disabled), errors.As(err, &api) && api.ErrorCode() == "DisabledException")
	// Output:
	// hello
	// true true
}

// Any of several keys decrypts, so one Region may be unreachable.
func ExampleNewKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	west := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	ireland := server.CreateKey("eu-west-1", types.KeySpecSymmetricDefault)

	both, err := awskms.NewKeyring(c, west, ireland)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, both, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}
	one, err := awskms.NewKeyring(c, ireland)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, one, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// One replica of a multi-Region key encrypts, another decrypts.
func ExampleNewMRKKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	primary := server.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	replica := server.Replicate(primary, "eu-west-1")

	here, err := awskms.NewMRKKeyring(c, primary)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, here, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}
	there, err := awskms.NewMRKKeyring(c, replica)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, there, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// A discovery keyring finds the key in the message, if it belongs to the given
// account.
func ExampleNewDiscoveryKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	strict, err := awskms.NewKeyring(c, server.CreateKey("us-west-2", types.KeySpecSymmetricDefault))
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, strict, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}

	kr, err := awskms.NewDiscoveryKeyring(c, &awskms.Filter{Partition: "aws", Accounts: []string{"111122223333"}}, "us-west-2")
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)

	strangers, err := awskms.NewDiscoveryKeyring(c, &awskms.Filter{Partition: "aws", Accounts: []string{"444455556666"}}, "us-west-2")
	if err != nil {
		log.Fatal(err)
	}
	_, err = esdk.Decrypt(ctx, strangers, message, nil)
	fmt.Println(errors.Is(err, esdk.ErrNoDataKey))
	// Output:
	// hello <nil>
	// true
}

// The replica in the given Region decrypts.
func ExampleNewMRKDiscoveryKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	primary := server.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	server.Replicate(primary, "eu-west-1")
	strict, err := awskms.NewMRKKeyring(c, primary)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, strict, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}

	kr, err := awskms.NewMRKDiscoveryKeyring(c, nil, "eu-west-1")
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// Encryption needs the public key only, and no access to AWS.
func ExampleNewRSAKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecRsa3072)
	out, err := server.Client("us-west-2").GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &arn})
	if err != nil {
		log.Fatal(err)
	}
	file := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: out.PublicKey})

	public, err := esdk.ParsePEM[*rsa.PublicKey](file)
	if err != nil {
		log.Fatal(err)
	}
	offline, err := awskms.NewRSAKeyring(awskms.Config{}, awskms.RSAConfig{KeyID: arn, PublicKey: public})
	if err != nil {
		log.Fatal(err)
	}
	// The keyring takes only suites that don't sign, unlike the default suite.
	client, err := esdk.New(esdk.Config{Keyring: offline, Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(ctx, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}

	online, err := awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: arn})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, online, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// One party has its private key in AWS KMS, the other in a file.
func ExampleNewECDHKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecEccNistP256)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	ours, err := awskms.NewECDHKeyring(ctx, c, awskms.ECDHConfig{KeyID: arn, Peer: peer.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, ours, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}

	public, err := ecdhPublicKeyOf(ctx, server, arn)
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: peer, Peer: public})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, theirs, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// Anyone can encrypt to a public key whose private key is in AWS KMS.
func ExampleNewECDHDiscoveryKeyring() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecEccNistP384)
	public, err := ecdhPublicKeyOf(ctx, server, arn)
	if err != nil {
		log.Fatal(err)
	}

	anybody, err := esdk.NewRawECDHEphemeralKeyring(public)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, anybody, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}
	kr, err := awskms.NewECDHDiscoveryKeyring(ctx, c, awskms.ECDHConfig{KeyID: arn, PublicKey: public})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// ecdhPublicKeyOf returns the public key that the owner of a key would have
// published.
func ecdhPublicKeyOf(ctx context.Context, server *kmssim.Server, arn string) (*ecdh.PublicKey, error) {
	out, err := server.Client("us-west-2").GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &arn})
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return nil, err
	}
	return public.(interface {
		ECDH() (*ecdh.PublicKey, error)
	}).ECDH()
}

// A keyring with an alias encrypts but does not decrypt. With the ARN behind
// the alias, it does both.
func ExampleResolveAlias() {
	ctx := context.Background()
	server, c := simulated()
	defer server.Close()
	server.CreateAlias("us-west-2", "alias/greetings", server.CreateKey("us-west-2", types.KeySpecSymmetricDefault))

	arn, err := awskms.ResolveAlias(ctx, c, "alias/greetings")
	if err != nil {
		log.Fatal(err)
	}
	kr, err := awskms.NewKeyring(c, arn)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("hello"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: hello <nil>
}

// A FixedClient can have its own retries, endpoint or tracing.
func ExampleFixedClient() {
	server := kmssim.New()
	defer server.Close()
	client := server.Client("us-west-2") // or kms.NewFromConfig

	kr, err := awskms.NewKeyring(
		awskms.Config{Clients: awskms.FixedClient(client)},
		server.CreateKey("us-west-2", types.KeySpecSymmetricDefault),
	)
	if err != nil {
		log.Fatal(err)
	}
	_, err = esdk.Encrypt(context.Background(), kr, []byte("hello"), nil)
	fmt.Println(err)
	// Output: <nil>
}
