package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"esdk"
	"esdk/internal/fipstest"
)

// atPath registers a simulator at a path of its own, for Open.
func atPath(t testing.TB) (*simulator, string) {
	t.Helper()
	s := newSimulator()
	path := filepath.Join(t.TempDir(), "simulated.so")
	modules.mu.Lock()
	defer modules.mu.Unlock()
	modules.byPath[path] = &module{cryptoki: s, path: path}
	t.Cleanup(func() {
		modules.mu.Lock()
		defer modules.mu.Unlock()
		delete(modules.byPath, path)
	})
	return s, path
}

func pin(text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

func TestOpen(t *testing.T) {
	s, path := atPath(t)
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := "pkcs11:token=simulated?module-path=" + url.QueryEscape(path)
	withPIN := uri + "&pin-source=file:" + url.QueryEscape(file)
	for name, test := range map[string]struct {
		c        Config
		sessions int
		want     string // a part of the error
	}{
		"fields":                {Config{Module: path, Token: "simulated", PIN: pin("1234")}, 4, ""},
		"URI":                   {Config{URI: withPIN}, 4, ""},
		"module beside the URI": {Config{Module: path, URI: "pkcs11:token=simulated", PIN: pin("1234")}, 4, ""},
		"token beside the URI":  {Config{Token: "simulated", URI: withPIN, Sessions: 1}, 1, ""},
		"PIN beside the URI":    {Config{URI: withPIN, PIN: pin("9999")}, 0, "refuses the PIN"},
		"no login":              {Config{URI: uri}, 4, ""},
		"another token":         {Config{Token: "another", URI: withPIN}, 0, "another token"},
		"no such token":         {Config{Module: path, Token: "none"}, 0, "no such token"},
		"no URI":                {Config{URI: "pkcs12:"}, 0, "starts with"},
		"no module":             {Config{Token: "simulated"}, 0, "no module given"},
		"sessions":              {Config{URI: withPIN, Sessions: -1}, 0, "-1 sessions"},
		"no library":            {Config{Module: path + "-"}, 0, ""},
	} {
		s.logins = 0
		clear(s.calls)
		token, err := Open(t.Context(), test.c)
		if (err == nil) != (test.sessions > 0) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if cap(token.free) != test.sessions {
				t.Errorf("%s: %d sessions", name, cap(token.free))
			}
			if logins := s.logins; (logins == 1) != (name != "no login") {
				t.Errorf("%s: %d logins", name, logins)
			}
			if err := token.Close(); err != nil {
				t.Error(err)
			}
		}
		if s.calls["C_Initialize"] > 1 {
			t.Errorf("%s: the library is initialized %d times", name, s.calls["C_Initialize"])
		}
		if s.up || len(s.sessions) > 0 {
			t.Errorf("%s: the library stays open, with %d sessions", name, len(s.sessions))
		}
	}
}

// The library is initialized with the first Token and finalized with the last,
// and left alone if somebody else initialized it.
func TestModule(t *testing.T) {
	s, path := atPath(t)
	c := Config{Module: path, Token: "simulated", PIN: pin("1234")}
	first := must[*Token](t)(Open(t.Context(), c))
	second := must[*Token](t)(Open(t.Context(), c))
	if s.calls["C_Initialize"] != 1 {
		t.Errorf("%d calls of C_Initialize", s.calls["C_Initialize"])
	}
	if err := first.Close(); err != nil || !s.up {
		t.Errorf("closing the first: up %t, %v", s.up, err)
	}
	if err := second.Close(); err != nil || s.up || s.calls["C_Finalize"] != 1 {
		t.Errorf("closing the second: up %t, %d calls of C_Finalize, %v", s.up, s.calls["C_Finalize"], err)
	}

	initialize := func(code uint) {
		s.fault = func(call string) error {
			if call == "C_Initialize" {
				return ckr(call, code)
			}
			return nil
		}
	}
	initialize(0x5)
	if _, err := Open(t.Context(), c); !hasCode(err, 0x5) {
		t.Errorf("a library that cannot be initialized: %v", err)
	}
	clear(s.calls)
	s.up = true // by somebody else
	initialize(ckrAlreadyInitialized)
	others := must[*Token](t)(Open(t.Context(), c))
	if err := others.Close(); err != nil || !s.up || s.calls["C_Finalize"] != 0 {
		t.Errorf("a library of somebody else's: up %t, %v", s.up, err)
	}

	// Somebody else finalizes it, and initializes it again, or initialization
	// fails.
	s.fault, s.up = nil, false
	ours := must[*Token](t)(Open(t.Context(), c))
	s.put("aes", aesBytes)
	kr := must[esdk.Keyring](t)(NewAESKeyring(t.Context(), ours, AESConfig{Namespace: "n", Name: "n", Key: KeyRef{Label: "aes"}}))
	lose := func(code uint) {
		s.finalize()
		s.fault = func(call string) error {
			if call == "C_Initialize" {
				s.up = code == ckrAlreadyInitialized
				return ckr(call, code)
			}
			return nil
		}
	}
	lose(ckrAlreadyInitialized)
	works(t, "initialized by somebody else", kr)
	lose(0x5)
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !errors.Is(err, ErrNoToken) || !hasCode(err, 0x5) {
		t.Errorf("it cannot be initialized: %v", err)
	}
	s.fault = nil
	works(t, "initialized again", kr)
	clear(s.calls)
	if err := ours.Close(); err != nil || s.calls["C_Finalize"] != 1 {
		t.Errorf("closing it: %d calls of C_Finalize, %v", s.calls["C_Finalize"], err)
	}
}

// A module is restarted only if this package initialized it, has the only
// Token, and can restart it.
func TestRestart(t *testing.T) {
	for _, test := range []struct {
		ours  bool
		users int
		fails bool
		want  bool
	}{{true, 1, false, true}, {false, 1, false, false}, {true, 2, false, false}, {true, 1, true, false}} {
		s := newSimulator()
		s.fault = func(call string) error {
			if test.fails {
				return ckr(call, 0x5)
			}
			return nil
		}
		m := &module{cryptoki: s, users: test.users, ours: test.ours}
		if got := m.restart(); got != test.want || s.calls["C_Finalize"] > 0 != (test.ours && test.users == 1) {
			t.Errorf("%+v: %t, %v", test, got, s.calls)
		}
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]error{
		"C_Decrypt: CKR_DEVICE_ERROR": &Error{Call: "C_Decrypt", Code: 0x30, Name: "CKR_DEVICE_ERROR"},
		"C_Login: CKR 0x80000001":     &Error{Call: "C_Login", Code: 0x80000001},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestKeyRef(t *testing.T) {
	_, token, _ := simulated(t, Config{})
	for name, test := range map[string]struct {
		ref   KeyRef
		class class
		want  string // the resolved one, or a part of the error
	}{
		"label":                {KeyRef{Label: "a"}, secretKey, `label "a"`},
		"id":                   {KeyRef{ID: []byte{1, 0xff}}, secretKey, "id 01ff"},
		"both":                 {KeyRef{Label: "a", ID: []byte{1}}, secretKey, `label "a", id 01`},
		"URI":                  {KeyRef{URI: "pkcs11:token=simulated;object=a;id=%01;type=secret-key"}, secretKey, `label "a", id 01`},
		"URI of a private key": {KeyRef{URI: "pkcs11:object=a;type=private"}, privateKey, `label "a"`},
		"URI of a public key":  {KeyRef{URI: "pkcs11:object=a;type=public"}, privateKey, `label "a"`},
		"URI with the rest":    {KeyRef{URI: "pkcs11:object=a", ID: []byte{1}}, secretKey, `label "a", id 01`},
		"URI with the same":    {KeyRef{URI: "pkcs11:object=a;id=%01", Label: "a", ID: []byte{1}}, secretKey, `label "a", id 01`},
		"other label":          {KeyRef{URI: "pkcs11:object=a", Label: "b"}, secretKey, "another label or id"},
		"other id":             {KeyRef{URI: "pkcs11:id=%01", ID: []byte{2}}, secretKey, "another label or id"},
		"secret as private":    {KeyRef{URI: "pkcs11:object=a;type=secret-key"}, privateKey, "type secret-key"},
		"private as secret":    {KeyRef{URI: "pkcs11:object=a;type=private"}, secretKey, "type private"},
		"other token":          {KeyRef{URI: "pkcs11:token=b;object=a"}, secretKey, "another token"},
		"no URI":               {KeyRef{URI: "a"}, secretKey, "starts with"},
		"no key":               {KeyRef{URI: "pkcs11:token=simulated"}, secretKey, "no key given"},
	} {
		got, err := test.ref.resolved(token, test.class)
		if err == nil && (got.String() != test.want || got.URI != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// The private key shows its public key, or the public key is an object of its
// own with the same id, or with the same label if there is no id.
func TestPublicKeys(t *testing.T) {
	for _, ids := range []bool{false, true} {
		s, token, _ := simulated(t, Config{})
		s.ids = ids
		hidden := errors.New("hidden")
		hide := func(first uint) {
			// The private RSA key hides its public key, and later requests show
			// attributes.
			s.show = func(types ...attribute) ([][]byte, error) {
				switch {
				case types[0] == attributeID && ids:
					return [][]byte{[]byte("id-rsa")}, nil
				case types[0] == attributeID:
					return nil, hidden
				case first > 0:
					first--
					return nil, hidden
				}
				return [][]byte{rsaPair().N.Bytes(), big.NewInt(int64(rsaPair().E)).Bytes()}, nil
			}
		}
		hide(1)
		if _, err := token.PublicKey(t.Context(), KeyRef{Label: "rsa"}); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "its public key") {
			t.Errorf("there is none: %v", err)
		}
		hide(1)
		if _, err := NewRSAKeyring(t.Context(), token, RSAConfig{Namespace: "n", Name: "n", Key: KeyRef{Label: "rsa"}}); !errors.Is(err, ErrNoKey) {
			t.Errorf("there is none for a keyring: %v", err)
		}
		s.put("rsa", &rsaPair().PublicKey)
		hide(1)
		if public, err := token.PublicKey(t.Context(), KeyRef{Label: "rsa"}); err != nil || !rsaPair().PublicKey.Equal(public) {
			t.Errorf("there is one: %v", err)
		}
		hide(2)
		if _, err := token.PublicKey(t.Context(), KeyRef{Label: "rsa"}); !errors.Is(err, hidden) {
			t.Errorf("it is hidden: %v", err)
		}
		s.show = nil
		s.put("ec2", must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)))
		if _, err := token.PublicKey(t.Context(), KeyRef{Label: "ec"}); err != nil {
			t.Errorf("EC: %v", err)
		}
		for _, k := range s.keys {
			if k.class == publicKey && k.label == "ec" {
				k.label = "renamed"
			}
		}
		if _, err := token.PublicKey(t.Context(), KeyRef{Label: "ec"}); (err == nil) != ids {
			t.Errorf("EC, with another label: %v", err)
		}
		for o, k := range s.keys {
			if k.class == publicKey && k.kind == typeEC {
				delete(s.keys, o)
			}
		}
		if _, err := NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}}); !errors.Is(err, ErrNoKey) {
			t.Errorf("EC, there is none: %v", err)
		}
	}
}

func TestPublicValues(t *testing.T) {
	s := newSimulator()
	s.up, s.sessions[1] = true, false
	use := &session{module: &module{cryptoki: s}, handle: 1}
	private := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader))
	point := private.PublicKey().Bytes()
	der := must[[]byte](t)(asn1.Marshal(point))
	n := big.NewInt(35)
	show := func(values ...[]byte) {
		s.show = func(...attribute) ([][]byte, error) { return values, nil }
	}
	for e, ok := range map[int64]bool{0: false, 1: false, 2: true, 3: true, 1<<31 - 1: true, 1 << 31: false} {
		show(n.Bytes(), big.NewInt(e).Bytes())
		if key, err := rsaPublic(use, 0); (err == nil) != ok || ok && (key.E != int(e) || key.N.Cmp(n) != 0) {
			t.Errorf("exponent %d: %v, %v", e, key, err)
		}
	}
	show(n.Bytes(), bytes.Repeat([]byte{1}, 9))
	if _, err := rsaPublic(use, 0); err == nil {
		t.Error("an exponent of nine bytes is accepted")
	}
	show(nil, []byte{3})
	if _, err := rsaPublic(use, 0); err == nil {
		t.Error("a modulus of zero is accepted")
	}
	const p256 = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	for name, test := range map[string]struct {
		curve, point string
		ok           bool
	}{
		"DER":           {p256, string(der), true},
		"bare":          {p256, string(point), true},
		"DER and more":  {p256, string(der) + "x", false},
		"bare and more": {p256, string(point) + "x", false},
		"other curve":   {"\x06\x05\x2b\x81\x04\x00\x0a", string(der), false},
		"nothing":       {"", "", false},
	} {
		show([]byte(test.curve), []byte(test.point))
		if key, err := ecPublic(use, 0); (err == nil) != test.ok || test.ok && !key.Equal(private.PublicKey()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.show = func(...attribute) ([][]byte, error) { return nil, ckr("C_GetAttributeValue", 0x11) }
	if _, err := ecPublic(use, 0); !hasCode(err, 0x11) {
		t.Errorf("EC, hidden: %v", err)
	}
	if _, err := rsaPublic(use, 0); !hasCode(err, 0x11) {
		t.Errorf("RSA, hidden: %v", err)
	}
	for curve, want := range map[ecdh.Curve]int{ecdh.P256(): 32, ecdh.P384(): 48, ecdh.P521(): 66, ecdh.X25519(): 0} {
		if got := fieldBytes(curve); got != want {
			t.Errorf("%v: %d bytes", curve, got)
		}
	}
}

// If a call of the token fails for another reason than a loss, the error is
// reported, also by the constructors, and the call is not repeated.
func TestOtherFailures(t *testing.T) {
	s, token, keyrings := simulated(t, Config{})
	fail := func(name string) {
		s.fault = func(call string) error {
			if call == name {
				return ckr(call, 0x5)
			}
			return nil
		}
		clear(s.calls)
	}
	for call, f := range map[string]func() (esdk.Keyring, error){
		"C_DecryptInit": func() (esdk.Keyring, error) {
			return NewRSAKeyring(t.Context(), token, RSAConfig{Namespace: "n", Name: "n", Key: KeyRef{Label: "rsa"}, PKCS1v15: true})
		},
		"C_DeriveKey": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}})
		},
		"C_FindObjects": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}})
		},
		"C_GetAttributeValue": func() (esdk.Keyring, error) {
			return NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}})
		},
	} {
		fail(call)
		if kr, err := f(); kr != nil || !hasCode(err, 0x5) || s.calls["C_Login"] != 0 {
			t.Errorf("%s: %v, %v, %v", call, kr, err, s.calls)
		}
		// A key that hides its attributes is looked up by its label.
		if call != "C_GetAttributeValue" && s.calls[call] != 1 {
			t.Errorf("%s: %d calls", call, s.calls[call])
		}
	}
	s.fault = nil
	if _, err := NewRSAKeyring(t.Context(), token, RSAConfig{Namespace: "n", Name: "n", Key: KeyRef{Label: "none"}}); !errors.Is(err, ErrNoKey) {
		t.Errorf("no RSA key: %v", err)
	}
	if _, err := NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "none"}}); !errors.Is(err, ErrNoKey) {
		t.Errorf("no EC key: %v", err)
	}
	fail("C_OpenSession")
	if _, err := keyrings["AES"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !hasCode(err, 0x5) {
		t.Errorf("no session: %v", err)
	}
	s.fault = nil
	works(t, "with a session", keyrings["AES"]) // keeps the session
	fail("C_OpenSession")
	s.lose()
	if _, err := keyrings["AES"].Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); !hasCode(err, 0x5) {
		t.Errorf("no session for the login: %v", err)
	}
	s.fault = nil
	works(t, "after all of that", keyrings["AES"])
}

// A key is looked up once per connection, and sessions are reused.
func TestKeyIsKept(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	for name, kr := range keyrings {
		s.lose()
		works(t, name, kr)
		works(t, name, kr) // PKCS #1 v1.5 closes the session of the first call
		clear(s.calls)
		for range 3 {
			works(t, name, kr)
		}
		sessions := map[bool]int{true: 3}[name == "PKCS1"]
		if s.calls["C_FindObjects"] != 0 || s.calls["C_Login"] != 0 || s.calls["C_OpenSession"] != sessions {
			t.Errorf("%s: %v", name, s.calls)
		}
	}
}

// An AES keyring handles malformed messages, and a broken token.
func TestAESFaults(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	kr := keyrings["AES"]
	_, req := wrap(t, kr)
	good := req.EncryptedDataKeys[0]
	clear(s.calls)
	unwrap := func(change func(*esdk.EncryptedDataKey)) error {
		edk := good
		edk.ProviderInfo = bytes.Clone(good.ProviderInfo)
		change(&edk)
		_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
		return err
	}
	for name, test := range map[string]struct {
		change func(*esdk.EncryptedDataKey)
		want   string // a part of the error
		errors int
	}{
		"other length of tag":  {func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo[4] = 96 }, "another length of tag or IV", 1},
		"other length of IV":   {func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo[8] = 16 }, "another length of tag or IV", 1},
		"short ciphertext":     {func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = edk.Ciphertext[1:] }, "ciphertext has 47 bytes, need 48", 1},
		"longer provider info": {func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = append(edk.ProviderInfo, 0) }, "", 0},
		"other name":           {func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo[0] = 'b' }, "", 0},
		"other namespace":      {func(edk *esdk.EncryptedDataKey) { edk.ProviderID = "corp2" }, "", 0},
	} {
		err := unwrap(test.change)
		none, ok := errors.AsType[*esdk.NoDataKeyError](err)
		if !ok || len(none.Errors) != test.errors || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.calls[callDecrypt] != 0 {
		t.Errorf("the token is asked %d times about what cannot be", s.calls[callDecrypt])
	}
	for _, n := range []int{0, 47, 49} {
		s.ciphertext = func(b []byte) []byte { return append(b, 0)[:n] }
		if r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); r != nil || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("returned %d bytes for 32", n)) {
			t.Errorf("a ciphertext of %d bytes: %v", n, err)
		}
	}
}

// A point off the curve never reaches the token, nor does a ciphertext that is
// too long or too short for a data key.
func TestECDHFaults(t *testing.T) {
	s, token, keyrings := simulated(t, Config{})
	kr := keyrings["ECDH"]
	_, req := wrap(t, kr)
	discovery := must[esdk.Keyring](t)(NewECDHDiscoveryKeyring(t.Context(), token, ECDHConfig{Key: KeyRef{Label: "ec"}}))
	public := must[crypto.PublicKey](t)(token.PublicKey(t.Context(), KeyRef{Label: "ec"})).(*ecdh.PublicKey)
	toToken := must[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(public))
	_, ephemeral := wrap(t, toToken)
	edk := &ephemeral.EncryptedDataKeys[0]
	good := bytes.Clone(edk.ProviderInfo)
	clear(s.calls)
	refused := 0
	for i := range 20 {
		edk.ProviderInfo = bytes.Clone(good)
		edk.ProviderInfo[len(good)-1] ^= byte(i + 1) // of the sender's point
		_, err := discovery.Unwrap(t.Context(), ephemeral)
		if !errors.Is(err, esdk.ErrNoDataKey) {
			t.Error(err)
		}
		if s.calls["C_DeriveKey"] == 0 {
			refused++
		}
		clear(s.calls)
	}
	if refused == 0 {
		t.Error("each point reaches the token") // half of them are off the curve
	}
	own := req.EncryptedDataKeys[0]
	try := func(edk esdk.EncryptedDataKey) ([]byte, *esdk.NoDataKeyError) {
		got, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
		none := new(esdk.NoDataKeyError)
		errors.As(err, &none)
		return got, none
	}
	// The keyring of AWS KMS writes the same format under its own provider.
	for provider, ok := range map[string]bool{"aws-kms-ecdh": true, "raw-ecdh": true, "raw": false} {
		if got, none := try(esdk.EncryptedDataKey{ProviderID: provider, ProviderInfo: own.ProviderInfo, Ciphertext: own.Ciphertext}); (len(got) > 0) != ok || len(none.Errors) > 0 {
			t.Errorf("%s: %d bytes, %v", provider, len(got), none)
		}
	}
	// A data key of other parties is skipped; a malformed one is reported.
	if _, none := try(ephemeral.EncryptedDataKeys[0]); len(none.Errors) != 0 {
		t.Errorf("of other parties: %v", none)
	}
	if _, none := try(esdk.EncryptedDataKey{ProviderID: "raw-ecdh", ProviderInfo: own.ProviderInfo[1:], Ciphertext: own.Ciphertext}); len(none.Errors) != 1 {
		t.Errorf("malformed: %v", none)
	}
	clear(s.calls)
	req.EncryptedDataKeys[0].Ciphertext = req.EncryptedDataKeys[0].Ciphertext[1:]
	_, err := kr.Unwrap(t.Context(), req)
	if !errors.Is(err, esdk.ErrNoDataKey) || !strings.Contains(err.Error(), "ciphertext has 111 bytes, need 112") || s.calls["C_DeriveKey"] != 0 {
		t.Errorf("a short ciphertext: %v", err)
	}
}

func TestRSACiphertextLength(t *testing.T) {
	_, _, keyrings := simulated(t, Config{})
	for _, name := range []string{"RSA", "PKCS1"} {
		_, req := wrap(t, keyrings[name])
		for _, change := range []func([]byte) []byte{func(b []byte) []byte { return b[1:] }, func(b []byte) []byte { return append([]byte{0}, b...) }} {
			bad := *req
			bad.EncryptedDataKeys = []esdk.EncryptedDataKey{req.EncryptedDataKeys[0]}
			bad.EncryptedDataKeys[0].Ciphertext = change(req.EncryptedDataKeys[0].Ciphertext)
			if _, err := keyrings[name].Unwrap(t.Context(), &bad); err == nil || !strings.Contains(err.Error(), "need 256") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	_, _, keyrings := simulated(t, Config{})
	for name, kr := range keyrings {
		_, req := wrap(t, kr)
		if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 1, EncryptedDataKeys: req.EncryptedDataKeys}); err == nil || errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("%s: unknown suite: %v", name, err)
		}
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: 1}); err == nil {
			t.Errorf("%s: unknown suite to wrap: %v", name, err)
		}
		if name == "RSA" || name == "PKCS1" {
			continue // they bind no context
		}
		bad := esdk.EncryptionContext{"\xff": ""}
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: %v", name, err)
		}
		req.EncryptionContext = bad
		if _, err := kr.Unwrap(t.Context(), req); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If the caller gives up, the token does no more work for it, and the error
// includes the earlier data key's.
func TestGivingUp(t *testing.T) {
	s, _, keyrings := simulated(t, Config{})
	for name, kr := range keyrings {
		_, req := wrap(t, kr)
		req.EncryptedDataKeys = append(req.EncryptedDataKeys, req.EncryptedDataKeys[0], req.EncryptedDataKeys[0])
		ctx, cancel := context.WithCancel(t.Context())
		s.fault = func(call string) error {
			if call == "C_DecryptInit" || call == "C_DeriveKey" {
				cancel()
				return ckr(call, 0x5)
			}
			return nil
		}
		clear(s.calls)
		_, err := kr.Unwrap(ctx, req)
		none, ok := errors.AsType[*esdk.NoDataKeyError](err)
		if calls := s.calls["C_DecryptInit"] + s.calls["C_DeriveKey"]; !ok || len(none.Errors) != 2 || !errors.Is(err, context.Canceled) || calls != 1 || !strings.Contains(err.Error(), "encrypted data key 1 (") {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
		s.fault = nil
		if _, err := kr.Wrap(ctx, &esdk.WrapRequest{Suite: suite}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Wrap: %v", name, err)
		}
	}
}

// While the only session is in use, a caller waits until it gives up or the
// token is closed.
func TestWaitingForSession(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		_, token, _ := simulated(t, Config{Sessions: 1})
		used, done := make(chan bool), make(chan bool)
		var workers sync.WaitGroup
		workers.Go(func() {
			if err := token.do(t.Context(), func(*session) error { close(used); <-done; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-used
		ctx, cancel := context.WithCancel(t.Context())
		for want, ctx := range map[error]context.Context{context.Canceled: ctx, ErrClosed: t.Context()} {
			workers.Go(func() {
				if err := token.do(ctx, func(*session) error { return nil }); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		workers.Go(func() { token.Close() })
		synctest.Wait()
		close(done)
		workers.Wait()
	})
}

// A caller that has given up doesn't wait for a lock that somebody else holds,
// for instance during a login.
func TestForgetGivesUp(t *testing.T) {
	_, token, _ := simulated(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	token.lock <- struct{}{}
	if err := token.forget(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	token.unlock()
	// A connection that somebody else has renewed stays.
	if err := token.forget(t.Context(), token.generation-1); err != nil || !token.connected {
		t.Errorf("connected: %t, %v", token.connected, err)
	}
	if err := token.forget(t.Context(), token.generation); err != nil || token.connected || len(token.idle) != 0 {
		t.Errorf("connected: %t, %v", token.connected, err)
	}
}

func TestPINFileErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := PINFile(filepath.Join(dir, "none"))(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := PINFile(dir)(t.Context()); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := PINFile(empty)(t.Context()); err == nil || !strings.Contains(err.Error(), "holds no PIN") {
		t.Errorf("an empty file: %v", err)
	}
	for n, ok := range map[int]bool{1: true, maxPINFile: true, maxPINFile + 1: false} {
		name := filepath.Join(dir, "pin")
		if err := os.WriteFile(name, bytes.Repeat([]byte{'1'}, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if pin, err := PINFile(name)(t.Context()); (err == nil) != ok || ok && len(pin) != n {
			t.Errorf("%d bytes: %d, %v", n, len(pin), err)
		}
	}
}

// A public key of the right length that isn't the token's is rejected.
func TestRSAOfAnother(t *testing.T) {
	_, token, _ := simulated(t, Config{})
	for _, n := range []*big.Int{nil, new(big.Int), new(big.Int).Neg(rsaPair().N)} {
		c := RSAConfig{Namespace: "n", Name: "n", Key: KeyRef{Label: "rsa"}, PublicKey: &rsa.PublicKey{N: n, E: 65537}}
		if kr, err := NewRSAKeyring(t.Context(), token, c); kr != nil || err == nil || !strings.Contains(err.Error(), "has no modulus") {
			t.Errorf("modulus %v: %v", n, err)
		}
	}
	other := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	for _, c := range []RSAConfig{{PKCS1v15: true}, {}} {
		c.Namespace, c.Name, c.Key, c.PublicKey = "n", "n", KeyRef{Label: "rsa"}, &other.PublicKey
		if kr, err := NewRSAKeyring(t.Context(), token, c); kr != nil || err == nil || !strings.Contains(err.Error(), "cannot be used") {
			t.Errorf("%v: %v", kr, err)
		}
	}
}
