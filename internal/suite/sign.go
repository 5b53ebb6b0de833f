package suite

import (
	"crypto/ecdsa"
	"crypto/rand"
	_ "crypto/sha256" // registered for crypto.Hash.New
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"math/big"

	"esdk/internal/ecpoint"
)

// NewDigest returns the hash that a signature of the suite covers, or nil if
// the suite doesn't sign.
func (s *Suite) NewDigest() hash.Hash {
	if !s.Signs() {
		return nil
	}
	return s.hash.New()
}

// GenerateSigningKey makes a key pair for one message.
func (s *Suite) GenerateSigningKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(s.curve, rand.Reader)
}

// FitsKey reports whether a verification key is on the suite's curve and has
// coordinates: crypto/ecdsa panics if one is nil.
func (s *Suite) FitsKey(key *ecdsa.PublicKey) bool {
	//lint:ignore SA1019 nothing else tells whether the coordinates are nil
	return key != nil && key.Curve == s.curve && key.X != nil && key.Y != nil
}

// FitsSigningKey reports the same for a signing key.
func (s *Suite) FitsSigningKey(key *ecdsa.PrivateKey) bool {
	//lint:ignore SA1019 nothing else tells whether it is nil
	return key != nil && key.D != nil && s.FitsKey(&key.PublicKey)
}

// IsPair reports whether the halves of a signing key match. It takes about as
// long as a signature.
func (s *Suite) IsPair(key *ecdsa.PrivateKey) bool {
	private, err := key.ECDH()
	if err != nil {
		return false
	}
	public, err := key.PublicKey.ECDH()
	return err == nil && private.PublicKey().Equal(public)
}

// EncodePublicKey returns a verification key in the form of the encryption
// context: the compressed point in standard Base64.
func (s *Suite) EncodePublicKey(key *ecdsa.PublicKey) (string, error) {
	point, err := key.Bytes()
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(ecpoint.Compress(point)), nil
}

// DecodePublicKey is the inverse of EncodePublicKey. It rejects text that
// EncodePublicKey wouldn't write: the decoder alone would skip line breaks.
func (s *Suite) DecodePublicKey(text string) (*ecdsa.PublicKey, error) {
	compressed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(compressed) != text {
		return nil, errors.New("public key is not Base64")
	}
	point, err := ecpoint.Decompress(s.curve, compressed)
	if err != nil {
		return nil, err
	}
	return ecdsa.ParseUncompressedPublicKey(s.curve, point)
}

// Sign signs a digest. The signature always has SignatureLength bytes, as with
// the C, Java, Python and .NET SDKs, so that the size of a message is known in
// advance.
func (s *Suite) Sign(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	for {
		der, err := ecdsa.SignASN1(rand.Reader, key, digest)
		if err != nil || len(der) == s.SignatureLength {
			return der, err
		}
		if der, err = s.negate(der); err != nil || len(der) == s.SignatureLength {
			return der, err
		}
	}
}

// negate replaces s in a signature (r, s) with n-s. The result is equally
// valid, and has the leading zero byte that DER needs before a high bit exactly
// if the original hasn't. That corrects the length of nearly every signature
// without signing again.
func (s *Suite) negate(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, fmt.Errorf("internal error: own signature: %w", err)
	}
	sig.S.Sub(s.curve.Params().N, sig.S)
	return asn1.Marshal(sig)
}

// Verify reports whether a signature of a digest is valid.
func (s *Suite) Verify(key *ecdsa.PublicKey, digest, signature []byte) bool {
	return ecdsa.VerifyASN1(key, digest, signature)
}
