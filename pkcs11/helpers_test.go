//go:build cgo

package pkcs11_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"esdk"
	"esdk/pkcs11"
)

// A hardware is a token independent of this package, with the knowledge that
// the tests have of it. The tests make keys on it through a connection of their
// own.
type hardware struct {
	testing.TB
	module, label, pin string
	admin              *p11.Ctx
}

// isSoftHSM reports whether the token is SoftHSM, which is known to lack some
// features.
func (h *hardware) isSoftHSM() bool { return strings.Contains(filepath.Base(h.module), "softhsm") }

func newHardware(t testing.TB) *hardware {
	t.Helper()
	h := &hardware{t, os.Getenv("ESDK_PKCS11_MODULE"), os.Getenv("ESDK_PKCS11_TOKEN"), os.Getenv("ESDK_PKCS11_PIN"), nil}
	if h.module == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal("ESDK_PKCS11_MODULE is not set: the keyrings cannot be run on a token")
		}
		t.Skip("NOT RUN on a token, only on a simulated one: set ESDK_PKCS11_MODULE, see interop/backends/pkcs11.sh")
	}
	h.admin = p11.New(h.module)
	if h.admin == nil {
		t.Fatalf("%s cannot be loaded", h.module)
	}
	return h
}

func (h *hardware) config() pkcs11.Config {
	return pkcs11.Config{Module: h.module, Token: h.label, PIN: h.givePIN}
}

func (h *hardware) givePIN(context.Context) ([]byte, error) { return []byte(h.pin), nil }

// open returns a token that is closed with the test.
func (h *hardware) open(c pkcs11.Config) *pkcs11.Token {
	h.Helper()
	token, err := pkcs11.Open(h.Context(), c)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := token.Close(); err != nil {
			h.Error(err)
		}
	})
	return token
}

func (h *hardware) slot() uint {
	h.Helper()
	slots, err := h.admin.GetSlotList(true)
	if err != nil {
		h.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := h.admin.GetTokenInfo(slot); err == nil && strings.TrimRight(info.Label, " \x00") == h.label {
			return slot
		}
	}
	h.Fatalf("there is no token %q", h.label)
	return 0
}

// session calls f with a session that can create keys. A Token must be open.
func (h *hardware) session(f func(p11.SessionHandle) error) {
	h.Helper()
	s, err := h.admin.OpenSession(h.slot(), p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	if err != nil {
		h.Fatal(err)
	}
	defer h.admin.CloseSession(s)
	if err := h.admin.Login(s, p11.CKU_USER, h.pin); err != nil && !errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		h.Fatal(err)
	}
	if err := f(s); err != nil {
		h.Fatal(err)
	}
}

type attributes map[uint]any

func (a attributes) with(more attributes) (list []*p11.Attribute) {
	for _, m := range []attributes{a, more} {
		for name, value := range m {
			list = append(list, p11.NewAttribute(name, value))
		}
	}
	return list
}

// newName returns a label that no other key has, in any run of the tests.
func newName(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:12]) }

func (h *hardware) create(list []*p11.Attribute) {
	h.Helper()
	h.session(func(s p11.SessionHandle) error {
		_, err := h.admin.CreateObject(s, list)
		return err
	})
}

func secret(class, kind uint, label string) attributes {
	return attributes{
		p11.CKA_CLASS: class, p11.CKA_KEY_TYPE: kind, p11.CKA_LABEL: label, p11.CKA_ID: []byte(label + "-id"),
		p11.CKA_TOKEN: true, p11.CKA_PRIVATE: true, p11.CKA_SENSITIVE: true, p11.CKA_EXTRACTABLE: false,
	}
}

func public(kind uint, label string) attributes {
	return attributes{
		p11.CKA_CLASS: uint(p11.CKO_PUBLIC_KEY), p11.CKA_KEY_TYPE: kind, p11.CKA_LABEL: label, p11.CKA_ID: []byte(label + "-id"),
		p11.CKA_TOKEN: true, p11.CKA_PRIVATE: false,
	}
}

// importAES stores a key on the token, which can't be read back.
func (h *hardware) importAES(label string, key []byte) {
	h.Helper()
	h.create(secret(p11.CKO_SECRET_KEY, p11.CKK_AES, label).with(attributes{p11.CKA_VALUE: key, p11.CKA_ENCRYPT: true, p11.CKA_DECRYPT: true}))
}

func (h *hardware) importRSA(label string, key *rsa.PrivateKey) {
	h.Helper()
	h.create(secret(p11.CKO_PRIVATE_KEY, p11.CKK_RSA, label).with(attributes{
		p11.CKA_DECRYPT: true, p11.CKA_MODULUS: key.N.Bytes(), p11.CKA_PUBLIC_EXPONENT: big.NewInt(int64(key.E)).Bytes(),
		p11.CKA_PRIVATE_EXPONENT: key.D.Bytes(), p11.CKA_PRIME_1: key.Primes[0].Bytes(), p11.CKA_PRIME_2: key.Primes[1].Bytes(),
		p11.CKA_EXPONENT_1: key.Precomputed.Dp.Bytes(), p11.CKA_EXPONENT_2: key.Precomputed.Dq.Bytes(), p11.CKA_COEFFICIENT: key.Precomputed.Qinv.Bytes(),
	}))
}

var curveNames = map[ecdh.Curve]asn1.ObjectIdentifier{
	ecdh.P256(): {1, 2, 840, 10045, 3, 1, 7}, ecdh.P384(): {1, 3, 132, 0, 34}, ecdh.P521(): {1, 3, 132, 0, 35},
}

var ellipticCurves = map[ecdh.Curve]elliptic.Curve{ecdh.P256(): elliptic.P256(), ecdh.P384(): elliptic.P384(), ecdh.P521(): elliptic.P521()}

// importEC stores both the private and the public key on the token.
func (h *hardware) importEC(label string, key *ecdh.PrivateKey) {
	h.Helper()
	params := must[[]byte](h)(asn1.Marshal(curveNames[key.Curve()]))
	point := must[[]byte](h)(asn1.Marshal(key.PublicKey().Bytes()))
	h.create(secret(p11.CKO_PRIVATE_KEY, p11.CKK_EC, label).with(attributes{
		p11.CKA_DERIVE: true, p11.CKA_EC_PARAMS: params, p11.CKA_VALUE: key.Bytes(),
	}))
	h.create(public(p11.CKK_EC, label).with(attributes{p11.CKA_EC_PARAMS: params, p11.CKA_EC_POINT: point}))
}

// readable overrides the attributes of secret, for keys to be exported.
var readable = attributes{p11.CKA_SENSITIVE: false, p11.CKA_EXTRACTABLE: true}

func generated(class, kind uint, label string) attributes {
	a := secret(class, kind, label)
	for name, value := range readable {
		a[name] = value
	}
	return a
}

func (h *hardware) read(s p11.SessionHandle, o p11.ObjectHandle, types ...uint) ([][]byte, error) {
	got, err := h.admin.GetAttributeValue(s, o, attributes{}.types(types))
	if err != nil {
		return nil, err
	}
	var values [][]byte
	for _, a := range got {
		values = append(values, a.Value)
	}
	return values, nil
}

func (attributes) types(types []uint) (list []*p11.Attribute) {
	for _, t := range types {
		list = append(list, p11.NewAttribute(t, nil))
	}
	return list
}

// generateAES makes the token generate a key, and exports it.
func (h *hardware) generateAES(label string) (key []byte) {
	h.Helper()
	a := generated(p11.CKO_SECRET_KEY, p11.CKK_AES, label).with(attributes{p11.CKA_VALUE_LEN: uint(32), p11.CKA_ENCRYPT: true, p11.CKA_DECRYPT: true})
	h.session(func(s p11.SessionHandle) error {
		o, err := h.admin.GenerateKey(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, a)
		if err != nil {
			return err
		}
		values, err := h.read(s, o, p11.CKA_VALUE)
		if err == nil {
			key = values[0]
		}
		return err
	})
	return key
}

func (h *hardware) generateRSA(label string) (key *rsa.PrivateKey) {
	h.Helper()
	h.session(func(s p11.SessionHandle) error {
		_, private, err := h.admin.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
			public(p11.CKK_RSA, label).with(attributes{p11.CKA_MODULUS_BITS: uint(2048), p11.CKA_PUBLIC_EXPONENT: []byte{1, 0, 1}, p11.CKA_ENCRYPT: true}),
			generated(p11.CKO_PRIVATE_KEY, p11.CKK_RSA, label).with(attributes{p11.CKA_DECRYPT: true}))
		if err != nil {
			return err
		}
		v, err := h.read(s, private, p11.CKA_MODULUS, p11.CKA_PRIVATE_EXPONENT, p11.CKA_PRIME_1, p11.CKA_PRIME_2)
		if err != nil {
			return err
		}
		number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
		key = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: number(v[0]), E: 65537}, D: number(v[1]), Primes: []*big.Int{number(v[2]), number(v[3])}}
		key.Precompute()
		return key.Validate()
	})
	return key
}

func (h *hardware) generateEC(label string, curve ecdh.Curve) (key *ecdh.PrivateKey) {
	h.Helper()
	params := must[[]byte](h)(asn1.Marshal(curveNames[curve]))
	h.session(func(s p11.SessionHandle) error {
		_, private, err := h.admin.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)},
			public(p11.CKK_EC, label).with(attributes{p11.CKA_EC_PARAMS: params}),
			generated(p11.CKO_PRIVATE_KEY, p11.CKK_EC, label).with(attributes{p11.CKA_DERIVE: true}))
		if err != nil {
			return err
		}
		v, err := h.read(s, private, p11.CKA_VALUE)
		if err != nil {
			return err
		}
		scalar := make([]byte, (ellipticCurves[curve].Params().BitSize+7)/8)
		new(big.Int).SetBytes(v[0]).FillBytes(scalar)
		key, err = curve.NewPrivateKey(scalar)
		return err
	})
	return key
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	return must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
}

func newEC(t testing.TB, curve ecdh.Curve) *ecdh.PrivateKey {
	t.Helper()
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(ellipticCurves[curve], rand.Reader))
	return must[*ecdh.PrivateKey](t)(key.ECDH())
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var testContext = esdk.EncryptionContext{"purpose": "test", "tenant": "17"}

// exchange passes a message one way, and tries another encryption context.
func exchange(t testing.TB, what string, from, to esdk.Keyring) {
	t.Helper()
	plaintext := bytes.Repeat([]byte("plaintext "), 1000)
	message, err := esdk.Encrypt(t.Context(), from, plaintext, testContext)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if got, err := esdk.Decrypt(t.Context(), to, message, testContext); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%s: %v", what, err)
	}
}

func bothWays(t testing.TB, token, raw esdk.Keyring) {
	t.Helper()
	exchange(t, "from the token to a copy of the key", token, raw)
	exchange(t, "from a copy of the key to the token", raw, token)
}
