package keyspec

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"esdk"
	"esdk/awskms"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// A Discovery decrypts with the AWS KMS keys that a message names and the
// filter allows. It asks the Region of each key.
type Discovery struct {
	Config awskms.Config
	Filter *awskms.Filter // nil allows all

	// Home, unless empty, is the Region that is asked first, and the only one
	// asked for multi-Region keys.
	Home string
}

// NewDiscovery checks the filter and returns the keyring.
func NewDiscovery(d Discovery) (esdk.Keyring, error) {
	_, err := awskms.NewDiscoveryKeyring(d.Config, d.Filter)
	return &d, err
}

// Wrap always fails.
func (d *Discovery) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("discovery cannot encrypt, since it names no key")
}

// Unwrap asks, for each data key, the Region of its wrapping key.
func (d *Discovery) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	var regions []string
	if d.Home != "" {
		regions = append(regions, d.Home)
	}
	for _, edk := range req.EncryptedDataKeys {
		if region, ok := d.regionOf(string(edk.ProviderInfo)); ok && !slices.Contains(regions, region) {
			regions = append(regions, region)
		}
	}
	kr, err := awskms.NewDiscoveryKeyring(d.Config, d.Filter)
	if len(regions) > 0 {
		kr, err = awskms.NewMRKDiscoveryKeyring(d.Config, d.Filter, regions...)
	}
	if err != nil {
		return nil, err
	}
	return kr.Unwrap(ctx, req)
}

// regionName matches text that is safe as part of a host name and can't select
// another host. Messages name Regions, and anybody can write a message.
var regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// regionOf returns the Region to ask for a key, or false if the key must not be
// asked.
func (d *Discovery) regionOf(text string) (string, bool) {
	key, err := arn.Parse(text)
	switch {
	case err != nil, key.Service != "kms", !regionName.MatchString(key.Region):
		return "", false
	case d.Home != "" && strings.HasPrefix(key.Resource, "key/mrk-"):
		return "", false
	case d.Filter != nil && (key.Partition != d.Filter.Partition || !slices.Contains(d.Filter.Accounts, key.AccountID)):
		return "", false
	}
	return key.Region, true
}
