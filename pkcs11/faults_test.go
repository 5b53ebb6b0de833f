package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"esdk"
	"esdk/esdktest"
	"esdk/internal/fipstest"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var (
	aesBytes = bytes.Repeat([]byte{7}, 32)
	rsaPair  = sync.OnceValue(func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return key
	})
)

// simulated returns a simulator with a key of each kind, and its keyrings.
func simulated(t testing.TB, c Config) (*simulator, *Token, map[string]esdk.Keyring) {
	t.Helper()
	s := newSimulator()
	mine := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(rand.Reader))
	theirs := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(rand.Reader))
	s.put("aes", aesBytes)
	s.put("rsa", rsaPair())
	s.put("ec", mine)
	c.Token = "simulated"
	token := must[*Token](t)(s.open(t, c))
	keyring := must[esdk.Keyring](t)
	return s, token, map[string]esdk.Keyring{
		"AES":   keyring(NewAESKeyring(t.Context(), token, AESConfig{Namespace: "corp", Name: "a", Key: KeyRef{Label: "aes"}})),
		"RSA":   keyring(NewRSAKeyring(t.Context(), token, RSAConfig{Namespace: "corp", Name: "r", Key: KeyRef{Label: "rsa"}})),
		"PKCS1": keyring(NewRSAKeyring(t.Context(), token, RSAConfig{Namespace: "corp", Name: "p", Key: KeyRef{Label: "rsa"}, PKCS1v15: true})),
		"ECDH":  keyring(NewECDHKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}, Peer: theirs.PublicKey()})),
	}
}

const suite = esdk.AES256GCMHKDFSHA512Commit

func wrap(t testing.TB, kr esdk.Keyring) (*esdk.WrapResult, *esdk.UnwrapRequest) {
	t.Helper()
	r := must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}))
	return r, &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: r.EncryptedDataKeys}
}

// works checks that a keyring works. It uses Errorf, so that goroutines can
// call it.
func works(t testing.TB, what string, kr esdk.Keyring) {
	t.Helper()
	r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	got, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: r.EncryptedDataKeys})
	if err != nil || !bytes.Equal(got, r.DataKey) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestConformance(t *testing.T) {
	_, _, keyrings := simulated(t, Config{})
	for name, kr := range keyrings {
		if testing.Short() && name == "PKCS1" {
			continue // RSA makes the same calls, except for the padding
		}
		t.Run(name, func(t *testing.T) {
			isRSA := name == "RSA" || name == "PKCS1"
			esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, NoContext: isRSA, NoIntegrity: name == "PKCS1"}.Run(t)
		})
	}
}

// TestCauses checks that errors tell a data key that isn't authentic from a
// token that is out of reach. Any code of C_Decrypt that proves no loss counts
// as an answer to the ciphertext.
func TestCauses(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	_, _, others := simulated(t, Config{})
	for name, kr := range keyrings {
		_, req := wrap(t, kr)
		edk := &req.EncryptedDataKeys[0]
		good := edk.Ciphertext
		check := func(what string, inauthentic bool) {
			t.Helper()
			_, err := kr.Unwrap(t.Context(), req)
			_, service := errors.AsType[*Error](err)
			if !errors.Is(err, esdk.ErrNoDataKey) || errors.Is(err, esdk.ErrAuthentication) != inauthentic || !inauthentic && !service {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		edk.Ciphertext = good[1:]
		check("too short", true)
		if name != "PKCS1" {
			edk.Ciphertext = bytes.Clone(good)
			edk.Ciphertext[len(good)-1] ^= 1
			check("changed", true)
			if name == "ECDH" { // the keys differ, so that another one's data key doesn't match
				other, _ := wrap(t, others[name])
				edk.Ciphertext = other.EncryptedDataKeys[0].Ciphertext
				check("of another key", true)
			}
		}
		edk.Ciphertext = good
		if name == "RSA" {
			s.failDecrypt(ckrDeviceError, 1)
			check("an answer of the token", true)
		}
		s.fault = func(call string) error { return ckr(call, ckrDeviceRemoved) }
		check("removed", false)
		s.fault = nil
		works(t, name, kr)
	}
}

// Every sign of a lost token leads to one new connection and one more attempt.
func TestLost(t *testing.T) {
	for _, code := range slices.Concat(proofsOfLoss, signsOfLoss) {
		s, _, keyrings := simulated(t, Config{})
		for name, kr := range keyrings {
			r, req := wrap(t, kr)
			fail := func(times int) {
				s.fault = func(call string) error {
					if times == 0 || call != "C_DecryptInit" && call != "C_DeriveKey" {
						return nil
					}
					times--
					if code == ckrSessionHandleInvalid || code == ckrSessionClosed || code == ckrNotInitialized {
						clear(s.sessions)
						s.user = false
					}
					return ckr(call, code)
				}
			}
			s.logins = 0
			fail(1)
			if got, err := kr.Unwrap(t.Context(), req); err != nil || !bytes.Equal(got, r.DataKey) || s.logins != 1 {
				t.Errorf("%s, code %#x once: %d logins, %v", name, code, s.logins, err)
			}
			fail(2)
			_, err := kr.Unwrap(t.Context(), req)
			if !hasCode(err, code) || !errors.Is(err, esdk.ErrNoDataKey) {
				t.Errorf("%s, code %#x twice: %v", name, code, err)
			}
			s.fault = nil
			works(t, name+" after that", kr)
		}
		if len(s.sessions) > 2 {
			t.Errorf("code %#x: %d sessions are open", code, len(s.sessions))
		}
	}
}

// allCodes returns the codes of PKCS #11 up to version 3.1 with some margin,
// and some vendor codes.
func allCodes() []uint {
	var codes []uint
	for code := uint(1); code < 0x300; code++ {
		codes = append(codes, code)
	}
	return append(codes, 0x80000000, 0x80000001, 0x80000000|ckrDeviceRemoved, 0xFFFFFFFF)
}

// lostCodes are the only codes of C_Decrypt that may be distinguished, repeated
// here as numbers.
var lostCodes = []uint{
	0x32,  // CKR_DEVICE_REMOVED
	0xB0,  // CKR_SESSION_CLOSED
	0xB3,  // CKR_SESSION_HANDLE_INVALID
	0x101, // CKR_USER_NOT_LOGGED_IN
	0x190, // CKR_CRYPTOKI_NOT_INITIALIZED
}

// failDecrypt makes C_Decrypt fail the given number of times.
func (s *simulator) failDecrypt(code uint, times int) {
	s.fault = func(call string) error {
		if times == 0 || call != callDecrypt {
			return nil
		}
		times--
		return ckr(call, code)
	}
}

// made counts the calls that f makes.
func (s *simulator) made(f func()) map[string]int {
	clear(s.calls)
	f()
	return maps.Clone(s.calls)
}

// With PKCS #1 v1.5, no code of C_Decrypt reveals whether the padding is right,
// except for codes that prove a loss: not by an error, a login, a second call
// or the behavior of the next call.
func TestNoOracleByCode(t *testing.T) {
	s, _, keyrings := simulated(t, Config{Sessions: 1})
	kr := keyrings["PKCS1"]
	r, req := wrap(t, kr)
	good := func() {
		t.Helper()
		if got, err := kr.Unwrap(t.Context(), req); err != nil || !bytes.Equal(got, r.DataKey) {
			t.Errorf("a good data key: %v", err)
		}
	}
	good() // takes the session left by the constructors
	want := s.made(good)
	if want[callDecrypt] != 1 || want["C_Login"] != 0 {
		t.Fatalf("a good data key takes %v", want)
	}
	for i, code := range allCodes() {
		if testing.Short() && i%16 != 0 && !slices.Contains(lostCodes, code) {
			continue
		}
		s.failDecrypt(code, 1)
		if slices.Contains(lostCodes, code) {
			if calls := s.made(good); calls["C_Login"] != 1 || calls[callDecrypt] != 2 {
				t.Errorf("code %#x: %v", code, calls)
			}
			s.failDecrypt(code, 2)
			if _, err := kr.Unwrap(t.Context(), req); !hasCode(err, code) || !errors.Is(err, esdk.ErrNoDataKey) {
				t.Errorf("code %#x twice: %v", code, err)
			}
			s.fault = nil
			good() // connects again
			continue
		}
		var got []byte
		var err error
		calls := s.made(func() { got, err = kr.Unwrap(t.Context(), req) })
		if err != nil || len(got) != suite.DataKeyLength() || bytes.Equal(got, r.DataKey) || bytes.Equal(got, make([]byte, len(got))) {
			t.Errorf("code %#x: %d bytes, %v", code, len(got), err)
		}
		if !maps.Equal(calls, want) {
			t.Errorf("code %#x: calls %v, those of a good data key are %v", code, calls, want)
		}
		if calls := s.made(good); !maps.Equal(calls, want) {
			t.Errorf("after code %#x: calls %v, those of a good data key are %v", code, calls, want)
		}
	}
}

// With any other key, the code of C_Decrypt makes no difference either, except
// for an error, which is always the same with OAEP.
func TestDecryptIsNotRepeated(t *testing.T) {
	s, _, keyrings := simulated(t, Config{Sessions: 1})
	for _, name := range []string{"AES", "RSA"} {
		kr := keyrings[name]
		_, req := wrap(t, kr)
		texts := make(map[string]bool)
		for _, code := range allCodes() {
			if slices.Contains(lostCodes, code) {
				continue
			}
			s.failDecrypt(code, 1)
			var err error
			calls := s.made(func() { _, err = kr.Unwrap(t.Context(), req) })
			if !errors.Is(err, esdk.ErrNoDataKey) || calls["C_Login"] != 0 || calls[callDecrypt] != 1 {
				t.Errorf("%s, code %#x: %v, %v", name, code, calls, err)
			}
			if name == "RSA" {
				texts[err.Error()] = true
			} else if !hasCode(err, code) {
				t.Errorf("%s, code %#x: the error does not have it: %v", name, code, err)
			}
		}
		if len(texts) > 1 {
			t.Errorf("%s: %d errors", name, len(texts))
		}
		s.fault = nil
		works(t, name, kr)
	}
}

// A lost login isn't mistaken for a missing key, whether or not an idle session
// is left.
func TestLoginLost(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	_, req := wrap(t, keyrings["PKCS1"])
	for name, kr := range keyrings {
		for what, lose := range map[string]func(){"with its sessions": s.lose, "alone": func() { s.user = false }} {
			// The first one looks up only its own key, and closes its session.
			s.lose()
			if _, err := keyrings["PKCS1"].Unwrap(t.Context(), req); err != nil {
				t.Error(err)
			}
			lose()
			s.logins = 0
			works(t, name, kr)
			if s.logins != 1 {
				t.Errorf("%s: the login is lost %s: %d logins", name, what, s.logins)
			}
		}
	}
	s.keys = nil
	if _, err := keyrings["AES"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !errors.Is(err, ErrNoKey) {
		t.Errorf("a key that is gone: %v", err)
	}
}

// The token disappears, and comes back in another slot, with other handles.
func TestRemoved(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	for _, slot := range []uint{7, 20, 30, 40, 50, 60} {
		s.slot, s.looksOnce, s.needsToken = 0, slot > 20, slot > 40
		for name, kr := range keyrings {
			if name == "RSA" || name == "PKCS1" {
				continue // encrypts without the token
			}
			if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !errors.Is(err, ErrNoToken) {
				t.Errorf("%s without the token: %v", name, err)
			}
		}
		s.slot = slot
		if !s.looksOnce {
			s.lose()
		}
		for o, k := range s.keys {
			s.next++
			delete(s.keys, o)
			s.keys[object(s.next)] = k
			break
		}
		for name, kr := range keyrings {
			works(t, name+" with the token back", kr)
		}
	}
}

func isZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }

// No secret from the token stays in the array that it arrived in, or behind a
// returned data key.
func TestSecretsCleared(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	check := func(what string) {
		t.Helper()
		for _, b := range s.handed {
			if !isZero(b) {
				t.Errorf("%s: %d bytes stay in an array", what, len(b))
			}
		}
		s.handed = nil
	}
	if len(s.handed) < 3 {
		t.Errorf("the constructors took %d secrets", len(s.handed))
	}
	check("constructors")
	for name, kr := range keyrings {
		r, req := wrap(t, kr)
		check(name + ", Wrap")
		got, err := kr.Unwrap(t.Context(), req)
		if err != nil || len(s.handed) != 1 {
			t.Errorf("%s: %d secrets, %v", name, len(s.handed), err)
		}
		check(name + ", Unwrap")
		if !bytes.Equal(got, r.DataKey) || len(got) != cap(got) {
			t.Errorf("%s: a data key of %d bytes stands in an array of %d", name, len(got), cap(got))
		}
		// This fails with a data key of another suite, or with another context.
		req.Suite, req.EncryptionContext = esdk.AES128GCM, esdk.EncryptionContext{"another": "context"}
		kr.Unwrap(t.Context(), req)
		check(name + ", failed Unwrap")
	}
	s.secret = func(b []byte) []byte { return b[1:] }
	if _, err := keyrings["ECDH"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); err == nil || !strings.Contains(err.Error(), "derived 47 bytes") {
		t.Errorf("a secret that is too short: %v", err)
	}
	check("a secret that is too short")
}

// A changed PIN is refused once, and not tried until the token locks.
func TestRefused(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	s.pin = "9999"
	s.lose()
	s.logins = 0
	for range 5 {
		_, err := keyrings["AES"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite})
		if !errors.Is(err, ErrPIN) || strings.Contains(err.Error(), "1234") {
			t.Errorf("with another PIN: %v", err)
		}
	}
	if s.logins != 1 {
		t.Errorf("%d logins with a wrong PIN", s.logins)
	}

	s = newSimulator()
	noPIN := errors.New("no PIN")
	var given []byte
	for want, pin := range map[error]func(context.Context) ([]byte, error){
		ErrPIN: func(context.Context) ([]byte, error) { given = []byte("0000"); return given, nil },
		noPIN:  func(context.Context) ([]byte, error) { given = []byte("1234"); return given, noPIN },
	} {
		if _, err := s.open(t, Config{PIN: pin, Token: "simulated"}); !errors.Is(err, want) {
			t.Errorf("want %v, got %v", want, err)
		}
		if !isZero(given) {
			t.Errorf("%v: the PIN is not cleared", want)
		}
		if len(s.sessions) > 0 {
			t.Error("a session stays open")
		}
	}
	s.pin, s.logins = "", 0
	neither := func(context.Context) ([]byte, error) { return nil, nil }
	if _, err := s.open(t, Config{PIN: neither, Token: "simulated"}); err == nil || !strings.Contains(err.Error(), "neither a PIN nor an error") || s.logins != 0 {
		t.Errorf("neither a PIN nor an error: %d logins, %v", s.logins, err)
	}
	empty := func(context.Context) ([]byte, error) { return []byte{}, nil }
	if _, err := s.open(t, Config{PIN: empty, Token: "simulated"}); err != nil || s.logins != 1 {
		t.Errorf("an empty PIN: %d logins, %v", s.logins, err)
	}
	if _, err := s.open(t, Config{}); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("two tokens: %v", err)
	}
}

// If the token makes the IV, the encrypted data key contains it.
func TestTokenIV(t *testing.T) {
	s, token, _ := simulated(t, Config{})
	raw := must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "a", Key: aesBytes}))
	for _, own := range []bool{false, true} {
		kr := must[esdk.Keyring](t)(NewAESKeyring(t.Context(), token, AESConfig{Namespace: "corp", Name: "a", Key: KeyRef{Label: "aes"}, TokenIV: own}))
		s.makesIV = []byte("token")
		r, req := wrap(t, kr)
		if !bytes.HasPrefix(r.EncryptedDataKeys[0].ProviderInfo[1+8:], s.makesIV) {
			t.Error("the IV is not the token's")
		}
		for _, kr := range []esdk.Keyring{kr, raw} {
			if got, err := kr.Unwrap(t.Context(), req); err != nil || !bytes.Equal(got, r.DataKey) {
				t.Error(err)
			}
		}
		s.makesIV = []byte("an IV that is too long")
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); err == nil {
			t.Error("an IV of another length is accepted")
		}
		s.makesIV = nil
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); (err != nil) != own {
			t.Errorf("the token makes no IV, and should %v: %v", own, err)
		}
	}
}

// With PKCS #1 v1.5, nothing distinguishes a wrong padding from a right one.
func TestNoOracle(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	kr := keyrings["PKCS1"]
	r, req := wrap(t, kr)
	edk := &req.EncryptedDataKeys[0]
	good := bytes.Clone(edk.Ciphertext)
	bad := bytes.Clone(good)
	bad[100] ^= 1
	for name, test := range map[string]struct {
		ciphertext []byte
		plaintext  func([]byte) []byte
	}{
		"padding": {bad, nil},
		"shorter": {good, func(b []byte) []byte { return b[1:] }},
		"longer":  {good, func(b []byte) []byte { return append(b, 0) }},
		"modulus": {good, func(b []byte) []byte { return append(b, make([]byte, len(good)-len(b))...) }},
		"empty":   {good, func([]byte) []byte { return nil }},
	} {
		edk.Ciphertext, s.plaintext = test.ciphertext, test.plaintext
		got, err := kr.Unwrap(t.Context(), req)
		again, _ := kr.Unwrap(t.Context(), req)
		if err != nil || len(got) != 32 || bytes.Equal(got, r.DataKey) || bytes.Equal(got, again) || bytes.Equal(got[:31], r.DataKey[1:]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// Errors that are independent of the padding are reported.
	edk.Ciphertext, s.plaintext = good[1:], nil
	if _, err := kr.Unwrap(t.Context(), req); err == nil {
		t.Error("a ciphertext that is too short is accepted")
	}
}

// Constructors check keys before a message depends on them.
func TestConstructors(t *testing.T) {
	s, token, _ := simulated(t, Config{})
	other := must[*ecdh.PrivateKey](t)(ecdh.P384().GenerateKey(rand.Reader)).PublicKey()
	p256 := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	strange := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	ec, rsaKey := KeyRef{Label: "ec"}, KeyRef{Label: "rsa"}
	s.put("twice", aesBytes)
	s.put("twice", aesBytes)
	ctx := t.Context()
	for name, f := range map[string]func() (esdk.Keyring, error){
		"no token": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, nil, AESConfig{"n", "n", KeyRef{Label: "aes"}, false})
		},
		"zero token": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, new(Token), AESConfig{"n", "n", KeyRef{Label: "aes"}, false})
		},
		"RSA key without a modulus": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, PublicKey: &rsa.PublicKey{E: 65537}})
		},
		"RSA key with a modulus of zero": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, PublicKey: &rsa.PublicKey{N: new(big.Int), E: 65537}})
		},
		"RSA key with a negative modulus": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, PublicKey: &rsa.PublicKey{N: new(big.Int).Neg(rsaPair().N), E: 65537}})
		},
		"RSA key without an exponent": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, PublicKey: &rsa.PublicKey{N: rsaPair().N}})
		},
		"zero EC key": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(ctx, token, ECDHConfig{Key: ec, PublicKey: new(ecdh.PublicKey)})
		},
		"zero peer": func() (esdk.Keyring, error) {
			return NewECDHKeyring(ctx, token, ECDHConfig{Key: ec, Peer: new(ecdh.PublicKey)})
		},
		"zero EC key and peer": func() (esdk.Keyring, error) {
			return NewECDHKeyring(ctx, token, ECDHConfig{Key: ec, PublicKey: new(ecdh.PublicKey), Peer: new(ecdh.PublicKey)})
		},
		"EC key of another curve": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(ctx, token, ECDHConfig{Key: ec, PublicKey: must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()})
		},
		"no namespace": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"", "n", KeyRef{Label: "aes"}, false})
		},
		"no name": func() (esdk.Keyring, error) { return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Key: rsaKey}) },
		"AWS's": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"aws-kms", "n", KeyRef{Label: "aes"}, false})
		},
		"no key": func() (esdk.Keyring, error) { return NewAESKeyring(ctx, token, AESConfig{"n", "n", KeyRef{}, false}) },
		"two keys": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"n", "n", KeyRef{Label: "twice"}, false})
		},
		"another token": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"n", "n", KeyRef{URI: "pkcs11:token=x;object=aes"}, false})
		},
		"another type": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"n", "n", KeyRef{URI: "pkcs11:object=aes;type=private"}, false})
		},
		"another label": func() (esdk.Keyring, error) {
			return NewAESKeyring(ctx, token, AESConfig{"n", "n", KeyRef{URI: "pkcs11:object=aes", Label: "x"}, false})
		},
		"hash": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, Hash: crypto.MD5})
		},
		"two paddings": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, Hash: crypto.SHA256, PKCS1v15: true})
		},
		"another's RSA": func() (esdk.Keyring, error) {
			return NewRSAKeyring(ctx, token, RSAConfig{Namespace: "n", Name: "n", Key: rsaKey, PKCS1v15: true, PublicKey: &strange.PublicKey})
		},
		"no peer": func() (esdk.Keyring, error) { return NewECDHKeyring(ctx, token, ECDHConfig{Key: ec}) },
		"a peer": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(ctx, token, ECDHConfig{Key: ec, Peer: other})
		},
		"other curve": func() (esdk.Keyring, error) { return NewECDHKeyring(ctx, token, ECDHConfig{Key: ec, Peer: p256}) },
		"another's EC": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(ctx, token, ECDHConfig{Key: ec, PublicKey: other})
		},
	} {
		if kr, err := f(); err == nil || kr != nil {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
	}
	discovery := must[esdk.Keyring](t)(NewECDHDiscoveryKeyring(ctx, token, ECDHConfig{Key: ec}))
	if _, err := discovery.Wrap(ctx, &esdk.WrapRequest{Suite: suite}); err == nil {
		t.Error("a discovery keyring encrypts")
	}
	if public, err := token.PublicKey(ctx, rsaKey); err != nil || !rsaPair().PublicKey.Equal(public) {
		t.Errorf("the public RSA key: %v", err)
	}
	if _, err := token.PublicKey(ctx, KeyRef{Label: "aes"}); !errors.Is(err, ErrNoKey) {
		t.Errorf("the public half of an AES key: %v", err)
	}
}

// Many callers share few sessions. These are closed meanwhile, and no call
// notices.
func TestConcurrent(t *testing.T) {
	s, token, keyrings := simulated(t, Config{Sessions: 3})
	var done atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		for name, kr := range keyrings {
			workers.Go(func() {
				for range 8 {
					works(t, name, kr)
					if done.Add(1)%37 == 0 {
						s.lose()
					}
				}
			})
		}
	}
	workers.Wait()
	if s.most > 4 {
		t.Errorf("%d sessions at once, of 3 and one for the login", s.most)
	}
	if err := token.Close(); err != nil || len(s.sessions) > 0 || s.up {
		t.Errorf("after Close: %d sessions, %v", len(s.sessions), err)
	}
	if _, err := keyrings["AES"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := token.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// A caller that waits for a session, or for another caller's login, can give
// up.
func TestWaiting(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		asked, answer := make(chan bool, 1), make(chan bool)
		first := true
		s, _, keyrings := simulated(t, Config{Sessions: 2, PIN: func(context.Context) ([]byte, error) {
			if !first {
				asked <- true
				<-answer
			}
			first = false
			return []byte("1234"), nil
		}})
		kr := keyrings["AES"]
		s.lose()
		var workers sync.WaitGroup
		workers.Go(func() { works(t, "with a user who takes long", kr) })
		<-asked
		for range 3 { // one waits for the lock, and the rest for a session
			ctx, cancel := context.WithCancel(t.Context())
			workers.Go(func() {
				if _, err := kr.Wrap(ctx, &esdk.WrapRequest{Suite: suite}); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			synctest.Wait()
			defer cancel()
			if len(asked) > 0 {
				t.Error("the PIN is asked for twice")
			}
			cancel()
		}
		synctest.Wait()
		close(answer)
		workers.Wait()
		if s.logins != 2 {
			t.Errorf("%d logins", s.logins)
		}
	})
}

func TestPINFile(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"1234": "1234", "1234\n": "1234", "12 34 \r\n": "12 34 ", "": "", "\n": "", strings.Repeat("1", 5000): ""} {
		name := filepath.Join(dir, "pin")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pin, err := PINFile(name)(t.Context()); string(pin) != want || (err == nil) != (want != "") {
			t.Errorf("%.10q: %v", text, err)
		} else if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Error("the error shows the file")
		}
	}
}

func TestParseURI(t *testing.T) {
	u := must[*URI](t)(ParseURI("pkcs11:token=The%20token;serial=01;manufacturer=M;model=X;slot-id=7;object=k%3B;id=%00%ff;type=private" +
		"?module-path=/lib/x.so&pin-source=file:///run/pin&namespace=corp&pad=pkcs1"))
	if u.Token != "The token" || u.Serial != "01" || u.Manufacturer != "M" || u.Model != "X" || *u.SlotID != 7 || u.Object != "k;" ||
		string(u.ID) != "\x00\xff" || u.Type != "private" || u.ModulePath != "/lib/x.so" || u.PINSource != "/run/pin" ||
		fmt.Sprint(u.Query) != "map[namespace:corp pad:pkcs1]" {
		t.Errorf("%+v", u)
	}
	if again := must[*URI](t)(ParseURI(u.String())); !reflect.DeepEqual(again, u) {
		t.Errorf("%s is %+v", u, again)
	}
	if got, want := u.OfToken().String(), "pkcs11:token=The%20token;serial=01;manufacturer=M;model=X;slot-id=7?module-path=%2Flib%2Fx.so&pin-source=%2Frun%2Fpin"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for text, want := range map[string]string{
		"pkcs11:pin-source=x":           "not supported",
		"pkcs11:?pin-value=8642":        "pin-source",
		"pkcs11:?pin-source=pin":        "full path",
		"pkcs11:?pin-source=|cat%20pin": "full path",
		"pkcs11:?module-name=x":         "module-path",
		"pkcs11:token=a;token=b":        "twice",
		"pkcs11:token":                  "no value",
		"pkcs11:token=%4":               "percent",
		"pkcs11:type=cert":              "type",
		"pkcs11:slot-id=x":              "number",
		"pkcs11:x-vendor=1":             "x-vendor",
		"PKCS11:token=a":                "starts with",
	} {
		if _, err := ParseURI(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "8642") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzURI checks that each parsed URI equals the URI parsed from its own
// string.
func FuzzURI(f *testing.F) {
	f.Add("pkcs11:token=The%20token;object=k%3B;id=%00%ff;type=private;slot-id=7?module-path=/lib/x.so&pin-source=file:///run/pin&pad=pkcs1")
	f.Add("pkcs11:?pin-value=1")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURI(text)
		if err != nil {
			return
		}
		if again, err := ParseURI(u.String()); err != nil || !reflect.DeepEqual(again, u) {
			t.Errorf("%q is %+v, and %q is %+v: %v", text, u, u, again, err)
		}
	})
}

// A URI may identify a token by its slot alone, and its string has no question
// mark without a query.
func TestURIOfSlot(t *testing.T) {
	u := must[*URI](t)(ParseURI("pkcs11:token=T;slot-id=7"))
	if got := u.String(); got != "pkcs11:token=T;slot-id=7" {
		t.Errorf("written %q", got)
	}
	for _, c := range []struct {
		token tokenInfo
		want  bool
	}{
		{tokenInfo{label: "T", slot: 7}, true}, {tokenInfo{label: "T", slot: 8}, false},
		{tokenInfo{label: "T"}, false}, {tokenInfo{label: "U", slot: 7}, false},
	} {
		if got := u.matches(&c.token); got != c.want {
			t.Errorf("%+v: %t", c.token, got)
		}
	}
}
