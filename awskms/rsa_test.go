package awskms_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// aws-kms-rsa-keyring.md#initialization.
func TestNewRSAKeyring(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecRsa2048)
	public := rsaPublicKey(t, s, arn)
	alias := s.CreateAlias(west, "alias/rsa", arn)
	_, keyID, _ := strings.Cut(arn, "/")
	weak := &rsa.PublicKey{N: must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 1024)).N, E: 65537}
	for name, c := range map[string]awskms.RSAConfig{
		"no key":        {PublicKey: public},
		"not a key":     {KeyID: "arn:aws:kms:x", PublicKey: public},
		"alias":         {KeyID: "alias/rsa", PublicKey: public},
		"alias ARN":     {KeyID: alias, PublicKey: public},
		"bare id":       {KeyID: keyID, PublicKey: public},
		"1024 bits":     {KeyID: arn, PublicKey: weak},
		"no bits":       {KeyID: arn, PublicKey: new(rsa.PublicKey)},
		"other padding": {KeyID: arn, PublicKey: public, Hash: crypto.SHA384},
	} {
		if kr, err := awskms.NewRSAKeyring(s.config(), c); err == nil || kr != nil {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
	}
	if _, err := awskms.NewRSAKeyring(awskms.Config{Clients: awskms.FixedClient(nil)}, awskms.RSAConfig{KeyID: arn}); err == nil {
		t.Error("without a client: no error")
	}
	s.wantRequests(t)
}

// aws-kms-rsa-keyring.md#onencrypt, #ondecrypt.
func TestRSA(t *testing.T) {
	for _, spec := range []types.KeySpec{types.KeySpecRsa2048, types.KeySpecRsa3072} {
		if testing.Short() && spec != types.KeySpecRsa2048 {
			continue // slow to generate
		}
		for hash, algorithm := range map[crypto.Hash]string{
			0: "RSAES_OAEP_SHA_256", crypto.SHA256: "RSAES_OAEP_SHA_256", crypto.SHA1: "RSAES_OAEP_SHA_1",
		} {
			t.Run(string(spec)+"/"+algorithm, func(t *testing.T) { testRSA(t, spec, hash, algorithm) })
		}
	}
}

func testRSA(t *testing.T, spec types.KeySpec, hash crypto.Hash, algorithm string) {
	s := newSim(t)
	arn := s.CreateKey(east, spec)
	token := s.CreateGrant(arn)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	public := publicKey(t, s, east, arn).(*rsa.PublicKey)
	kr := mustKeyring(t)(awskms.NewRSAKeyring(config, awskms.RSAConfig{KeyID: arn, PublicKey: public, Hash: hash}))
	given := randomKey(32)
	for _, dataKey := range [][]byte{nil, given} {
		r := wrap(t, kr, dataKey)
		s.wantRequests(t) // the public key encrypts
		edk := r.EncryptedDataKeys[0]
		if len(r.EncryptedDataKeys) != 1 || edk.ProviderID != "aws-kms-rsa" || string(edk.ProviderInfo) != arn || len(edk.Ciphertext) != public.Size() {
			t.Errorf("%+v", r.EncryptedDataKeys)
		}
		if dataKey == nil {
			dataKey = r.DataKey
		}
		wantKey(t, kr, dataKey, edk)
		s.wantRequests(t, request{"Decrypt", east, map[string]any{ // without a context
			"KeyId": arn, "CiphertextBlob": base64Of(edk.Ciphertext), "EncryptionAlgorithm": algorithm, "GrantTokens": []any{token},
		}})
	}
	decryptOnly := mustKeyring(t)(awskms.NewRSAKeyring(config, awskms.RSAConfig{KeyID: arn, Hash: hash}))
	wantKey(t, decryptOnly, given, wrap(t, kr, given).EncryptedDataKeys...)
	_, err := tryWrap(t, decryptOnly, nil)
	wantText(t, err, arn, "no public key")
}

func TestRSAUnwrap(t *testing.T) {
	s := newSim(t)
	arn, other := s.CreateKey(west, types.KeySpecRsa2048), s.CreateKey(west, types.KeySpecRsa2048)
	public := rsaPublicKey(t, s, arn)
	kr := mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: arn, PublicKey: public}))
	dataKey := randomKey(32)
	edk := wrap(t, kr, dataKey).EncryptedDataKeys[0]

	otherProvider, otherKey := edk, edk
	otherProvider.ProviderID = "aws-kms"
	otherKey.ProviderInfo = []byte(other)
	wantKey(t, kr, dataKey, otherProvider, otherKey, edk)
	s.Reset()
	if none := wantNone(t, kr, otherProvider, otherKey); len(none.Errors) > 0 {
		t.Error(none)
	}
	for _, info := range []string{"", "1234", "alias/rsa", "arn:aws:kms:us-west-2:1:alias/rsa", "\xff"} {
		bad := edk
		bad.ProviderInfo = []byte(info)
		wantText(t, wantNone(t, kr, edk, bad), "encrypted data key 2 (aws-kms-rsa)")
	}
	s.wantRequests(t)

	digest := must[[]byte](t)(testContext.AppendBinary(nil))
	sum := sha512.Sum384(digest)
	s.edit("Decrypt", "Plaintext", slices.Concat(sum[:], dataKey))
	wantKey(t, kr, dataKey, edk)
	for name, plaintext := range map[string][]byte{
		"short":        slices.Concat(sum[:], dataKey[:31]),
		"long":         slices.Concat(sum[:], dataKey, []byte{0}),
		"no digest":    dataKey,
		"nothing":      nil,
		"other digest": slices.Concat(randomKey(48), dataKey),
	} {
		s.edit("Decrypt", "Plaintext", plaintext)
		if none := wantNone(t, kr, edk, edk); len(none.Errors) != 2 {
			t.Errorf("%s: %v", name, none)
		}
	}
	s.edit("Decrypt", "KeyId", other)
	wantText(t, wantNone(t, kr, edk), "another key", arn)
	s.fail("Decrypt", "AccessDeniedException")
	wantText(t, wantNone(t, kr, edk), "AccessDenied", arn, west)
	s.Fault(nil)

	// The hash binds the context, even an empty one.
	_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
	wantText(t, err, "encryption context is not the one")
	r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: unsigned})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, wantNone(t, kr, r.EncryptedDataKeys...), "encryption context is not the one")

	// After one that fails, the next data key is tried.
	calls := 0
	s.Fault(func(*kmssim.Request) *kmssim.Fault {
		if calls++; calls == 1 {
			return &kmssim.Fault{Edit: func(a map[string]any) { a["Plaintext"] = randomKey(80) }}
		}
		return nil
	})
	wantKey(t, kr, dataKey, edk, edk)
}

// aws-kms-rsa-keyring.md#security-considerations.
func TestRSARefusesSignedSuites(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecRsa2048)
	kr := mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: arn, PublicKey: rsaPublicKey(t, s, arn)}))
	edks := wrap(t, kr, nil).EncryptedDataKeys
	for _, id := range []esdk.SuiteID{signed, esdk.AES256GCMHKDFSHA384ECDSAP384, esdk.AES192GCMHKDFSHA384ECDSAP384, esdk.AES128GCMHKDFSHA256ECDSAP256} {
		_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: id})
		wantText(t, err, "do not sign")
		_, err = kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: edks})
		wantText(t, err, "do not sign")
	}
	for what, req := range map[string]*esdk.WrapRequest{
		"short data key":  {Suite: unsigned, DataKey: randomKey(31)},
		"unknown suite":   {Suite: 0x6701},
		"context not UTF": {Suite: unsigned, EncryptionContext: esdk.EncryptionContext{"k": "\xff"}},
	} {
		if _, err := kr.Wrap(t.Context(), req); err == nil {
			t.Errorf("%s: Wrap succeeded", what)
		}
	}
	s.wantRequests(t)
}

// A replica of a multi-Region key decrypts messages of another.
func TestRSAMRK(t *testing.T) {
	s := newSim(t)
	primary := s.CreateMultiRegionKey(west, types.KeySpecRsa2048)
	replica := s.Replicate(primary, east)
	public := rsaPublicKey(t, s, primary)
	inWest := mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: primary, PublicKey: public}))
	inEast := mustKeyring(t)(awskms.NewRSAKeyring(s.config(), awskms.RSAConfig{KeyID: replica}))
	r := wrap(t, inWest, nil)
	wantKey(t, inEast, r.DataKey, r.EncryptedDataKeys...)
	if req := s.Requests()[0]; req.Region != east || req.Input["KeyId"] != replica {
		t.Error(req)
	}
}
