package keyspec

import (
	"cmp"
	"context"
	"crypto/rsa"
	"net/http/httptrace"
	"strings"
	"sync"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// KMS returns the configuration for AWS KMS keyrings with a profile of the AWS
// SDK's configuration, or the default one if the name is empty. Keyrings of one
// profile share their clients, so that the configuration is read once.
func (ks *Keys) KMS(profile string) awskms.Config { return ks.KMSIn(profile, "") }

// KMSIn is like KMS with a Region in place of the default one, unless it's
// empty.
func (ks *Keys) KMSIn(profile, region string) awskms.Config {
	name := [2]string{profile, region}
	if ks.kmsClients[name] == nil {
		options := append(ks.AWSOptions(profile), awsconfig.WithAPIOptions([]func(*middleware.Stack) error{ks.countRequests}))
		if region != "" {
			options = append(options, awsconfig.WithRegion(region))
		}
		ks.kmsClients[name] = clients{awskms.DefaultClients(options...)}
	}
	return awskms.Config{Clients: ks.kmsClients[name]}
}

// clients marks the errors of making a client, such as a missing Region: they
// are about the environment.
type clients struct{ awskms.Clients }

type noClient struct{ error }

func (n *noClient) Unwrap() error { return n.error }

func (c clients) Client(ctx context.Context, region string) (awskms.Client, error) {
	client, err := c.Clients.Client(ctx, region)
	if err != nil {
		return nil, &noClient{err}
	}
	return client, nil
}

// KMSRequests returns the number of requests made to AWS KMS. Each attempt
// counts.
func (ks *Keys) KMSRequests() int64 { return ks.kmsRequests.Load() }

// countRequests counts an attempt when it gets its connection, right before it
// is sent. An attempt may end before that, since the service can't be reached
// or another keyring has failed: AWS doesn't bill it.
func (ks *Keys) countRequests(stack *middleware.Stack) error {
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("CountRequests", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		var once sync.Once // the first connection may turn out to be closed
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
			once.Do(func() {
				ks.kmsRequests.Add(1)
				calls.KMS(ctx, awsmiddleware.GetOperationName(ctx))
			})
		}})
		return next.HandleFinalize(ctx, in)
	}), middleware.After)
}

// AWSOptions returns options of the AWS SDK for a profile, or for the default
// one if the name is empty. A service that doesn't answer within AnswerTimeout
// is tried again by the SDK's rules.
func (ks *Keys) AWSOptions(profile string) []func(*awsconfig.LoadOptions) error {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(ks.AnswerTimeout)),
		awsconfig.WithLogger(logging.Nop{}), // anything it logs is in the error too
	}
	if profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(profile))
	}
	return options
}

// IsKMSKey reports whether a key is the ARN or alias of an AWS KMS key.
func IsKMSKey(text string) bool {
	return strings.HasPrefix(text, "arn:") || strings.HasPrefix(text, "alias/")
}

// IsKMSAlias reports whether a key, or a key of the configuration, is an AWS
// KMS key given by something other than its key ARN. Messages store the key
// ARN, so such a key only encrypts.
func (ks *Keys) IsKMSAlias(text string) bool {
	_, key, err := ks.kmsKey(text)
	return err == nil && !strings.Contains(key, ":key/")
}

// ResolveAlias returns a keyring that decrypts with the AWS KMS key that an
// alias refers to now. It asks AWS KMS once, with DescribeKey. Keyring and
// Parse never do that: anyone who may change the alias would decide which key
// decrypts.
func (ks *Keys) ResolveAlias(ctx context.Context, text string) (esdk.Keyring, error) {
	config, key, err := ks.kmsKey(text)
	if err != nil {
		return nil, err
	}
	if key, err = awskms.ResolveAlias(ctx, config, key); err != nil {
		return nil, err
	}
	kr, err := ks.newKMSKeyring(config, []string{key})
	if err != nil {
		return nil, err
	}
	return ks.named(kr, text), nil
}

func (ks *Keys) newKMSKeyring(c awskms.Config, keys []string) (esdk.Keyring, error) {
	if err := checkSpace(keys...); err != nil {
		return nil, err
	}
	return awskms.NewMRKKeyring(c, keys[0], keys[1:]...)
}

// kmsKeyring wraps under all of the keys concurrently.
func (ks *Keys) kmsKeyring(keys []string) (esdk.Keyring, error) {
	return ks.newKMSKeyring(ks.KMS(""), keys)
}

func (ks *Keys) kmsARNKeyring(_ context.Context, text string, _ bool) (esdk.Keyring, error) {
	return ks.kmsKeyring([]string{"arn:" + text})
}

func (ks *Keys) kmsAliasKeyring(_ context.Context, text string, _ bool) (esdk.Keyring, error) {
	if text == "" {
		return nil, cli.UsageError("expected alias/NAME")
	}
	return ks.kmsKeyring([]string{"alias/" + text})
}

// kmsDiscoveryKeyring parses PARTITION/ACCOUNT[,ACCOUNT]...[@REGION].
func (ks *Keys) kmsDiscoveryKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, region, hasRegion := strings.Cut(text, "@")
	partition, accounts, _ := strings.Cut(text, "/")
	if partition == "" || accounts == "" || hasRegion && region == "" {
		return nil, cli.UsageError("expected kms-discovery:PARTITION/ACCOUNT[,ACCOUNT]...[@REGION], such as kms-discovery:aws/111122223333")
	}
	return newKMSDiscoveryKeyring(ks.KMS(""), &awskms.Filter{Partition: partition, Accounts: strings.Split(accounts, ",")}, region, encrypt)
}

// newKMSDiscoveryKeyring asks only the given Region, including its replicas of
// multi-Region keys. Without one, it asks the Region of each key.
func newKMSDiscoveryKeyring(c awskms.Config, filter *awskms.Filter, region string, encrypt bool) (esdk.Keyring, error) {
	if err := checkSpace(append([]string{filter.Partition, region}, filter.Accounts...)...); err != nil {
		return nil, err
	}
	switch {
	case encrypt:
		return nil, &cannot{cli.UsageError("discovery only decrypts").WithHint("to encrypt, use -k arn:…")}
	case region != "":
		return awskms.NewMRKDiscoveryKeyring(c, filter, region)
	}
	return NewDiscovery(Discovery{Config: c, Filter: filter})
}

// kmsRSAKeyring parses ARN[@PUBLIC-FILE][?pad=PADDING].
func (ks *Keys) kmsRSAKeyring(_ context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	text, options, err := cutOptions(text, padOption)
	if err != nil {
		return nil, err
	}
	arn, file, err := cutFile(text)
	if err != nil {
		return nil, err
	}
	return ks.newKMSRSAKeyring(ks.KMS(""), arn, file, cmp.Or(options["pad"], DefaultPadding), encrypt)
}

func (ks *Keys) newKMSRSAKeyring(kms awskms.Config, arn, file, padding string, encrypt bool) (esdk.Keyring, error) {
	c := awskms.RSAConfig{KeyID: arn, Hash: paddings[padding]}
	if err := knownPadding(padding, "oaep-sha1", "oaep-sha256"); err != nil {
		return nil, err
	}
	if err := checkSpace(arn); err != nil {
		return nil, err
	}
	if file == "" && encrypt {
		return nil, cli.UsageError("to encrypt, the key's public key is needed").WithHint("use kms-rsa:ARN@PUBLIC-FILE")
	}
	if file != "" {
		data, err := ks.readPEM(file)
		if err != nil {
			return nil, err
		}
		if c.PublicKey, err = onlyKey[*rsa.PublicKey](data); err != nil {
			return nil, wrongFile(file, data, err)
		}
	}
	return awskms.NewRSAKeyring(kms, c)
}

// kmsECDHKeyring parses ARN[@PEER-FILE].
func (ks *Keys) kmsECDHKeyring(ctx context.Context, text string, encrypt bool) (esdk.Keyring, error) {
	arn, file, err := cutFile(text)
	if err != nil {
		return nil, err
	}
	return ks.newKMSECDHKeyring(ctx, ks.KMS(""), arn, file, encrypt)
}

func (ks *Keys) newKMSECDHKeyring(ctx context.Context, kms awskms.Config, arn, file string, encrypt bool) (esdk.Keyring, error) {
	if err := checkSpace(arn); err != nil {
		return nil, err
	}
	if file == "" && encrypt {
		return nil, cli.UsageError("to encrypt, the peer's public key is needed").WithHint("use kms-ecdh:ARN@PEER-FILE")
	}
	if file == "" {
		return awskms.NewECDHDiscoveryKeyring(ctx, kms, awskms.ECDHConfig{KeyID: arn})
	}
	data, err := ks.readPEM(file)
	if err != nil {
		return nil, err
	}
	peer, err := parsePeer(file, data, "")
	if err != nil {
		return nil, err
	}
	return awskms.NewECDHKeyring(ctx, kms, awskms.ECDHConfig{KeyID: arn, Peer: peer})
}
