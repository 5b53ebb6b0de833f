package awskms

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk/internal/isnil"
)

// A Client is the part of a [*kms.Client] that the keyrings need. It must be
// safe for concurrent use, as [*kms.Client] is, and must not keep its answers:
// keyrings clear secrets in them after use.
type Client interface {
	Encrypt(ctx context.Context, in *kms.EncryptInput, options ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(ctx context.Context, in *kms.DecryptInput, options ...func(*kms.Options)) (*kms.DecryptOutput, error)
	GenerateDataKey(ctx context.Context, in *kms.GenerateDataKeyInput, options ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error)
	GetPublicKey(ctx context.Context, in *kms.GetPublicKeyInput, options ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
	DeriveSharedSecret(ctx context.Context, in *kms.DeriveSharedSecretInput, options ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error)
}

// Clients makes the client for a Region, or for the default Region if region is
// empty. It is called for each request, so it should cache its clients. It must
// be safe for concurrent use. A request fails if Clients returns no client or a
// nil pointer.
type Clients interface {
	Client(ctx context.Context, region string) (Client, error)
}

// DefaultClients returns clients with the AWS SDK's default configuration:
// environment, shared files and roles, unless an option overrides it. It reads
// the configuration when the first client is needed, and makes one client per
// Region. Their user agent names this library. It is safe for concurrent use.
func DefaultClients(options ...func(*config.LoadOptions) error) Clients {
	return &defaultClients{
		options: options,
		lock:    make(chan struct{}, 1),
		clients: make(map[string]Client),
	}
}

type defaultClients struct {
	options []func(*config.LoadOptions) error
	lock    chan struct{} // a mutex whose waiters give up when their context ends
	config  *aws.Config
	clients map[string]Client // by Region
}

func (d *defaultClients) Client(ctx context.Context, region string) (Client, error) {
	select {
	case d.lock <- struct{}{}:
		defer func() { <-d.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.config == nil {
		c, err := config.LoadDefaultConfig(ctx, d.options...)
		if err != nil {
			return nil, err
		}
		d.config = &c
	}
	if region == "" {
		region = d.config.Region
	}
	if region == "" {
		return nil, errors.New("no default Region is configured: name the key by its ARN, or set AWS_REGION")
	}
	if d.clients[region] == nil {
		d.clients[region] = kms.NewFromConfig(*d.config, func(o *kms.Options) {
			o.Region = region
			o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKey("esdk"))
		})
	}
	return d.clients[region], nil
}

// FixedClient returns the given client for all Regions. Use it for keys of one
// Region, or for endpoints that serve all Regions.
func FixedClient(c Client) Clients { return fixedClient{c} }

type fixedClient struct{ client Client }

func (f fixedClient) Client(context.Context, string) (Client, error) { return f.client, nil }

func (f fixedClient) check() error {
	if isnil.Value(f.client) {
		return errors.New("awskms: FixedClient has no client")
	}
	return nil
}

// checkRegion fails if the client is known to be for another Region.
func (f fixedClient) checkRegion(region string) error {
	if r := regionOf(f.client); r != "" && r != region {
		return fmt.Errorf("awskms: the client is of Region %s, not of %s", r, region)
	}
	return nil
}

// regionOf returns the Region of a client of the AWS SDK.
func regionOf(c Client) string {
	if sdk, ok := c.(interface{ Options() kms.Options }); ok {
		return sdk.Options().Region
	}
	return ""
}
