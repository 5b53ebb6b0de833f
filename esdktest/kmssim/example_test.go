package kmssim_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

func Example() {
	ctx := context.Background()
	server := kmssim.New()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)

	clients := awskms.FixedClient(server.Client("us-west-2"))
	kr, err := awskms.NewKeyring(awskms.Config{Clients: clients}, arn)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	fmt.Println(server.Counts())
	// Output:
	// my secret
	// map[Decrypt:1 GenerateDataKey:1]
}

// A fault takes the place of a policy that denies an operation.
func ExampleServer_Fault() {
	ctx := context.Background()
	server := kmssim.New()
	defer server.Close()
	arn := server.CreateKey("us-west-2", types.KeySpecSymmetricDefault)

	clients := awskms.FixedClient(server.Client("us-west-2"))
	kr, err := awskms.NewKeyring(awskms.Config{Clients: clients}, arn)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, kr, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	server.Fault(func(r *kmssim.Request) *kmssim.Fault {
		if r.Operation != "Decrypt" {
			return nil
		}
		return &kmssim.Fault{Code: "AccessDeniedException", Message: "denied by a policy"}
	})
	_, err = esdk.Decrypt(ctx, kr, message, nil)
	fmt.Println(errors.Is(err, esdk.ErrNoDataKey))
	// Output: true
}
