package otelesdk_test

import (
	"context"
	"fmt"
	"os"

	"esdk"
	otelesdk "esdk/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The spans and metrics of this example go to standard error. With OTLP
// exporters instead, they go to a collector.
func Example() {
	ctx := context.Background()
	spans, err := stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	if err != nil {
		panic(err)
	}
	metrics, err := stdoutmetric.New(stdoutmetric.WithWriter(os.Stderr))
	if err != nil {
		panic(err)
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans))
	defer tracers.Shutdown(ctx)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metrics)))
	defer meters.Shutdown(ctx)

	o, err := otelesdk.New(otelesdk.Config{TracerProvider: tracers, MeterProvider: meters, ContextKeys: []string{"tenant"}})
	if err != nil {
		panic(err)
	}
	keyring, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "example", Name: "key", Key: make([]byte, 32)}) // a key of your own
	if err != nil {
		panic(err)
	}
	cmm, err := esdk.NewDefaultCMM(o.Keyring("raw-aes", keyring))
	if err != nil {
		panic(err)
	}
	client, err := esdk.New(esdk.Config{CMM: o.CMM(cmm)})
	if err != nil {
		panic(err)
	}
	message, _, err := client.Encrypt(ctx, []byte("plaintext"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		panic(err)
	}
	plaintext, _, err := client.Decrypt(ctx, message, nil)
	fmt.Printf("%s %v\n", plaintext, err)
	// Output: plaintext <nil>
}
