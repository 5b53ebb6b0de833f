package pkcs11

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"esdk"
	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/keyagreement"
)

// These providers of ECDH encrypted data keys share a format: each keyring
// reads the data keys of both.
const (
	rawECDHProvider = datakey.RawECDH
	kmsECDHProvider = datakey.KMSECDH
)

// ECDHConfig configures [NewECDHKeyring] and [NewECDHDiscoveryKeyring].
type ECDHConfig struct {
	// Key is a private key of the token on P-256, P-384 or P-521. It must
	// permit the derivation of a readable secret.
	Key KeyRef

	// PublicKey is the public key of Key. If it is nil, it is read from the
	// token.
	PublicKey *ecdh.PublicKey

	// Peer is the other party's public key. It must be nil for
	// [NewECDHDiscoveryKeyring].
	Peer *ecdh.PublicKey
}

// ecdhKeyring has no peer if it is for discovery.
type ecdhKeyring struct {
	key       *key
	public    *ecdh.PublicKey
	curve     *keyagreement.Curve
	own, peer []byte // compressed public keys
}

// NewECDHKeyring returns a keyring that wraps data keys under a shared secret
// of two parties: the owner of a private key in a token, who encrypts, and a
// peer, the recipient. Either party can decrypt. A party with a private key
// outside a token uses [esdk.NewRawECDHKeyring].
//
// The private key never leaves the token. The secret does, since PKCS #11 lacks
// the key derivation of the format; it opens only the messages that these two
// parties encrypt to each other. It is removed from the token at once.
//
// Like [NewRSAKeyring], it tries the key once. To encrypt to a key pair in a
// token without being a party, pass its public key from [Token.PublicKey] to
// [esdk.NewRawECDHEphemeralKeyring].
func NewECDHKeyring(ctx context.Context, t *Token, c ECDHConfig) (esdk.Keyring, error) {
	if c.Peer == nil {
		return nil, errors.New("pkcs11: ECDH keyring needs the peer's public key")
	}
	return newECDHKeyring(ctx, t, c)
}

// NewECDHDiscoveryKeyring returns a keyring that only decrypts: messages that
// anyone encrypted to its key pair in a token, with the public key in the
// message. Otherwise it is like [NewECDHKeyring].
func NewECDHDiscoveryKeyring(ctx context.Context, t *Token, c ECDHConfig) (esdk.Keyring, error) {
	if c.Peer != nil {
		return nil, errors.New("pkcs11: ECDH discovery keyring has no peer")
	}
	return newECDHKeyring(ctx, t, c)
}

func newECDHKeyring(ctx context.Context, t *Token, c ECDHConfig) (esdk.Keyring, error) {
	k, err := newKey(ctx, t, privateKey, typeEC, c.Key)
	if err != nil {
		return nil, err
	}
	if c.PublicKey == nil {
		public, err := k.public(ctx)
		if err != nil {
			return nil, fmt.Errorf("pkcs11: %w", err)
		}
		c.PublicKey = public.(*ecdh.PublicKey)
	}
	curve, err := keyagreement.CurveOf(c.PublicKey.Curve())
	if err != nil {
		return nil, fmt.Errorf("pkcs11: ECDH keyring: %w", err)
	}
	kr := &ecdhKeyring{key: k, public: c.PublicKey, curve: curve, own: keyagreement.Compress(c.PublicKey)}
	if c.Peer != nil {
		if c.Peer.Curve() != c.PublicKey.Curve() {
			return nil, fmt.Errorf("pkcs11: ECDH keyring: the token's key is on %v, the peer's on %v", c.PublicKey.Curve(), c.Peer.Curve())
		}
		kr.peer = keyagreement.Compress(c.Peer)
	}
	if err := kr.selfTest(ctx); err != nil {
		return nil, fmt.Errorf("pkcs11: ECDH key cannot be used: %w", err)
	}
	return kr, nil
}

// selfTest derives a secret with a temporary key pair.
func (kr *ecdhKeyring) selfTest(ctx context.Context) error {
	private, err := kr.public.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := private.ECDH(kr.public)
	if err != nil {
		return err
	}
	defer clear(want)
	got, err := kr.secretWith(ctx, private.PublicKey())
	if err != nil {
		return err
	}
	defer clear(got)
	if subtle.ConstantTimeCompare(want, got) != 1 {
		return errors.New("the public key belongs to another key, or the token does not return the bare secret")
	}
	return nil
}

// secretWith returns the shared secret of the token's key and the owner of a
// public key.
func (kr *ecdhKeyring) secretWith(ctx context.Context, other *ecdh.PublicKey) (secret []byte, err error) {
	length := fieldBytes(other.Curve())
	err = kr.key.use(ctx, func(s *session, o object) error {
		derived, err := s.deriveECDH(s.handle, o, other.Bytes(), length)
		if err != nil {
			return err
		}
		secret = moved(derived)
		return nil
	})
	if err == nil && len(secret) != length {
		clear(secret)
		return nil, fmt.Errorf("the token derived %d bytes, need %d", len(secret), length)
	}
	return secret, err
}

// secretWithCompressed takes a compressed public key, the form in encrypted
// data keys.
func (kr *ecdhKeyring) secretWithCompressed(ctx context.Context, compressed []byte) ([]byte, error) {
	// A point off the curve would reveal the private key bit by bit, so it
	// never reaches the token.
	other, err := kr.curve.Decompress(compressed)
	if err != nil {
		return nil, err
	}
	return kr.secretWith(ctx, other)
}

func (kr *ecdhKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if kr.peer == nil {
		return nil, errors.New("pkcs11: ECDH discovery keyring cannot encrypt")
	}
	return req.Wrap(func(dataKey, serialized []byte) (esdk.EncryptedDataKey, error) {
		info := &keyagreement.Info{Curve: kr.curve, Recipient: kr.peer, Sender: kr.own}
		ciphertext, err := kr.seal(ctx, info, serialized, dataKey)
		if err != nil {
			err = fmt.Errorf("pkcs11: %w", err)
		}
		return esdk.EncryptedDataKey{ProviderID: rawECDHProvider, ProviderInfo: info.Bytes(), Ciphertext: ciphertext}, err
	})
}

func (kr *ecdhKeyring) seal(ctx context.Context, info *keyagreement.Info, serialized, dataKey []byte) ([]byte, error) {
	secret, err := kr.secretWithCompressed(ctx, kr.peer)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return info.Seal(secret, serialized, dataKey)
}

func (kr *ecdhKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool {
		if edk.ProviderID != rawECDHProvider && edk.ProviderID != kmsECDHProvider {
			return false
		}
		info, err := kr.curve.ParseInfo(edk.ProviderInfo)
		return err != nil || info.OtherParty(kr.own, kr.peer) != nil
	}
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, serialized []byte) ([]byte, error) {
		info, err := kr.curve.ParseInfo(edk.ProviderInfo)
		if err != nil {
			return nil, err
		}
		// A ciphertext of the wrong length can't be a data key of the suite, so
		// spare the token the call.
		if got, want := len(edk.Ciphertext), keyagreement.Overhead+req.Suite.DataKeyLength(); got != want {
			return nil, errtext.Inauthentic(fmt.Errorf("ciphertext has %d bytes, need %d for suite %v", got, want, req.Suite))
		}
		secret, err := kr.secretWithCompressed(ctx, info.OtherParty(kr.own, kr.peer))
		if err != nil {
			return nil, err
		}
		defer clear(secret)
		return info.Open(secret, serialized, edk.Ciphertext)
	})
}
