package awskms_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/internal/keyagreement"
)

var ecdhSpecs = []struct {
	spec  types.KeySpec
	curve ecdh.Curve
}{
	{types.KeySpecEccNistP256, ecdh.P256()},
	{types.KeySpecEccNistP384, ecdh.P384()},
	{types.KeySpecEccNistP521, ecdh.P521()},
}

func derOf(t testing.TB, public *ecdh.PublicKey) string {
	return base64Of(must[[]byte](t)(x509.MarshalPKIXPublicKey(public)))
}

// key-agreement-schemas.md#kmsprivatekeytostaticpublickey and
// #kmspublickeydiscovery.
func TestNewECDHKeyring(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecEccNistP256)
	token := s.CreateGrant(arn)
	own := ecdhPublicKey(t, s, arn)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	peer := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	otherCurve := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(rand.Reader)).PublicKey()
	x25519 := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()

	build := func(keyID string, own, peer *ecdh.PublicKey) error {
		_, err := awskms.NewECDHKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: keyID, PublicKey: own, Peer: peer})
		return err
	}
	discover := func(keyID string, own *ecdh.PublicKey) error {
		kr, err := awskms.NewECDHDiscoveryKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: keyID, PublicKey: own})
		if (kr == nil) != (err != nil) {
			t.Errorf("%v, %v", kr, err)
		}
		return err
	}
	ask := request{"GetPublicKey", west, map[string]any{"KeyId": arn, "GrantTokens": []any{token}}}
	if err := errors.Join(build(arn, own, peer), discover(arn, own)); err != nil {
		t.Error(err)
	}
	s.wantRequests(t) // the public key is given
	if err := errors.Join(build(arn, nil, peer), discover(arn, nil)); err != nil {
		t.Error(err)
	}
	s.wantRequests(t, ask, ask)

	wantText(t, build(arn, own, nil), "peer's public key")
	wantText(t, build("", own, peer), "empty")
	wantText(t, discover("key/1", own), "key/1")
	_, err := awskms.NewECDHDiscoveryKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: arn, PublicKey: own, Peer: peer})
	wantText(t, err, "takes no peer")
	wantText(t, build(arn, own, otherCurve), "P-256", "P-384")
	wantText(t, build(arn, nil, otherCurve), "P-256", "P-384")
	wantText(t, build(arn, x25519, x25519), "X25519")
	wantText(t, discover(arn, x25519), "X25519")

	symmetric, rsa := s.symmetric(west), s.CreateKey(west, types.KeySpecRsa2048)
	var apiError *types.UnsupportedOperationException
	if err := discover(symmetric, nil); !errors.As(err, &apiError) {
		t.Error(err)
	}
	wantText(t, discover(rsa, nil), "for ENCRYPT_DECRYPT, not for KEY_AGREEMENT", rsa)
	for name, c := range map[string]struct {
		member string
		value  any
		text   string
	}{
		"usage":         {"KeyUsage", "SIGN_VERIFY", "for SIGN_VERIFY"},
		"no usage":      {"KeyUsage", nil, "KEY_AGREEMENT"},
		"other key":     {"KeyId", rsa, "another key"},
		"no public key": {"PublicKey", nil, arn},
		"not a key":     {"PublicKey", []byte("x"), arn},
		"an RSA key":    {"PublicKey", must[[]byte](t)(x509.MarshalPKIXPublicKey(rsaPublicKey(t, s, rsa))), "rsa.PublicKey"},
	} {
		s.edit("GetPublicKey", c.member, c.value)
		t.Log(name)
		wantText(t, discover(arn, nil), c.text, west)
		wantText(t, build(arn, nil, peer), c.text, west)
	}
	s.fail("GetPublicKey", "AccessDeniedException")
	wantText(t, discover(arn, nil), "AccessDenied", arn, west)
	if err := discover(arn, own); err != nil {
		t.Error(err)
	}
}

// aws-kms-ecdh-keyring.md#onencrypt, #ondecrypt.
func TestECDH(t *testing.T) {
	for _, c := range ecdhSpecs {
		t.Run(string(c.spec), func(t *testing.T) { testECDH(t, c.spec, c.curve) })
	}
}

func testECDH(t *testing.T, spec types.KeySpec, curve ecdh.Curve) {
	s := newSim(t)
	aliceARN, bobARN := s.CreateKey(west, spec), s.CreateKey(east, spec)
	token := s.CreateGrant(aliceARN)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	alicePublic := ecdhPublicKey(t, s, aliceARN)
	bobPublic := must[*ecdh.PublicKey](t)(publicKey(t, s, east, bobARN).(interface {
		ECDH() (*ecdh.PublicKey, error)
	}).ECDH())
	alice := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: aliceARN, Peer: bobPublic}))
	bob := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: bobARN, PublicKey: bobPublic, Peer: alicePublic}))
	discovery := mustKeyring(t)(awskms.NewECDHDiscoveryKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: bobARN}))
	s.Reset()
	derive := func(arn, region string, peer *ecdh.PublicKey) request {
		return request{"DeriveSharedSecret", region, map[string]any{
			"KeyId": arn, "KeyAgreementAlgorithm": "ECDH", "PublicKey": derOf(t, peer), "GrantTokens": []any{token},
		}}
	}

	r := wrap(t, alice, nil)
	s.wantRequests(t, derive(aliceARN, west, bobPublic))
	edk := r.EncryptedDataKeys[0]
	size := (len(bobPublic.Bytes()) - 1) / 2
	want := []byte{1}
	for _, public := range []*ecdh.PublicKey{bobPublic, alicePublic} { // the recipient first
		want = binary.BigEndian.AppendUint32(want, uint32(1+size))
		want = append(want, keyagreement.Compress(public)...)
	}
	if len(r.EncryptedDataKeys) != 1 || edk.ProviderID != "aws-kms-ecdh" || !bytes.Equal(edk.ProviderInfo, want) || len(edk.Ciphertext) != 32+32+32+16 {
		t.Errorf("%q %x %d", edk.ProviderID, edk.ProviderInfo, len(edk.Ciphertext))
	}
	// Each party calls with its own key and the other's public key.
	wantKey(t, bob, r.DataKey, edk)
	s.wantRequests(t, derive(bobARN, east, alicePublic))
	wantKey(t, discovery, r.DataKey, edk)
	s.wantRequests(t, derive(bobARN, east, alicePublic))
	wantKey(t, alice, r.DataKey, edk)
	s.wantRequests(t, derive(aliceARN, west, bobPublic))

	given := randomKey(32)
	wantKey(t, alice, given, wrap(t, bob, given).EncryptedDataKeys...)
	_, err := tryWrap(t, discovery, nil)
	wantText(t, err, "cannot encrypt")

	// The peer's private key is outside AWS KMS; test both directions.
	carol := must[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
	raw := mustKeyring(t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: carol, Peer: alicePublic}))
	ephemeral := mustKeyring(t)(esdk.NewRawECDHEphemeralKeyring(bobPublic))
	withCarol := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), config, awskms.ECDHConfig{KeyID: aliceARN, Peer: carol.PublicKey()}))
	r = wrap(t, withCarol, nil)
	wantKey(t, raw, r.DataKey, r.EncryptedDataKeys...)
	r = wrap(t, raw, nil)
	wantKey(t, withCarol, r.DataKey, r.EncryptedDataKeys...)
	r = wrap(t, ephemeral, nil)
	wantKey(t, discovery, r.DataKey, r.EncryptedDataKeys...)
	if none := wantNone(t, bob, r.EncryptedDataKeys...); len(none.Errors) > 0 {
		t.Error(none)
	}
}

func TestECDHUnwrap(t *testing.T) {
	s := newSim(t)
	arn, other := s.CreateKey(west, types.KeySpecEccNistP256), s.CreateKey(west, types.KeySpecEccNistP256)
	peer := ecdhPublicKey(t, s, other)
	kr := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), s.config(), awskms.ECDHConfig{KeyID: arn, Peer: peer}))
	stranger := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), s.config(), awskms.ECDHConfig{KeyID: other, Peer: peer}))
	discovery := mustKeyring(t)(awskms.NewECDHDiscoveryKeyring(t.Context(), s.config(), awskms.ECDHConfig{KeyID: other}))
	dataKey := randomKey(32)
	good := wrap(t, kr, dataKey).EncryptedDataKeys[0]
	s.Reset()

	// These are skipped without a request: of another provider, or between
	// other parties.
	foreign := good
	foreign.ProviderID = "aws-kms"
	if none := wantNone(t, kr, foreign); len(none.Errors) > 0 {
		t.Error(none)
	}
	if none := wantNone(t, stranger, good); len(none.Errors) > 0 {
		t.Error(none)
	}
	// These errors are collected without a request: the format is wrong.
	for name, change := range map[string]func(*esdk.EncryptedDataKey){
		"version":    func(k *esdk.EncryptedDataKey) { k.ProviderInfo[0] = 2 },
		"length":     func(k *esdk.EncryptedDataKey) { k.ProviderInfo[4]++ },
		"cut":        func(k *esdk.EncryptedDataKey) { k.ProviderInfo = k.ProviderInfo[:74] },
		"empty":      func(k *esdk.EncryptedDataKey) { k.ProviderInfo = nil },
		"ciphertext": func(k *esdk.EncryptedDataKey) { k.Ciphertext = k.Ciphertext[:111] },
		"longer":     func(k *esdk.EncryptedDataKey) { k.Ciphertext = append(k.Ciphertext, 0) },
		"none":       func(k *esdk.EncryptedDataKey) { k.Ciphertext = nil },
	} {
		bad := esdk.EncryptedDataKey{ProviderID: good.ProviderID, ProviderInfo: bytes.Clone(good.ProviderInfo), Ciphertext: bytes.Clone(good.Ciphertext)}
		change(&bad)
		if none := wantNone(t, kr, bad); len(none.Errors) != 1 {
			t.Errorf("%s: %v", name, none)
		}
		s.wantRequests(t)
		wantKey(t, kr, dataKey, bad, good)
		s.Reset()
	}
	// A sender's public key that isn't a point on the curve is rejected.
	off := esdk.EncryptedDataKey{ProviderID: good.ProviderID, ProviderInfo: bytes.Clone(good.ProviderInfo), Ciphertext: good.Ciphertext}
	for i := range 32 {
		off.ProviderInfo[43+i] = 0xff
	}
	wantText(t, wantNone(t, discovery, off), "not a compressed point")
	s.wantRequests(t)

	// These errors are collected after the request.
	for name, c := range map[string]struct {
		member string
		value  any
		text   string
	}{
		"other secret":    {"SharedSecret", randomKey(32), "wrong key or encryption context"},
		"truncated":       {"SharedSecret", randomKey(31), "31 bytes"},
		"no secret":       {"SharedSecret", nil, "0 bytes"},
		"other key":       {"KeyId", other, "another key"},
		"key without ARN": {"KeyId", "1234", "does not name its key"},
	} {
		s.edit("DeriveSharedSecret", c.member, c.value)
		t.Log(name)
		none := wantNone(t, kr, good, good)
		if wantText(t, none, c.text, arn); len(none.Errors) != 2 {
			t.Error(none)
		}
		if strings.HasPrefix(name, "other secret") {
			continue
		}
		_, err := tryWrap(t, kr, nil)
		wantText(t, err, c.text, arn, west)
	}
	s.fail("DeriveSharedSecret", "AccessDeniedException")
	wantText(t, wantNone(t, kr, good), "AccessDenied")
	_, err := tryWrap(t, kr, nil)
	wantText(t, err, "AccessDenied")
	s.Fault(nil)
	_, err = kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptedDataKeys: []esdk.EncryptedDataKey{good}})
	wantText(t, err, "wrong key or encryption context")
	s.Reset()
	bad := esdk.EncryptionContext{"k": "\xff"}
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: unsigned, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Error(err)
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Error(err)
	}
	s.wantRequests(t)
}

// A key pair may be named by its alias, since messages name the public key.
func TestECDHAlias(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecEccNistP256)
	s.CreateAlias(west, "alias/ecdh", arn)
	peer := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	kr := mustKeyring(t)(awskms.NewECDHKeyring(t.Context(), s.config(), awskms.ECDHConfig{KeyID: "alias/ecdh", Peer: peer}))
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
}
