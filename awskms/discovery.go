package awskms

import (
	"context"
	"errors"
	"slices"

	"esdk"
	"esdk/internal/kmsarn"
)

// A Filter restricts a discovery keyring to keys of one partition, such as
// "aws", and of any of the given accounts. Both fields must be set.
type Filter struct {
	Partition string
	Accounts  []string
}

func (f *Filter) check() error {
	switch {
	case f == nil:
		return nil
	case f.Partition == "":
		return errors.New("awskms: discovery filter has no partition")
	case len(f.Accounts) == 0:
		return errors.New("awskms: discovery filter has no accounts, and would allow no key")
	case slices.Contains(f.Accounts, ""):
		return errors.New("awskms: discovery filter has an empty account")
	}
	return nil
}

func (f *Filter) allows(a kmsarn.ARN) bool {
	return f == nil || a.Partition == f.Partition && slices.Contains(f.Accounts, a.Account)
}

// discoveryKeyring tries each of its Regions.
type discoveryKeyring struct {
	decryptsOnly
	regions esdk.Keyring
}

// regionKeyring calls one Region.
type regionKeyring struct {
	decryptsOnly
	config Config
	filter *Filter
	region string // empty: the default one
	mrk    bool
}

// NewDiscoveryKeyring returns a keyring that only decrypts, with the keys that
// the message names and the filter allows; a nil filter allows all. Without a
// filter, anyone who can encrypt under any key that the credentials may use can
// make messages that it decrypts, so use a filter.
//
// The keyring tries the Regions in order, each with all keys of the message:
// keys of other Regions fail there, and their errors are kept. Without Regions,
// it tries the default Region. It needs the permission kms:Decrypt.
//
// Specification: [framework/aws-kms/aws-kms-discovery-keyring.md] and
// [framework/aws-kms/aws-kms-multi-keyrings.md#aws-kms-discovery-multi-keyring].
//
// [framework/aws-kms/aws-kms-discovery-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-discovery-keyring.md
// [framework/aws-kms/aws-kms-multi-keyrings.md#aws-kms-discovery-multi-keyring]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-multi-keyrings.md#aws-kms-discovery-multi-keyring
func NewDiscoveryKeyring(c Config, filter *Filter, regions ...string) (esdk.Keyring, error) {
	if len(regions) == 0 {
		return newDiscoveryKeyring(c, filter, []string{""}, false)
	}
	if slices.Contains(regions, "") {
		return nil, errors.New("awskms: discovery keyring has an empty Region")
	}
	return newDiscoveryKeyring(c, filter, regions, false)
}

// NewMRKDiscoveryKeyring returns a keyring like [NewDiscoveryKeyring], but
// tries each Region only with its own keys and with its replicas of
// multi-Region keys, whichever replica the message names. It needs at least one
// Region.
//
// Specification: [framework/aws-kms/aws-kms-mrk-discovery-keyring.md] and
// [framework/aws-kms/aws-kms-mrk-multi-keyrings.md#aws-kms-mrk-discovery-multi-keyring].
//
// [framework/aws-kms/aws-kms-mrk-discovery-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-mrk-discovery-keyring.md
// [framework/aws-kms/aws-kms-mrk-multi-keyrings.md#aws-kms-mrk-discovery-multi-keyring]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-mrk-multi-keyrings.md#aws-kms-mrk-discovery-multi-keyring
func NewMRKDiscoveryKeyring(c Config, filter *Filter, regions ...string) (esdk.Keyring, error) {
	if len(regions) == 0 || slices.Contains(regions, "") {
		return nil, errors.New("awskms: MRK discovery keyring needs Regions, none of them empty")
	}
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	if f, ok := c.Clients.(fixedClient); ok {
		for _, r := range regions {
			if err := f.checkRegion(r); err != nil {
				return nil, err
			}
		}
	}
	return newDiscoveryKeyring(c, filter, regions, true)
}

func newDiscoveryKeyring(c Config, filter *Filter, regions []string, mrk bool) (esdk.Keyring, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	if err := filter.check(); err != nil {
		return nil, err
	}
	if filter != nil {
		filter = &Filter{filter.Partition, slices.Clone(filter.Accounts)}
	}
	var all []esdk.Keyring
	for _, region := range regions {
		all = append(all, &regionKeyring{config: c, filter: filter, region: region, mrk: mrk})
	}
	kr := new(discoveryKeyring)
	kr.regions, err = esdk.NewMultiKeyring(nil, all...)
	return kr, err
}

type decryptsOnly struct{}

func (decryptsOnly) Wrap(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return nil, errors.New("awskms: discovery keyring cannot encrypt, since it names no key")
}

func (kr *discoveryKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	return kr.regions.Unwrap(ctx, req)
}

func (kr *regionKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(named kmsarn.ARN) bool {
		_, ok := kr.keyFor(named)
		return ok
	}
	return unwrap(ctx, req, kmsProvider, matches, func(named kmsarn.ARN, edk *esdk.EncryptedDataKey, _ []byte) ([]byte, error) {
		arn, _ := kr.keyFor(named)
		return key{kr.config, arn.String(), kr.region}.decryptSymmetric(ctx, req, edk)
	})
}

// keyFor returns the key to use in this Region for a key that a message names.
func (kr *regionKeyring) keyFor(named kmsarn.ARN) (kmsarn.ARN, bool) {
	switch {
	case !kr.filter.allows(named):
		return kmsarn.ARN{}, false
	case !kr.mrk:
		return named, true
	case named.IsMRK():
		return named.In(kr.region), true
	}
	return named, named.Region == kr.region
}
