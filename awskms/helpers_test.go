package awskms_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

const (
	west = "us-west-2" // the default Region
	east = "us-east-1"
	eu   = "eu-central-1"
)

// sim provides clients of a simulated KMS.
type sim struct {
	*kmssim.Server
	proxy string // the URL of a proxy for the clients; may be empty
}

func newSim(t testing.TB) sim {
	s := sim{Server: kmssim.New()}
	t.Cleanup(s.Close)
	return s
}

func (s sim) Client(_ context.Context, region string) (awskms.Client, error) {
	if region == "" {
		region = west
	}
	client := s.Server.Client(region)
	if s.proxy == "" {
		return client, nil
	}
	o := client.Options()
	o.BaseEndpoint = &s.proxy
	return kms.New(o), nil
}

func (s sim) config() awskms.Config { return awskms.Config{Clients: s} }

func (s sim) symmetric(region string) string {
	return s.CreateKey(region, types.KeySpecSymmetricDefault)
}

// mrk creates a multi-Region key in west, with a replica in east.
func (s sim) mrk() (primary, replica string) {
	primary = s.CreateMultiRegionKey(west, types.KeySpecSymmetricDefault)
	return primary, s.Replicate(primary, east)
}

// fail makes an operation fail, for the given keys or for all.
func (s sim) fail(operation, code string, keys ...string) {
	s.fault(operation, &kmssim.Fault{Code: code}, keys...)
}

// edit changes the answers of an operation.
func (s sim) edit(operation, member string, value any, keys ...string) {
	s.fault(operation, &kmssim.Fault{Edit: func(answer map[string]any) { answer[member] = value }}, keys...)
}

func (s sim) fault(operation string, f *kmssim.Fault, keys ...string) {
	s.Fault(func(r *kmssim.Request) *kmssim.Fault {
		if r.Operation != operation {
			return nil
		}
		for _, k := range keys {
			if r.Input["KeyId"] == k {
				return f
			}
		}
		if len(keys) == 0 {
			return f
		}
		return nil
	})
}

// A request is a request as seen on the wire.
type request struct {
	operation, region string
	input             map[string]any
}

// wantRequests checks all requests since the last check.
func (s sim) wantRequests(t testing.TB, want ...request) {
	t.Helper()
	var got []request
	for _, r := range s.Requests() {
		got = append(got, request{r.Operation, r.Region, r.Input})
	}
	s.Reset()
	if len(got) != len(want) {
		t.Errorf("%d requests, want %d: %v", len(got), len(want), got)
		return
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("request %d:\n got %v\nwant %v", i, got[i], want[i])
		}
	}
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

func mustKeyring(t testing.TB) func(esdk.Keyring, error) esdk.Keyring { return must[esdk.Keyring](t) }

// Tests use these suites where the choice doesn't matter.
const (
	signed   = esdk.AES256GCMHKDFSHA512CommitECDSAP384
	unsigned = esdk.AES256GCMHKDFSHA512Commit
)

var testContext = esdk.EncryptionContext{"purpose": "test", "stage": "ünit"}

// jsonContext is testContext as it appears in a request.
var jsonContext = map[string]any{"purpose": "test", "stage": "ünit"}

func wrap(t testing.TB, kr esdk.Keyring, dataKey []byte) *esdk.WrapResult {
	t.Helper()
	r, err := tryWrap(t, kr, dataKey)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryWrap(t testing.TB, kr esdk.Keyring, dataKey []byte) (*esdk.WrapResult, error) {
	return kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: unsigned, EncryptionContext: maps.Clone(testContext), DataKey: dataKey})
}

func tryUnwrap(t testing.TB, kr esdk.Keyring, edks ...esdk.EncryptedDataKey) ([]byte, error) {
	return kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: maps.Clone(testContext), EncryptedDataKeys: edks})
}

// wantKey checks that the encrypted data keys unwrap to the data key.
func wantKey(t testing.TB, kr esdk.Keyring, want []byte, edks ...esdk.EncryptedDataKey) {
	t.Helper()
	if got, err := tryUnwrap(t, kr, edks...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Unwrap returned another data key, or none: %v", err)
	}
}

// wantNone checks that the encrypted data keys don't unwrap, and returns the
// error.
func wantNone(t testing.TB, kr esdk.Keyring, edks ...esdk.EncryptedDataKey) *esdk.NoDataKeyError {
	t.Helper()
	dataKey, err := tryUnwrap(t, kr, edks...)
	if dataKey != nil {
		t.Error("Unwrap returned a data key")
	}
	none, ok := err.(*esdk.NoDataKeyError)
	if !ok || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("Unwrap fails with %v, want a *NoDataKeyError", err)
		return new(esdk.NoDataKeyError)
	}
	return none
}

// wantText checks that an error contains all the texts.
func wantText(t testing.TB, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("there is no error, want one with %q", texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not have %q: %v", text, err)
		}
	}
}

func randomKey(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// publicKey returns the public key of a key in the simulated KMS.
func publicKey(t testing.TB, s sim, region, arn string) any {
	t.Helper()
	out, err := s.Server.Client(region).GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
	if err != nil {
		t.Fatal(err)
	}
	s.Reset()
	return must[any](t)(x509.ParsePKIXPublicKey(out.PublicKey))
}

func rsaPublicKey(t testing.TB, s sim, arn string) *rsa.PublicKey {
	return publicKey(t, s, west, arn).(*rsa.PublicKey)
}

func ecdhPublicKey(t testing.TB, s sim, arn string) *ecdh.PublicKey {
	return must[*ecdh.PublicKey](t)(publicKey(t, s, west, arn).(interface {
		ECDH() (*ecdh.PublicKey, error)
	}).ECDH())
}

// rawAES returns a raw AES keyring, for messages that involve other keyrings,
// too.
func rawAES(t testing.TB) esdk.Keyring {
	return mustKeyring(t)(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "raw", Name: "key", Key: randomKey(32)}))
}

// kmsKey returns an encrypted data key of the provider aws-kms.
func kmsKey(info string) esdk.EncryptedDataKey {
	return esdk.EncryptedDataKey{ProviderID: "aws-kms", ProviderInfo: []byte(info), Ciphertext: []byte("ciphertext")}
}
