// Package awskms provides keyrings that protect data keys with AWS Key
// Management Service.
//
// Most users want [NewKeyring], with the ARNs of their keys:
//
//	kr, err := awskms.NewKeyring(awskms.Config{}, "arn:aws:kms:us-west-2:111122223333:key/…")
//	message, err := esdk.Encrypt(ctx, kr, plaintext, nil)
//
// The other constructors differ in the keys that they use:
//
//   - [NewMRKKeyring] decrypts with any replica of its multi-Region keys.
//   - [NewDiscoveryKeyring] and [NewMRKDiscoveryKeyring] only decrypt, with the
//     keys that the message names. A [Filter] restricts the owners of these
//     keys.
//   - [NewRSAKeyring] encrypts offline with the public key alone. It takes only
//     suites that don't sign, unlike the default suite.
//   - [NewECDHKeyring] and [NewECDHDiscoveryKeyring] agree on a secret with a
//     peer.
//
// Name keys by their ARN. Messages name symmetric keys by their ARN, so a key
// configured by an alias or a bare id encrypts but doesn't decrypt;
// [ResolveAlias] finds the ARN.
//
// All keyrings are safe for concurrent use. The context of a call cancels its
// requests to AWS KMS; retries and timeouts are up to the AWS SDK's client.
// Errors of requests name the key and the Region. [errors.As] finds the errors
// of the AWS SDK in them, such as *types.KMSInvalidStateException or
// smithy.APIError. On decryption, an [*esdk.NoDataKeyError] contains them.
//
// Specification: [framework/aws-kms].
//
// [framework/aws-kms]: https://github.com/awslabs/aws-encryption-sdk-specification/tree/master/framework/aws-kms
package awskms

import (
	"errors"
	"slices"

	"esdk/internal/isnil"
)

// Config is the configuration that all keyrings of AWS KMS share. Its zero
// value works: it follows the environment and the files of the AWS SDK.
type Config struct {
	// Clients makes the clients of AWS KMS. Nil means a [DefaultClients] of the
	// keyring's own. Keyrings that share a Clients also share its credentials
	// and connections.
	Clients Clients

	// GrantTokens are sent with each request.
	GrantTokens []string
}

// checked returns a copy with clients, which shares no memory with the caller.
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
