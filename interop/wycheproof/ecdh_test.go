package wycheproof

import (
	"bytes"
	"crypto/ecdh"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/ecpoint"
	"esdk/internal/keyagreement"
)

type ecdhVector[K any] struct {
	vector
	Public, Private K
	Shared          hexBytes
}

var (
	ecdhSuite   = esdk.SuiteID(0x0178)
	ecdhDataKey = bytes.Repeat([]byte{7}, 32)
)

// TestECDH verifies that raw ECDH keyrings agree on each secret, with public
// keys as DER and PEM, which esdk.ParsePEM reads, and as points. Of the
// acceptable vectors, keys with additional elements and compressed points are
// accepted. Curves given by their parameters are refused, as are compressed
// points in SubjectPublicKeyInfo.
//
// The vectors in JWK are the same, in a form that nothing here reads.
func TestECDH(t *testing.T) {
	for _, test := range []struct {
		name         string
		curve        ecdh.Curve
		keys, points tally // the keys are the same in DER and in PEM
	}{
		{"ecdh_secp256r1", ecdh.P256(),
			tally{"valid: agreed": 330, "acceptable: agreed": 16, "acceptable: not parsed": 214,
				"invalid: not parsed": 50, "invalid: another curve": 2},
			tally{"valid: agreed": 330, "acceptable: agreed": 1,
				"invalid: not a compressed point": 7, "invalid: not of the length of two points": 17}},
		{"ecdh_secp384r1", ecdh.P384(),
			tally{"valid: agreed": 771, "acceptable: agreed": 16, "acceptable: not parsed": 214,
				"invalid: not parsed": 43, "invalid: another curve": 3},
			tally{"valid: agreed": 771, "acceptable: agreed": 1,
				"invalid: not a compressed point": 1, "invalid: not of the length of two points": 17}},
		{"ecdh_secp521r1", ecdh.P521(),
			tally{"valid: agreed": 632, "acceptable: agreed": 16, "acceptable: not parsed": 212,
				"invalid: not parsed": 53, "invalid: another curve": 3},
			tally{"valid: agreed": 632, "acceptable: agreed": 1,
				"invalid: not a compressed point": 11, "invalid: not of the length of two points": 17}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			testDER(t, test.name+"_test.json", test.curve).require(t, test.keys)
			testPEM(t, test.name+"_pem_test.json").require(t, test.keys)
			testPoints(t, test.name+"_ecpoint_test.json", test.curve).require(t, test.points)
		})
	}
}

func testDER(t *testing.T, file string, curve ecdh.Curve) tally {
	got := make(tally)
	for _, g := range load[struct{}, ecdhVector[hexBytes]](t, file) {
		for _, v := range g.Tests {
			public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.Public})
			got.add(t, &v.vector, parseAndAgree(t, privateKey(t, curve, v.Private), public, v.Shared))
		}
	}
	return got
}

func testPEM(t *testing.T, file string) tally {
	got := make(tally)
	for _, g := range load[struct{}, ecdhVector[string]](t, file) {
		for _, v := range g.Tests {
			private := must[*ecdh.PrivateKey](t)(esdk.ParsePEM[*ecdh.PrivateKey]([]byte(v.Private)))
			got.add(t, &v.vector, parseAndAgree(t, private, []byte(v.Public), v.Shared))
		}
	}
	return got
}

const agreed = "agreed"

// add counts a vector by its outcome.
func (got tally) add(t *testing.T, v *vector, outcome string) {
	t.Helper()
	if v.valid() && outcome != agreed || v.Result == "invalid" && outcome == agreed || outcome == "" {
		t.Errorf("%d: %s: %q, %s", v.ID, v.Result, outcome, v.Comment)
	}
	got[v.Result+": "+outcome]++
}

// privateKey returns the key of a scalar with any number of leading zeros.
func privateKey(t *testing.T, curve ecdh.Curve, scalar []byte) *ecdh.PrivateKey {
	t.Helper()
	length := map[ecdh.Curve]int{ecdh.P256(): 32, ecdh.P384(): 48, ecdh.P521(): 66}[curve]
	fixed := new(big.Int).SetBytes(scalar).FillBytes(make([]byte, length))
	return must[*ecdh.PrivateKey](t)(curve.NewPrivateKey(fixed))
}

// parseAndAgree describes how far a public key gets.
func parseAndAgree(t *testing.T, private *ecdh.PrivateKey, public []byte, shared []byte) string {
	t.Helper()
	peer, err := esdk.ParsePEM[*ecdh.PublicKey](public)
	if err != nil {
		return "not parsed"
	}
	keyring, err := esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: private, Peer: peer})
	if err != nil {
		return "another curve"
	}
	sender := keyagreement.Compress(peer)
	if !encrypts(t, keyring, shared) || unwrapECDH(t, private, sender, shared) != nil {
		return "another secret"
	}
	return agreed
}

// encrypts reports whether a keyring encrypts under the shared secret.
func encrypts(t *testing.T, keyring esdk.Keyring, shared []byte) bool {
	t.Helper()
	result := must[*esdk.WrapResult](t)(keyring.Wrap(t.Context(), &esdk.WrapRequest{Suite: ecdhSuite, DataKey: ecdhDataKey}))
	edk := result.EncryptedDataKeys[0]
	for _, c := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		curve := must[*keyagreement.Curve](t)(keyagreement.CurveOf(c))
		if info, err := curve.ParseInfo(edk.ProviderInfo); err == nil {
			dataKey, err := info.Open(shared, nil, edk.Ciphertext)
			return err == nil && bytes.Equal(dataKey, ecdhDataKey)
		}
	}
	return false
}

// unwrapECDH decrypts a data key with a discovery keyring. The data key is
// encrypted under the shared secret, as if by the owner of the sender's point,
// which is part of the message.
func unwrapECDH(t *testing.T, private *ecdh.PrivateKey, sender, shared []byte) error {
	t.Helper()
	info := &keyagreement.Info{
		Curve:     must[*keyagreement.Curve](t)(keyagreement.CurveOf(private.Curve())),
		Recipient: keyagreement.Compress(private.PublicKey()),
		Sender:    sender,
	}
	keyring := must[esdk.Keyring](t)(esdk.NewRawECDHDiscoveryKeyring(private))
	dataKey, err := unwrap(t, keyring, ecdhSuite, esdk.EncryptedDataKey{
		ProviderID:   "raw-ecdh",
		ProviderInfo: info.Bytes(),
		Ciphertext:   must[[]byte](t)(info.Seal(shared, nil, ecdhDataKey)),
	})
	if err == nil && !bytes.Equal(dataKey, ecdhDataKey) {
		t.Errorf("data key %x, want %x", dataKey, ecdhDataKey)
	}
	return err
}

// testPoints puts points into provider info: valid ones compressed, as the
// format requires, others unchanged.
func testPoints(t *testing.T, file string, curve ecdh.Curve) tally {
	got := make(tally)
	for _, g := range load[struct{}, ecdhVector[hexBytes]](t, file) {
		for _, v := range g.Tests {
			sender := v.Public
			if v.valid() {
				sender = ecpoint.Compress(sender)
			}
			outcome := agreed
			if err := unwrapECDH(t, privateKey(t, curve, v.Private), sender, v.Shared); err != nil {
				outcome = pointError(err)
			}
			got.add(t, &v.vector, outcome)
		}
	}
	return got
}

// pointError returns why a point is refused, or "" if the reason isn't the
// point.
func pointError(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "provider info does not hold two points"):
		return "not of the length of two points"
	case strings.Contains(text, "not a compressed point"):
		return "not a compressed point"
	}
	return ""
}

// TestECDHOtherCurves: valid public keys on curves unknown to the format are
// refused.
func TestECDHOtherCurves(t *testing.T) {
	for file, want := range map[string]int{
		"ecdh_secp224r1_test.json":       439, // which crypto/x509 reads
		"ecdh_secp256k1_test.json":       473,
		"ecdh_brainpoolP256r1_test.json": 517,
	} {
		got := 0
		for _, g := range load[struct{}, ecdhVector[hexBytes]](t, file) {
			for _, v := range g.Tests {
				if !v.valid() {
					continue // some are good keys, but on known curves
				}
				public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.Public})
				if key, err := esdk.ParsePEM[*ecdh.PublicKey](public); err == nil {
					t.Errorf("%s: %d: a key of %v", file, v.ID, key.Curve())
				}
				got++
			}
		}
		tally{file: got}.require(t, tally{file: want})
	}
}
