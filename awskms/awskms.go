// Package awskms holds the keyrings that protect data keys with AWS Key
// Management Service.
//
// Most users want [NewKeyring], with the ARNs of their keys:
//
//	kr, err := awskms.NewKeyring(awskms.Config{}, "arn:aws:kms:us-west-2:111122223333:key/…")
//	message, err := esdk.Encrypt(ctx, kr, plaintext, nil)
//
// The others differ in which keys they use:
//
//   - [NewMRKKeyring] decrypts with any replica of its multi-Region keys.
//   - [NewDiscoveryKeyring] and [NewMRKDiscoveryKeyring] only decrypt, with
//     whatever key the message names. A [Filter] says whose keys these may be.
//   - [NewRSAKeyring] encrypts offline, with the public key alone, and only with
//     suites that do not sign, which the default suite does.
//   - [NewECDHKeyring] and [NewECDHDiscoveryKeyring] agree on a secret with a
//     peer.
//
// Name keys by their ARN. A message names its symmetric keys by it, so that a key
// that is configured as an alias or a bare id encrypts but does not decrypt;
// [ResolveAlias] finds the ARN.
//
// All keyrings are safe for concurrent use. The context of a call cancels its
// requests to AWS KMS; retries and timeouts are those of the AWS SDK's client.
// Errors of requests name the key and the Region, and [errors.As] reaches the
// errors of the AWS SDK in them, such as *types.KMSInvalidStateException or
// smithy.APIError. To decrypt, they are in an [*esdk.NoDataKeyError].
//
// Specification: framework/aws-kms.
package awskms

import (
	"errors"
	"slices"

	"esdk/internal/isnil"
)

// Config is what all keyrings of AWS KMS have in common. Its zero value works:
// it is what the environment and the files of the AWS SDK say.
type Config struct {
	// Clients makes the clients of AWS KMS. Nil means [DefaultClients], of the
	// keyring alone; keyrings that share one also share credentials and
	// connections.
	Clients Clients

	// GrantTokens go with each request.
	GrantTokens []string
}

// checked returns a copy that has clients and belongs to nobody else.
func (c Config) checked() (Config, error) {
	if c.Clients == nil {
		c.Clients = DefaultClients()
	}
	if isnil.Value(c.Clients) {
		return Config{}, errors.New("awskms: Config.Clients is a nil pointer")
	}
	if f, ok := c.Clients.(fixedClient); ok {
		if err := f.check(); err != nil {
			return Config{}, err
		}
	}
	c.GrantTokens = slices.Clone(c.GrantTokens)
	return c, nil
}
