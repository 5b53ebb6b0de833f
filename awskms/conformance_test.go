package awskms_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest"
	"esdk/esdktest/kmssim"
)

// A pair is two keyrings, one of which decrypts the messages of the other.
type pair struct {
	encrypt, decrypt esdk.Keyring
	provider         string
	offline          bool // encryption makes no requests
	noSigned         bool // it refuses suites that sign
	noWrap           bool // it wraps only data keys of its own making
}

// allKeyrings returns each kind of keyring.
func allKeyrings(t testing.TB, s sim) map[string]pair { return allKeyringsOf(t, s, s.config()) }

// allKeyringsOf returns each kind of keyring with a configuration that reaches
// the simulated KMS another way.
func allKeyringsOf(t testing.TB, s sim, c awskms.Config) map[string]pair {
	keyring := mustKeyring(t)
	one, two := s.symmetric(west), s.symmetric(east)
	primary, replica := s.mrk()
	strict := keyring(awskms.NewKeyring(c, one))
	multi := keyring(awskms.NewKeyring(c, one, two, primary))
	mrk := keyring(awskms.NewMRKKeyring(c, primary))
	filter := &awskms.Filter{Partition: "aws", Accounts: []string{kmssim.Account}}

	rsaARN := s.CreateKey(west, types.KeySpecRsa2048)
	rsa := keyring(awskms.NewRSAKeyring(c, awskms.RSAConfig{KeyID: rsaARN, PublicKey: rsaPublicKey(t, s, rsaARN)}))

	alice, bob := s.CreateKey(west, types.KeySpecEccNistP256), s.CreateKey(west, types.KeySpecEccNistP256)
	toBob := keyring(awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: alice, Peer: ecdhPublicKey(t, s, bob)}))
	fromAlice := keyring(awskms.NewECDHKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: bob, Peer: ecdhPublicKey(t, s, alice)}))
	ecdhDiscovery := keyring(awskms.NewECDHDiscoveryKeyring(t.Context(), c, awskms.ECDHConfig{KeyID: bob}))
	return map[string]pair{
		"strict":         {encrypt: strict, decrypt: strict, provider: "aws-kms"},
		"multi":          {encrypt: multi, decrypt: multi, provider: "aws-kms", noWrap: true},
		"MRK":            {encrypt: mrk, decrypt: keyring(awskms.NewMRKKeyring(c, replica)), provider: "aws-kms"},
		"discovery":      {encrypt: strict, decrypt: keyring(awskms.NewDiscoveryKeyring(c, filter)), provider: "aws-kms"},
		"MRK discovery":  {encrypt: mrk, decrypt: keyring(awskms.NewMRKDiscoveryKeyring(c, filter, east)), provider: "aws-kms"},
		"RSA":            {encrypt: rsa, decrypt: rsa, provider: "aws-kms-rsa", offline: true, noSigned: true},
		"ECDH":           {encrypt: toBob, decrypt: fromAlice, provider: "aws-kms-ecdh"},
		"ECDH discovery": {encrypt: toBob, decrypt: ecdhDiscovery, provider: "aws-kms-ecdh"},
	}
}

func TestConformance(t *testing.T) {
	for name, k := range allKeyrings(t, newSim(t)) {
		t.Run(name, func(t *testing.T) {
			test := esdktest.KeyringTest{Encrypt: k.encrypt, Decrypt: k.decrypt, ProviderIDs: []string{k.provider}, NoWrap: k.noWrap}
			if k.noSigned {
				test.Suites = []esdk.SuiteID{
					esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA256, esdk.AES192GCMHKDFSHA256,
					esdk.AES128GCMHKDFSHA256, esdk.AES256GCM, esdk.AES192GCM, esdk.AES128GCM,
				}
			}
			test.Run(t)
		})
	}
}

// A keyring without a generator works as a child of another.
func TestConformanceChild(t *testing.T) {
	s := newSim(t)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), "", s.symmetric(west), s.symmetric(east)))
	esdktest.KeyringTest{Encrypt: kr, Decrypt: kr, ProviderIDs: []string{"aws-kms"}, NoGenerate: true}.Run(t)
}

// No error shows a key, not even an error about the answer that contains it.
func TestNoKeyInErrors(t *testing.T) {
	s := newSim(t)
	for name, k := range allKeyrings(t, s) {
		s.Fault(nil)
		r := wrap(t, k.encrypt, nil)
		var shown [][]byte
		s.Fault(func(req *kmssim.Request) *kmssim.Fault {
			return &kmssim.Fault{Edit: func(a map[string]any) {
				for _, member := range []string{"Plaintext", "SharedSecret"} {
					if secret, ok := a[member].([]byte); ok {
						shown = append(shown, bytes.Clone(secret))
					}
				}
				a["KeyId"] = "no ARN"
			}}
		})
		_, err := tryUnwrap(t, k.decrypt, r.EncryptedDataKeys...)
		_, wrapErr := tryWrap(t, k.encrypt, nil)
		if len(shown) == 0 || err == nil || (wrapErr == nil) != k.offline {
			t.Errorf("%s: nothing was shown, or no error: %v, %v", name, err, wrapErr)
		}
		text := errors.Join(err, wrapErr).Error()
		for _, secret := range shown {
			for _, form := range []string{string(secret[:9]), base64Of(secret[:9])} {
				if bytes.Contains([]byte(text), []byte(form)) {
					t.Errorf("%s: an error has bytes of a key", name)
				}
			}
		}
	}
}

// Whole messages decrypt, with one kind of keyring and with all together.
func TestMessages(t *testing.T) {
	s := newSim(t)
	plaintext := bytes.Repeat([]byte("plaintext "), 1000)
	ec := esdk.EncryptionContext{"tenant": "17"}
	all := allKeyrings(t, s)
	all["raw AES"] = pair{encrypt: rawAES(t)}
	var children []esdk.Keyring
	for name, k := range all {
		if !k.noWrap && name != "raw AES" {
			children = append(children, k.encrypt)
		}
	}
	// The raw keyring comes first, so that the others must skip its data key.
	raw := all["raw AES"].encrypt
	mixed := mustKeyring(t)(esdk.NewMultiKeyring(raw, children...))
	client := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: mixed, Suite: unsigned}))
	message, header, err := client.Encrypt(t.Context(), plaintext, ec)
	if err != nil {
		t.Fatal(err)
	}
	if header.EncryptedDataKeys[0].ProviderID != "raw" || len(header.EncryptedDataKeys) != 1+len(children) {
		t.Errorf("%d encrypted data keys", len(header.EncryptedDataKeys))
	}
	for name, k := range all {
		if name == "raw AES" {
			k.decrypt = raw
		}
		t.Run(name, func(t *testing.T) {
			if got, err := esdk.Decrypt(t.Context(), k.decrypt, message, ec); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("the mixed message: %v", err)
			}
			suite := signed
			if k.noSigned {
				suite = unsigned
			}
			encrypt := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: k.encrypt, Suite: suite}))
			decrypt := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: k.decrypt}))
			var streamed bytes.Buffer
			w := must[*esdk.Writer](t)(encrypt.NewWriter(t.Context(), &streamed, ec))
			if _, err := w.ReadFrom(bytes.NewReader(plaintext)); err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			reader := must[*esdk.Reader](t)(decrypt.NewReader(t.Context(), &streamed, ec))
			if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("its own message: %v", err)
			}
		})
	}

	// A caller that only has a Client can find AWS's error.
	s.fail("Decrypt", "AccessDeniedException")
	_, err = esdk.Decrypt(t.Context(), all["multi"].decrypt, message, ec)
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) || api.ErrorCode() != "AccessDeniedException" || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Error(err)
	}
}

// A required pair, which the message does not store, also reaches AWS KMS.
func TestRequiredContext(t *testing.T) {
	s := newSim(t)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), s.symmetric(west)))
	cmm := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(must[esdk.CMM](t)(esdk.NewDefaultCMM(kr)), "purpose"))
	client := must[*esdk.Client](t)(esdk.New(esdk.Config{CMM: cmm, Suite: unsigned}))
	message, _, err := client.Encrypt(t.Context(), []byte("plaintext"), testContext)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message))).EncryptionContext["purpose"]; ok {
		t.Error("the required pair is stored")
	}
	if _, _, err := client.Decrypt(t.Context(), message, testContext); err != nil {
		t.Error(err)
	}
	for _, req := range s.Requests() {
		if ec := req.Input["EncryptionContext"].(map[string]any); ec["purpose"] != "test" {
			t.Errorf("%s was asked with %v", req.Operation, ec)
		}
	}
}

// Constructors that call AWS KMS honor their context.
func TestECDHConstructorCancelled(t *testing.T) {
	s := newSim(t)
	arn := s.CreateKey(west, types.KeySpecEccNistP256)
	peer := must[*ecdh.PrivateKey](t)(ecdh.P256().GenerateKey(rand.Reader)).PublicKey()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := awskms.NewECDHKeyring(ctx, s.config(), awskms.ECDHConfig{KeyID: arn, Peer: peer}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
