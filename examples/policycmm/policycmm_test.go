package policycmm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"esdk"
	"esdk/esdktest"
)

// A countingKeyring counts its calls.
type countingKeyring struct {
	esdk.Keyring
	mu             sync.Mutex
	wraps, unwraps int
}

func (k *countingKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wraps++
	return k.Keyring.Wrap(ctx, req)
}

func (k *countingKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unwraps++
	return k.Keyring.Unwrap(ctx, req)
}

func newKeyring(t testing.TB) *countingKeyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "test", Key: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return &countingKeyring{Keyring: kr}
}

// defaultCMM returns the default CMM over a keyring.
func defaultCMM(t testing.TB, kr esdk.Keyring) esdk.CMM {
	next, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func newCMM(t testing.TB, next esdk.CMM, allowed func(esdk.SuiteID) bool) esdk.CMM {
	c, err := New(next, allowed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newClient(t testing.TB, c esdk.Config) *esdk.Client {
	client, err := esdk.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func suites(allowed func(esdk.SuiteID) bool) (ids []esdk.SuiteID) {
	for _, id := range esdk.Suites() {
		if allowed(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// policyFor returns a policy that allows a suite for encrypting and decrypting.
func policyFor(id esdk.SuiteID) esdk.CommitmentPolicy {
	if id.Commits() {
		return esdk.RequireEncryptRequireDecrypt
	}
	return esdk.ForbidEncryptAllowDecrypt
}

func TestAllowed(t *testing.T) {
	want := []esdk.SuiteID{
		esdk.AES256GCM, esdk.AES256GCMHKDFSHA256, esdk.AES256GCMHKDFSHA384ECDSAP384,
		esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384,
	}
	if got := suites(AES256); !slices.Equal(got, want) {
		t.Errorf("AES256 allows %v", got)
	}
}

// TestSuites checks that each suite is allowed in both directions, or rejected
// in both without a call to the key service.
func TestSuites(t *testing.T) {
	for name, allowed := range map[string]func(esdk.SuiteID) bool{"signed": esdk.SuiteID.Signed, "AES-256": AES256} {
		for _, id := range esdk.Suites() {
			free := newClient(t, esdk.Config{Keyring: newKeyring(t), Suite: id, CommitmentPolicy: policyFor(id)})
			message, _, err := free.Encrypt(t.Context(), []byte("secret"), nil)
			if err != nil {
				t.Fatal(err)
			}
			kr := newKeyring(t)
			client := newClient(t, esdk.Config{CMM: newCMM(t, defaultCMM(t, kr), allowed), Suite: id, CommitmentPolicy: policyFor(id)})
			_, _, encryptErr := client.Encrypt(t.Context(), []byte("secret"), nil)
			plaintext, _, decryptErr := client.Decrypt(t.Context(), message, nil)
			if allowed(id) {
				if encryptErr != nil || decryptErr != nil || string(plaintext) != "secret" {
					t.Errorf("%s, %v: %v, %v", name, id, encryptErr, decryptErr)
				}
				continue
			}
			if !errors.Is(encryptErr, ErrSuite) || !errors.Is(decryptErr, ErrSuite) || plaintext != nil {
				t.Errorf("%s, %v: %v, %v", name, id, encryptErr, decryptErr)
			}
			if kr.wraps+kr.unwraps > 0 {
				t.Errorf("%s, %v: %d calls to wrap, %d to unwrap", name, id, kr.wraps, kr.unwraps)
			}
			if _, err := client.NewReader(t.Context(), bytes.NewReader(message), nil); !errors.Is(err, ErrSuite) {
				t.Errorf("%s, %v: NewReader returned %v", name, id, err)
			}
		}
	}
}

// TestDefaultSuite checks the default suite, which is known only after the
// materials are made.
func TestDefaultSuite(t *testing.T) {
	kr := newKeyring(t)
	signed := newClient(t, esdk.Config{CMM: newCMM(t, defaultCMM(t, kr), esdk.SuiteID.Signed)})
	message, header, err := signed.Encrypt(t.Context(), []byte("secret"), nil)
	if err != nil || !header.Suite.Signed() {
		t.Fatal(err)
	}
	if plaintext, _, err := signed.Decrypt(t.Context(), message, nil); err != nil || string(plaintext) != "secret" {
		t.Error(err)
	}
	var dataKey []byte
	watched := &changedCMM{defaultCMM(t, kr), func(m *esdk.EncryptionMaterials) { dataKey = m.DataKey }}
	unsigned := newClient(t, esdk.Config{CMM: newCMM(t, watched, func(id esdk.SuiteID) bool { return !id.Signed() })})
	if _, _, err := unsigned.Encrypt(t.Context(), []byte("secret"), nil); !errors.Is(err, ErrSuite) {
		t.Errorf("the default suite, which signs, is not refused: %v", err)
	}
	if len(dataKey) != 32 || !bytes.Equal(dataKey, make([]byte, 32)) {
		t.Error("the data key of refused materials was not cleared")
	}
	if _, err := unsigned.NewWriter(t.Context(), io.Discard, nil); !errors.Is(err, ErrSuite) {
		t.Errorf("NewWriter returned %v", err)
	}
}

// A changedCMM calls a function on encryption materials.
type changedCMM struct {
	esdk.CMM
	change func(*esdk.EncryptionMaterials)
}

func (c *changedCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	m, err := c.CMM.EncryptionMaterials(ctx, req)
	if err == nil {
		c.change(m)
	}
	return m, err
}

// A choosingCMM ignores the requested suite and uses its own.
type choosingCMM struct {
	esdk.CMM
	suite esdk.SuiteID
}

func (c *choosingCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	chosen := *req
	chosen.Suite = c.suite
	return c.CMM.EncryptionMaterials(ctx, &chosen)
}

// TestOtherSuite checks the case that the next CMM uses another suite than the
// requested one.
func TestOtherSuite(t *testing.T) {
	next := &choosingCMM{defaultCMM(t, newKeyring(t)), esdk.AES256GCMHKDFSHA512Commit}
	client := newClient(t, esdk.Config{CMM: newCMM(t, next, esdk.SuiteID.Signed), Suite: esdk.AES256GCMHKDFSHA512CommitECDSAP384})
	if _, _, err := client.Encrypt(t.Context(), []byte("secret"), nil); !errors.Is(err, ErrSuite) {
		t.Errorf("a suite that another CMM chose is not refused: %v", err)
	}
}

// requestCMM checks only the suite of the request, as the examples of other
// SDKs do.
type requestCMM struct{ esdk.CMM }

func (c *requestCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	if !req.Suite.Signed() {
		return nil, ErrSuite
	}
	return c.CMM.EncryptionMaterials(ctx, req)
}

// TestRequestIsNotEnough shows that a CMM that checks only the request rejects
// the default suite, and accepts a wrong suite chosen by the next CMM.
func TestRequestIsNotEnough(t *testing.T) {
	port := &requestCMM{defaultCMM(t, newKeyring(t))}
	if _, _, err := newClient(t, esdk.Config{CMM: port}).Encrypt(t.Context(), nil, nil); !errors.Is(err, ErrSuite) {
		t.Errorf("the request has the default suite: %v", err)
	}
	explicit := esdk.AES256GCMHKDFSHA512CommitECDSAP384
	if _, _, err := newClient(t, esdk.Config{CMM: port, Suite: explicit}).Encrypt(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	port.CMM = &choosingCMM{port.CMM, esdk.AES256GCMHKDFSHA512Commit}
	_, header, err := newClient(t, esdk.Config{CMM: port, Suite: explicit}).Encrypt(t.Context(), nil, nil)
	if err != nil || header.Suite.Signed() {
		t.Errorf("%v", err)
	}
}

func TestBadInput(t *testing.T) {
	if _, err := New(nil, AES256); err == nil {
		t.Error("New takes no CMM")
	}
	if _, err := New(defaultCMM(t, newKeyring(t)), nil); err == nil {
		t.Error("New takes no function")
	}
	client := newClient(t, esdk.Config{CMM: newCMM(t, defaultCMM(t, newKeyring(t)), esdk.SuiteID.Signed)})
	message, _, err := client.Encrypt(t.Context(), []byte("secret"), esdk.EncryptionContext{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(message)
	changed[len(changed)-1] ^= 1
	var format *esdk.FormatError
	for name, try := range map[string]struct {
		message []byte
		is      func(error) bool
	}{
		"changed":      {changed, func(err error) bool { return errors.Is(err, esdk.ErrAuthentication) }},
		"truncated":    {message[:len(message)-1], func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"empty":        {nil, func(err error) bool { return errors.As(err, &format) }},
		"no message":   {[]byte("secret"), func(err error) bool { return errors.As(err, &format) }},
		"other suites": {bytes.Replace(message, []byte{0x05, 0x78}, []byte{0x04, 0x78}, 1), func(err error) bool { return errors.Is(err, ErrSuite) }},
	} {
		if plaintext, _, err := client.Decrypt(t.Context(), try.message, nil); plaintext != nil || err == nil || !try.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConformance(t *testing.T) {
	esdktest.CMMTest{
		Encrypt: newCMM(t, defaultCMM(t, newKeyring(t)), esdk.SuiteID.Signed),
		Decrypt: newCMM(t, defaultCMM(t, newKeyring(t)), esdk.SuiteID.Signed),
		Suites:  suites(esdk.SuiteID.Signed),
	}.Run(t)
}

func BenchmarkEncrypt(b *testing.B) {
	next := defaultCMM(b, newKeyring(b))
	b.Run("without", func(b *testing.B) { benchmark(b, next) })
	b.Run("with", func(b *testing.B) { benchmark(b, newCMM(b, next, AES256)) })
}

func benchmark(b *testing.B, cmm esdk.CMM) {
	client := newClient(b, esdk.Config{CMM: cmm, Suite: esdk.AES256GCMHKDFSHA512Commit})
	var message []byte
	for b.Loop() {
		var err error
		if message, _, err = client.Encrypt(b.Context(), make([]byte, 1024), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(message)-1024), "bytes-added/op")
}
