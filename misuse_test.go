package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/internal/suite"
)

// A source that fails halfway must not become a message of the first half, even
// if Close is called regardless.
func TestFailedSource(t *testing.T) {
	failure := errors.New("disk is gone")
	for _, size := range []int{0, 1, 4096, 100_000} {
		var message bytes.Buffer
		c := newClient(t, esdk.Config{})
		w := must[*esdk.Writer](t)(c.NewWriter(t.Context(), &message, nil))
		source := io.MultiReader(bytes.NewReader(pattern(size)), iotest.ErrReader(failure))
		if n, err := io.Copy(w, source); n != int64(size) || err != failure {
			t.Errorf("copied %d bytes, %v", n, err)
		}
		for range 2 {
			if err := w.Close(); !errors.Is(err, failure) {
				t.Errorf("Close: %v", err)
			}
		}
		if plaintext, _, err := c.Decrypt(t.Context(), message.Bytes(), nil); err == nil {
			t.Errorf("%d bytes of a source that failed decrypt to %d", size, len(plaintext))
		}
	}
}

type nilCMM struct{}

func (nilCMM) EncryptionMaterials(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return nil, nil
}

func (nilCMM) DecryptionMaterials(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return nil, nil
}

// User code that returns nothing causes an error, not a panic.
func TestNothingReturned(t *testing.T) {
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	nothing := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, nil }}
	for name, config := range map[string]esdk.Config{
		"CMM":       {CMM: nilCMM{}},
		"keyring":   {Keyring: nothing},
		"generator": {Keyring: must[esdk.Keyring](t)(esdk.NewMultiKeyring(nothing))},
		"child":     {Keyring: must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), nothing))},
	} {
		c := newClient(t, config)
		if _, _, err := c.Encrypt(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%s: Encrypt: %v", name, err)
		}
	}
	nothing = keyringFunc{OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) { return nil, nil }}
	for name, config := range map[string]esdk.Config{
		"CMM":     {CMM: nilCMM{}},
		"keyring": {Keyring: nothing},
		"child":   {Keyring: must[esdk.Keyring](t)(esdk.NewMultiKeyring(nil, nothing))},
	} {
		c := newClient(t, config)
		if _, _, err := c.Decrypt(t.Context(), message, nil); err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%s: Decrypt: %v", name, err)
		}
	}
}

// TestNothingReturnedBeneath does the same for CMMs that wrap another.
func TestNothingReturnedBeneath(t *testing.T) {
	ec := esdk.EncryptionContext{"tenant": "17"}
	message := encrypt(t, newClient(t, esdk.Config{}), nil, ec)
	required := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(nilCMM{}, "tenant"))
	cached := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: nilCMM{}, MaxAge: time.Hour}))
	for name, cmm := range map[string]esdk.CMM{
		"required":         required,
		"caching":          cached,
		"caching required": must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: required, MaxAge: time.Hour})),
		"required caching": must[esdk.CMM](t)(esdk.NewRequiredContextCMM(cached, "tenant")),
	} {
		for _, suite := range []esdk.SuiteID{esdk.AES256GCM, esdk.AES256GCMHKDFSHA256} { // not cached, and cached
			c := newClient(t, esdk.Config{CMM: cmm, Suite: suite, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt})
			if _, _, err := c.Encrypt(t.Context(), nil, ec); err == nil || !strings.Contains(err.Error(), "neither") {
				t.Errorf("%s, %v: Encrypt: %v", name, suite, err)
			}
			f := newForger(t, suiteOf(suite), 10, ec)
			if _, _, err := c.Decrypt(t.Context(), f.message(t, f.final(1, nil)), ec); err == nil || !strings.Contains(err.Error(), "neither") {
				t.Errorf("%s, %v: Decrypt: %v", name, suite, err)
			}
		}
		if _, _, err := newClient(t, esdk.Config{CMM: cmm}).Decrypt(t.Context(), message, ec); err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%s: Decrypt: %v", name, err)
		}
	}
}

func suiteOf(id esdk.SuiteID) *suite.Suite { return suite.Lookup(uint16(id)) }

// A misspelt context key is treated as a key that isn't stored. No keyring,
// commitment or tag can tell the two apart, so each of their errors names the
// key and also matches ErrEncryptionContext. The error doesn't show values.
func TestMisspeltContextKey(t *testing.T) {
	rsa := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()})
	v15 := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey(), PKCS1v15: true})
	cached := func(kr esdk.Keyring) esdk.CMM {
		return must[esdk.CMM](t)(caching.NewCMM(caching.Config{Keyring: kr, MaxAge: time.Hour}))
	}
	wrongKey := cmmFunc{CMM: defaultCMM(t), OnDecryption: func(m *esdk.DecryptionMaterials) { m.DataKey = pattern(32) }}
	stored := esdk.EncryptionContext{"tenant": "17", "stage": "test"}
	for _, c := range []struct {
		name   string
		config esdk.Config // to encrypt
		cmm    esdk.CMM    // to decrypt, if another
		want   error
	}{
		{"AES", esdk.Config{Keyring: testKeyring(t)}, nil, esdk.ErrNoDataKey},
		{"multi", esdk.Config{Keyring: must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t)))}, nil, esdk.ErrNoDataKey},
		{"no key", esdk.Config{Keyring: testKeyring(t)}, must[esdk.CMM](t)(esdk.NewDefaultCMM(keyringFunc{})), esdk.ErrNoDataKey},
		{"RSA", esdk.Config{Keyring: rsa}, nil, esdk.ErrAuthentication},
		{"RSA, PKCS #1 v1.5", esdk.Config{Keyring: v15}, nil, esdk.ErrAuthentication},
		{"RSA, no commitment", esdk.Config{Keyring: rsa, Suite: esdk.AES256GCMHKDFSHA256, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt}, nil, esdk.ErrAuthentication},
		{"RSA, as .NET", esdk.Config{Keyring: rsa, RecoverNET400: true}, nil, esdk.ErrAuthentication},
		{"caching AES", esdk.Config{CMM: cached(testKeyring(t))}, nil, esdk.ErrNoDataKey},
		{"caching RSA", esdk.Config{CMM: cached(rsa)}, nil, esdk.ErrAuthentication},
		{"commitment", esdk.Config{Keyring: testKeyring(t)}, forgetfulCMM{wrongKey}, esdk.ErrCommitment},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, c.config)
			message := encrypt(t, client, nil, stored)
			config := c.config
			if c.cmm != nil {
				config = esdk.Config{CMM: c.cmm}
			}
			client = newClient(t, config)
			bad := esdk.EncryptionContext{"tennant": "seventeen", "stage": "test", "usr": "ann"}
			for range 2 { // once cached, perhaps
				_, _, err := client.Decrypt(t.Context(), message, bad)
				if !errors.Is(err, c.want) || !errors.Is(err, esdk.ErrEncryptionContext) {
					t.Errorf("got %v, want it to match %v and ErrEncryptionContext", err, c.want)
				}
				if none, ok := errors.AsType[*esdk.NoDataKeyError](err); ok != (c.want == esdk.ErrNoDataKey) {
					t.Errorf("got a NoDataKeyError %v", none)
				}
				if err != nil && (!strings.Contains(err.Error(), `["tennant" "usr"]`) || strings.Contains(err.Error(), "seventeen") || strings.Contains(err.Error(), "stage")) {
					t.Errorf("text: %v", err)
				}
			}
			if _, err := client.NewReader(t.Context(), bytes.NewReader(message), bad); !errors.Is(err, c.want) || !errors.Is(err, esdk.ErrEncryptionContext) {
				t.Errorf("NewReader: %v", err)
			}
			if _, err := client.NewReaderAt(t.Context(), bytes.NewReader(message), int64(len(message)), bad); !errors.Is(err, c.want) && !errors.Is(err, esdk.ErrSigned) {
				t.Errorf("NewReaderAt: %v", err)
			}
			// All pairs are stored, so the context isn't the reason.
			if c.cmm != nil {
				_, _, err := client.Decrypt(t.Context(), message, stored)
				if !errors.Is(err, c.want) || errors.Is(err, esdk.ErrEncryptionContext) {
					t.Errorf("with the right context: %v", err)
				}
			}
		})
	}
}

// forgetfulCMM ignores required keys, but claims that it doesn't.
type forgetfulCMM struct{ esdk.CMM }

func (c forgetfulCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	r := *req
	r.ReproducedContext = nil
	m, err := c.CMM.DecryptionMaterials(ctx, &r)
	if err != nil {
		return nil, err
	}
	for k, v := range req.ReproducedContext {
		if _, ok := req.EncryptionContext[k]; !ok {
			m.EncryptionContext[k] = v
			m.RequiredContextKeys = append(m.RequiredContextKeys, k)
		}
	}
	return m, nil
}

// An error that has nothing to do with keys stays unchanged.
func TestMisspeltContextKeyElsewhere(t *testing.T) {
	c := newClient(t, esdk.Config{})
	message := encrypt(t, c, nil, esdk.EncryptionContext{"tenant": "17"})
	bad := esdk.EncryptionContext{"tennant": "17"}
	failure := errors.New("CMM is ill")
	for name, test := range map[string]struct {
		client  *esdk.Client
		message []byte
		want    error
	}{
		"CMM":    {newClient(t, esdk.Config{CMM: failingCMM{failure}}), message, failure},
		"signed": {newClient(t, esdk.Config{Release: esdk.RejectSigned}), message, esdk.ErrSigned},
		"format": {c, message[:20], io.ErrUnexpectedEOF},
	} {
		_, err := decryptStream(t, test.client, bytes.NewReader(test.message), bad)
		if !errors.Is(err, test.want) || errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failingCMM struct{ err error }

func (c failingCMM) EncryptionMaterials(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return nil, c.err
}

func (c failingCMM) DecryptionMaterials(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return nil, c.err
}

// Nested errors say only once that no data key was found.
func TestNoDataKeyErrorNested(t *testing.T) {
	inner := &esdk.NoDataKeyError{Errors: []error{errNotAsked, nil, errNotAsked}}
	err := &esdk.NoDataKeyError{Errors: []error{inner, errNotAsked}}
	if want := esdk.ErrNoDataKey.Error() + ": " + errNotAsked.Error(); err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}
