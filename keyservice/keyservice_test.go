package keyservice_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/esdktest"
	"esdk/internal/faulttest"
	"esdk/internal/fipstest"
	"esdk/keyservice"
)

const suite = esdk.AES256GCMHKDFSHA512CommitECDSAP384

var ec = esdk.EncryptionContext{"tenant": "17"}

// aesService keeps its key in memory. The tests of the command, cmd/esdk, use
// the Go CDK's services.
type aesService struct{ cipher.AEAD }

func newAESService(t testing.TB, key []byte) *aesService {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &aesService{aead}
}

func (k *aesService) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.Seal(nil, nil, plaintext, nil), nil
}

func (k *aesService) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return k.Open(nil, nil, ciphertext, nil)
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newKeyring(t testing.TB, k keyservice.Service, name string) esdk.Keyring {
	t.Helper()
	kr, err := keyservice.NewKeyring(k, name)
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func wrap(t testing.TB, kr esdk.Keyring) ([]byte, esdk.EncryptedDataKey) {
	t.Helper()
	r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: ec})
	if err != nil {
		t.Fatal(err)
	}
	return r.DataKey, r.EncryptedDataKeys[0]
}

func unwrap(t testing.TB, kr esdk.Keyring, edks ...esdk.EncryptedDataKey) ([]byte, error) {
	t.Helper()
	return kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: ec, EncryptedDataKeys: edks})
}

// wantErrors checks that nothing was unwrapped and that each attempt has its
// error.
func wantErrors(t *testing.T, err error, texts ...string) {
	t.Helper()
	none, ok := errors.AsType[*esdk.NoDataKeyError](err)
	if !ok || len(none.Errors) != len(texts) {
		t.Fatalf("got %v, want a NoDataKeyError with %d errors", err, len(texts))
	}
	for i, text := range texts {
		if !strings.Contains(none.Errors[i].Error(), text) {
			t.Errorf("got %q, want %q", none.Errors[i], text)
		}
	}
}

func TestConformance(t *testing.T) {
	esdktest.KeyringTest{
		Encrypt:     newKeyring(t, newAESService(t, key(1)), "orders"),
		Decrypt:     newKeyring(t, newAESService(t, key(1)), "orders"),
		ProviderIDs: []string{"esdk-keeper"},
	}.Run(t)
}

// TestKnownAnswers: testdata/known.py made the answers. It shares no code with
// this library.
func TestKnownAnswers(t *testing.T) {
	text, err := os.ReadFile("testdata/known.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers []struct {
		ServiceKey, KeyName, DataKey, ProviderInfo, Ciphertext string
		Suite                                                  uint16
		EncryptionContext                                      esdk.EncryptionContext
	}
	if err := json.Unmarshal(text, &answers); err != nil || len(answers) == 0 {
		t.Fatal(len(answers), err)
	}
	for i, a := range answers {
		kr := newKeyring(t, newAESService(t, unhex(t, a.ServiceKey)), a.KeyName)
		got, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{
			Suite: esdk.SuiteID(a.Suite), EncryptionContext: a.EncryptionContext, EncryptedDataKeys: []esdk.EncryptedDataKey{
				{ProviderID: "esdk-keeper", ProviderInfo: unhex(t, a.ProviderInfo), Ciphertext: unhex(t, a.Ciphertext)},
			},
		})
		if err != nil || !bytes.Equal(got, unhex(t, a.DataKey)) {
			t.Errorf("answer %d: got %x, %v", i, got, err)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOtherContext(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	_, edk := wrap(t, kr)
	for _, other := range []esdk.EncryptionContext{nil, {"tenant": "18"}, {"tenant": "17", "x": ""}} {
		_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: other, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
		wantErrors(t, err, "wrong key or encryption context")
	}
}

// A data key serves only its own suite, not others of the same key length.
func TestOtherSuite(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	_, edk := wrap(t, kr)
	_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: esdk.AES256GCM, EncryptionContext: ec, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
	wantErrors(t, err, "wrong key or encryption context")
}

// TestEveryBit flips each bit of the provider info and of the ciphertext, and
// truncates each at every length.
func TestEveryBit(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	_, good := wrap(t, kr)
	refused := func(what string, edk esdk.EncryptedDataKey) {
		t.Helper()
		if _, err := unwrap(t, kr, edk); !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, field := range []func(*esdk.EncryptedDataKey) *[]byte{
		func(edk *esdk.EncryptedDataKey) *[]byte { return &edk.ProviderInfo },
		func(edk *esdk.EncryptedDataKey) *[]byte { return &edk.Ciphertext },
	} {
		whole := *field(&good)
		for i := range whole {
			for bit := range 8 {
				edk := good
				*field(&edk) = faulttest.Changed(whole, []byte{1 << bit}, uint16(i))
				refused(fmt.Sprintf("bit %d of byte %d", bit, i), edk)
			}
			edk := good
			*field(&edk) = whole[:i]
			refused(fmt.Sprintf("cut to %d bytes", i), edk)
		}
	}
}

// The service ciphertexts of two data keys are swapped: each key-encryption key
// opens only the data key that it wrapped.
func TestSwappedKeys(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	_, a := wrap(t, kr)
	_, b := wrap(t, kr)
	sealed := len(a.Ciphertext) - 32 - 16
	a.Ciphertext = slices.Concat(a.Ciphertext[:sealed], b.Ciphertext[sealed:])
	_, err := unwrap(t, kr, a)
	wantErrors(t, err, "wrong key or encryption context")
}

// A service may read several ciphertexts as the same; the keyring accepts only
// the original one.
func TestMalleableService(t *testing.T) {
	kr := newKeyring(t, foldingService{newAESService(t, key(1))}, "orders")
	dataKey, edk := wrap(t, kr)
	if got, err := unwrap(t, kr, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Fatalf("unwrap: %v", err)
	}
	edk.Ciphertext = bytes.Clone(edk.Ciphertext)
	edk.Ciphertext[2] ^= 'a' ^ 'A'
	_, err := unwrap(t, kr, edk)
	wantErrors(t, err, "wrong key or encryption context")
}

// foldingService begins its ciphertexts with a letter whose case it ignores.
type foldingService struct{ *aesService }

func (k foldingService) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	c, err := k.aesService.Encrypt(ctx, plaintext)
	return append([]byte("v"), c...), err
}

func (k foldingService) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	return k.aesService.Decrypt(ctx, ciphertext[1:])
}

func TestForeignAndMalformed(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	dataKey, good := wrap(t, kr)
	with := func(change func(*esdk.EncryptedDataKey)) esdk.EncryptedDataKey {
		edk := good
		change(&edk)
		return edk
	}
	foreign := []esdk.EncryptedDataKey{
		{ProviderID: "aws-kms", ProviderInfo: good.ProviderInfo, Ciphertext: good.Ciphertext},
		with(func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = []byte("\x01order") }),
		with(func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = []byte("\x01orders2") }),
		with(func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = []byte("\x01") }),
	}
	malformed := []esdk.EncryptedDataKey{
		with(func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = nil }),
		with(func(edk *esdk.EncryptedDataKey) { edk.ProviderInfo = []byte("\x02orders") }),
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = nil }),
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = []byte{0} }),
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = []byte{0, 1} }),
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = make([]byte, 2+32+16) }), // an empty service ciphertext
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = append([]byte{0xFF, 0xFF}, make([]byte, 100)...) }),
		with(func(edk *esdk.EncryptedDataKey) { edk.Ciphertext = append([]byte{0, 100}, make([]byte, 100+48)...) }),
	}
	_, err := unwrap(t, kr, foreign...)
	wantErrors(t, err)
	_, err = unwrap(t, kr, append(foreign, malformed...)...)
	none, ok := errors.AsType[*esdk.NoDataKeyError](err)
	if !ok || !strings.HasPrefix(none.Errors[0].Error(), "encrypted data key 5 (esdk-keeper)") {
		t.Errorf("the first that is malformed is the fifth: %v", err)
	}
	wantErrors(t, err, "provider info is empty", "version 2", "cut short", "cut short", "does not match its parts", "does not match its parts", "does not match its parts", "message authentication failed")
	if got, err := unwrap(t, kr, slices.Concat(foreign, malformed, []esdk.EncryptedDataKey{good})...); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("behind all of those: %v", err)
	}
}

// brokenService returns preset results.
type brokenService struct {
	result []byte
	err    error
	calls  *int
}

func (k brokenService) Encrypt(context.Context, []byte) ([]byte, error) { return k.result, k.err }
func (k brokenService) Decrypt(context.Context, []byte) ([]byte, error) {
	if k.calls != nil {
		*k.calls++
	}
	return bytes.Clone(k.result), k.err
}

type serviceError struct{ status int }

func (e *serviceError) Error() string { return fmt.Sprintf("status %d", e.status) }

func TestServiceErrors(t *testing.T) {
	_, edk := wrap(t, newKeyring(t, newAESService(t, key(1)), "orders"))
	kr := newKeyring(t, brokenService{err: &serviceError{403}}, "orders")
	for what, call := range map[string]func() error{
		"Wrap": func() error {
			_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite})
			return err
		},
		"Unwrap": func() error { _, err := unwrap(t, kr, edk); return err },
	} {
		err := call()
		if e, ok := errors.AsType[*serviceError](err); !ok || e.status != 403 {
			t.Errorf("%s: got %v, and cannot reach the service's error", what, err)
		}
		if !strings.Contains(err.Error(), `key "orders"`) {
			t.Errorf("%s: %q does not name the key", what, err)
		}
	}
}

// The service returns a wrong key, a result of the wrong length, or nothing.
func TestBrokenService(t *testing.T) {
	_, edk := wrap(t, newKeyring(t, newAESService(t, key(1)), "orders"))
	for _, n := range []int{0, 16, 31, 33} {
		_, err := unwrap(t, newKeyring(t, brokenService{result: make([]byte, n)}, "orders"), edk)
		wantErrors(t, err, fmt.Sprintf("key of %d bytes", n))
	}
	neither := newKeyring(t, brokenService{}, "orders")
	if r, err := neither.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}); r != nil || err == nil {
		t.Errorf("neither a ciphertext nor an error: %v, %v", r, err)
	}
	_, err := unwrap(t, neither, edk)
	wantErrors(t, err, "key of 0 bytes")
	_, err = unwrap(t, newKeyring(t, brokenService{result: key(9)}, "orders"), edk)
	wantErrors(t, err, "wrong key or encryption context")

	const most = 0xFFFF - 2 - 32 - 16
	for n, ok := range map[int]bool{0: false, 1: true, most: true, most + 1: false} {
		kr := newKeyring(t, brokenService{result: make([]byte, n)}, "orders")
		r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite})
		if ok != (err == nil) || ok && len(r.EncryptedDataKeys[0].Ciphertext) != 2+n+32+16 {
			t.Errorf("Wrap with a ciphertext of %d bytes: %v", n, err)
		}
	}
}

// watchedService keeps the slices that hold a key-encryption key.
type watchedService struct {
	*aesService
	err  error // returned with each result
	seen [][]byte
}

func (k *watchedService) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	k.seen = append(k.seen, plaintext)
	c, err := k.aesService.Encrypt(ctx, plaintext)
	return c, errors.Join(err, k.err)
}

func (k *watchedService) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	p, err := k.aesService.Decrypt(ctx, ciphertext)
	k.seen = append(k.seen, p)
	return p, errors.Join(err, k.err)
}

// No key-encryption key stays in memory, however a call ends.
func TestKeysCleared(t *testing.T) {
	k := &watchedService{aesService: newAESService(t, key(1))}
	kr := newKeyring(t, k, "orders")
	for _, k.err = range []error{nil, &serviceError{500}} {
		k.seen = nil
		r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: ec})
		if (err == nil) != (k.err == nil) {
			t.Error(err)
		}
		if err == nil {
			edk := r.EncryptedDataKeys[0]
			dataKey, err := unwrap(t, kr, edk)
			if err != nil || cap(dataKey) != len(dataKey) {
				t.Errorf("a data key of %d bytes stands in an array of %d: %v", len(dataKey), cap(dataKey), err)
			}
			k.err = &serviceError{500}
			unwrap(t, kr, edk)
			k.err = nil
			edk.Ciphertext[len(edk.Ciphertext)-1] ^= 1
			unwrap(t, kr, edk)
		}
		if want := map[bool]int{true: 4, false: 1}[err == nil]; len(k.seen) != want {
			t.Errorf("%d keys, want %d", len(k.seen), want)
		}
		for i, kek := range k.seen {
			if len(kek) != 32 || !bytes.Equal(kek, make([]byte, 32)) {
				t.Errorf("key %d stays in memory", i)
			}
		}
	}
}

// Once the caller has given up, no more data keys are tried.
func TestCancelled(t *testing.T) {
	_, edk := wrap(t, newKeyring(t, newAESService(t, key(1)), "orders"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := 0
	kr := newKeyring(t, brokenService{err: ctx.Err(), calls: &calls}, "orders")
	_, err := kr.Unwrap(ctx, &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: []esdk.EncryptedDataKey{edk, edk, edk}})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestNewKeyring(t *testing.T) {
	k := newAESService(t, key(1))
	for _, bad := range []struct {
		service keyservice.Service
		name    string
	}{{nil, "orders"}, {(*aesService)(nil), "orders"}, {k, ""}, {k, strings.Repeat("n", 0xFFFF)}} {
		_, err := keyservice.NewKeyring(bad.service, bad.name)
		if err == nil || len(bad.name) > 6 && !strings.Contains(err.Error(), "has 65535 bytes, at most 65534") {
			t.Errorf("name of %d bytes: %v", len(bad.name), err)
		}
	}
	longest := newKeyring(t, k, strings.Repeat("n", 0xFFFE))
	dataKey, edk := wrap(t, longest)
	if got, err := unwrap(t, longest, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("the longest name: %v", err)
	}
}

func TestUnknownSuite(t *testing.T) {
	kr := newKeyring(t, newAESService(t, key(1)), "orders")
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: 1}); err == nil {
		t.Error("Wrap: no error")
	}
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, DataKey: make([]byte, 31)}); err == nil {
		t.Error("Wrap of a short data key: no error")
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 1}); err == nil {
		t.Error("Unwrap: no error")
	}
	bad := esdk.EncryptionContext{"\xff": ""}
	if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("Wrap: %v", err)
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: suite, EncryptionContext: bad}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("Unwrap: %v", err)
	}
}

// A message under a service and a raw key opens with either of them alone.
func TestMultiKeyring(t *testing.T) {
	vault := newKeyring(t, newAESService(t, key(1)), "orders")
	raw, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "app", Name: "backup", Key: key(2)})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range [][]esdk.Keyring{{vault, raw}, {raw, vault}} {
		multi, err := esdk.NewMultiKeyring(order[0], order[1])
		if err != nil {
			t.Fatal(err)
		}
		message, err := esdk.Encrypt(t.Context(), multi, []byte("hello"), ec)
		if err != nil {
			t.Fatal(err)
		}
		for _, kr := range append(order, multi) {
			if got, err := esdk.Decrypt(t.Context(), kr, message, ec); err != nil || string(got) != "hello" {
				t.Errorf("Decrypt: %q, %v", got, err)
			}
		}
	}
}

// FuzzUnwrap: of all encrypted data keys for a key, only the original one
// unwraps.
func FuzzUnwrap(f *testing.F) {
	kr := newKeyring(f, newAESService(f, key(1)), "orders")
	dataKey, good := wrap(f, kr)
	f.Add("", []byte{}, []byte{}, uint16(0))
	f.Add("aws-kms", []byte{}, []byte{}, uint16(0))
	f.Add("", []byte{3}, []byte{}, uint16(0))
	f.Add("", []byte{}, []byte{0, 16}, uint16(0))
	f.Add("", []byte{}, []byte{1}, uint16(109))
	f.Fuzz(func(t *testing.T, provider string, info, ciphertext []byte, at uint16) {
		edk := esdk.EncryptedDataKey{
			ProviderID: good.ProviderID, ProviderInfo: faulttest.Changed(good.ProviderInfo, info, at), Ciphertext: faulttest.Changed(good.Ciphertext, ciphertext, at),
		}
		if provider != "" {
			edk.ProviderID = provider
		}
		same := edk.ProviderID == good.ProviderID && bytes.Equal(edk.ProviderInfo, good.ProviderInfo) && bytes.Equal(edk.Ciphertext, good.Ciphertext)
		got, err := unwrap(t, kr, edk)
		if same != (err == nil) || same != bytes.Equal(got, dataKey) {
			t.Errorf("unwrap: %v, but that it is the same is %t", err, same)
		}
		if err != nil && !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("error of no class: %v", err)
		}
	})
}

// TestFIPS140Only checks a claim of docs/security.md.
func TestFIPS140Only(t *testing.T) {
	if !fipstest.Enforced(t) {
		return
	}
	calls := 0
	kr := newKeyring(t, brokenService{result: key(1), calls: &calls}, "orders")
	_, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: suite})
	fipstest.WantRefused(t, "Wrap", err)
	_, err = unwrap(t, kr, esdk.EncryptedDataKey{ProviderID: "esdk-keeper", ProviderInfo: []byte("\x01orders"), Ciphertext: append([]byte{0, 1}, make([]byte, 1+32+16)...)})
	fipstest.WantRefused(t, "Unwrap", err)
}
