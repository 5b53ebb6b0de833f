package otelesdk

import (
	"context"

	"esdk/awskms"
	"esdk/internal/isnil"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Clients returns clients that measure calls of AWS KMS, following the semantic
// conventions for calls of other services:
//
//	rpc.client.call.duration  a histogram in seconds, by rpc.system.name (aws-api),
//	                          rpc.method (KMS/Decrypt and so on), cloud.region and
//	                          error.type
//
// Their spans are of the kind client, and named after the method. A call counts
// once, including its retries.
func (i *Instrumentation) Clients(next awskms.Clients) awskms.Clients {
	if isnil.Value(next) {
		return next
	}
	return &clients{i, next}
}

type clients struct {
	*Instrumentation
	next awskms.Clients
}

func (c *clients) Client(ctx context.Context, region string) (awskms.Client, error) {
	next, err := c.next.Client(ctx, region)
	if err != nil || isnil.Value(next) {
		return next, err
	}
	if region == "" {
		if sdk, ok := next.(interface{ Options() kms.Options }); ok {
			region = sdk.Options().Region
		}
	}
	client := &client{c.Instrumentation, next, region}
	if maker, ok := next.(keyMaker); ok {
		return &makingClient{client, maker}, nil
	}
	return client, nil
}

type client struct {
	*Instrumentation
	next   awskms.Client
	region string
}

// call measures one call.
func call[In, Out any](c *client, ctx context.Context, operation string, do func(context.Context, In, ...func(*kms.Options)) (Out, error), in In, options []func(*kms.Options)) (Out, error) {
	method := "KMS/" + operation
	all := []attribute.KeyValue{semconv.RPCSystemNameKey.String("aws-api"), semconv.RPCMethod(method)}
	if c.region != "" {
		all = append(all, semconv.CloudRegion(c.region))
	}
	ctx, o := c.begin(ctx, method, trace.SpanKindClient, all...)
	out, err := do(ctx, in, options...)
	o.end(ctx, c.calls, err, all...)
	return out, err
}

func (c *client) Encrypt(ctx context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return call(c, ctx, "Encrypt", c.next.Encrypt, in, options)
}

func (c *client) Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	return call(c, ctx, "Decrypt", c.next.Decrypt, in, options)
}

func (c *client) GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, options ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	return call(c, ctx, "GenerateDataKey", c.next.GenerateDataKey, in, options)
}

func (c *client) GetPublicKey(ctx context.Context, in *kms.GetPublicKeyInput, options ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error) {
	return call(c, ctx, "GetPublicKey", c.next.GetPublicKey, in, options)
}

func (c *client) DeriveSharedSecret(ctx context.Context, in *kms.DeriveSharedSecretInput, options ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error) {
	return call(c, ctx, "DeriveSharedSecret", c.next.DeriveSharedSecret, in, options)
}

// A keyMaker also has the methods that key stores need.
type keyMaker interface {
	GenerateDataKeyWithoutPlaintext(context.Context, *kms.GenerateDataKeyWithoutPlaintextInput, ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error)
	ReEncrypt(context.Context, *kms.ReEncryptInput, ...func(*kms.Options)) (*kms.ReEncryptOutput, error)
}

type makingClient struct {
	*client
	maker keyMaker
}

func (c *makingClient) GenerateDataKeyWithoutPlaintext(ctx context.Context, in *kms.GenerateDataKeyWithoutPlaintextInput, options ...func(*kms.Options)) (*kms.GenerateDataKeyWithoutPlaintextOutput, error) {
	return call(c.client, ctx, "GenerateDataKeyWithoutPlaintext", c.maker.GenerateDataKeyWithoutPlaintext, in, options)
}

func (c *makingClient) ReEncrypt(ctx context.Context, in *kms.ReEncryptInput, options ...func(*kms.Options)) (*kms.ReEncryptOutput, error) {
	return call(c.client, ctx, "ReEncrypt", c.maker.ReEncrypt, in, options)
}
