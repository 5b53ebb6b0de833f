package awskms

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/internal/errtext"
	"esdk/internal/keyagreement"
)

// ecdhKeyring has no peer if it is for discovery.
type ecdhKeyring struct {
	key       key
	curve     *keyagreement.Curve
	own, peer []byte // compressed public keys
}

// ECDHConfig configures [NewECDHKeyring] and [NewECDHDiscoveryKeyring].
type ECDHConfig struct {
	// KeyID names a key pair for key agreement on P-256, P-384 or P-521, in any
	// form that AWS KMS accepts.
	KeyID string

	// PublicKey is the public key of the key pair. If it is nil, the
	// constructor asks AWS KMS for it once, with the permission
	// kms:GetPublicKey.
	PublicKey *ecdh.PublicKey

	// Peer is the other party's public key. It must be nil for discovery.
	Peer *ecdh.PublicKey
}

// NewECDHKeyring returns a keyring that wraps data keys under a shared secret
// of two parties. Either party encrypts and decrypts, with its own private key
// and the other party's public key. A peer with a private key outside AWS KMS
// uses [esdk.NewRawECDHKeyring].
//
// Encryption and decryption need the permission kms:DeriveSharedSecret.
// NewECDHKeyring uses ctx only for the request of the public key.
//
// Specification: [framework/aws-kms/aws-kms-ecdh-keyring.md] and
// [framework/key-agreement-schemas.md#kmsprivatekeytostaticpublickey].
//
// [framework/aws-kms/aws-kms-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-ecdh-keyring.md
// [framework/key-agreement-schemas.md#kmsprivatekeytostaticpublickey]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/key-agreement-schemas.md#kmsprivatekeytostaticpublickey
func NewECDHKeyring(ctx context.Context, c Config, e ECDHConfig) (esdk.Keyring, error) {
	if e.Peer == nil {
		return nil, errors.New("awskms: ECDH keyring needs the peer's public key")
	}
	kr, public, err := newECDHKeyring(ctx, c, e)
	if err != nil {
		return nil, err
	}
	if public.Curve() != e.Peer.Curve() {
		return nil, fmt.Errorf("awskms: ECDH keyring: KMS key %s is on %v, the peer's on %v", e.KeyID, public.Curve(), e.Peer.Curve())
	}
	kr.peer = keyagreement.Compress(e.Peer)
	return kr, nil
}

// NewECDHDiscoveryKeyring returns a keyring that only decrypts: messages that
// anyone encrypted to its key pair in AWS KMS, with the public key in the
// message. Otherwise it is like [NewECDHKeyring].
//
// Specification: [framework/aws-kms/aws-kms-ecdh-keyring.md] and
// [framework/key-agreement-schemas.md#kmspublickeydiscovery].
//
// [framework/aws-kms/aws-kms-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/aws-kms/aws-kms-ecdh-keyring.md
// [framework/key-agreement-schemas.md#kmspublickeydiscovery]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/key-agreement-schemas.md#kmspublickeydiscovery
func NewECDHDiscoveryKeyring(ctx context.Context, c Config, e ECDHConfig) (esdk.Keyring, error) {
	if e.Peer != nil {
		return nil, errors.New("awskms: ECDH discovery keyring takes no peer")
	}
	kr, _, err := newECDHKeyring(ctx, c, e)
	if err != nil {
		return nil, err
	}
	return kr, nil
}

func newECDHKeyring(ctx context.Context, c Config, e ECDHConfig) (*ecdhKeyring, *ecdh.PublicKey, error) {
	c, err := c.checked()
	if err != nil {
		return nil, nil, err
	}
	k, err := c.newKey(e.KeyID)
	if err != nil {
		return nil, nil, err
	}
	public := e.PublicKey
	if public == nil {
		if public, err = k.publicKey(ctx); err != nil {
			return nil, nil, fmt.Errorf("awskms: %w", err)
		}
	}
	curve, err := keyagreement.CurveOf(public.Curve())
	if err != nil {
		return nil, nil, fmt.Errorf("awskms: ECDH keyring: %w", err)
	}
	return &ecdhKeyring{key: k, curve: curve, own: keyagreement.Compress(public)}, public, nil
}

// publicKey asks AWS KMS for the public key of a key pair for key agreement.
func (k key) publicKey(ctx context.Context) (public *ecdh.PublicKey, err error) {
	_, err = call(ctx, k, Client.GetPublicKey, &kms.GetPublicKeyInput{
		KeyId:       &k.id,
		GrantTokens: k.GrantTokens,
	}, func(out *kms.GetPublicKeyOutput) error {
		if out.KeyUsage != types.KeyUsageTypeKeyAgreement {
			return fmt.Errorf("the key is for %s, not for %s", out.KeyUsage, types.KeyUsageTypeKeyAgreement)
		}
		if err := k.checkKeyID(out.KeyId); err != nil {
			return err
		}
		public, err = parsePublicKey(out.PublicKey)
		return err
	})
	return public, err
}

func parsePublicKey(der []byte) (*ecdh.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	elliptic, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the public key is a %T, not one of an elliptic curve", parsed)
	}
	return elliptic.ECDH()
}

func (kr *ecdhKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if kr.peer == nil {
		return nil, errors.New("awskms: ECDH discovery keyring cannot encrypt")
	}
	return wrap(req, func(dataKey, serialized []byte) (esdk.EncryptedDataKey, error) {
		secret, err := kr.secretWith(ctx, kr.peer)
		if err != nil {
			return esdk.EncryptedDataKey{}, err
		}
		defer clear(secret)
		info := &keyagreement.Info{Curve: kr.curve, Recipient: kr.peer, Sender: kr.own}
		ciphertext, err := info.Seal(secret, serialized, dataKey)
		return esdk.EncryptedDataKey{ProviderID: ecdhProvider, ProviderInfo: info.Bytes(), Ciphertext: ciphertext}, err
	})
}

// secretWith returns the shared secret of the key in AWS KMS and the owner of a
// compressed public key.
func (kr *ecdhKeyring) secretWith(ctx context.Context, compressed []byte) ([]byte, error) {
	public, err := kr.curve.Decompress(compressed)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	return kr.key.deriveSharedSecret(ctx, der, len(compressed)-1)
}

func (kr *ecdhKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool {
		if edk.ProviderID != ecdhProvider && edk.ProviderID != rawECDHProvider {
			return false
		}
		info, err := kr.curve.ParseInfo(edk.ProviderInfo)
		return err != nil || info.OtherParty(kr.own, kr.peer) != nil
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, serialized []byte) ([]byte, error) {
		return kr.open(ctx, edk, serialized, req.Suite)
	})
}

func (kr *ecdhKeyring) open(ctx context.Context, edk *esdk.EncryptedDataKey, serialized []byte, id esdk.SuiteID) ([]byte, error) {
	info, err := kr.curve.ParseInfo(edk.ProviderInfo)
	if err != nil {
		return nil, err
	}
	// A ciphertext of the wrong length can't be a data key of the suite, so
	// spare the request.
	if got, want := len(edk.Ciphertext), keyagreement.Overhead+id.DataKeyLength(); got != want {
		return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", got, want, id))
	}
	secret, err := kr.secretWith(ctx, info.OtherParty(kr.own, kr.peer))
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	dataKey, err := info.Open(secret, serialized, edk.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("KMS key %s: %w", kr.key.id, err)
	}
	return dataKey, nil
}
