package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
)

// A key is a key of a token with its handle, which is looked up again in each
// new connection.
type key struct {
	token *Token
	class class
	kind  keyType
	ref   KeyRef

	mu         sync.Mutex
	object     object
	generation int // of the handle's connection
}

// newKey looks the key up at once, so that a missing key is reported early.
func newKey(ctx context.Context, t *Token, class class, kind keyType, ref KeyRef) (*key, error) {
	if t == nil || t.module == nil {
		return nil, errors.New("pkcs11: a keyring needs a token that Open returned")
	}
	ref, err := ref.resolved(t, class)
	if err != nil {
		return nil, err
	}
	k := &key{token: t, class: class, kind: kind, ref: ref}
	if err := k.use(ctx, func(*session, object) error { return nil }); err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	return k, nil
}

// use calls f with a session and the key's handle, and once more if they were
// lost. Errors name the key and the token.
func (k *key) use(ctx context.Context, f func(*session, object) error) error {
	err := k.token.do(ctx, func(s *session) error {
		o, err := k.handle(s)
		if err != nil {
			return err
		}
		return f(s, o)
	})
	if err != nil {
		return fmt.Errorf("key with %v of token %q: %w", k.ref, k.token.info.label, err)
	}
	return nil
}

func (k *key) handle(s *session) (object, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation == s.generation {
		return k.object, nil
	}
	o, err := findOne(s, k.class, k.kind, k.ref)
	if errors.Is(err, ErrNoKey) {
		// A token shows no private keys to sessions opened after the login was
		// lost.
		if lost := s.checkLogin(); lost != nil {
			return 0, lost
		}
	}
	if err == nil {
		k.object, k.generation = o, s.generation
	}
	return o, err
}

var classNames = map[class]string{publicKey: "public", privateKey: "private", secretKey: "secret"}

var typeNames = map[keyType]string{typeAES: "AES", typeRSA: "RSA", typeEC: "EC"}

func findOne(s *session, class class, kind keyType, ref KeyRef) (object, error) {
	found, err := s.find(s.handle, class, kind, ref.Label, ref.ID)
	if err != nil {
		return 0, err
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("%w: no %s %s key", ErrNoKey, classNames[class], typeNames[kind])
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%w: %d %s %s keys; give the ID", ErrAmbiguous, len(found), classNames[class], typeNames[kind])
}

// public returns the public key of a private key. In the token, it is an object
// of its own with the same id. A private RSA key that shows its public key is
// used first.
func (k *key) public(ctx context.Context) (crypto.PublicKey, error) {
	var public crypto.PublicKey
	err := k.use(ctx, func(s *session, private object) error {
		if k.kind == typeRSA {
			if key, err := rsaPublic(s, private); err == nil {
				public = key
				return nil
			}
		}
		ref := k.ref
		if id, err := s.attributes(s.handle, private, attributeID); err == nil && len(id[0]) > 0 {
			ref = KeyRef{ID: id[0]}
		}
		o, err := findOne(s, publicKey, k.kind, ref)
		if err != nil {
			return fmt.Errorf("its public key: %w", err)
		}
		if k.kind == typeRSA {
			public, err = rsaPublic(s, o)
		} else {
			public, err = ecPublic(s, o)
		}
		return err
	})
	return public, err
}

func rsaPublic(s *session, o object) (*rsa.PublicKey, error) {
	values, err := s.attributes(s.handle, o, attributeModulus, attributePublicExponent)
	if err != nil {
		return nil, err
	}
	n, e := new(big.Int).SetBytes(values[0]), new(big.Int).SetBytes(values[1])
	if n.Sign() == 0 || !e.IsInt64() || e.Int64() < 2 || e.Int64() > 1<<31-1 {
		return nil, errors.New("the token does not show an RSA public key that can be used")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// ecCurves maps the DER of curve names, as in CKA_EC_PARAMS, to curves.
var ecCurves = map[string]ecdh.Curve{
	"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07": ecdh.P256(),
	"\x06\x05\x2b\x81\x04\x00\x22":             ecdh.P384(),
	"\x06\x05\x2b\x81\x04\x00\x23":             ecdh.P521(),
}

func ecPublic(s *session, o object) (*ecdh.PublicKey, error) {
	values, err := s.attributes(s.handle, o, attributeECParams, attributeECPoint)
	if err != nil {
		return nil, err
	}
	curve, ok := ecCurves[string(values[0])]
	if !ok {
		return nil, errors.New("the key is not on P-256, P-384 or P-521")
	}
	// In PKCS #11, the point is a DER string; some tokens return the bare
	// point.
	var point []byte
	if rest, err := asn1.Unmarshal(values[1], &point); err != nil || len(rest) > 0 {
		point = values[1]
	}
	return curve.NewPublicKey(point)
}

// fieldBytes returns the length of a shared secret, in bytes.
func fieldBytes(curve ecdh.Curve) int {
	for c, e := range map[ecdh.Curve]elliptic.Curve{ecdh.P256(): elliptic.P256(), ecdh.P384(): elliptic.P384(), ecdh.P521(): elliptic.P521()} {
		if c == curve {
			return (e.Params().BitSize + 7) / 8
		}
	}
	return 0
}

// PublicKey returns the public key of a private key of the token, an
// [*rsa.PublicKey] or, on an elliptic curve, an [*ecdh.PublicKey]. Give it to a
// peer, or encrypt without the token, with the raw keyrings of package esdk.
// PublicKey fails with [ErrNoKey] or [ErrAmbiguous], like the constructors of
// keyrings.
func (t *Token) PublicKey(ctx context.Context, ref KeyRef) (crypto.PublicKey, error) {
	k, err := newKey(ctx, t, privateKey, typeRSA, ref)
	if errors.Is(err, ErrNoKey) {
		k, err = newKey(ctx, t, privateKey, typeEC, ref)
	}
	if err != nil {
		return nil, err
	}
	public, err := k.public(ctx)
	if err != nil {
		return nil, fmt.Errorf("pkcs11: %w", err)
	}
	return public, nil
}
