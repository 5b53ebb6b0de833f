package awskms_test

import (
	"crypto"
	"crypto/fips140"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/internal/fipstest"
)

// TestFIPS140Only verifies the statements of docs/security.md on AWS KMS.
func TestFIPS140Only(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	s, dataKey := newSim(t), randomKey(32)

	symmetric := mustKeyring(t)(awskms.NewKeyring(s.config(), s.symmetric(west)))
	wantKey(t, symmetric, dataKey, wrap(t, symmetric, dataKey).EncryptedDataKeys...)
	generated := wrap(t, symmetric, nil)
	wantKey(t, symmetric, generated.DataKey, generated.EncryptedDataKeys...)

	arn := s.CreateKey(west, types.KeySpecRsa2048)
	rsaKeyring := func(hash crypto.Hash) esdk.Keyring {
		return mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: arn, PublicKey: rsaPublicKey(t, s, arn), Hash: hash}))
	}
	sha256 := rsaKeyring(crypto.SHA256)
	wantKey(t, sha256, dataKey, wrap(t, sha256, dataKey).EncryptedDataKeys...)
	_, err := tryWrap(t, rsaKeyring(crypto.SHA1), dataKey)
	fipstest.WantRefused(t, "RSA with SHA-1: Wrap", err)

	arn = s.CreateKey(west, types.KeySpecEccNistP256)
	key := ecdhPublicKey(t, s, arn)
	kr := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), s.config(), awskms.ECDHConfig{KeyID: arn, PublicKey: key, Peer: key}))
	_, err = tryWrap(t, kr, dataKey)
	fipstest.WantRefused(t, "ECDH: Wrap", err)
	var wrapped *esdk.WrapResult
	fips140.WithoutEnforcement(func() { wrapped = wrap(t, kr, dataKey) })
	fipstest.WantRefused(t, "ECDH: Unwrap", wantNone(t, kr, wrapped.EncryptedDataKeys...))
}
