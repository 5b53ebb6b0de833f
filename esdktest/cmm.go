package esdktest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"esdk"
)

// TestCMM checks a CMM that encrypts and decrypts, with any encryption context.
func TestCMM(t *testing.T, cmm esdk.CMM) {
	CMMTest{Encrypt: cmm, Decrypt: cmm}.Run(t)
}

// A CMMTest checks a CMM, or a pair of CMMs. Its fields say how they are
// special.
type CMMTest struct {
	// Encrypt makes materials, and Decrypt finds their data keys again. Both
	// must be set; for most CMMs they are the same.
	Encrypt, Decrypt esdk.CMM

	// Suites are the suites that the CMM accepts; nil means all. It may return
	// another suite than requested, within the policy.
	Suites []esdk.SuiteID

	// EncryptionContext is the encryption context of the requests, which is
	// reproduced to decrypt. It has at least one pair; nil means a sample.
	EncryptionContext esdk.EncryptionContext
}

// Run runs the checks as subtests of t.
func (c CMMTest) Run(t *testing.T) {
	t.Helper()
	if c.Encrypt == nil || c.Decrypt == nil {
		t.Fatal("esdktest: CMMTest needs a CMM to encrypt and one to decrypt")
	}
	for _, check := range cmmChecks {
		t.Run(check.name, func(t *testing.T) { check.run(&c, t) })
	}
}

var cmmChecks = []struct {
	name string
	run  func(*CMMTest, testing.TB)
}{
	{"encryption materials", (*CMMTest).encryptionMaterials},
	{"decryption materials", (*CMMTest).decryptionMaterials},
	{"plaintext length", (*CMMTest).plaintextLength},
	{"commitment policy", (*CMMTest).commitmentPolicy},
	{"required keys", (*CMMTest).requiredKeys},
	{"reproduced context", (*CMMTest).reproducedContext},
	{"public key", (*CMMTest).publicKey},
	{"no data key", (*CMMTest).noDataKey},
	{"request unchanged", (*CMMTest).requestUnchanged},
	{"materials not kept", (*CMMTest).materialsNotKept},
	{"no key in errors", (*CMMTest).noKeyInErrors},
	{"cancelled context", (*CMMTest).cancelledContext},
	{"concurrent use", (*CMMTest).concurrentUse},
	{"messages", (*CMMTest).messages},
}

const publicKeyKey = "aws-crypto-public-key"

func (c *CMMTest) suites() []esdk.SuiteID {
	if c.Suites == nil {
		return allSuites
	}
	return c.Suites
}

func (c *CMMTest) context() esdk.EncryptionContext {
	if c.EncryptionContext == nil {
		return sampleContext()
	}
	return maps.Clone(c.EncryptionContext)
}

func (c *CMMTest) request(id esdk.SuiteID) *esdk.EncryptionRequest {
	return &esdk.EncryptionRequest{
		EncryptionContext: c.context(),
		CommitmentPolicy:  policyFor(id),
		Suite:             id,
		PlaintextLength:   34,
	}
}

// decryptionRequest returns the request of a client that has read the message.
func (c *CMMTest) decryptionRequest(p esdk.CommitmentPolicy, m *esdk.EncryptionMaterials) *esdk.DecryptionRequest {
	stored := maps.Clone(m.EncryptionContext)
	for _, k := range m.RequiredContextKeys {
		delete(stored, k)
	}
	return &esdk.DecryptionRequest{
		Suite:             m.Suite,
		CommitmentPolicy:  p,
		EncryptionContext: stored,
		EncryptedDataKeys: cloneDataKeys(m.EncryptedDataKeys),
		ReproducedContext: c.context(),
	}
}

// encrypt returns materials that a client would accept.
func (c *CMMTest) encrypt(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	m, err := c.Encrypt.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%v: EncryptionMaterials: %w", req.Suite, err)
	}
	if m == nil {
		return nil, errors.New("EncryptionMaterials returned neither materials nor an error")
	}
	return m, nil
}

func (c *CMMTest) mustEncrypt(t testing.TB, req *esdk.EncryptionRequest) *esdk.EncryptionMaterials {
	t.Helper()
	m, err := c.encrypt(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mustDecrypt checks that the materials for decryption match the ones for
// encryption.
func (c *CMMTest) mustDecrypt(t testing.TB, what string, p esdk.CommitmentPolicy, m *esdk.EncryptionMaterials, dataKey []byte) {
	t.Helper()
	if err := c.decrypt(t.Context(), p, m, dataKey); err != nil {
		t.Errorf("%v: %s: %v", m.Suite, what, err)
	}
}

func (c *CMMTest) decrypt(ctx context.Context, p esdk.CommitmentPolicy, m *esdk.EncryptionMaterials, dataKey []byte) error {
	req := c.decryptionRequest(p, m)
	got, err := c.Decrypt.DecryptionMaterials(ctx, req)
	switch {
	case err != nil:
		return fmt.Errorf("DecryptionMaterials: %w", err)
	case got == nil:
		return errors.New("DecryptionMaterials returned neither materials nor an error")
	case !bytes.Equal(got.DataKey, dataKey):
		return errors.New("DecryptionMaterials returned another data key")
	case !sameKey(m.SigningKey, got.VerificationKey):
		return errors.New("DecryptionMaterials returned a verification key that is not the signing key's")
	}
	for k, v := range req.EncryptionContext {
		if value, ok := got.EncryptionContext[k]; !ok || value != v {
			return fmt.Errorf("DecryptionMaterials has no pair %q: %q, which the message stores", k, v)
		}
	}
	for k, v := range req.ReproducedContext {
		if got.EncryptionContext[k] != v {
			return fmt.Errorf("DecryptionMaterials has no pair %q: %q, which was reproduced", k, v)
		}
		if _, stored := req.EncryptionContext[k]; stored == slices.Contains(got.RequiredContextKeys, k) {
			return fmt.Errorf("DecryptionMaterials requires key %q or not, but it was stored or not: %v", k, stored)
		}
	}
	return nil
}

func sameKey(private *ecdsa.PrivateKey, public *ecdsa.PublicKey) bool {
	if private == nil || public == nil {
		return private == nil && public == nil
	}
	return private.PublicKey.Equal(public)
}

// checkMaterials checks materials as a client does.
func checkMaterials(t testing.TB, p esdk.CommitmentPolicy, m *esdk.EncryptionMaterials) {
	t.Helper()
	if m.Suite.DataKeyLength() == 0 || !allows(p, m.Suite) {
		t.Errorf("suite %v is not allowed under %v", m.Suite, p)
	}
	if len(m.DataKey) != m.Suite.DataKeyLength() {
		t.Errorf("%v: data key has %d bytes, need %d", m.Suite, len(m.DataKey), m.Suite.DataKeyLength())
	}
	checkDataKeys(t, m.EncryptedDataKeys, m.DataKey)
	_, hasPublicKey := m.EncryptionContext[publicKeyKey]
	if signed := m.Suite.Signed(); signed != (m.SigningKey != nil) || signed != hasPublicKey {
		t.Errorf("%v: signing key: %t; pair %q: %t; need: %t", m.Suite, m.SigningKey != nil, publicKeyKey, hasPublicKey, signed)
	}
	for _, k := range m.RequiredContextKeys {
		if _, ok := m.EncryptionContext[k]; !ok || k == publicKeyKey {
			t.Errorf("key %q is required, but is reserved or not in the context", k)
		}
	}
}

func (c *CMMTest) encryptionMaterials(t testing.TB) {
	for _, id := range c.suites() {
		checkMaterials(t, policyFor(id), c.mustEncrypt(t, c.request(id)))
	}
	for _, p := range []esdk.CommitmentPolicy{
		esdk.RequireEncryptRequireDecrypt, esdk.RequireEncryptAllowDecrypt, esdk.ForbidEncryptAllowDecrypt,
	} {
		if !slices.ContainsFunc(c.suites(), func(id esdk.SuiteID) bool { return allows(p, id) }) {
			continue
		}
		req := c.request(0)
		req.CommitmentPolicy = p
		checkMaterials(t, p, c.mustEncrypt(t, req))
	}
}

func (c *CMMTest) decryptionMaterials(t testing.TB) {
	for _, id := range c.suites() {
		req := c.request(id)
		m := c.mustEncrypt(t, req)
		c.mustDecrypt(t, "what was encrypted", req.CommitmentPolicy, m, m.DataKey)
	}
}

// The length of a stream isn't known in advance.
func (c *CMMTest) plaintextLength(t testing.TB) {
	for _, n := range []int64{-1, 0, math.MaxInt64} {
		req := c.request(c.suites()[0])
		req.PlaintextLength = n
		if _, err := c.encrypt(t.Context(), req); err != nil {
			t.Errorf("plaintext length %d: %v", n, err)
		}
	}
}

func (c *CMMTest) commitmentPolicy(t testing.TB) {
	policies := []esdk.CommitmentPolicy{
		esdk.RequireEncryptRequireDecrypt, esdk.RequireEncryptAllowDecrypt, esdk.ForbidEncryptAllowDecrypt,
	}
	for _, id := range c.suites() {
		for _, p := range policies {
			req := c.request(id)
			req.CommitmentPolicy = p
			// A CMM may choose another suite if the policy allows it.
			m, err := c.Encrypt.EncryptionMaterials(t.Context(), req)
			if err == nil && m != nil && !allows(p, m.Suite) {
				t.Errorf("EncryptionMaterials returned %v under %v", m.Suite, p)
			}
		}
		m := c.mustEncrypt(t, c.request(id))
		if m.Suite.Commits() {
			continue
		}
		req := c.decryptionRequest(esdk.RequireEncryptRequireDecrypt, m)
		if _, err := c.Decrypt.DecryptionMaterials(t.Context(), req); err == nil {
			t.Errorf("DecryptionMaterials accepts %v under %v", m.Suite, req.CommitmentPolicy)
		}
		c.mustDecrypt(t, "under a policy that allows it", esdk.RequireEncryptAllowDecrypt, m, m.DataKey)
	}
}

func (c *CMMTest) requiredKeys(t testing.TB) {
	req := c.request(c.suites()[0])
	for k := range req.EncryptionContext {
		req.RequiredContextKeys = []string{k}
		m := c.mustEncrypt(t, req)
		if !slices.Contains(m.RequiredContextKeys, k) {
			t.Errorf("EncryptionMaterials forgot that key %q is required", k)
		}
		checkMaterials(t, req.CommitmentPolicy, m)
		c.mustDecrypt(t, "a required pair", req.CommitmentPolicy, m, m.DataKey)
	}
	req.RequiredContextKeys = []string{"esdktest: not there"}
	if _, err := c.Encrypt.EncryptionMaterials(t.Context(), req); err == nil {
		t.Error("EncryptionMaterials accepts a required key that the context does not have")
	}
}

func (c *CMMTest) reproducedContext(t testing.TB) {
	encryption := c.request(c.suites()[0])
	m := c.mustEncrypt(t, encryption)
	for k := range c.context() {
		req := c.decryptionRequest(encryption.CommitmentPolicy, m)
		if _, stored := req.EncryptionContext[k]; !stored {
			continue
		}
		req.ReproducedContext[k] = "another value"
		if _, err := c.Decrypt.DecryptionMaterials(t.Context(), req); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("a reproduced value that is not the message's gives %v, need ErrEncryptionContext", err)
		}
	}
}

// A message whose signature was removed must not pass for one that was never
// signed.
func (c *CMMTest) publicKey(t testing.TB) {
	for _, id := range c.suites() {
		encryption := c.request(id)
		m := c.mustEncrypt(t, encryption)
		req := c.decryptionRequest(encryption.CommitmentPolicy, m)
		what := "lacks"
		if m.Suite.Signed() {
			delete(req.EncryptionContext, publicKeyKey)
		} else {
			what = "has"
			req.EncryptionContext[publicKeyKey] = "AmZvcmdlZA=="
		}
		if _, err := c.Decrypt.DecryptionMaterials(t.Context(), req); err == nil {
			t.Errorf("DecryptionMaterials accepts %v in a message that %s the pair %q", m.Suite, what, publicKeyKey)
		}
	}
}

func (c *CMMTest) noDataKey(t testing.TB) {
	encryption := c.request(c.suites()[0])
	m := c.mustEncrypt(t, encryption)
	for _, edks := range [][]esdk.EncryptedDataKey{nil, {{ProviderID: "esdktest", Ciphertext: randomBytes(48)}}} {
		req := c.decryptionRequest(encryption.CommitmentPolicy, m)
		req.EncryptedDataKeys = edks
		if _, err := c.Decrypt.DecryptionMaterials(t.Context(), req); err == nil {
			t.Error("DecryptionMaterials found a data key where there is none")
		}
	}
}

func (c *CMMTest) requestUnchanged(t testing.TB) {
	for _, id := range c.suites() {
		req := c.request(id)
		// The spare capacity of a slice isn't the CMM's either.
		spare := append(make([]string, 0, 2), slices.Collect(maps.Keys(req.EncryptionContext))[0])
		req.RequiredContextKeys = spare
		before := *req
		before.EncryptionContext, before.RequiredContextKeys = c.context(), slices.Clone(spare)
		m := c.mustEncrypt(t, req)
		if !reflect.DeepEqual(*req, before) || spare[:2][1] != "" {
			t.Errorf("%v: EncryptionMaterials changed its request", id)
		}
		dataKey := bytes.Clone(m.DataKey)
		clear(req.EncryptionContext)
		clear(req.RequiredContextKeys)
		checkMaterials(t, req.CommitmentPolicy, m)
		c.mustDecrypt(t, "materials whose request was overwritten", req.CommitmentPolicy, m, dataKey)

		decryption := c.decryptionRequest(req.CommitmentPolicy, m)
		want := c.decryptionRequest(req.CommitmentPolicy, m)
		got, err := c.Decrypt.DecryptionMaterials(t.Context(), decryption)
		if !reflect.DeepEqual(decryption, want) {
			t.Errorf("%v: DecryptionMaterials changed its request", id)
		}
		if err != nil || got == nil {
			continue // other checks report it
		}
		kept := maps.Clone(got.EncryptionContext)
		clear(decryption.EncryptionContext)
		clear(decryption.ReproducedContext)
		scribble(decryption.EncryptedDataKeys)
		if !maps.Equal(got.EncryptionContext, kept) || !bytes.Equal(got.DataKey, dataKey) {
			t.Errorf("%v: the materials for decryption share memory with their request", id)
		}
	}
}

// A client clears the data key of materials once it has used it.
func (c *CMMTest) materialsNotKept(t testing.TB) {
	req := c.request(c.suites()[0])
	m := c.mustEncrypt(t, req)
	fill(m.DataKey)
	scribble(m.EncryptedDataKeys)
	clear(m.EncryptionContext)
	clear(m.RequiredContextKeys)

	m = c.mustEncrypt(t, c.request(req.Suite))
	checkMaterials(t, req.CommitmentPolicy, m)
	dataKey := bytes.Clone(m.DataKey)
	for range 2 {
		c.mustDecrypt(t, "after other materials were overwritten", req.CommitmentPolicy, m, dataKey)
		got, err := c.Decrypt.DecryptionMaterials(t.Context(), c.decryptionRequest(req.CommitmentPolicy, m))
		if err != nil {
			t.Fatal(err)
		}
		if got == nil {
			t.Fatal("DecryptionMaterials returned neither materials nor an error")
		}
		fill(got.DataKey)
		clear(got.EncryptionContext)
		clear(got.RequiredContextKeys)
	}
}

func (c *CMMTest) noKeyInErrors(t testing.TB) {
	for _, id := range c.suites() {
		encryption := c.request(id)
		m := c.mustEncrypt(t, encryption)
		for _, spoil := range []func(*esdk.DecryptionRequest){
			func(req *esdk.DecryptionRequest) { req.EncryptionContext["esdktest"] = "more" },
			func(req *esdk.DecryptionRequest) { changeAll(req.EncryptedDataKeys, flipLast) },
			func(req *esdk.DecryptionRequest) { req.Suite = esdk.AES128GCMHKDFSHA256 },
			func(req *esdk.DecryptionRequest) { clear(req.ReproducedContext) },
		} {
			req := c.decryptionRequest(esdk.RequireEncryptAllowDecrypt, m)
			spoil(req)
			if _, err := c.Decrypt.DecryptionMaterials(t.Context(), req); err != nil && leaks(err.Error(), m.DataKey) {
				t.Errorf("%v: an error has bytes of the data key", id)
			}
		}
	}
}

func (c *CMMTest) cancelledContext(t testing.TB) {
	req := c.request(c.suites()[0])
	m := c.mustEncrypt(t, req)
	_, err := c.Encrypt.EncryptionMaterials(cancelled(t), c.request(req.Suite))
	checkCancelled(t, "EncryptionMaterials", err)
	_, err = c.Decrypt.DecryptionMaterials(cancelled(t), c.decryptionRequest(req.CommitmentPolicy, m))
	checkCancelled(t, "DecryptionMaterials", err)
}

func (c *CMMTest) concurrentUse(t testing.TB) {
	// Several concurrent calls may share an unchanged request.
	req := c.request(c.suites()[0])
	shared := c.mustEncrypt(t, req)
	decryption := c.decryptionRequest(req.CommitmentPolicy, shared)
	concurrently(t, func() error {
		if _, err := c.encrypt(t.Context(), req); err != nil {
			return fmt.Errorf("of a shared request: %w", err)
		}
		if _, err := c.Decrypt.DecryptionMaterials(t.Context(), decryption); err != nil {
			return fmt.Errorf("of a shared request: %w", err)
		}
		req := c.request(c.suites()[0])
		m, err := c.encrypt(t.Context(), req)
		if err != nil {
			return err
		}
		return c.decrypt(t.Context(), req.CommitmentPolicy, m, m.DataKey)
	})
}

func (c *CMMTest) messages(t testing.TB) {
	for _, id := range c.suites() {
		config := esdk.Config{Suite: id, CommitmentPolicy: policyFor(id)}
		encrypt, decrypt := config, config
		encrypt.CMM, decrypt.CMM = c.Encrypt, c.Decrypt
		checkMessages(t, encrypt, decrypt, c.context())
	}
}
