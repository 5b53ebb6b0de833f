package codec_test

import (
	"bytes"
	"fmt"
	"log"

	"esdk"
	"esdk/lake/codec"
	"go.temporal.io/sdk/client"
)

func ExampleApply() {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "2026-11", Key: make([]byte, 32)}) // stands for random bytes
	if err != nil {
		log.Fatal(err)
	}
	c, err := esdk.New(esdk.Config{Keyring: kr})
	if err != nil {
		log.Fatal(err)
	}
	options := client.Options{}
	codec.Apply(&options, c) // before client.Dial

	payload, err := options.DataConverter.ToPayload("order 17")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Contains(payload.Data, []byte("order 17")))
	var input string
	if err := options.DataConverter.FromPayload(payload, &input); err != nil {
		log.Fatal(err)
	}
	fmt.Println(input)
	// Output:
	// false
	// order 17
}
