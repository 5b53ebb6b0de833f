package esdk_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/esdktest"
)

const publicKeyKey = "aws-crypto-public-key"

func TestNewCMM(t *testing.T) {
	if _, err := esdk.NewDefaultCMM(nil); err == nil {
		t.Error("default CMM without a keyring")
	}
	if _, err := esdk.NewRequiredContextCMM(nil, "k"); err == nil {
		t.Error("required-context CMM without an underlying one")
	}
	if _, err := esdk.NewRequiredContextCMM(defaultCMM(t)); err == nil {
		t.Error("required-context CMM without a key")
	}
	for _, k := range []string{publicKeyKey, "aws-crypto-anything"} {
		if _, err := esdk.NewRequiredContextCMM(defaultCMM(t), "k", k); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("required-context CMM with %q: %v", k, err)
		}
	}
}

// The policy applies to the user's choice, in the CMM, and to the result of the
// CMM.
func TestCommitmentPolicy(t *testing.T) {
	const committing, other = esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA256
	for _, c := range []struct {
		policy  esdk.CommitmentPolicy
		suite   esdk.SuiteID
		encrypt bool
		decrypt bool
	}{
		{esdk.RequireEncryptRequireDecrypt, committing, true, true},
		{esdk.RequireEncryptRequireDecrypt, other, false, false},
		{esdk.RequireEncryptAllowDecrypt, committing, true, true},
		{esdk.RequireEncryptAllowDecrypt, other, false, true},
		{esdk.ForbidEncryptAllowDecrypt, committing, false, true},
		{esdk.ForbidEncryptAllowDecrypt, other, true, true},
	} {
		t.Run(c.policy.String()+"/"+c.suite.String(), func(t *testing.T) {
			check := func(what string, err error, allowed bool) {
				t.Helper()
				if allowed != (err == nil) || !allowed && !errors.Is(err, esdk.ErrCommitmentPolicy) {
					t.Errorf("%s: %v; allowed: %t", what, err, allowed)
				}
			}
			_, err := esdk.New(esdk.Config{Keyring: testKeyring(t), Suite: c.suite, CommitmentPolicy: c.policy})
			check("New", err, c.encrypt)
			_, err = defaultCMM(t).EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{Suite: c.suite, CommitmentPolicy: c.policy})
			check("EncryptionMaterials", err, c.encrypt)

			// This CMM ignores the request.
			stubborn := cmmFunc{CMM: defaultCMM(t), OnEncryption: func(m *esdk.EncryptionMaterials) {
				m.Suite, m.SigningKey = c.suite, nil
				delete(m.EncryptionContext, publicKeyKey)
			}}
			client := newClient(t, esdk.Config{CMM: stubborn, CommitmentPolicy: c.policy})
			_, _, err = client.Encrypt(t.Context(), nil, nil)
			check("Encrypt", err, c.encrypt)
			_, err = client.NewWriter(t.Context(), io.Discard, nil)
			check("NewWriter", err, c.encrypt)

			writer := newClient(t, esdk.Config{Suite: c.suite, CommitmentPolicy: map[bool]esdk.CommitmentPolicy{
				true: esdk.RequireEncryptRequireDecrypt, false: esdk.ForbidEncryptAllowDecrypt}[c.suite == committing]})
			message, header, err := writer.Encrypt(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = defaultCMM(t).DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{
				Suite: c.suite, CommitmentPolicy: c.policy, EncryptedDataKeys: header.EncryptedDataKeys,
			})
			check("DecryptionMaterials", err, c.decrypt)

			keyring := &countingKeyring{Keyring: testKeyring(t)}
			client = newClient(t, esdk.Config{Keyring: keyring, CommitmentPolicy: c.policy})
			_, _, err = client.Decrypt(t.Context(), message, nil)
			check("Decrypt", err, c.decrypt)
			_, err = decryptStream(t, client, bytes.NewReader(message), nil)
			check("Reader", err, c.decrypt)
			if asked := keyring.unwraps.Load() > 0; asked != c.decrypt {
				t.Errorf("keyring was asked: %t", asked)
			}
		})
	}
}

func TestDefaultSuites(t *testing.T) {
	for policy, want := range map[esdk.CommitmentPolicy]esdk.SuiteID{
		esdk.RequireEncryptRequireDecrypt: esdk.AES256GCMHKDFSHA512CommitECDSAP384,
		esdk.RequireEncryptAllowDecrypt:   esdk.AES256GCMHKDFSHA512CommitECDSAP384,
		esdk.ForbidEncryptAllowDecrypt:    esdk.AES256GCMHKDFSHA384ECDSAP384,
	} {
		_, h, err := newClient(t, esdk.Config{CommitmentPolicy: policy}).Encrypt(t.Context(), nil, nil)
		if err != nil || h.Suite != want {
			t.Errorf("%v: %v, %v; want %v", policy, h.Suite, err, want)
		}
	}
}

func signingKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
}

// A client checks the results of a CMM, which may be the user's.
func TestClientChecksEncryptionMaterials(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(m *esdk.EncryptionMaterials)
		want  string
	}{
		{"unknown suite", func(m *esdk.EncryptionMaterials) { m.Suite = 0x0067 }, "unknown algorithm suite"},
		{"no data key", func(m *esdk.EncryptionMaterials) { m.DataKey = nil }, "data key of 0 bytes"},
		{"short data key", func(m *esdk.EncryptionMaterials) { m.DataKey = m.DataKey[:31] }, "data key of 31 bytes"},
		{"data key that was cleared", func(m *esdk.EncryptionMaterials) { clear(m.DataKey) }, "all zeros"},
		{"no encrypted data key", func(m *esdk.EncryptionMaterials) { m.EncryptedDataKeys = nil }, "0 encrypted data keys"},
		{"too many encrypted data keys", func(m *esdk.EncryptionMaterials) {
			m.EncryptedDataKeys = slices.Repeat(m.EncryptedDataKeys, 65536)
		}, "65536 encrypted data keys"},
		{"provider id not UTF-8", func(m *esdk.EncryptionMaterials) { m.EncryptedDataKeys[0].ProviderID = "\xff" }, "UTF-8"},
		{"long provider info", func(m *esdk.EncryptionMaterials) { m.EncryptedDataKeys[0].ProviderInfo = make([]byte, 65536) }, "65,535 bytes"},
		{"no signing key", func(m *esdk.EncryptionMaterials) { m.SigningKey = nil }, "signing key"},
		{"no public key", func(m *esdk.EncryptionMaterials) { delete(m.EncryptionContext, publicKeyKey) }, publicKeyKey},
		{"signing key of another curve", func(m *esdk.EncryptionMaterials) { m.SigningKey = signingKey(t, elliptic.P256()) }, "another curve"},
		{"another signing key", func(m *esdk.EncryptionMaterials) { m.SigningKey = signingKey(t, elliptic.P384()) }, "not the signing key's"},
		{"signing key without coordinates", func(m *esdk.EncryptionMaterials) {
			m.SigningKey.PublicKey = ecdsa.PublicKey{Curve: elliptic.P384()}
		}, "incomplete"},
		{"signing key without a scalar", func(m *esdk.EncryptionMaterials) {
			m.SigningKey = &ecdsa.PrivateKey{PublicKey: m.SigningKey.PublicKey}
		}, "incomplete"},
		{"signing key of two halves", func(m *esdk.EncryptionMaterials) {
			other := signingKey(t, elliptic.P384())
			other.PublicKey = m.SigningKey.PublicKey
			m.SigningKey = other
		}, "do not belong together"},
		{"zero signing key", func(m *esdk.EncryptionMaterials) { m.SigningKey = new(ecdsa.PrivateKey) }, "incomplete"},
		{"signing key without a use", func(m *esdk.EncryptionMaterials) { m.Suite = esdk.AES256GCMHKDFSHA512Commit }, "does not sign"},
		{"required key that is not there", func(m *esdk.EncryptionMaterials) { m.RequiredContextKeys = []string{"nope"} }, `require key "nope"`},
		{"required public key", func(m *esdk.EncryptionMaterials) { m.RequiredContextKeys = []string{publicKeyKey} }, "require key"},
		{"context not UTF-8", func(m *esdk.EncryptionMaterials) { m.EncryptionContext["k"] = "\xff" }, "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, esdk.Config{CMM: cmmFunc{CMM: defaultCMM(t), OnEncryption: c.spoil}})
			if _, _, err := client.Encrypt(t.Context(), nil, sampleContext); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Encrypt: %v; want an error with %q", err, c.want)
			}
			if _, err := client.NewWriter(t.Context(), io.Discard, sampleContext); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewWriter: %v; want an error with %q", err, c.want)
			}
		})
	}
}

func TestClientChecksDecryptionMaterials(t *testing.T) {
	ec := esdk.EncryptionContext{"k": "v", "empty": ""}
	signed := encrypt(t, newClient(t, esdk.Config{}), nil, ec)
	unsigned := encrypt(t, newClient(t, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit}), nil, ec)
	other := signingKey(t, elliptic.P384())
	for _, c := range []struct {
		name    string
		message []byte
		spoil   func(m *esdk.DecryptionMaterials)
		want    string
	}{
		{"no data key", signed, func(m *esdk.DecryptionMaterials) { m.DataKey = nil }, "data key of 0 bytes"},
		{"long data key", signed, func(m *esdk.DecryptionMaterials) { m.DataKey = make([]byte, 33) }, "data key of 33 bytes"},
		{"another data key", signed, func(m *esdk.DecryptionMaterials) { m.DataKey = pattern(32) }, esdk.ErrCommitment.Error()},
		{"no verification key", signed, func(m *esdk.DecryptionMaterials) { m.VerificationKey = nil }, "verification key"},
		{"verification key of another curve", signed, func(m *esdk.DecryptionMaterials) {
			m.VerificationKey = &signingKey(t, elliptic.P256()).PublicKey
		}, "verification key"},
		{"verification key without coordinates", signed, func(m *esdk.DecryptionMaterials) {
			m.VerificationKey = &ecdsa.PublicKey{Curve: elliptic.P384()}
		}, "verification key"},
		{"zero verification key", signed, func(m *esdk.DecryptionMaterials) { m.VerificationKey = new(ecdsa.PublicKey) }, "verification key"},
		{"another verification key", signed, func(m *esdk.DecryptionMaterials) { m.VerificationKey = &other.PublicKey }, esdk.ErrAuthentication.Error()},
		{"verification key without a use", unsigned, func(m *esdk.DecryptionMaterials) { m.VerificationKey = &other.PublicKey }, "verification key"},
		{"required key that is not there", signed, func(m *esdk.DecryptionMaterials) { m.RequiredContextKeys = []string{"nope"} }, `require key "nope"`},
		{"required public key", signed, func(m *esdk.DecryptionMaterials) { m.RequiredContextKeys = []string{publicKeyKey} }, "require key"},
		{"no context", signed, func(m *esdk.DecryptionMaterials) { m.EncryptionContext = nil }, "lack the pair"},
		{"a stored pair is lost", signed, func(m *esdk.DecryptionMaterials) { delete(m.EncryptionContext, "k") }, `lack the pair of key "k"`},
		{"a stored pair is changed", signed, func(m *esdk.DecryptionMaterials) { m.EncryptionContext["k"] = "w" }, `lack the pair of key "k"`},
		{"the public key is lost", signed, func(m *esdk.DecryptionMaterials) { delete(m.EncryptionContext, publicKeyKey) }, publicKeyKey},
		{"a pair from nowhere", unsigned, func(m *esdk.DecryptionMaterials) { m.EncryptionContext["x"] = "y" }, `have key "x"`},
		{"an empty pair is lost", unsigned, func(m *esdk.DecryptionMaterials) { delete(m.EncryptionContext, "empty") }, `lack the pair of key "empty"`},
		{"required key that is stored", signed, func(m *esdk.DecryptionMaterials) { m.RequiredContextKeys = []string{"k"} }, `require key "k" not to be stored`},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, esdk.Config{CMM: cmmFunc{CMM: defaultCMM(t), OnDecryption: c.spoil}})
			if _, _, err := client.Decrypt(t.Context(), c.message, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Decrypt: %v; want an error with %q", err, c.want)
			}
			if _, err := decryptStream(t, client, bytes.NewReader(c.message), nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Reader: %v; want an error with %q", err, c.want)
			}
		})
	}
}

// stubbornCMM returns materials for the stored context and ignores reproduced
// pairs.
type stubbornCMM struct {
	esdk.CMM
	meddles bool // with the request, which it returns in part
}

func (c stubbornCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	r := *req
	r.ReproducedContext = nil
	m, err := c.CMM.DecryptionMaterials(ctx, &r)
	if c.meddles {
		delete(req.EncryptionContext, "k")
		clear(req.ReproducedContext)
		m.EncryptionContext = req.EncryptionContext
	}
	return m, err
}

// TestClientChecksReproducedContext: if a user's CMM ignores the pairs that the
// caller expects, the client still checks them.
func TestClientChecksReproducedContext(t *testing.T) {
	for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384} {
		message := encrypt(t, newClient(t, esdk.Config{Suite: suite}), []byte("secret"), sampleContext)
		c := newClient(t, esdk.Config{CMM: stubbornCMM{CMM: defaultCMM(t)}})
		wantDecrypts(t, c, message, nil, []byte("secret"))
		wantDecrypts(t, c, message, sampleContext, []byte("secret"))
		wantRefused(t, c, message, esdk.EncryptionContext{"k": "w"}, esdk.ErrEncryptionContext)
		wantRefused(t, c, message, esdk.EncryptionContext{"x": "y"}, esdk.ErrEncryptionContext)
		wantRefused(t, c, message, esdk.EncryptionContext{"x": ""}, esdk.ErrEncryptionContext)

		c = newClient(t, esdk.Config{CMM: stubbornCMM{defaultCMM(t), true}})
		wantRefused(t, c, message, sampleContext, esdk.ErrEncryptionContext)
		wantRefused(t, c, message, nil, esdk.ErrEncryptionContext)
	}
}

// Once a call has returned, no data key remains where the CMM might still find
// it.
func TestDataKeysAreCleared(t *testing.T) {
	var kept [][]byte
	cmm := cmmFunc{
		CMM:          defaultCMM(t),
		OnEncryption: func(m *esdk.EncryptionMaterials) { kept = append(kept, m.DataKey) },
		OnDecryption: func(m *esdk.DecryptionMaterials) { kept = append(kept, m.DataKey) },
	}
	c := newClient(t, esdk.Config{CMM: cmm})
	message := encrypt(t, c, pattern(100), nil)
	must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, nil))
	must[*esdk.Reader](t)(c.NewReader(t.Context(), bytes.NewReader(message), nil))
	if _, _, err := c.Decrypt(t.Context(), message, nil); err != nil {
		t.Fatal(err)
	}
	// Data keys are cleared after a failure too.
	cmm.OnEncryption = func(m *esdk.EncryptionMaterials) { kept, m.EncryptedDataKeys = append(kept, m.DataKey), nil }
	cmm.OnDecryption = func(m *esdk.DecryptionMaterials) { kept, m.VerificationKey = append(kept, m.DataKey), nil }
	c = newClient(t, esdk.Config{CMM: cmm})
	c.Encrypt(t.Context(), nil, nil)
	c.Decrypt(t.Context(), message, nil)
	if len(kept) != 6 {
		t.Fatalf("kept %d data keys, want 6", len(kept))
	}
	for i, dataKey := range kept {
		if len(dataKey) != 32 || !bytes.Equal(dataKey, make([]byte, 32)) {
			t.Errorf("data key %d: %x", i, dataKey)
		}
	}
	// A multi-keyring makes a data key before it knows that a child fails.
	var made []byte
	generator := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		r, err := testKeyring(t).Wrap(ctx, req)
		made = r.DataKey
		return r, err
	}}
	multi := must[esdk.Keyring](t)(esdk.NewMultiKeyring(generator, keyringFunc{}))
	if _, err := esdk.Encrypt(t.Context(), multi, nil, nil); !errors.Is(err, errNotAsked) {
		t.Fatal(err)
	}
	if !bytes.Equal(made, make([]byte, 32)) {
		t.Errorf("data key of the multi-keyring: %x", made)
	}
}

func TestRequiredContext(t *testing.T) {
	full := esdk.EncryptionContext{"tenant": "17", "user": "ann", "stage": "test"}
	cmm := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(defaultCMM(t), "user", "tenant", "user"))
	for _, suite := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384} {
		c := newClient(t, esdk.Config{CMM: cmm, Suite: suite})
		message := encrypt(t, c, []byte("secret"), full)
		stored := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message))).EncryptionContext
		delete(stored, publicKeyKey)
		if !maps.Equal(stored, esdk.EncryptionContext{"stage": "test"}) {
			t.Errorf("stored: %v", stored)
		}
		plain := newClient(t, esdk.Config{})
		for _, d := range []struct {
			name string
			c    *esdk.Client
			ec   esdk.EncryptionContext
			want error
		}{
			{"all", c, full, nil},
			{"the required ones", c, esdk.EncryptionContext{"tenant": "17", "user": "ann"}, nil},
			{"one is missing", c, esdk.EncryptionContext{"tenant": "17", "stage": "test"}, esdk.ErrEncryptionContext},
			{"none", c, nil, esdk.ErrEncryptionContext},
			{"stored one is wrong", c, esdk.EncryptionContext{"tenant": "17", "user": "ann", "stage": "prod"}, esdk.ErrEncryptionContext},
			// The keyring's encryption is bound to the context, so it notices.
			{"required one is wrong", c, esdk.EncryptionContext{"tenant": "18", "user": "ann"}, esdk.ErrNoDataKey},
			{"one too many", c, esdk.EncryptionContext{"tenant": "17", "user": "ann", "x": "y"}, esdk.ErrNoDataKey},
			{"default CMM, all", plain, full, nil},
			{"default CMM, the required ones", plain, esdk.EncryptionContext{"tenant": "17", "user": "ann"}, nil},
			{"default CMM, none", plain, nil, esdk.ErrNoDataKey},
			{"default CMM, one is missing", plain, esdk.EncryptionContext{"tenant": "17"}, esdk.ErrNoDataKey},
		} {
			t.Run(suite.String()+"/"+d.name, func(t *testing.T) {
				if d.want != nil {
					wantRefused(t, d.c, message, d.ec, d.want)
					return
				}
				wantDecrypts(t, d.c, message, d.ec, []byte("secret"))
			})
		}
	}
	c := newClient(t, esdk.Config{CMM: cmm})
	for _, ec := range []esdk.EncryptionContext{nil, {"tenant": "17"}, {"stage": "test"}} {
		if _, _, err := c.Encrypt(t.Context(), nil, ec); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("Encrypt with %v: %v", ec, err)
		}
	}
	// Stored pairs needn't be reproduced, but this CMM never takes the pairs
	// that it requires from the message.
	message := encrypt(t, newClient(t, esdk.Config{}), nil, full)
	wantRefused(t, c, message, nil, esdk.ErrEncryptionContext)
	wantDecrypts(t, c, message, full, nil)
}

// RSA binds no context, so the header tag catches the mismatch.
func TestRequiredContextWithRSA(t *testing.T) {
	kr := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()})
	cmm := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(must[esdk.CMM](t)(esdk.NewDefaultCMM(kr)), "tenant"))
	c := newClient(t, esdk.Config{CMM: cmm})
	message := encrypt(t, c, nil, esdk.EncryptionContext{"tenant": "17"})
	wantDecrypts(t, c, message, esdk.EncryptionContext{"tenant": "17"}, nil)
	wantRefused(t, c, message, esdk.EncryptionContext{"tenant": "18"}, esdk.ErrAuthentication)
	wantRefused(t, newClient(t, esdk.Config{Keyring: kr}), message, nil, esdk.ErrAuthentication)
}

func TestRequiredContextNested(t *testing.T) {
	inner := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(defaultCMM(t), "a"))
	c := newClient(t, esdk.Config{CMM: must[esdk.CMM](t)(esdk.NewRequiredContextCMM(inner, "b"))})
	ec := esdk.EncryptionContext{"a": "1", "b": "2"}
	message, header, err := c.Encrypt(t.Context(), nil, ec)
	if err != nil || !slices.Equal(header.RequiredContextKeys, []string{"a", "b"}) {
		t.Fatalf("%q, %v", header.RequiredContextKeys, err)
	}
	wantDecrypts(t, c, message, ec, nil)
	wantRefused(t, c, message, esdk.EncryptionContext{"b": "2"}, esdk.ErrEncryptionContext)
}

// The underlying CMM may not support required keys.
func TestRequiredContextChecksUnderlying(t *testing.T) {
	forgets := cmmFunc{
		CMM:          defaultCMM(t),
		OnEncryption: func(m *esdk.EncryptionMaterials) { m.RequiredContextKeys = nil },
		OnDecryption: func(m *esdk.DecryptionMaterials) { delete(m.EncryptionContext, "tenant") },
	}
	c := newClient(t, esdk.Config{CMM: must[esdk.CMM](t)(esdk.NewRequiredContextCMM(forgets, "tenant"))})
	ec := esdk.EncryptionContext{"tenant": "17"}
	if _, _, err := c.Encrypt(t.Context(), nil, ec); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("Encrypt: %v", err)
	}
	wantRefused(t, c, encrypt(t, newClient(t, esdk.Config{}), nil, ec), ec, esdk.ErrEncryptionContext)
}

func TestDefaultCMMRefuses(t *testing.T) {
	cmm := defaultCMM(t)
	for name, req := range map[string]*esdk.EncryptionRequest{
		"reserved key":        {EncryptionContext: esdk.EncryptionContext{publicKeyKey: "x"}},
		"missing required":    {RequiredContextKeys: []string{"k"}},
		"public key required": {RequiredContextKeys: []string{publicKeyKey}},
	} {
		if _, err := cmm.EncryptionMaterials(t.Context(), req); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("encryption: %s: %v", name, err)
		}
	}
	if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{Suite: 0x0067}); err == nil {
		t.Error("encryption: unknown suite")
	}
	if _, err := cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{Suite: 0x0067}); err == nil || !strings.Contains(err.Error(), "unknown algorithm suite 0x0067") {
		t.Errorf("decryption: unknown suite: %v", err)
	}
	m := must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: sampleContext}))
	for name, change := range map[string]func(req *esdk.DecryptionRequest){
		"another value": func(req *esdk.DecryptionRequest) { req.ReproducedContext = esdk.EncryptionContext{"k": "w"} },
		"no public key": func(req *esdk.DecryptionRequest) { delete(req.EncryptionContext, publicKeyKey) },
		"reproduced public key": func(req *esdk.DecryptionRequest) {
			delete(req.EncryptionContext, publicKeyKey)
			req.ReproducedContext = m.EncryptionContext
		},
		"public key, but not signed": func(req *esdk.DecryptionRequest) { req.Suite = esdk.AES256GCMHKDFSHA512Commit },
		"public key of no curve":     func(req *esdk.DecryptionRequest) { req.EncryptionContext[publicKeyKey] = "AAAA" },
		"public key not Base64":      func(req *esdk.DecryptionRequest) { req.EncryptionContext[publicKeyKey] += "=" },
		"public key of P-256":        func(req *esdk.DecryptionRequest) { req.Suite = esdk.AES128GCMHKDFSHA256ECDSAP256 },
	} {
		req := &esdk.DecryptionRequest{
			Suite: m.Suite, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt,
			EncryptionContext: maps.Clone(m.EncryptionContext), EncryptedDataKeys: m.EncryptedDataKeys,
		}
		change(req)
		if _, err := cmm.DecryptionMaterials(t.Context(), req); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("decryption: %s: %v", name, err)
		}
	}
}

func TestExampleCMM(t *testing.T) {
	esdktest.TestCMM(t, &labelCMM{defaultCMM(t), "billing"})
}

// recordingCMM records its requests.
type recordingCMM struct {
	esdk.CMM
	encryption *esdk.EncryptionRequest
	decryption *esdk.DecryptionRequest
}

func (c *recordingCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	c.encryption = req
	return c.CMM.EncryptionMaterials(ctx, req)
}

func (c *recordingCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	c.decryption = req
	return c.CMM.DecryptionMaterials(ctx, req)
}

// A client gives a CMM the length of the plaintext if it's known, else its
// upper bound, else no length.
func TestRequestsToCMM(t *testing.T) {
	const policy = esdk.RequireEncryptAllowDecrypt
	for _, suite := range []esdk.SuiteID{0, esdk.AES256GCMHKDFSHA512Commit} {
		for _, bound := range []int64{0, 1000} {
			cmm := &recordingCMM{CMM: defaultCMM(t)}
			c := newClient(t, esdk.Config{CMM: cmm, Suite: suite, CommitmentPolicy: policy, MaxPlaintextLength: bound})
			want := esdk.EncryptionRequest{EncryptionContext: sampleContext, CommitmentPolicy: policy, Suite: suite, PlaintextLength: 10}
			message, header, err := c.Encrypt(t.Context(), pattern(10), sampleContext)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*cmm.encryption, want) {
				t.Errorf("Encrypt asks for %+v, want %+v", *cmm.encryption, want)
			}
			if want.PlaintextLength = bound; bound == 0 {
				want.PlaintextLength = -1
			}
			must[*esdk.Writer](t)(c.NewWriter(t.Context(), io.Discard, sampleContext))
			if !reflect.DeepEqual(*cmm.encryption, want) {
				t.Errorf("NewWriter asks for %+v, want %+v", *cmm.encryption, want)
			}
			if _, _, err := c.Decrypt(t.Context(), message, sampleContext); err != nil {
				t.Fatal(err)
			}
			if want := (esdk.DecryptionRequest{
				Suite: header.Suite, CommitmentPolicy: policy, EncryptionContext: header.EncryptionContext,
				EncryptedDataKeys: header.EncryptedDataKeys, ReproducedContext: sampleContext,
			}); !reflect.DeepEqual(*cmm.decryption, want) {
				t.Errorf("Decrypt asks for %+v, want %+v", *cmm.decryption, want)
			}
		}
	}
}

// TestOpened: a CMM is told once for each message whether its header was
// authentic, even if other CMMs wrap it.
func TestOpened(t *testing.T) {
	ec := esdk.EncryptionContext{"a": "b"}
	suite := suiteOf(esdk.AES256GCMHKDFSHA512Commit)
	f := newForger(t, suite, 10, ec)
	good := f.message(t, f.final(1, pattern(10)))
	badBody, badTag, badCommitment := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good)
	badBody[len(good)-1] ^= 1
	badTag[len(f.head())-1] ^= 1
	badCommitment[len(f.head())-29] ^= 1 // before IV and tag
	var told []bool
	under := cmmFunc{CMM: defaultCMM(t), OnDecryption: func(m *esdk.DecryptionMaterials) {
		m.Opened = func(ok bool) { told = append(told, ok) }
	}}
	cached := must[esdk.CMM](t)(caching.NewCMM(caching.Config{CMM: under, MaxAge: time.Hour}))
	for name, cmm := range map[string]esdk.CMM{
		"alone":            under,
		"required":         must[esdk.CMM](t)(esdk.NewRequiredContextCMM(under, "a")),
		"caching":          cached,
		"required caching": must[esdk.CMM](t)(esdk.NewRequiredContextCMM(cached, "a")),
	} {
		c := newClient(t, esdk.Config{CMM: cmm})
		for _, m := range []struct {
			message []byte
			want    bool
		}{{badTag, false}, {good, true}, {badBody, true}, {badCommitment, false}, {good, true}, {badTag, false}} {
			told = nil
			c.Decrypt(t.Context(), m.message, ec)
			decryptStream(t, c, bytes.NewReader(m.message), ec)
			if !slices.Equal(told, []bool{m.want, m.want}) {
				t.Errorf("%s: told %v, want twice %v", name, told, m.want)
			}
		}
	}

	// Materials that the client rejects haven't opened anything.
	for name, spoil := range map[string]func(*esdk.DecryptionMaterials){
		"data key": func(m *esdk.DecryptionMaterials) { m.DataKey = nil },
		"context":  func(m *esdk.DecryptionMaterials) { m.EncryptionContext = nil },
	} {
		told = nil
		c := newClient(t, esdk.Config{CMM: cmmFunc{CMM: under, OnDecryption: spoil}})
		if _, _, err := c.Decrypt(t.Context(), good, ec); err == nil || !slices.Equal(told, []bool{false}) {
			t.Errorf("%s: %v, told %v", name, err, told)
		}
	}
}

// CMMs that keep materials can check and copy them.
func TestMaterials(t *testing.T) {
	cmm := defaultCMM(t)
	ec := esdk.EncryptionContext{"k": "v", "secret": "x"}
	m := must[*esdk.EncryptionMaterials](t)(cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: ec, RequiredContextKeys: []string{"secret"}}))
	stored := maps.Clone(m.EncryptionContext)
	delete(stored, "secret")
	d := must[*esdk.DecryptionMaterials](t)(cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{
		Suite: m.Suite, EncryptionContext: stored, EncryptedDataKeys: m.EncryptedDataKeys, ReproducedContext: esdk.EncryptionContext{"secret": "x"},
	}))
	for name, err := range map[string]error{"encryption": m.Check(0), "decryption": d.Check(m.Suite)} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"policy":        m.Check(esdk.ForbidEncryptAllowDecrypt),
		"unknown suite": d.Check(0x0067),
		"data key":      d.Check(esdk.AES128GCM),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	want := *m
	want.EncryptionContext, want.DataKey = maps.Clone(m.EncryptionContext), bytes.Clone(m.DataKey)
	wantDataKey := bytes.Clone(d.DataKey)
	clone, cloned := m.Clone(), d.Clone()
	if !reflect.DeepEqual(clone, m) || !reflect.DeepEqual(cloned, d) {
		t.Errorf("copies %+v, %+v", clone, cloned)
	}
	clear(clone.DataKey)
	clear(clone.EncryptionContext)
	clear(clone.RequiredContextKeys)
	clear(clone.EncryptedDataKeys[0].Ciphertext)
	clear(clone.EncryptedDataKeys)
	clear(cloned.DataKey)
	clear(cloned.EncryptionContext)
	clear(cloned.RequiredContextKeys)
	if !maps.Equal(m.EncryptionContext, want.EncryptionContext) || !bytes.Equal(m.DataKey, want.DataKey) ||
		m.RequiredContextKeys[0] != "secret" || m.EncryptedDataKeys[0].ProviderID != "test" || slices.Max(m.EncryptedDataKeys[0].Ciphertext) == 0 {
		t.Errorf("a change of the copy changes %+v", m)
	}
	if !maps.Equal(d.EncryptionContext, want.EncryptionContext) || !bytes.Equal(d.DataKey, wantDataKey) || d.RequiredContextKeys[0] != "secret" {
		t.Errorf("a change of the copy changes %+v", d)
	}
}
