package hpke_test

import (
	"bytes"
	stdhpke "crypto/hpke"
	"errors"
	"strings"
	"testing"

	"esdk"
	"esdk/esdktest"
	"esdk/hpke"
)

const suite = esdk.AES256GCMHKDFSHA512CommitECDSAP384

// must returns a constructor's result.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newKey returns the same key for the same seed.
func newKey(t testing.TB, seed byte) stdhpke.PrivateKey {
	t.Helper()
	return must[stdhpke.PrivateKey](t)(stdhpke.MLKEM768X25519().NewPrivateKey(bytes.Repeat([]byte{seed}, 32)))
}

// newKeyring returns a keyring that encrypts and decrypts.
func newKeyring(t testing.TB, name string, key stdhpke.PrivateKey) esdk.Keyring {
	t.Helper()
	return must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: name, PublicKey: key.PublicKey(), PrivateKey: key}))
}

func wrap(t testing.TB, kr esdk.Keyring) ([]byte, esdk.EncryptedDataKey) {
	t.Helper()
	r := must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: sampleContext}))
	return r.DataKey, r.EncryptedDataKeys[0]
}

func unwrap(t testing.TB, kr esdk.Keyring, edks ...esdk.EncryptedDataKey) ([]byte, error) {
	return kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: sampleContext, EncryptedDataKeys: edks})
}

var sampleContext = esdk.EncryptionContext{"k": "v"}

func TestKeyring(t *testing.T) {
	esdktest.TestKeyring(t, newKeyring(t, "key", newKey(t, 1)))
}

func TestKeyringHalves(t *testing.T) {
	key := newKey(t, 1)
	public := must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: "key", PublicKey: key.PublicKey()}))
	private := must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: "key", PrivateKey: key}))
	esdktest.KeyringTest{Encrypt: public, Decrypt: private, ProviderIDs: []string{hpke.ProviderID}}.Run(t)

	if _, err := private.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); err == nil || !strings.Contains(err.Error(), "cannot encrypt") {
		t.Errorf("the private key alone encrypts: %v", err)
	}
	_, edk := wrap(t, public)
	if _, err := unwrap(t, public, edk); !errors.Is(err, esdk.ErrNoDataKey) || !strings.Contains(err.Error(), "cannot decrypt") {
		t.Errorf("the public key alone decrypts: %v", err)
	}
}

func TestNewKeyring(t *testing.T) {
	key, other := newKey(t, 1), newKey(t, 2)
	nist := must[stdhpke.PrivateKey](t)(stdhpke.MLKEM768P256().GenerateKey())
	for _, c := range []struct {
		name string
		c    hpke.Config
		want string // a part of the error
	}{
		{"nothing", hpke.Config{}, "name"},
		{"no name", hpke.Config{PublicKey: key.PublicKey()}, "name"},
		{"long name", hpke.Config{Name: strings.Repeat("x", 65519), PublicKey: key.PublicKey()}, "name"},
		{"no key", hpke.Config{Name: "k"}, "needs a public or a private key"},
		{"other KEM, public", hpke.Config{Name: "k", PublicKey: nist.PublicKey()}, "not of ML-KEM-768 with X25519"},
		{"other KEM, private", hpke.Config{Name: "k", PrivateKey: nist}, "not of ML-KEM-768 with X25519"},
		{"other KEMs", hpke.Config{Name: "k", PublicKey: key.PublicKey(), PrivateKey: nist}, "not of ML-KEM-768 with X25519"},
		{"no pair", hpke.Config{Name: "k", PublicKey: key.PublicKey(), PrivateKey: other}, "not the private key's"},
	} {
		if kr, err := hpke.NewKeyring(c.c); kr != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
	longest := newKeyring(t, strings.Repeat("x", 65518), key)
	dataKey, edk := wrap(t, longest)
	if got, err := unwrap(t, longest, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("the longest name: %v", err)
	}
}

// A message to two people has an encrypted data key for each. Each finds their
// own, at any place and under any name.
func TestSeveralKeys(t *testing.T) {
	alice, bob, carol := newKeyring(t, "key", newKey(t, 1)), newKeyring(t, "key", newKey(t, 2)), newKeyring(t, "key", newKey(t, 3))
	both := must[esdk.Keyring](t)(esdk.NewMultiKeyring(alice, bob))
	esdktest.KeyringTest{Encrypt: both, Decrypt: both, NoWrap: true}.Run(t)
	message := must[[]byte](t)(esdk.Encrypt(t.Context(), both, []byte("secret"), sampleContext))
	for _, kr := range []esdk.Keyring{alice, bob} {
		if got, err := esdk.Decrypt(t.Context(), kr, message, sampleContext); err != nil || string(got) != "secret" {
			t.Errorf("%q, %v", got, err)
		}
	}
	// Other people skip the data keys as foreign.
	_, err := esdk.Decrypt(t.Context(), carol, message, sampleContext)
	if none, ok := errors.AsType[*esdk.NoDataKeyError](err); !ok || len(none.Errors) != 0 {
		t.Errorf("another's key: %v", err)
	}
}

// Next to a raw key of another kind, either opens the message.
func TestMultiKeyring(t *testing.T) {
	aes := must[esdk.Keyring](t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "test", Name: "aes", Key: make([]byte, 32)}))
	own := newKeyring(t, "key", newKey(t, 1))
	for _, order := range [][]esdk.Keyring{{aes, own}, {own, aes}} {
		both := must[esdk.Keyring](t)(esdk.NewMultiKeyring(order[0], order[1]))
		message := must[[]byte](t)(esdk.Encrypt(t.Context(), both, []byte("secret"), sampleContext))
		for _, kr := range []esdk.Keyring{aes, own, both} {
			if got, err := esdk.Decrypt(t.Context(), kr, message, sampleContext); err != nil || string(got) != "secret" {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
}

// A data key unwraps only with everything that it's bound to.
func TestBound(t *testing.T) {
	kr := newKeyring(t, "key", newKey(t, 1))
	_, edk := wrap(t, kr)
	for name, req := range map[string]esdk.UnwrapRequest{
		"other suite of the same key length": {Suite: esdk.AES256GCM, EncryptionContext: sampleContext},
		"no context":                         {Suite: suite},
		"other context":                      {Suite: suite, EncryptionContext: esdk.EncryptionContext{"k": "w"}},
		"longer context":                     {Suite: suite, EncryptionContext: esdk.EncryptionContext{"k": "v", "l": "v"}},
	} {
		req.EncryptedDataKeys = []esdk.EncryptedDataKey{edk}
		dataKey, err := kr.Unwrap(t.Context(), &req)
		if dataKey != nil || !errors.Is(err, esdk.ErrNoDataKey) || !strings.Contains(err.Error(), "wrong encryption context") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 0x1234}); err == nil || errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("unknown suite: %v", err)
	}
	// The name is bound, even for the same key pair.
	renamed := edk
	renamed.ProviderInfo = append(bytes.Clone(edk.ProviderInfo[:len(edk.ProviderInfo)-len("key")]), "yek"...)
	if _, err := unwrap(t, newKeyring(t, "yek", newKey(t, 1)), renamed); err == nil || !strings.Contains(err.Error(), "wrong encryption context") {
		t.Errorf("renamed: %v", err)
	}
}

// A public key whose X25519 half has low order encrypts nothing.
func TestLowOrderPublicKey(t *testing.T) {
	b := append(newKey(t, 1).PublicKey().Bytes()[:1184], make([]byte, 32)...)
	public := must[stdhpke.PublicKey](t)(stdhpke.MLKEM768X25519().NewPublicKey(b))
	kr := must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: "key", PublicKey: public}))
	if r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); r != nil || err == nil || !strings.Contains(err.Error(), `hpke: key "key"`) {
		t.Errorf("%v, %v", r, err)
	}
}

// Unusable data keys for this provider are reported, and the keyring still
// finds its own.
func TestMalformed(t *testing.T) {
	kr := newKeyring(t, "key", newKey(t, 1))
	dataKey, good := wrap(t, kr)
	id := good.ProviderInfo[1:17]
	info := func(parts ...string) []byte { return []byte(strings.Join(parts, "")) }
	for _, c := range []struct {
		name       string
		info       []byte
		ciphertext []byte
		want       string // a part of the error
	}{
		{"no provider info", nil, good.Ciphertext, "provider info is empty"},
		{"later version", info("\x02", string(id), "key"), good.Ciphertext, "version 2 of the format is not known"},
		{"later version, otherwise malformed", info("\x02"), nil, "version 2 of the format is not known"},
		{"version 0", info("\x00", string(id), "key"), good.Ciphertext, "version 0 of the format is not known"},
		{"cut short", good.ProviderInfo[:16], good.Ciphertext, "provider info has 16 bytes, need more than 17"},
		{"no name", good.ProviderInfo[:17], good.Ciphertext, "provider info has 17 bytes, need more than 17"},
		{"other name", info("\x01", string(id), "other"), good.Ciphertext, `under another name than "key"`},
		{"no ciphertext", good.ProviderInfo, nil, "ciphertext has 0 bytes, need 1168"},
		{"only enc", good.ProviderInfo, good.Ciphertext[:1120], "ciphertext has 1120 bytes, need 1168"},
		{"longer", good.ProviderInfo, append(bytes.Clone(good.Ciphertext), 0), "ciphertext has 1169 bytes, need 1168"},
		{"X25519 of low order", good.ProviderInfo, append(append(bytes.Clone(good.Ciphertext[:1088]), make([]byte, 32)...), good.Ciphertext[1120:]...), "low order point"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := esdk.EncryptedDataKey{ProviderID: hpke.ProviderID, ProviderInfo: c.info, Ciphertext: c.ciphertext}
			_, err := unwrap(t, kr, bad)
			if none, ok := errors.AsType[*esdk.NoDataKeyError](err); !ok || len(none.Errors) != 1 || !strings.Contains(err.Error(), "encrypted data key 1 (esdk-hpke): ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want one error with %q", err, c.want)
			}
			if !errors.Is(err, esdk.ErrAuthentication) {
				t.Errorf("%v doesn't match ErrAuthentication, but the data key is at fault", err)
			}
			if got, err := unwrap(t, kr, bad, good); err != nil || !bytes.Equal(got, dataKey) {
				t.Errorf("the good one behind it: %v", err)
			}
		})
	}
}

// A message names the key that opens it.
func TestParseProviderInfo(t *testing.T) {
	key := newKey(t, 1)
	_, edk := wrap(t, newKeyring(t, "a name", key))
	name, fingerprint, err := hpke.ParseProviderInfo(edk.ProviderInfo)
	if err != nil || name != "a name" || fingerprint != hpke.Fingerprint(key.PublicKey()) || len(fingerprint) != 32 {
		t.Errorf("%q, %s, %v", name, fingerprint, err)
	}
	if hpke.Fingerprint(newKey(t, 2).PublicKey()) == fingerprint {
		t.Error("two keys have one fingerprint")
	}
	if _, _, err := hpke.ParseProviderInfo([]byte{2}); err == nil {
		t.Error("version 2 is known")
	}
}

// Each wrap makes a fresh encapsulation.
func TestFreshEncapsulation(t *testing.T) {
	kr := newKeyring(t, "key", newKey(t, 1))
	_, one := wrap(t, kr)
	_, two := wrap(t, kr)
	if bytes.Equal(one.Ciphertext[:1088], two.Ciphertext[:1088]) || bytes.Equal(one.Ciphertext[1088:1120], two.Ciphertext[1088:1120]) {
		t.Error("two data keys have one encapsulation")
	}
}

// An invalid request has its own error, and reveals nothing.
func TestBadRequests(t *testing.T) {
	kr := newKeyring(t, "key", newKey(t, 1))
	invalid := esdk.EncryptionContext{"k": "\xff"}
	for name, req := range map[string]*esdk.WrapRequest{
		"unknown suite": {Suite: 0x1234},
		"short key":     {Suite: suite, DataKey: make([]byte, 16)},
		"empty key":     {Suite: suite, DataKey: []byte{}},
		"no UTF-8":      {Suite: suite, EncryptionContext: invalid},
	} {
		if r, err := kr.Wrap(t.Context(), req); r != nil || err == nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	_, edk := wrap(t, kr)
	dataKey, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: invalid, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
	if dataKey != nil || !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("no UTF-8: %v", err)
	}
}
