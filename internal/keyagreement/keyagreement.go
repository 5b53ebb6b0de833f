// Package keyagreement wraps data keys under a secret that two parties agree
// on by elliptic-curve Diffie-Hellman: the common part of the raw and the KMS
// ECDH keyrings.
//
// Specification: framework/key-agreement-schemas.md and
// framework/raw-ecdh-keyring.md, with the corrections that all implementations
// agree on; docs/format.md lists them.
package keyagreement

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"esdk/internal/ecpoint"
	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/kdf"
)

// A Curve is a curve that the format supports.
type Curve struct {
	name     string // in FixedInfo
	curve    ecdh.Curve
	elliptic elliptic.Curve
}

var curves = []*Curve{
	{"p256", ecdh.P256(), elliptic.P256()},
	{"p384", ecdh.P384(), elliptic.P384()},
	{"p521", ecdh.P521(), elliptic.P521()},
}

// CurveOf returns the format's curve.
func CurveOf(curve ecdh.Curve) (*Curve, error) {
	for _, c := range curves {
		if c.curve == curve {
			return c, nil
		}
	}
	return nil, fmt.Errorf("curve %v is not P-256, P-384 or P-521", curve)
}

// GenerateKey makes a key pair.
func (c *Curve) GenerateKey() (*ecdh.PrivateKey, error) { return c.curve.GenerateKey(rand.Reader) }

// Compress returns a public key in the form of a provider info.
func Compress(key *ecdh.PublicKey) []byte { return ecpoint.Compress(key.Bytes()) }

// Decompress is the inverse of Compress, for keys on the curve. Its error
// matches ErrAuthentication.
func (c *Curve) Decompress(compressed []byte) (*ecdh.PublicKey, error) {
	point, err := ecpoint.Decompress(c.elliptic, compressed)
	if err != nil {
		return nil, errtext.Inauthentic(err)
	}
	return c.curve.NewPublicKey(point)
}

// pointLength is the length of a compressed point in bytes.
func (c *Curve) pointLength() int { return 1 + (c.elliptic.Params().BitSize+7)/8 }

// An Info names the two parties to a secret by their compressed public keys.
type Info struct {
	Curve             *Curve
	Recipient, Sender []byte
}

const version = 1

// Bytes returns the provider info of the encrypted data key.
func (i *Info) Bytes() []byte {
	b := []byte{version}
	for _, point := range [][]byte{i.Recipient, i.Sender} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(point)))
		b = append(b, point...)
	}
	return b
}

// ParseInfo is the inverse of Info.Bytes, for keys on the curve. Its error
// matches ErrAuthentication.
func (c *Curve) ParseInfo(b []byte) (*Info, error) {
	n := c.pointLength()
	if len(b) == 0 || b[0] != version {
		return nil, errtext.Inauthentic(errors.New("provider info is not of version 1"))
	}
	if b = b[1:]; len(b) != 2*(4+n) || binary.BigEndian.Uint32(b) != uint32(n) || binary.BigEndian.Uint32(b[4+n:]) != uint32(n) {
		return nil, errtext.Inauthentic(fmt.Errorf("provider info does not hold two points of %s", c.name))
	}
	return &Info{Curve: c, Recipient: b[4 : 4+n], Sender: b[8+n:]}, nil
}

// OtherParty returns the public key with which the owner of a key agrees on the
// secret, or nil if the secret isn't the owner's. With a peer, the owner and
// the peer are the parties, in either direction. Without one, the owner is the
// recipient, and anyone may be the sender. All keys are compressed public keys.
func (i *Info) OtherParty(own, peer []byte) []byte {
	isParties := func(sender, recipient []byte) bool {
		return bytes.Equal(i.Sender, sender) && bytes.Equal(i.Recipient, recipient)
	}
	switch {
	case peer == nil && bytes.Equal(i.Recipient, own):
		return i.Sender
	case peer != nil && (isParties(own, peer) || isParties(peer, own)):
		return peer
	}
	return nil
}

// fixedInfo returns the label of the key derivation, which is also the
// additional data of the data key's encryption. Unlike in the provider info,
// the sender comes first.
func (i *Info) fixedInfo(context []byte) []byte {
	var b []byte
	for _, part := range []string{"ecdh-key-derivation", i.Curve.name, "HMAC_SHA384"} {
		b = append(append(b, part...), 0)
	}
	b = append(b, i.Sender...)
	b = append(b, i.Recipient...)
	b = append(b, 0, version, 0)
	return append(b, context...)
}

const (
	saltLength       = 32
	commitmentLength = 32

	// Overhead is the number of bytes that encryption adds to a data key.
	Overhead = saltLength + commitmentLength + format.TagLength
)

// Seal encrypts a data key under a secret, bound to a serialized encryption
// context: salt ‖ key commitment ‖ encrypted data key ‖ tag.
func (i *Info) Seal(secret, context, dataKey []byte) ([]byte, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	fixed := i.fixedInfo(context)
	commitment, aead, err := derive(secret, fixed, salt)
	if err != nil {
		return nil, err
	}
	// The salt makes a fresh key each time, so the IV may be zero.
	return aead.Seal(append(salt, commitment...), make([]byte, format.IVLength), dataKey, fixed), nil
}

// Open is the inverse of Seal. Its error matches ErrAuthentication if the
// encrypted data key isn't authentic.
func (i *Info) Open(secret, context, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return nil, errtext.Inauthentic(errors.New("encrypted data key is too short"))
	}
	salt, rest := ciphertext[:saltLength], ciphertext[saltLength:]
	fixed := i.fixedInfo(context)
	commitment, aead, err := derive(secret, fixed, salt)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(commitment, rest[:commitmentLength]) != 1 {
		return nil, errtext.Inauthentic(errors.New("wrong key or encryption context"))
	}
	dataKey, err := aead.Open(nil, make([]byte, format.IVLength), rest[commitmentLength:], fixed)
	if err != nil {
		return nil, errtext.Inauthentic(err)
	}
	return dataKey, nil
}

const derivedLength = commitmentLength + 32 // and an AES-256 key

// derive returns a commitment to a key, and the key in a cipher. Afterwards, no
// other memory holds the key.
func derive(secret, fixed, salt []byte) (commitment []byte, aead cipher.AEAD, err error) {
	out := kdf.Counter(sha512.New384, secret, kdf.FixedInput(fixed, salt, derivedLength), derivedLength)
	defer clear(out[commitmentLength:])
	block, err := aes.NewCipher(out[commitmentLength:])
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	return out[:commitmentLength:commitmentLength], aead, err
}
