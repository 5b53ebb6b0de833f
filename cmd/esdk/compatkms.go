package main

import (
	"context"
	"maps"
	"slices"

	"esdk"
	"esdk/awskms"
	"esdk/cmd/esdk/internal/awscli"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/keyspec"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// compatKMS makes the keyring for keys of AWS KMS. If first is set, the first
// of them makes the data key.
func (a *app) compatKMS(ctx context.Context, w *awscli.WrappingKeys, first bool) (esdk.Keyring, error) {
	if len(w.Attributes) > 0 {
		return nil, cli.NewError(cli.ExitError, "keys of AWS KMS do not take %s=", slices.Sorted(maps.Keys(w.Attributes))[0])
	}
	c := a.keys.KMSIn(w.Profile, w.Region)
	switch {
	case w.Discovery != nil:
		return newCompatDiscovery(ctx, a.keys, c, w)
	case first:
		return awskms.NewMRKKeyring(c, w.Keys[0], w.Keys[1:]...)
	}
	return awskms.NewMRKKeyring(c, "", w.Keys...)
}

// newCompatDiscovery decrypts like the Python program with discovery=true: with
// keys of any Region, and with replicas of multi-Region keys in its own.
func newCompatDiscovery(ctx context.Context, ks *keyspec.Keys, c awskms.Config, w *awscli.WrappingKeys) (esdk.Keyring, error) {
	d := keyspec.Discovery{Config: c, Home: w.Region}
	if w.Discovery.Partition != "" {
		d.Filter = &awskms.Filter{Partition: w.Discovery.Partition, Accounts: w.Discovery.Accounts}
	}
	if d.Home == "" {
		config, err := awsconfig.LoadDefaultConfig(ctx, ks.AWSOptions(w.Profile)...)
		if err != nil {
			return nil, err
		}
		if d.Home = config.Region; d.Home == "" {
			return nil, cli.UsageError("no default Region is configured").WithHint("use region=REGION, or set AWS_REGION")
		}
	}
	return keyspec.NewDiscovery(d)
}
