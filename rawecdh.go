package esdk

import (
	"context"
	"crypto/ecdh"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/keyagreement"
)

// These are the provider IDs of data keys encrypted with ECDH. Both use one
// format, and each keyring reads both.
const (
	rawECDHProvider = datakey.RawECDH
	kmsECDHProvider = datakey.KMSECDH
)

// rawECDHKeyring has both keys if it's static, only the peer's if it's
// ephemeral, and only its own for discovery.
type rawECDHKeyring struct {
	curve   *keyagreement.Curve
	private *ecdh.PrivateKey
	peer    *ecdh.PublicKey
}

// RawECDHConfig configures [NewRawECDHKeyring]. The keys are on P-256, P-384 or
// P-521. [ParsePEM] reads them.
type RawECDHConfig struct {
	PrivateKey *ecdh.PrivateKey // your own
	Peer       *ecdh.PublicKey  // the other party's
}

// NewRawECDHKeyring returns a keyring that wraps data keys under a secret that
// two parties agree on. Either party encrypts and decrypts, with its own
// private key and the other party's public key.
//
// Specification: [framework/raw-ecdh-keyring.md]
// (RawPrivateKeyToStaticPublicKey).
//
// [framework/raw-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-ecdh-keyring.md
func NewRawECDHKeyring(c RawECDHConfig) (Keyring, error) {
	if c.PrivateKey == nil || c.Peer == nil {
		return nil, errtext.Errorf("ECDH keyring needs a private key and the peer's public key")
	}
	if c.PrivateKey.Curve() != c.Peer.Curve() {
		return nil, errtext.Errorf("ECDH keyring: the keys are on different curves")
	}
	return newRawECDHKeyring(c.Peer.Curve(), c.PrivateKey, c.Peer)
}

// NewRawECDHEphemeralKeyring returns a keyring that only encrypts. It encrypts
// to the owner of a public key, with a fresh key pair for each data key. The
// owner decrypts with [NewRawECDHDiscoveryKeyring]. The message doesn't name
// its sender.
//
// Specification: [framework/raw-ecdh-keyring.md]
// (EphemeralPrivateKeyToStaticPublicKey).
//
// [framework/raw-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-ecdh-keyring.md
func NewRawECDHEphemeralKeyring(recipient *ecdh.PublicKey) (Keyring, error) {
	if recipient == nil {
		return nil, errtext.Errorf("ECDH keyring needs the recipient's public key")
	}
	return newRawECDHKeyring(recipient.Curve(), nil, recipient)
}

// NewRawECDHDiscoveryKeyring returns a keyring that only decrypts. It decrypts
// every data key that was encrypted to its key, by anyone, with the public key
// that the message names.
//
// Specification: [framework/raw-ecdh-keyring.md] (PublicKeyDiscovery).
//
// [framework/raw-ecdh-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/raw-ecdh-keyring.md
func NewRawECDHDiscoveryKeyring(private *ecdh.PrivateKey) (Keyring, error) {
	if private == nil {
		return nil, errtext.Errorf("ECDH keyring needs a private key")
	}
	return newRawECDHKeyring(private.Curve(), private, nil)
}

func newRawECDHKeyring(c ecdh.Curve, private *ecdh.PrivateKey, peer *ecdh.PublicKey) (Keyring, error) {
	curve, err := keyagreement.CurveOf(c)
	if err != nil {
		return nil, errtext.Errorf("ECDH keyring: %w", err)
	}
	return &rawECDHKeyring{curve, private, peer}, nil
}

func (k *rawECDHKeyring) Wrap(_ context.Context, req *WrapRequest) (*WrapResult, error) {
	if k.peer == nil {
		return nil, errtext.Errorf("ECDH discovery keyring cannot encrypt")
	}
	return req.Wrap(func(dataKey, serialized []byte) (EncryptedDataKey, error) {
		info, ciphertext, err := k.seal(serialized, dataKey)
		if err != nil {
			return EncryptedDataKey{}, errtext.Errorf("ECDH keyring: %w", err)
		}
		return EncryptedDataKey{rawECDHProvider, info.Bytes(), ciphertext}, nil
	})
}

func (k *rawECDHKeyring) seal(serialized, dataKey []byte) (info *keyagreement.Info, ciphertext []byte, err error) {
	private := k.private
	if private == nil {
		if private, err = k.curve.GenerateKey(); err != nil {
			return nil, nil, err
		}
	}
	secret, err := private.ECDH(k.peer)
	if err != nil {
		return nil, nil, err
	}
	defer clear(secret)
	info = &keyagreement.Info{
		Curve:     k.curve,
		Recipient: keyagreement.Compress(k.peer),
		Sender:    keyagreement.Compress(private.PublicKey()),
	}
	ciphertext, err = info.Seal(secret, serialized, dataKey)
	return info, ciphertext, err
}

func (k *rawECDHKeyring) Unwrap(ctx context.Context, req *UnwrapRequest) ([]byte, error) {
	if k.private == nil {
		return nil, &NoDataKeyError{[]error{datakey.CannotDecrypt("ECDH keyring with an ephemeral key cannot decrypt")}}
	}
	matches := func(edk *EncryptedDataKey) bool {
		if edk.ProviderID != rawECDHProvider && edk.ProviderID != kmsECDHProvider {
			return false
		}
		info, err := k.curve.ParseInfo(edk.ProviderInfo)
		return err != nil || k.publicKeyFor(info) != nil
	}
	return req.Unwrap(ctx, matches, func(edk *EncryptedDataKey, serialized []byte) ([]byte, error) {
		info, err := k.curve.ParseInfo(edk.ProviderInfo)
		if err != nil {
			return nil, err
		}
		return k.open(info, serialized, edk.Ciphertext)
	})
}

func (k *rawECDHKeyring) open(info *keyagreement.Info, serialized, ciphertext []byte) ([]byte, error) {
	public, err := k.curve.Decompress(k.publicKeyFor(info))
	if err != nil {
		return nil, err
	}
	secret, err := k.private.ECDH(public)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return info.Open(secret, serialized, ciphertext)
}

// publicKeyFor returns the compressed public key with which our private key
// agrees on the secret of an encrypted data key, or nil if the data key isn't
// ours.
func (k *rawECDHKeyring) publicKeyFor(info *keyagreement.Info) []byte {
	var peer []byte
	if k.peer != nil {
		peer = keyagreement.Compress(k.peer)
	}
	return info.OtherParty(keyagreement.Compress(k.private.PublicKey()), peer)
}
