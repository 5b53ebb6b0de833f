package esdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"esdk"
	"esdk/esdktest"
)

// rsaKey makes one key for all tests, since it takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecdhKey(t testing.TB, curve ecdh.Curve) *ecdh.PrivateKey {
	t.Helper()
	return must[*ecdh.PrivateKey](t)(curve.GenerateKey(rand.Reader))
}

func aesKeyring(t testing.TB, namespace, name string, key []byte) esdk.Keyring {
	t.Helper()
	return must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: namespace, Name: name, Key: key}))
}

func rsaKeyring(t testing.TB, c esdk.RawRSAConfig) esdk.Keyring {
	t.Helper()
	c.Namespace, c.Name = "test", "rsa"
	return must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(c))
}

func ecdhKeyring(t testing.TB, private *ecdh.PrivateKey, peer *ecdh.PublicKey) esdk.Keyring {
	t.Helper()
	return must[esdk.Keyring](t)(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: private, Peer: peer}))
}

func wrap(t testing.TB, kr esdk.Keyring, id esdk.SuiteID) *esdk.WrapResult {
	t.Helper()
	return must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: id, EncryptionContext: sampleContext}))
}

func unwrap(t testing.TB, kr esdk.Keyring, id esdk.SuiteID, edks ...esdk.EncryptedDataKey) ([]byte, error) {
	return kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: id, EncryptionContext: sampleContext, EncryptedDataKeys: edks})
}

// wantNoDataKey checks that an error holds the errors of this many attempts.
func wantNoDataKey(t testing.TB, dataKey []byte, err error, attempts int) {
	t.Helper()
	var none *esdk.NoDataKeyError
	if dataKey != nil || !errors.As(err, &none) || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("got %d bytes and %v, want a NoDataKeyError", len(dataKey), err)
	} else if len(none.Errors) != attempts {
		t.Errorf("got %d errors of attempts, want %d: %v", len(none.Errors), attempts, err)
	}
}

func TestKeyringConstructors(t *testing.T) {
	key, private := make([]byte, 32), ecdhKey(t, ecdh.P256())
	x25519 := ecdhKey(t, ecdh.X25519())
	public := &rsaKey().PublicKey
	otherRSA := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	cases := []struct {
		name string
		make func() (esdk.Keyring, error)
		want string // a part of the error
	}{
		{"AES: key of 15 bytes", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k", Key: key[:15]})
		}, "16, 24 or 32"},
		{"AES: no key", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k"})
		}, "16, 24 or 32"},
		{"AES: no namespace", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "", Name: "k", Key: key})
		}, "needs a key namespace"},
		{"AES: no name", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "", Key: key})
		}, "needs a key namespace"},
		{"AES: namespace of KMS", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "aws-kms", Name: "k", Key: key})
		}, "reserved"},
		{"AES: start of a namespace of KMS", func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "aws-kms-rsa-2", Name: "k", Key: key})
		}, "reserved"},
		{"RSA: no key", func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "n", Name: "k"})
		}, "public or a private key"},
		{"RSA: namespace of KMS", func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "aws-kms", Name: "k", PublicKey: public})
		}, "reserved"},
		{"RSA: unknown hash", func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "n", Name: "k", PublicKey: public, Hash: crypto.MD5})
		}, "hash"},
		{"RSA: two paddings", func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "n", Name: "k", PublicKey: public, Hash: crypto.SHA256, PKCS1v15: true})
		}, "padding"},
		{"RSA: no pair", func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "n", Name: "k", PublicKey: public, PrivateKey: otherRSA})
		}, "not a pair"},
		{"ECDH: no private key", func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{Peer: private.PublicKey()})
		}, "private key"},
		{"ECDH: no peer", func() (esdk.Keyring, error) { return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: private}) }, "public key"},
		{"ECDH: two curves", func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: private, Peer: ecdhKey(t, ecdh.P384()).PublicKey()})
		}, "different curves"},
		{"ECDH: other curve", func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: x25519, Peer: x25519.PublicKey()})
		}, "P-256"},
		{"ECDH: no recipient", func() (esdk.Keyring, error) { return esdk.NewRawECDHEphemeralKeyring(nil) }, "public key"},
		{"ECDH: no key to discover with", func() (esdk.Keyring, error) { return esdk.NewRawECDHDiscoveryKeyring(nil) }, "private key"},
		{"multi: none", func() (esdk.Keyring, error) { return esdk.NewMultiKeyring(nil) }, "needs a generator"},
		{"multi: a child is nil", func() (esdk.Keyring, error) { return esdk.NewMultiKeyring(testKeyring(t), nil) }, "child 0 is nil"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if kr, err := c.make(); err == nil || kr != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error with %q", kr, err, c.want)
			}
		})
	}
}

// A keyring skips an encrypted data key that it can't use, or tries it and
// keeps the error. Either way it goes on to the next one.
func TestErrorOrContinue(t *testing.T) {
	const id = esdk.AES256GCMHKDFSHA512Commit
	key := bytes.Repeat([]byte{1}, 32)
	private, peer := ecdhKey(t, ecdh.P256()), ecdhKey(t, ecdh.P256())
	other := ecdhKeyring(t, ecdhKey(t, ecdh.P384()), ecdhKey(t, ecdh.P384()).PublicKey())
	stranger := ecdhKeyring(t, ecdhKey(t, ecdh.P256()), peer.PublicKey())
	rsaConfig := esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()}
	pkcs1 := rsaConfig
	pkcs1.PKCS1v15 = true

	info := func(change func(b []byte) []byte) func(*esdk.EncryptedDataKey) {
		return func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = change(edk.ProviderInfo) }
	}
	ciphertext := func(change func(b []byte) []byte) func(*esdk.EncryptedDataKey) {
		return func(edk *esdk.EncryptedDataKey) {
			edk.Ciphertext = change(edk.Ciphertext)
		}
	}
	set := func(i int, v byte) func(b []byte) []byte {
		return func(b []byte) []byte {
			b[i] = v
			return b
		}
	}
	flip := func(i int) func(b []byte) []byte { // -1 is the last byte
		return func(b []byte) []byte {
			b[(i+len(b))%len(b)] ^= 1
			return b
		}
	}
	provider := func(id string) func(*esdk.EncryptedDataKey) {
		return func(edk *esdk.EncryptedDataKey) { edk.ProviderID = id }
	}
	replace := func(kr esdk.Keyring, id esdk.SuiteID) func(*esdk.EncryptedDataKey) {
		return func(edk *esdk.EncryptedDataKey) { *edk = wrap(t, kr, id).EncryptedDataKeys[0] }
	}

	const skipped, tried = 0, 1
	aes, rsa := aesKeyring(t, "test", "key", key), rsaKeyring(t, rsaConfig)
	ecdh, discovery := ecdhKeyring(t, private, peer.PublicKey()), must[esdk.Keyring](t)(esdk.NewRawECDHDiscoveryKeyring(peer))
	cases := []struct {
		name    string
		encrypt esdk.Keyring
		decrypt esdk.Keyring
		spoil   func(*esdk.EncryptedDataKey)
		want    int
	}{
		{"AES: other provider", aes, aes, provider("other"), skipped},
		{"AES: provider not UTF-8", aes, aes, provider("\xff"), skipped},
		{"AES: other name", aes, aes, info(set(0, 'x')), skipped},
		{"AES: info too short", aes, aes, info(func(b []byte) []byte { return b[:len(b)-1] }), skipped},
		{"AES: info is the name only", aes, aes, info(func(b []byte) []byte { return b[:3] }), skipped},
		{"AES: no info", aes, aes, info(func([]byte) []byte { return nil }), skipped},
		{"AES: tag of 96 bits", aes, aes, info(set(3+3, 96)), tried},
		{"AES: tag of 16 bits, which is 16 bytes mistaken", aes, aes, info(set(3+3, 16)), tried},
		{"AES: IV of 16 bytes", aes, aes, info(set(3+7, 16)), tried},
		{"AES: other IV", aes, aes, info(flip(-1)), tried},
		{"AES: tag", aes, aes, ciphertext(flip(-1)), tried},
		{"AES: shorter than a tag", aes, aes, ciphertext(func(b []byte) []byte { return b[:15] }), tried},
		{"AES: other wrapping key", aes, aes, replace(aesKeyring(t, "test", "key", key[:16]), id), tried},
		{"AES: data key of another length", aes, aes, replace(aes, esdk.AES128GCM), tried},
		{"RSA: other name", rsa, rsa, info(func([]byte) []byte { return []byte("rsa2") }), skipped},
		{"RSA: unwrap fails", rsa, rsa, ciphertext(flip(-1)), tried},
		{"RSA: other padding", rsa, rsa, replace(rsaKeyring(t, pkcs1), id), tried},
		{"RSA: empty", rsa, rsa, ciphertext(func([]byte) []byte { return nil }), tried},
		{"RSA: data key of another length", rsa, rsa, replace(rsa, esdk.AES128GCM), tried},
		{"PKCS #1: other length than the modulus", rsaKeyring(t, pkcs1), rsaKeyring(t, pkcs1), ciphertext(func(b []byte) []byte { return b[1:] }), tried},
		{"ECDH: other provider", ecdh, ecdh, provider("raw-ecdh2"), skipped},
		{"ECDH: of other parties", ecdh, ecdh, replace(stranger, id), skipped},
		{"ECDH: version 2", ecdh, ecdh, info(set(0, 2)), tried},
		{"ECDH: no info", ecdh, ecdh, info(func([]byte) []byte { return nil }), tried},
		{"ECDH: length of a point", ecdh, ecdh, info(set(4, 49)), tried},
		{"ECDH: more info", ecdh, ecdh, info(func(b []byte) []byte { return append(b, 0) }), tried},
		{"ECDH: other curve", ecdh, ecdh, replace(other, id), tried},
		{"ECDH: salt", ecdh, ecdh, ciphertext(flip(0)), tried},
		{"ECDH: commitment", ecdh, ecdh, ciphertext(flip(32)), tried},
		{"ECDH: data key", ecdh, ecdh, ciphertext(flip(64)), tried},
		{"ECDH: tag", ecdh, ecdh, ciphertext(flip(-1)), tried},
		{"ECDH: too short", ecdh, ecdh, ciphertext(func(b []byte) []byte { return b[:79] }), tried},
		{"ECDH: data key of another length", ecdh, ecdh, replace(ecdh, esdk.AES128GCM), tried},
		{"ECDH discovery: other recipient", ecdh, discovery, info(flip(5 + 32)), skipped},
		{"ECDH discovery: sender not on the curve", ecdh, discovery, info(func(b []byte) []byte {
			binary.BigEndian.PutUint64(b[len(b)-32:], 1<<64-1)
			return b
		}), tried},
		{"ECDH discovery: sender uncompressed", ecdh, discovery, info(set(5+33+4, 4)), tried},
		{"ECDH discovery: sender at infinity", ecdh, discovery, info(func(b []byte) []byte {
			clear(b[len(b)-33:])
			return b
		}), tried},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			good := wrap(t, c.encrypt, id)
			bad := slices.Clone(good.EncryptedDataKeys)[0]
			bad.ProviderInfo, bad.Ciphertext = bytes.Clone(bad.ProviderInfo), bytes.Clone(bad.Ciphertext)
			c.spoil(&bad)
			dataKey, err := unwrap(t, c.decrypt, id, bad)
			wantNoDataKey(t, dataKey, err, c.want)
			dataKey, err = unwrap(t, c.decrypt, id, bad, bad)
			wantNoDataKey(t, dataKey, err, 2*c.want)
			dataKey, err = unwrap(t, c.decrypt, id, bad, good.EncryptedDataKeys[0])
			if err != nil || !bytes.Equal(dataKey, good.DataKey) {
				t.Errorf("with a good one behind: %d bytes, %v", len(dataKey), err)
			}
		})
	}
}

// One key's name may be a prefix of another's.
func TestNamePrefix(t *testing.T) {
	key := make([]byte, 32)
	for _, names := range [][2]string{{"a", "ab"}, {"ab", "a"}, {"ab", "ba"}, {"a", "a\x00\x00\x00\x80\x00\x00\x00\x0c"}} {
		one, two := aesKeyring(t, "test", names[0], key), aesKeyring(t, "test", names[1], key)
		r := wrap(t, two, esdk.AES256GCM)
		dataKey, err := unwrap(t, one, esdk.AES256GCM, r.EncryptedDataKeys...)
		wantNoDataKey(t, dataKey, err, 0)

		c := esdk.RawRSAConfig{Namespace: "test", PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()}
		c.Name = names[0]
		oneRSA := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(c))
		c.Name = names[1]
		r = wrap(t, must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(c)), esdk.AES256GCM)
		dataKey, err = unwrap(t, oneRSA, esdk.AES256GCM, r.EncryptedDataKeys...)
		wantNoDataKey(t, dataKey, err, 0)
	}
}

func TestWrapRefuses(t *testing.T) {
	private := ecdhKey(t, ecdh.P256())
	keyrings := map[string]esdk.Keyring{
		"AES":       testKeyring(t),
		"RSA":       rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()}),
		"PKCS1":     rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey(), PKCS1v15: true}),
		"ECDH":      ecdhKeyring(t, private, ecdhKey(t, ecdh.P256()).PublicKey()),
		"ephemeral": must[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(private.PublicKey())),
		"multi":     must[esdk.Keyring](t)(esdk.NewMultiKeyring(nil, testKeyring(t))),
	}
	requests := map[string]*esdk.WrapRequest{
		"unknown suite":                     {Suite: 0x0067},
		"unknown suite, given data key":     {Suite: 0x0067, DataKey: make([]byte, 32)},
		"data key too short":                {Suite: esdk.AES256GCM, DataKey: make([]byte, 16)},
		"data key too long":                 {Suite: esdk.AES128GCM, DataKey: make([]byte, 32)},
		"data key of no bytes, but not nil": {Suite: esdk.AES256GCM, DataKey: []byte{}},
	}
	for name, kr := range keyrings {
		for what, req := range requests {
			if r, err := kr.Wrap(t.Context(), req); err == nil {
				t.Errorf("%s: %s: got %d encrypted data keys", name, what, len(r.EncryptedDataKeys))
			}
		}
		if dataKey, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 0x0067}); err == nil {
			t.Errorf("%s: unknown suite: got %d bytes", name, len(dataKey))
		}
	}
}

func TestWrapRequestWrap(t *testing.T) {
	errFull := errors.New("full")
	ec := esdk.EncryptionContext{"k": "v"}
	aad := must[[]byte](t)(ec.AppendBinary(nil))
	for _, given := range [][]byte{nil, pattern(32)} {
		var saw []byte
		encrypt := func(dataKey, gotAAD []byte) (esdk.EncryptedDataKey, error) {
			if saw = dataKey; len(dataKey) != 32 || !bytes.Equal(gotAAD, aad) {
				t.Errorf("encrypt: %d bytes, with %q", len(dataKey), gotAAD)
			}
			return esdk.EncryptedDataKey{ProviderID: "p", ProviderInfo: []byte("i"), Ciphertext: []byte("c")}, nil
		}
		req := &esdk.WrapRequest{Suite: esdk.AES256GCM, EncryptionContext: ec, DataKey: given}
		r, err := req.Wrap(encrypt)
		if err != nil {
			t.Fatal(err)
		}
		if want := saw; given != nil && (r.DataKey != nil || !bytes.Equal(saw, given)) || given == nil && !bytes.Equal(r.DataKey, want) {
			t.Errorf("data key %x, encrypted %x, given %x", r.DataKey, saw, given)
		}
		if edks := r.EncryptedDataKeys; len(edks) != 1 || edks[0].ProviderID != "p" || string(edks[0].ProviderInfo) != "i" || string(edks[0].Ciphertext) != "c" {
			t.Errorf("encrypted data keys %v", edks)
		}
		r, err = req.Wrap(func(dataKey, _ []byte) (esdk.EncryptedDataKey, error) {
			saw = dataKey
			return esdk.EncryptedDataKey{ProviderID: "p"}, errFull
		})
		if r != nil || err != errFull {
			t.Errorf("%v, %v", r, err)
		}
		if cleared := bytes.Equal(saw, make([]byte, 32)); cleared != (given == nil) {
			t.Errorf("data key was cleared: %t; it was given: %t", cleared, given != nil)
		}
	}
	spare := func(_, _ []byte) (esdk.EncryptedDataKey, error) {
		t.Error("a bad request is encrypted")
		return esdk.EncryptedDataKey{}, nil
	}
	_, err := (&esdk.WrapRequest{Suite: esdk.AES256GCM, EncryptionContext: esdk.EncryptionContext{"\xff": ""}}).Wrap(spare)
	if !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("context that is not UTF-8: %v", err)
	}
}

func TestUnwrapRequestUnwrap(t *testing.T) {
	ec := esdk.EncryptionContext{"k": "v"}
	aad := must[[]byte](t)(ec.AppendBinary(nil))
	short := pattern(16)
	errIll := errors.New("ill")
	answers := map[string]struct {
		dataKey []byte
		err     error
	}{"ill": {nil, errIll}, "short": {short, nil}, "good": {pattern(32), nil}}
	ask := func(ctx context.Context, infos ...string) (dataKey []byte, asked []string, err error) {
		req := &esdk.UnwrapRequest{Suite: esdk.AES256GCM, EncryptionContext: ec}
		for _, info := range infos {
			req.EncryptedDataKeys = append(req.EncryptedDataKeys, esdk.EncryptedDataKey{ProviderID: "p", ProviderInfo: []byte(info)})
		}
		ours := func(edk *esdk.EncryptedDataKey) bool { return string(edk.ProviderInfo) != "foreign" }
		dataKey, err = req.Unwrap(ctx, ours, func(edk *esdk.EncryptedDataKey, gotAAD []byte) ([]byte, error) {
			if !bytes.Equal(gotAAD, aad) {
				t.Errorf("context %q", gotAAD)
			}
			asked = append(asked, string(edk.ProviderInfo))
			answer := answers[string(edk.ProviderInfo)]
			return answer.dataKey, answer.err
		})
		return dataKey, asked, err
	}
	dataKey, asked, err := ask(t.Context(), "foreign", "ill", "short", "good", "good")
	if err != nil || !bytes.Equal(dataKey, pattern(32)) || !slices.Equal(asked, []string{"ill", "short", "good"}) {
		t.Errorf("%x, %v, after %v", dataKey, err, asked)
	}
	if !bytes.Equal(short, make([]byte, 16)) {
		t.Error("a data key of a wrong length was not cleared")
	}
	dataKey, _, err = ask(t.Context(), "foreign", "ill", "short")
	wantNoDataKey(t, dataKey, err, 2)
	for _, want := range []string{"encrypted data key 2 (p): ill", "encrypted data key 3 (p): data key has 16 bytes"} {
		if !strings.Contains(err.Error(), want) || !errors.Is(err, errIll) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	dataKey, _, err = ask(t.Context(), "foreign")
	wantNoDataKey(t, dataKey, err, 0)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	dataKey, asked, err = ask(ended, "ill", "good")
	wantNoDataKey(t, dataKey, err, 2)
	if len(asked) != 1 || !errors.Is(err, errIll) || !errors.Is(err, context.Canceled) {
		t.Errorf("asked %v after the context ended", asked)
	}
	ec = esdk.EncryptionContext{"\xff": ""}
	if _, asked, err := ask(t.Context(), "good"); !errors.Is(err, esdk.ErrEncryptionContext) || asked != nil {
		t.Errorf("context that is not UTF-8: %v, asked %v", err, asked)
	}
}

// Several keys report the same error for an encrypted data key. It appears
// once.
func TestNoDataKeyErrorOnce(t *testing.T) {
	err := &esdk.NoDataKeyError{Errors: []error{errors.New("one"), nil, errors.New("two"), errors.New("one")}}
	if text := err.Error(); !strings.HasSuffix(text, ": one; two") {
		t.Error(text)
	}
	none := &esdk.NoDataKeyError{Errors: []error{nil}}
	if text := none.Error(); !strings.HasSuffix(text, "none is for this keyring") || errors.Is(none, io.EOF) {
		t.Error(text)
	}
}

// A nil pointer in an interface counts as nil too.
func TestTypedNil(t *testing.T) {
	var kr *countingKeyring
	var cmm *cmmFunc
	_, newErr := esdk.New(esdk.Config{Keyring: kr})
	_, newCMM := esdk.New(esdk.Config{CMM: cmm})
	_, defaultErr := esdk.NewDefaultCMM(kr)
	_, requiredErr := esdk.NewRequiredContextCMM(cmm, "k")
	_, generatorErr := esdk.NewMultiKeyring(kr, testKeyring(t))
	_, childErr := esdk.NewMultiKeyring(testKeyring(t), kr)
	for name, err := range map[string]error{
		"New": newErr, "New, CMM": newCMM, "NewDefaultCMM": defaultErr, "NewRequiredContextCMM": requiredErr,
		"NewMultiKeyring": generatorErr, "NewMultiKeyring, child": childErr,
	} {
		if err == nil {
			t.Errorf("%s takes a nil pointer", name)
		}
	}
	says := keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
		return nil, (*esdk.NoDataKeyError)(nil)
	}}
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	if _, err := esdk.Decrypt(t.Context(), says, message, nil); !errors.Is(err, esdk.ErrNoDataKey) || err.Error() == "" {
		t.Errorf("a nil error: %v", err)
	}
	if _, err := esdk.Decrypt(t.Context(), must[esdk.Keyring](t)(esdk.NewMultiKeyring(says, testKeyring(t))), message, nil); err != nil {
		t.Errorf("a nil error of the first of two: %v", err)
	}
}

// The encryption context is bound to a data key, except with RSA, which has no
// place for it.
func TestKeyringBindsContext(t *testing.T) {
	private := ecdhKey(t, ecdh.P256())
	for name, kr := range map[string]esdk.Keyring{
		"AES":  testKeyring(t),
		"ECDH": ecdhKeyring(t, private, private.PublicKey()),
	} {
		r := wrap(t, kr, esdk.AES256GCM)
		for _, ec := range []esdk.EncryptionContext{nil, {}, {"k": "w"}, {"k": "v", "": ""}, {"kv": ""}} {
			dataKey, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{
				Suite: esdk.AES256GCM, EncryptionContext: ec, EncryptedDataKeys: r.EncryptedDataKeys,
			})
			if err == nil {
				t.Errorf("%s: context %v gives a data key wrapped under %v", name, ec, sampleContext)
			}
			wantNoDataKey(t, dataKey, err, 1)
		}
	}
}

func TestRawRSAHalves(t *testing.T) {
	key := rsaKey()
	for _, pkcs1 := range []bool{false, true} {
		public := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &key.PublicKey, PKCS1v15: pkcs1})
		private := rsaKeyring(t, esdk.RawRSAConfig{PrivateKey: key, PKCS1v15: pkcs1})
		message, err := esdk.Encrypt(t.Context(), public, []byte("to you"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := esdk.Encrypt(t.Context(), private, nil, nil); err == nil || !strings.Contains(err.Error(), "no public key") {
			t.Errorf("a private key alone encrypts: %v", err)
		}
		if _, err := esdk.Decrypt(t.Context(), public, message, nil); !errors.Is(err, esdk.ErrNoDataKey) || !strings.Contains(err.Error(), "no private key") {
			t.Errorf("a public key decrypts: %v", err)
		}
		if got, err := esdk.Decrypt(t.Context(), private, message, nil); err != nil || string(got) != "to you" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// TestRawRSALeadingZero checks that a ciphertext must have its leading zeros:
// one in 256 has such a byte, and without it is the same number.
func TestRawRSALeadingZero(t *testing.T) {
	key := rsaKey()
	for _, pkcs1 := range []bool{false, true} {
		kr := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &key.PublicKey, PrivateKey: key, PKCS1v15: pkcs1})
		edk := wrap(t, kr, esdk.AES256GCM).EncryptedDataKeys[0]
		for edk.Ciphertext[0] != 0 {
			edk = wrap(t, kr, esdk.AES256GCM).EncryptedDataKeys[0]
		}
		if _, err := unwrap(t, kr, esdk.AES256GCM, edk); err != nil {
			t.Errorf("PKCS #1 v1.5 %t: %v", pkcs1, err)
		}
		edk.Ciphertext = edk.Ciphertext[1:]
		if _, err := unwrap(t, kr, esdk.AES256GCM, edk); !errors.Is(err, esdk.ErrAuthentication) {
			t.Errorf("PKCS #1 v1.5 %t: a ciphertext without its first byte gives %v", pkcs1, err)
		}
	}
}

// Callers must not be able to tell whether PKCS #1 v1.5 padding is right: both
// wrong padding and a wrong data key fail only when the message does.
func TestPKCS1IsNoOracle(t *testing.T) {
	key := rsaKey()
	kr := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &key.PublicKey, PrivateKey: key, PKCS1v15: true})
	//lint:ignore SA1019 this padding is what is tested
	wrongKey := must[[]byte](t)(rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, make([]byte, 32)))
	//lint:ignore SA1019 this padding is what is tested
	wrongLength := must[[]byte](t)(rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, make([]byte, 31)))
	wrongPadding := must[[]byte](t)(rsa.EncryptOAEP(crypto.SHA256.New(), rand.Reader, &key.PublicKey, make([]byte, 32), nil))
	noPadding := make([]byte, key.Size())
	for suite, want := range map[esdk.SuiteID]error{
		esdk.AES256GCMHKDFSHA512Commit: esdk.ErrCommitment,
		esdk.AES256GCMHKDFSHA256:       esdk.ErrAuthentication,
	} {
		policy := esdk.ForbidEncryptAllowDecrypt
		if want == esdk.ErrCommitment {
			policy = esdk.RequireEncryptRequireDecrypt
		}
		c := newClient(t, esdk.Config{Keyring: kr, Suite: suite, CommitmentPolicy: policy})
		message, header, err := c.Encrypt(t.Context(), pattern(100), nil)
		if err != nil {
			t.Fatal(err)
		}
		texts := make(map[string]bool)
		for name, ciphertext := range map[string][]byte{
			"other key": wrongKey, "other length": wrongLength, "other padding": wrongPadding, "no padding": noPadding,
		} {
			forged := bytes.Replace(message, header.EncryptedDataKeys[0].Ciphertext, ciphertext, 1)
			_, _, err := c.Decrypt(t.Context(), forged, nil)
			if !errors.Is(err, want) || errors.Is(err, esdk.ErrNoDataKey) {
				t.Errorf("%v: %s: %v, want %v", suite, name, err, want)
			}
			texts[fmt.Sprint(err)] = true
		}
		if len(texts) != 1 {
			t.Errorf("%v: the errors tell the cases apart: %v", suite, texts)
		}
	}
}

func TestECDHParties(t *testing.T) {
	for _, curve := range []ecdh.Curve{ecdh.P256(), ecdh.P384(), ecdh.P521()} {
		alice, bob, carol := ecdhKey(t, curve), ecdhKey(t, curve), ecdhKey(t, curve)
		ephemeral := must[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(bob.PublicKey()))
		discovery := func(private *ecdh.PrivateKey) esdk.Keyring {
			return must[esdk.Keyring](t)(esdk.NewRawECDHDiscoveryKeyring(private))
		}
		plaintext := []byte("hello")
		static := must[[]byte](t)(esdk.Encrypt(t.Context(), ecdhKeyring(t, alice, bob.PublicKey()), plaintext, sampleContext))
		anonymous := must[[]byte](t)(esdk.Encrypt(t.Context(), ephemeral, plaintext, sampleContext))
		for _, c := range []struct {
			name    string
			message []byte
			keyring esdk.Keyring
			want    bool
		}{
			{"static: the sender", static, ecdhKeyring(t, alice, bob.PublicKey()), true},
			{"static: the recipient", static, ecdhKeyring(t, bob, alice.PublicKey()), true},
			{"static: a third", static, ecdhKeyring(t, carol, bob.PublicKey()), false},
			{"static: the recipient, of somebody else", static, ecdhKeyring(t, bob, carol.PublicKey()), false},
			{"static: the recipient discovers", static, discovery(bob), true},
			{"static: the sender does not discover", static, discovery(alice), false},
			{"static: an ephemeral keyring", static, ephemeral, false},
			{"ephemeral: the recipient discovers", anonymous, discovery(bob), true},
			{"ephemeral: a third does not", anonymous, discovery(carol), false},
			{"ephemeral: static keys", anonymous, ecdhKeyring(t, bob, alice.PublicKey()), false},
			{"ephemeral: the ephemeral keyring", anonymous, ephemeral, false},
		} {
			got, err := esdk.Decrypt(t.Context(), c.keyring, c.message, sampleContext)
			if ok := err == nil && bytes.Equal(got, plaintext); ok != c.want || err != nil && !errors.Is(err, esdk.ErrNoDataKey) {
				t.Errorf("%v: %s: %q, %v", curve, c.name, got, err)
			}
		}
		if _, err := esdk.Encrypt(t.Context(), discovery(bob), plaintext, nil); err == nil {
			t.Errorf("%v: a discovery keyring encrypts", curve)
		}
	}
}

// Raw and KMS keyrings read each other's data keys.
func TestECDHReadsKMS(t *testing.T) {
	private := ecdhKey(t, ecdh.P384())
	kr := ecdhKeyring(t, private, private.PublicKey())
	r := wrap(t, kr, esdk.AES256GCM)
	r.EncryptedDataKeys[0].ProviderID = "aws-kms-ecdh"
	if got, err := unwrap(t, kr, esdk.AES256GCM, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// The keyrings write these fields.
func TestEncryptedDataKeyLayout(t *testing.T) {
	edk := wrap(t, testKeyring(t), esdk.AES192GCM).EncryptedDataKeys[0]
	if info := edk.ProviderInfo; edk.ProviderID != "test" || len(info) != 3+20 || string(info[:11]) != "key\x00\x00\x00\x80\x00\x00\x00\x0c" {
		t.Errorf("AES: %q %q", edk.ProviderID, info)
	}
	if len(edk.Ciphertext) != 24+16 {
		t.Errorf("AES: ciphertext has %d bytes", len(edk.Ciphertext))
	}
	edk = wrap(t, rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey}), esdk.AES256GCM).EncryptedDataKeys[0]
	if edk.ProviderID != "test" || string(edk.ProviderInfo) != "rsa" || len(edk.Ciphertext) != 256 {
		t.Errorf("RSA: %q %q, ciphertext of %d bytes", edk.ProviderID, edk.ProviderInfo, len(edk.Ciphertext))
	}
	for curve, length := range map[ecdh.Curve]int{ecdh.P256(): 75, ecdh.P384(): 107, ecdh.P521(): 143} {
		private, peer := ecdhKey(t, curve), ecdhKey(t, curve)
		edk := wrap(t, ecdhKeyring(t, private, peer.PublicKey()), esdk.AES256GCM).EncryptedDataKeys[0]
		if edk.ProviderID != "raw-ecdh" || len(edk.ProviderInfo) != length || edk.ProviderInfo[0] != 1 || len(edk.Ciphertext) != 32+32+32+16 {
			t.Errorf("ECDH %v: %q, %d bytes, ciphertext of %d bytes", curve, edk.ProviderID, len(edk.ProviderInfo), len(edk.Ciphertext))
		}
		// The recipient comes first.
		point := peer.PublicKey().Bytes()
		if size := (len(point) - 1) / 2; !bytes.Equal(edk.ProviderInfo[6:6+size], point[1:1+size]) {
			t.Errorf("ECDH %v: the recipient does not come first", curve)
		}
	}
}

func TestMultiKeyringWrap(t *testing.T) {
	aes := testKeyring(t)
	errChild := errors.New("child is ill")
	ill := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, errChild }}
	lazy := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return new(esdk.WrapResult), nil }}
	multi := func(generator esdk.Keyring, children ...esdk.Keyring) esdk.Keyring {
		return must[esdk.Keyring](t)(esdk.NewMultiKeyring(generator, children...))
	}
	edks := []esdk.EncryptedDataKey{{ProviderID: "p"}}
	keyless := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
		return &esdk.WrapResult{EncryptedDataKeys: edks}, nil
	}}
	short := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
		return &esdk.WrapResult{DataKey: pattern(16), EncryptedDataKeys: edks}, nil
	}}
	ignores := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		return aes.Wrap(ctx, &esdk.WrapRequest{Suite: req.Suite})
	}}
	var echoed []byte
	echoes := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		echoed = bytes.Clone(req.DataKey)
		return &esdk.WrapResult{DataKey: echoed, EncryptedDataKeys: edks}, nil
	}}
	defer func() {
		if !bytes.Equal(echoed, make([]byte, 32)) {
			t.Error("a child's copy of the data key was not cleared")
		}
	}()
	given := &esdk.WrapRequest{Suite: esdk.AES256GCM, DataKey: make([]byte, 32)}
	none := &esdk.WrapRequest{Suite: esdk.AES256GCM}
	for _, c := range []struct {
		name    string
		keyring esdk.Keyring
		req     *esdk.WrapRequest
		is      error  // that the error matches, if not nil
		want    string // a part of the error; empty: success
		edks    int
	}{
		{"generator", multi(aes), none, nil, "", 1},
		{"generator and children", multi(aes, aes, aes), none, nil, "", 3},
		{"children wrap a given data key", multi(nil, aes, aes), given, nil, "", 2},
		{"nested", multi(multi(aes, aes), multi(nil, aes, aes)), none, nil, "", 4},
		{"generator is given a data key", multi(aes, aes), given, nil, "was given a data key", 0},
		{"no generator and no data key", multi(nil, aes), none, nil, "no generator", 0},
		{"generator fails", multi(ill, aes), none, errChild, "child is ill", 0},
		{"generator makes no data key", multi(keyless, aes), none, nil, "data key of 0 bytes", 0},
		{"generator makes nothing", multi(lazy, aes), none, nil, "no encrypted data key", 0},
		{"generator makes a short data key", multi(short, aes), none, nil, "data key of 16 bytes", 0},
		{"child makes no encrypted data key", multi(aes, lazy), none, nil, "child keyring 0: the keyring returned no encrypted data key", 0},
		{"child makes a data key", multi(aes, ignores), none, nil, "child keyring 0: the keyring returned another data key", 0},
		{"child returns a copy of the data key", multi(aes, echoes), none, nil, "", 2},
		{"child fails", multi(aes, aes, ill), none, errChild, "child keyring 1: child is ill", 0},
		{"generator among the children", multi(aes, multi(aes)), none, nil, "was given a data key", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := c.keyring.Wrap(t.Context(), c.req)
			if c.want == "" {
				if err != nil || len(r.EncryptedDataKeys) != c.edks {
					t.Fatalf("%+v, %v; want %d encrypted data keys", r, err, c.edks)
				}
				if c.req == none && len(r.DataKey) != 32 {
					t.Errorf("data key has %d bytes", len(r.DataKey))
				}
				return
			}
			if err == nil || r != nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%+v, %v; want an error with %q", r, err, c.want)
			}
		})
	}
}

// If a keyring clears a data key that it merely must not keep, it leaves a data
// key of zeros. Anyone could read a message encrypted under it.
func TestDataKeyOfZeros(t *testing.T) {
	aes := testKeyring(t)
	clears := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		defer clear(req.DataKey)
		return aes.Wrap(ctx, req)
	}, OnUnwrap: aes.Unwrap}
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(aes, clears, clears))
	r := wrap(t, multi, esdk.AES256GCM)
	for i, edk := range r.EncryptedDataKeys {
		if got, err := unwrap(t, aes, esdk.AES256GCM, edk); err != nil || !bytes.Equal(got, r.DataKey) || bytes.Equal(got, make([]byte, 32)) {
			t.Errorf("encrypted data key %d: %x, %v; want %x", i, got, err, r.DataKey)
		}
	}
	kept := wrap(t, aes, esdk.AES256GCMHKDFSHA512Commit)
	keeps := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return kept, nil }}
	c := newClient(t, esdk.Config{Keyring: keeps, Suite: esdk.AES256GCMHKDFSHA512Commit})
	if _, _, err := c.Encrypt(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Encrypt(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "all zeros") {
		t.Errorf("a keyring that keeps its result, the second time: %v", err)
	}
	forgets := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		return req.Wrap(func(dataKey, _ []byte) (esdk.EncryptedDataKey, error) {
			clear(dataKey)
			return esdk.EncryptedDataKey{ProviderID: "p"}, nil
		})
	}}
	if _, err := esdk.Encrypt(t.Context(), forgets, nil, nil); err == nil || !strings.Contains(err.Error(), "all zeros") {
		t.Errorf("a keyring that clears the new data key: %v", err)
	}
}

// The children wrap in parallel: each waits until all are asked. The order
// stays.
func TestMultiKeyringWrapsSideBySide(t *testing.T) {
	const n = 5
	var asked sync.WaitGroup
	asked.Add(n)
	var children []esdk.Keyring
	for i := range n {
		children = append(children, keyringFunc{OnWrap: func(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			asked.Done()
			asked.Wait()
			req.Suite = 0 // the request is its own copy
			return &esdk.WrapResult{EncryptedDataKeys: []esdk.EncryptedDataKey{{ProviderID: strconv.Itoa(i)}}}, nil
		}})
	}
	r := wrap(t, must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), children...)), esdk.AES256GCM)
	for i, edk := range r.EncryptedDataKeys[1:] {
		if edk.ProviderID != strconv.Itoa(i) {
			t.Errorf("encrypted data key %d is of keyring %s", i+1, edk.ProviderID)
		}
	}
}

// No matter how a keyring fails, the call ends once the other keyrings are
// done. The data key is cleared then and not before, and the error comes from
// the first that failed.
func TestMultiKeyringChildFails(t *testing.T) {
	errIll := errors.New("ill")
	for name, c := range map[string]struct {
		fail  func() error
		is    error
		text  string
		panic any
	}{
		"error":             {func() error { return errIll }, errIll, "child keyring 1: ill", nil},
		"panic":             {func() error { panic("at the disco") }, nil, "", "at the disco"},
		"end of goroutine":  {func() error { runtime.Goexit(); return nil }, nil, "child keyring 1: the keyring ended the goroutine", nil},
		"neither of result": {func() error { return nil }, nil, "child keyring 1: the keyring returned neither", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var dataKey []byte
			var late atomic.Bool
			waits := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				<-ctx.Done() // until the other fails
				time.Sleep(time.Millisecond)
				dataKey = req.DataKey
				late.Store(!bytes.Equal(dataKey, make([]byte, len(dataKey))))
				return nil, ctx.Err()
			}}
			fails := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, c.fail() }}
			multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), waits, fails))
			defer func() {
				if p := recover(); p != c.panic {
					t.Errorf("panic: %v, want %v", p, c.panic)
				}
				if !late.Load() {
					t.Error("the data key was cleared while a keyring had it")
				}
				if c.panic == nil && !bytes.Equal(dataKey, make([]byte, 32)) {
					t.Error("the data key was not cleared")
				}
			}()
			r, err := multi.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM})
			if r != nil || err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, %v; want %q", r, err, c.text)
			}
		})
	}
}

func TestMultiKeyringUnwrap(t *testing.T) {
	errFirst, errSecond := errors.New("first is ill"), errors.New("second is ill")
	fails := func(err error) esdk.Keyring {
		return keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) { return nil, err }}
	}
	aes := testKeyring(t)
	r := wrap(t, aes, esdk.AES256GCM)

	spare := keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
		t.Error("a keyring was asked after another had the data key")
		return nil, errFirst
	}}
	for _, multi := range []esdk.Keyring{
		must[esdk.Keyring](t)(esdk.NewMultiKeyring(aes, spare)),
		must[esdk.Keyring](t)(esdk.NewMultiKeyring(nil, aes, spare)),
	} {
		if got, err := unwrap(t, multi, esdk.AES256GCM, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}

	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(fails(errFirst), fails(errSecond), aes))
	if got, err := unwrap(t, multi, esdk.AES256GCM, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	// The last keyring reports nothing for a data key that isn't its own.
	foreign := esdk.EncryptedDataKey{ProviderID: "foreign"}
	got, err := unwrap(t, multi, esdk.AES256GCM, foreign)
	wantNoDataKey(t, got, err, 2)
	if !errors.Is(err, errFirst) || !errors.Is(err, errSecond) {
		t.Errorf("%v lacks a cause", err)
	}
	if text := err.Error(); strings.Count(text, esdk.ErrNoDataKey.Error()) != 1 || !strings.Contains(text, "first is ill; second is ill") {
		t.Errorf("text: %s", text)
	}
	// Nested failures are listed flat.
	outer := must[esdk.Keyring](t)(esdk.NewMultiKeyring(nil, multi, fails(errFirst)))
	got, err = unwrap(t, outer, esdk.AES256GCM, foreign)
	wantNoDataKey(t, got, err, 3)
}

// TestRawKeyringDataKeyLength: if a decrypted data key doesn't have the suite's
// length, the keyring tries the next one.
func TestRawKeyringDataKeyLength(t *testing.T) {
	kr := testKeyring(t)
	short, long := wrap(t, kr, esdk.AES128GCM), wrap(t, kr, esdk.AES256GCM)
	got, err := unwrap(t, kr, esdk.AES256GCM, short.EncryptedDataKeys...)
	wantNoDataKey(t, got, err, 1)
	if err == nil || !strings.Contains(err.Error(), "data key has 16 bytes") {
		t.Errorf("got %v", err)
	}
	got, err = unwrap(t, kr, esdk.AES256GCM, slices.Concat(short.EncryptedDataKeys, long.EncryptedDataKeys)...)
	if err != nil || !bytes.Equal(got, long.DataKey) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestMultiKeyringUnwrapsNothing: a keyring that returns nothing, or a data key
// without the suite's length, doesn't end the search.
func TestMultiKeyringUnwrapsNothing(t *testing.T) {
	aes := testKeyring(t)
	r := wrap(t, aes, esdk.AES256GCM)
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	for name, dataKey := range map[string][]byte{"nothing": nil, "empty": {}, "short": pattern(31), "long": pattern(33)} {
		returns := keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) { return dataKey, nil }}
		multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(returns, returns, aes))
		if got, err := unwrap(t, multi, esdk.AES256GCM, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
			t.Errorf("%s: got %d bytes, %v", name, len(got), err)
		}
		if !bytes.Equal(dataKey, make([]byte, len(dataKey))) {
			t.Errorf("%s: the data key is not cleared", name)
		}
		multi = must[esdk.Keyring](t)(esdk.NewMultiKeyring(returns, returns))
		got, err := unwrap(t, multi, esdk.AES256GCM, r.EncryptedDataKeys...)
		wantNoDataKey(t, got, err, 2)
		for _, c := range []*esdk.Client{
			newClient(t, esdk.Config{Keyring: returns}),
			newClient(t, esdk.Config{Keyring: multi}),
			newClient(t, esdk.Config{CMM: must[esdk.CMM](t)(esdk.NewDefaultCMM(returns))}),
		} {
			wantRefused(t, c, message, nil, esdk.ErrNoDataKey)
		}
	}
}

// TestIncompleteKeys: keys that lack a part are rejected early; using them
// would panic.
func TestIncompleteKeys(t *testing.T) {
	rsaConfig := func(public *rsa.PublicKey, private *rsa.PrivateKey, v15 bool) func() (esdk.Keyring, error) {
		return func() (esdk.Keyring, error) {
			return esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "n", Name: "k", PublicKey: public, PrivateKey: private, PKCS1v15: v15})
		}
	}
	p256 := ecdhKey(t, ecdh.P256())
	for name, make := range map[string]func() (esdk.Keyring, error){
		"RSA public key":          rsaConfig(new(rsa.PublicKey), nil, false),
		"RSA public key, v1.5":    rsaConfig(&rsa.PublicKey{E: 65537}, nil, true),
		"RSA private key":         rsaConfig(nil, new(rsa.PrivateKey), false),
		"RSA private key, v1.5":   rsaConfig(nil, &rsa.PrivateKey{D: rsaKey().D, Primes: rsaKey().Primes}, true),
		"RSA exponent":            rsaConfig(nil, &rsa.PrivateKey{PublicKey: rsaKey().PublicKey, Primes: rsaKey().Primes}, true),
		"RSA public with private": rsaConfig(new(rsa.PublicKey), rsaKey(), false),
		"ECDH": func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: new(ecdh.PrivateKey), Peer: new(ecdh.PublicKey)})
		},
		"ECDH private key": func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: new(ecdh.PrivateKey), Peer: p256.PublicKey()})
		},
		"ECDH peer": func() (esdk.Keyring, error) {
			return esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: p256, Peer: new(ecdh.PublicKey)})
		},
		"ECDH recipient": func() (esdk.Keyring, error) { return esdk.NewRawECDHEphemeralKeyring(new(ecdh.PublicKey)) },
		"ECDH discovery": func() (esdk.Keyring, error) { return esdk.NewRawECDHDiscoveryKeyring(new(ecdh.PrivateKey)) },
		"AES": func() (esdk.Keyring, error) {
			return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "n", Name: "k"})
		},
	} {
		if kr, err := make(); err == nil || kr != nil || !strings.HasPrefix(err.Error(), "esdk: ") {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
	}
	// A private key without its primes is slow, but works.
	slow := &rsa.PrivateKey{PublicKey: rsaKey().PublicKey, D: rsaKey().D}
	kr := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &slow.PublicKey, PrivateKey: slow})
	r := wrap(t, kr, esdk.AES256GCM)
	if got, err := unwrap(t, kr, esdk.AES256GCM, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
		t.Errorf("without primes: %d bytes, %v", len(got), err)
	}
}

// Every child sees the same request and all of the data keys.
func TestMultiKeyringPassesRequest(t *testing.T) {
	var seen []*esdk.UnwrapRequest
	child := keyringFunc{OnUnwrap: func(_ context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		seen = append(seen, req)
		return nil, &esdk.NoDataKeyError{}
	}}
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(child, child, child))
	unwrap(t, multi, esdk.AES256GCM, esdk.EncryptedDataKey{ProviderID: "a"}, esdk.EncryptedDataKey{ProviderID: "b"})
	if len(seen) != 3 {
		t.Fatalf("asked %d keyrings, want 3", len(seen))
	}
	for _, req := range seen {
		if len(req.EncryptedDataKeys) != 2 || req.EncryptionContext["k"] != "v" || req.Suite != esdk.AES256GCM {
			t.Errorf("request %+v", req)
		}
	}
}

func TestMultiKeyringStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first := keyringFunc{OnUnwrap: func(ctx context.Context, _ *esdk.UnwrapRequest) ([]byte, error) {
		cancel()
		return nil, ctx.Err()
	}}
	asked := false
	second := keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
		asked = true
		return nil, &esdk.NoDataKeyError{}
	}}
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(first, second))
	_, err := multi.Unwrap(ctx, &esdk.UnwrapRequest{Suite: esdk.AES256GCM})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, esdk.ErrNoDataKey) || asked {
		t.Errorf("%v; second keyring asked: %t", err, asked)
	}
}

// If the first keyring reports nothing, the end of the context is the reason
// why the second isn't asked.
func TestMultiKeyringSaysItWasCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "other", Name: "key", Key: make([]byte, 16)}))
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(other, testKeyring(t)))
	r := wrap(t, testKeyring(t), esdk.AES256GCM)
	_, err := multi.Unwrap(ctx, &esdk.UnwrapRequest{Suite: esdk.AES256GCM, EncryptedDataKeys: r.EncryptedDataKeys})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("got %v", err)
	}
}

// A caller may change its slice of keyrings afterwards.
func TestMultiKeyringCopies(t *testing.T) {
	children := []esdk.Keyring{testKeyring(t)}
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), children...))
	children[0] = nil
	if r := wrap(t, multi, esdk.AES256GCM); len(r.EncryptedDataKeys) != 2 {
		t.Errorf("%d encrypted data keys", len(r.EncryptedDataKeys))
	}
}

// The example in the documentation is correct enough to copy.
func TestExampleKeyring(t *testing.T) {
	esdktest.TestKeyring(t, &hsmKeyring{"slot", must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(wrappingKey))))})
}

// A context that can't be serialized can't be bound to a data key.
func TestKeyringsRefuseContext(t *testing.T) {
	private := ecdhKey(t, ecdh.P256())
	bad := esdk.EncryptionContext{"k": "\xff"}
	for name, kr := range map[string]esdk.Keyring{
		"AES":  testKeyring(t),
		"ECDH": ecdhKeyring(t, private, private.PublicKey()),
	} {
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: Wrap: %v", name, err)
		}
		_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{
			Suite: esdk.AES256GCM, EncryptionContext: bad, EncryptedDataKeys: wrap(t, kr, esdk.AES256GCM).EncryptedDataKeys,
		})
		if !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: Unwrap: %v", name, err)
		}
	}
}

// Two wraps of one data key under one wrapping key must not share an IV.
func TestRawAESDrawsIVs(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		info := wrap(t, testKeyring(t), esdk.AES256GCM).EncryptedDataKeys[0].ProviderInfo
		seen[string(info[len(info)-12:])] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d IVs for 1000 wraps", len(seen))
	}
}

// Each data key has its own ephemeral key pair.
func TestECDHEphemeralKeys(t *testing.T) {
	kr := must[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(ecdhKey(t, ecdh.P256()).PublicKey()))
	one, two := wrap(t, kr, esdk.AES256GCM).EncryptedDataKeys[0].ProviderInfo, wrap(t, kr, esdk.AES256GCM).EncryptedDataKeys[0].ProviderInfo
	sender := len(one) - 33
	if !bytes.Equal(one[:sender], two[:sender]) || bytes.Equal(one[sender:], two[sender:]) {
		t.Errorf("%x and %x: want one recipient and two senders", one, two)
	}
}

// A data key is bound to the context of the request, not of the message: a
// keyring may give the one beneath it another context.
func TestUnwrapTakesContextOfRequest(t *testing.T) {
	base, stored := testKeyring(t), esdk.EncryptionContext{"a": "1", "b": "2"}
	for name, change := range map[string]func(esdk.EncryptionContext) esdk.EncryptionContext{
		"none":       func(esdk.EncryptionContext) esdk.EncryptionContext { return nil },
		"one less":   func(esdk.EncryptionContext) esdk.EncryptionContext { return esdk.EncryptionContext{"a": "1"} },
		"another":    func(esdk.EncryptionContext) esdk.EncryptionContext { return esdk.EncryptionContext{"a": "2", "b": "1"} },
		"one more":   func(ec esdk.EncryptionContext) esdk.EncryptionContext { ec = maps.Clone(ec); ec["c"] = ""; return ec },
		"the stored": func(ec esdk.EncryptionContext) esdk.EncryptionContext { return maps.Clone(ec) },
	} {
		changing := keyringFunc{
			OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				changed := *req
				changed.EncryptionContext = change(req.EncryptionContext)
				return base.Wrap(ctx, &changed)
			},
			OnUnwrap: func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				changed := *req
				changed.EncryptionContext = change(req.EncryptionContext)
				return base.Unwrap(ctx, &changed)
			},
		}
		message := must[[]byte](t)(esdk.Encrypt(t.Context(), changing, pattern(10), stored))
		if got, err := esdk.Decrypt(t.Context(), changing, message, nil); err != nil || !bytes.Equal(got, pattern(10)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := esdk.Decrypt(t.Context(), base, message, nil); (err == nil) != (name == "the stored") {
			t.Errorf("%s, without the change: %v", name, err)
		}
	}
}
