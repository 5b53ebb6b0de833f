package main

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/awscli"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// compatKMS makes the keyring for keys of AWS KMS, of which the very first makes
// the data key.
func (a *app) compatKMS(ctx context.Context, w *awscli.WrappingKeys, first bool) (esdk.Keyring, error) {
	if len(w.Attributes) > 0 {
		return nil, cli.NewError(cli.ExitError, "keys of AWS KMS have no %s=", slices.Sorted(maps.Keys(w.Attributes))[0])
	}
	c := a.keys.KMSIn(w.Profile, w.Region)
	switch {
	case w.Discovery != nil:
		return newCompatDiscovery(ctx, c, w)
	case first:
		return awskms.NewMRKKeyring(c, w.Keys[0], w.Keys[1:]...)
	}
	return awskms.NewMRKKeyring(c, "", w.Keys...)
}

// A compatDiscovery decrypts as the Python program does with discovery=true: with
// keys of any Region, and with replicas of multi-Region keys in its own.
type compatDiscovery struct {
	config awskms.Config
	filter *awskms.Filter
	region string
}

func newCompatDiscovery(ctx context.Context, c awskms.Config, w *awscli.WrappingKeys) (esdk.Keyring, error) {
	k := &compatDiscovery{config: c, region: w.Region}
	if w.Discovery.Partition != "" {
		k.filter = &awskms.Filter{Partition: w.Discovery.Partition, Accounts: w.Discovery.Accounts}
	}
	if k.region == "" {
		config, err := awsconfig.LoadDefaultConfig(ctx, keyspec.AWSProfile(w.Profile)...)
		if err != nil {
			return nil, err
		}
		if k.region = config.Region; k.region == "" {
			return nil, cli.UsageError("no default Region is configured").WithHint("give region=REGION, or set AWS_REGION")
		}
	}
	_, err := awskms.NewMRKDiscoveryKeyring(c, k.filter, k.region)
	return k, err
}

func (k *compatDiscovery) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("discovery=true cannot encrypt, since it names no key")
}

// regionName is what can be part of the name of a host and cannot change which
// host it is: messages name Regions, and anybody can write one.
var regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func (k *compatDiscovery) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	regions := []string{k.region}
	for _, edk := range req.EncryptedDataKeys {
		key, err := arn.Parse(string(edk.ProviderInfo))
		if err == nil && key.Service == "kms" && !strings.HasPrefix(key.Resource, "key/mrk-") && regionName.MatchString(key.Region) && !slices.Contains(regions, key.Region) {
			regions = append(regions, key.Region)
		}
	}
	kr, err := awskms.NewMRKDiscoveryKeyring(k.config, k.filter, regions...)
	if err != nil {
		return nil, err
	}
	return kr.Unwrap(ctx, req)
}
