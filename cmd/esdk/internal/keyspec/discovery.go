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

// A Discovery decrypts with the keys of AWS KMS that a message names, as far as the
// filter allows, and asks the Region of each.
type Discovery struct {
	Config awskms.Config
	Filter *awskms.Filter // nil allows all

	// Home, if there is one, is the Region that is asked first, and the only one
	// that is asked for multi-Region keys.
	Home string
}

// NewDiscovery checks the filter.
func NewDiscovery(d Discovery) (esdk.Keyring, error) {
	_, err := awskms.NewDiscoveryKeyring(d.Config, d.Filter)
	return &d, err
}

// Wrap fails.
func (d *Discovery) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("discovery cannot encrypt, since it names no key")
}

// Unwrap asks for each data key the Region of its key.
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

// regionName is what can be part of the name of a host and cannot change which
// host it is: messages name Regions, and anybody can write one.
var regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// regionOf returns the Region to ask for a key, if it is to be asked at all.
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
