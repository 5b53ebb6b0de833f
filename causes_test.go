package esdk_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	cryptohpke "crypto/hpke"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest/kmssim"
	"esdk/hpke"
	"esdk/keyservice"
)

// A causeRow is a keyring whose errors tell a data key that isn't authentic
// from a service that failed.
type causeRow struct {
	kr esdk.Keyring

	// other has another wrapping key of the same name. Where the provider info
	// identifies the key, the test gives it the keyring's own.
	other    esdk.Keyring
	identify bool

	// down puts the service out of reach, for the rest of the test. It's nil
	// for a keyring without one.
	down func()

	noContext bool // see esdktest.KeyringTest
	implicit  bool // a data key that isn't authentic yields a random one
	lies      bool // no data key is authentic, by the service's answers
}

var (
	errDown    = errors.New("the service is down")
	causeSuite = esdk.AES256GCMHKDFSHA512Commit
	causeEC    = esdk.EncryptionContext{"tenant": "17"}
)

// A causeService is a key in memory that can fail and lie.
type causeService struct {
	cipher.AEAD
	down error
	lies bool // it decrypts to another plaintext
}

func newCauseService(t *testing.T) *causeService {
	key := make([]byte, 32)
	rand.Read(key)
	return &causeService{AEAD: must[cipher.AEAD](t)(cipher.NewGCMWithRandomNonce(must[cipher.Block](t)(aes.NewCipher(key))))}
}

func (s *causeService) Encrypt(_ context.Context, plaintext []byte) ([]byte, error) {
	return s.Seal(nil, nil, plaintext, nil), s.down
}

func (s *causeService) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	if s.down != nil {
		return nil, s.down
	}
	if s.lies {
		return make([]byte, 32), nil
	}
	plaintext, err := s.Open(nil, nil, ciphertext, nil)
	if err != nil {
		err = fmt.Errorf("%w: %w", esdk.ErrAuthentication, err) // as docs/keyrings.md says
	}
	return plaintext, err
}

// customKeyring is a user's, over a service that binds the context.
type customKeyring struct{ *causeService }

func (k customKeyring) Wrap(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, aad []byte) (esdk.EncryptedDataKey, error) {
		return esdk.EncryptedDataKey{ProviderID: "custom", Ciphertext: k.Seal(nil, nil, dataKey, aad)}, nil
	})
}

func (k customKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	matches := func(edk *esdk.EncryptedDataKey) bool { return edk.ProviderID == "custom" }
	return req.Unwrap(ctx, matches, func(edk *esdk.EncryptedDataKey, aad []byte) ([]byte, error) {
		if k.down != nil {
			return nil, k.down
		}
		dataKey, err := k.Open(nil, nil, edk.Ciphertext, aad)
		if err != nil {
			return nil, esdk.ErrAuthentication
		}
		return dataKey, nil
	})
}

// A causeStore is a source of branch keys that can fail.
type causeStore struct {
	branchkey.Source
	down error
}

func (s *causeStore) BranchKeyVersion(ctx context.Context, id, version string) (*branchkey.Key, error) {
	if s.down != nil {
		return nil, s.down
	}
	return s.Source.BranchKeyVersion(ctx, id, version)
}

func kmsRSAKey(t *testing.T, s *kmssim.Server, region, arn string) *rsa.PublicKey {
	t.Helper()
	out := must[*kms.GetPublicKeyOutput](t)(s.Client(region).GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn}))
	return must[any](t)(x509.ParsePKIXPublicKey(out.PublicKey)).(*rsa.PublicKey)
}

// noCache keeps nothing, so that each call asks the store.
type noCache struct{}

func (noCache) Load(ctx context.Context, _ string, fetch func(context.Context) (*caching.Entry, error)) (*caching.Entry, error) {
	return fetch(ctx)
}
func (noCache) Remove(string, *caching.Entry) {}
func (noCache) Stats() caching.Stats          { return caching.Stats{} }

// A pairOfKeyrings encrypts with one keyring and decrypts with another.
type pairOfKeyrings struct {
	esdk.Keyring
	decrypt esdk.Keyring
}

func (k pairOfKeyrings) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	return k.decrypt.Unwrap(ctx, req)
}

func causeRows(t *testing.T) map[string]causeRow {
	kr := must[esdk.Keyring](t)
	rawAES := func(fill byte) esdk.Keyring {
		return kr(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "corp", Name: "a", Key: bytes.Repeat([]byte{fill}, 32)}))
	}
	rsaKeys := []*rsa.PrivateKey{must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)), must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))}
	if rsaKeys[0].N.Cmp(rsaKeys[1].N) < 0 { // the first one takes all ciphertexts of the second one
		slices.Reverse(rsaKeys)
	}
	rawRSA := func(i int, pkcs1 bool) esdk.Keyring {
		return kr(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "corp", Name: "r", PublicKey: &rsaKeys[i].PublicKey, PrivateKey: rsaKeys[i], PKCS1v15: pkcs1}))
	}
	var ecKeys []*ecdh.PrivateKey
	for range 4 {
		ecKeys = append(ecKeys, must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)))
	}
	rawECDH := func(i int) esdk.Keyring {
		return kr(esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: ecKeys[i], Peer: ecKeys[i+1].PublicKey()}))
	}
	hybrid := func() esdk.Keyring {
		key := must[cryptohpke.PrivateKey](t)(hpke.GenerateKey())
		return kr(hpke.NewKeyring(hpke.Config{Name: "h", PublicKey: key.PublicKey(), PrivateKey: key}))
	}
	rows := map[string]causeRow{
		"raw AES":           {kr: rawAES(1), other: rawAES(2)},
		"raw RSA, OAEP":     {kr: rawRSA(0, false), other: rawRSA(1, false), noContext: true},
		"raw RSA, PKCS1v15": {kr: rawRSA(0, true), other: rawRSA(1, true), noContext: true, implicit: true},
		"raw ECDH":          {kr: rawECDH(0), other: rawECDH(2), identify: true},
		"hpke":              {kr: hybrid(), other: hybrid(), identify: true},
	}

	service, custom := newCauseService(t), newCauseService(t)
	rows["keyservice"] = causeRow{
		kr: kr(keyservice.NewKeyring(service, "k")), other: kr(keyservice.NewKeyring(newCauseService(t), "k")),
		down: func() { service.down = errDown },
	}
	rows["keyservice, lying"] = causeRow{kr: kr(keyservice.NewKeyring(&causeService{AEAD: service.AEAD, lies: true}, "k")), lies: true}
	rows["custom"] = causeRow{kr: customKeyring{custom}, other: customKeyring{newCauseService(t)}, down: func() { custom.down = errDown }}

	const region = "us-west-2"
	withKMS := func(name string, row causeRow, make func(c awskms.Config, s *kmssim.Server) esdk.Keyring) {
		s := kmssim.New()
		t.Cleanup(s.Close)
		c := awskms.Config{Clients: awskms.FixedClient(s.Client(region))}
		row.kr, row.other, row.identify = make(c, s), make(c, s), true
		row.down = func() {
			s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "KMSInternalException"} })
		}
		rows[name] = row
	}
	symmetric := func(s *kmssim.Server) string { return s.CreateKey(region, types.KeySpecSymmetricDefault) }
	withKMS("awskms", causeRow{}, func(c awskms.Config, s *kmssim.Server) esdk.Keyring {
		return kr(awskms.NewKeyring(c, symmetric(s)))
	})
	withKMS("awskms, discovery", causeRow{}, func(c awskms.Config, s *kmssim.Server) esdk.Keyring {
		return pairOfKeyrings{kr(awskms.NewKeyring(c, symmetric(s))), kr(awskms.NewDiscoveryKeyring(c, nil))}
	})
	withKMS("awskms, RSA", causeRow{}, func(c awskms.Config, s *kmssim.Server) esdk.Keyring {
		arn := s.CreateKey(region, types.KeySpecRsa2048)
		return kr(awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: arn, PublicKey: kmsRSAKey(t, s, region, arn)}))
	})
	withKMS("awskms, ECDH", causeRow{}, func(c awskms.Config, s *kmssim.Server) esdk.Keyring {
		arn := s.CreateKey(region, types.KeySpecEccNistP256)
		return kr(awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: arn, Peer: ecKeys[0].PublicKey()}))
	})

	hierarchical := func() (esdk.Keyring, *causeStore, *kmssim.Server) {
		s := kmssim.New()
		t.Cleanup(s.Close)
		store := must[*branchkey.Store](t)(branchkey.NewStore(branchkey.Config{
			Storage:     must[branchkey.Storage](t)(branchkey.NewFileStorage(filepath.Join(t.TempDir(), "keys.db"))),
			LogicalName: "keys", KMS: branchkey.KMSConfig{KeyARN: symmetric(s)}, Clients: awskms.FixedClient(s.Client(region)),
		}))
		must[string](t)(store.CreateKeyStore(t.Context()))
		must[string](t)(store.CreateKey(t.Context(), "b", causeEC))
		source := &causeStore{Source: store}
		return kr(branchkey.NewKeyring(branchkey.KeyringConfig{Store: source, BranchKeyID: "b", TTL: time.Minute, Cache: noCache{}})), source, s
	}
	stored, store, _ := hierarchical()
	rows["branchkey, store"] = causeRow{kr: stored, down: func() { store.down = errDown }}
	called, _, s := hierarchical()
	rows["branchkey, AWS KMS"] = causeRow{kr: called, down: func() {
		s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: "KMSInternalException"} })
	}}
	return rows
}

// A cause is the verdict that callers draw from an error of Unwrap.
type cause string

const (
	opened      cause = "opened"
	inauthentic cause = "a data key that isn't authentic"
	noneMatches cause = "no data key for the keyring"
	failed      cause = "a failure"
)

// causeOf shows how a caller decides. It checks that the cases exclude each
// other.
func causeOf(t *testing.T, err error) cause {
	t.Helper()
	none, ok := errors.AsType[*esdk.NoDataKeyError](err)
	_, service := errors.AsType[smithy.APIError](err)
	service = service || errors.Is(err, errDown) || errors.Is(err, context.Canceled) || errors.Is(err, branchkey.ErrNotFound)
	switch {
	case err == nil:
		return opened
	case !ok || !errors.Is(err, esdk.ErrNoDataKey):
		t.Errorf("%v isn't a *NoDataKeyError", err)
	case errors.Is(err, esdk.ErrAuthentication):
		return inauthentic
	case len(none.Errors) == 0:
		return noneMatches
	case !service:
		t.Errorf("%v has no error of a service", err)
	}
	return failed
}

// TestCauses checks for each keyring that its error tells an inauthentic data
// key, a failure of a service and a message for others apart.
func TestCauses(t *testing.T) {
	rows := causeRows(t)
	rsaKey, hybridKey := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048)), must[cryptohpke.PrivateKey](t)(hpke.GenerateKey())
	encryptOnly := []esdk.Keyring{
		must[esdk.Keyring](t)(esdk.NewRawECDHEphemeralKeyring(must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey())),
		must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "corp", Name: "public", PublicKey: &rsaKey.PublicKey})),
		must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: "public", PublicKey: hybridKey.PublicKey()})),
	}
	broken := newCauseService(t)
	outOfReach := must[esdk.Keyring](t)(keyservice.NewKeyring(broken, "elsewhere"))
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			wrap := func(kr esdk.Keyring) esdk.EncryptedDataKey {
				return must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: causeSuite, EncryptionContext: causeEC})).EncryptedDataKeys[0]
			}
			unwrap := func(ctx context.Context, kr esdk.Keyring, ec esdk.EncryptionContext, edks ...esdk.EncryptedDataKey) error {
				_, err := kr.Unwrap(ctx, &esdk.UnwrapRequest{Suite: causeSuite, EncryptionContext: ec, EncryptedDataKeys: edks})
				return err
			}
			check := func(what string, want cause, err error) {
				t.Helper()
				if got := causeOf(t, err); got != want {
					t.Errorf("%s: %v: %v, want %v", what, got, err, want)
				}
			}
			multi := func(others ...esdk.Keyring) esdk.Keyring {
				return must[esdk.Keyring](t)(esdk.NewMultiKeyring(row.kr, others...))
			}
			own, foreign := wrap(row.kr), esdk.EncryptedDataKey{ProviderID: "foreign"}
			changed, short := own, own
			changed.Ciphertext = bytes.Clone(own.Ciphertext)
			changed.Ciphertext[len(own.Ciphertext)-1] ^= 1
			short.Ciphertext = own.Ciphertext[1:]
			elsewhere := wrap(outOfReach)
			broken.down = errDown
			defer func() { broken.down = nil }()

			wrong := inauthentic
			if row.implicit {
				wrong = opened // with a random data key; see below
			}
			if row.lies {
				check("untouched", inauthentic, unwrap(t.Context(), row.kr, causeEC, own))
			} else {
				check("untouched", opened, unwrap(t.Context(), row.kr, causeEC, own))
			}
			check("changed", wrong, unwrap(t.Context(), row.kr, causeEC, changed))
			check("too short", inauthentic, unwrap(t.Context(), row.kr, causeEC, short))
			for i := range own.ProviderInfo {
				if name == "awskms, discovery" {
					break // it asks AWS KMS for the key that the message names
				}
				changed := own
				changed.ProviderInfo = bytes.Clone(own.ProviderInfo)
				changed.ProviderInfo[i] ^= 1
				if got := causeOf(t, unwrap(t.Context(), row.kr, causeEC, changed)); got == failed {
					t.Errorf("byte %d of the provider info changed: %v", i, got)
				}
			}
			if row.other != nil {
				theirs := wrap(row.other)
				if row.identify {
					theirs.ProviderInfo = own.ProviderInfo
				}
				check("of another key", wrong, unwrap(t.Context(), row.kr, causeEC, theirs))
			}
			if !row.noContext {
				check("of another context", wrong, unwrap(t.Context(), row.kr, esdk.EncryptionContext{"tenant": "18"}, own))
			}
			check("foreign", noneMatches, unwrap(t.Context(), row.kr, causeEC, foreign))
			check("none", noneMatches, unwrap(t.Context(), row.kr, causeEC))

			// A multi-keyring combines the errors.
			check("with keyrings that only encrypt", inauthentic, unwrap(t.Context(), multi(encryptOnly...), causeEC, short))
			check("with a keyring for others", inauthentic, unwrap(t.Context(), multi(outOfReach), causeEC, short, foreign))
			check("with a keyring out of reach", failed, unwrap(t.Context(), multi(outOfReach), causeEC, short, elsewhere))
			check("with a keyring out of reach, which comes first", failed, unwrap(t.Context(), must[esdk.Keyring](t)(esdk.NewMultiKeyring(outOfReach, row.kr)), causeEC, short, elsewhere))

			ended, cancel := context.WithCancel(t.Context())
			cancel()
			check("in a context that has ended", failed, unwrap(ended, row.kr, causeEC, short))

			if row.down != nil {
				row.down()
				check("out of reach", failed, unwrap(t.Context(), row.kr, causeEC, own))
				check("out of reach, after one that is too short", failed, unwrap(t.Context(), row.kr, causeEC, short, own))
			}
		})
	}
}

// TestCausesPKCS1v15 checks that a message whose data key has PKCS #1 v1.5
// padding and isn't authentic fails like a changed message.
func TestCausesPKCS1v15(t *testing.T) {
	row := causeRows(t)["raw RSA, PKCS1v15"]
	for what, kr := range map[string]esdk.Keyring{"changed": changing{row.kr}, "of another key": row.other} {
		message := must[[]byte](t)(esdk.Encrypt(t.Context(), kr, []byte("x"), nil))
		_, err := esdk.Decrypt(t.Context(), row.kr, message, nil)
		if !errors.Is(err, esdk.ErrCommitment) || errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Everyone with the public key sees that a number isn't less than the
	// modulus.
	edk := esdk.EncryptedDataKey{ProviderID: "corp", ProviderInfo: []byte("r"), Ciphertext: bytes.Repeat([]byte{0xff}, 256)}
	_, err := row.kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: causeSuite, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
	if causeOf(t, err) != inauthentic {
		t.Errorf("a number that is too large: %v", err)
	}
}

// changing changes each data key that it wraps.
type changing struct{ esdk.Keyring }

func (k changing) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	r, err := k.Keyring.Wrap(ctx, req)
	if err == nil {
		r.EncryptedDataKeys[0].Ciphertext[100] ^= 1
	}
	return r, err
}

// TestMissingBranchKey checks that a version of a branch key that the store
// doesn't have is an error of the store: it may have been lost.
func TestMissingBranchKey(t *testing.T) {
	kr := causeRows(t)["branchkey, store"].kr
	r := must[*esdk.WrapResult](t)(kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: causeSuite, EncryptionContext: causeEC}))
	r.EncryptedDataKeys[0].Ciphertext[28] ^= 1 // of the version
	_, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: causeSuite, EncryptionContext: causeEC, EncryptedDataKeys: r.EncryptedDataKeys})
	if causeOf(t, err) != failed || !errors.Is(err, branchkey.ErrNotFound) {
		t.Error(err)
	}
}
