package awskms

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk"
	"esdk/internal/kmsarn"
)

// These tests use encrypted data keys of the official SDKs, made with AWS KMS
// itself. If a vector includes the data key, the tests unwrap its encrypted
// data keys, with AWS KMS replaced by its known answers. They also wrap the
// same key, and compare the result.

// officialKey is a key of AWS KMS in the vectors' keys.json.
type officialKey struct {
	KeyID           string `json:"key-id"`
	Material        string // of RSA, in PEM
	Sender          string `json:"sender-material"`
	Recipient       string `json:"recipient-material"`
	SenderPublic    []byte `json:"sender-material-public-key"`
	RecipientPublic []byte `json:"recipient-material-public-key"`
}

type officialKeys map[string]json.RawMessage

func readOfficialKeys(t *testing.T, name string) officialKeys {
	var file struct{ Keys officialKeys }
	if err := json.Unmarshal(officialVectors(t, name), &file); err != nil {
		t.Fatal(err)
	}
	return file.Keys
}

func (keys officialKeys) find(t *testing.T, name string) (k officialKey) {
	t.Helper()
	if err := json.Unmarshal(keys[name], &k); err != nil {
		t.Fatalf("key %q: %v", name, err)
	}
	return k
}

// officialCase describes the keys that decrypt a vector.
type officialCase struct {
	Type, Key         string
	Algorithm         string `json:"encryption-algorithm"`
	Sender, Recipient string
	Region            string `json:"default-mrk-region"`
	Filter            *struct {
		Partition string
		Accounts  []string `json:"account-ids"`
	} `json:"aws-kms-discovery-filter"`

	suite   esdk.SuiteID
	context esdk.EncryptionContext
	edks    []esdk.EncryptedDataKey
	dataKey []byte // nil if unknown
}

// replay answers as AWS KMS did when a vector was made.
type replay struct {
	Client
	t                *testing.T
	officialCase     *officialCase
	region           string   // of the client
	askedFor, public [][]byte // key ids and public keys of the requests
}

type replayClients struct{ *replay }

func (r replayClients) Client(_ context.Context, region string) (Client, error) {
	r.region = region
	return r.replay, nil
}

func (r *replay) check(keyID string) {
	r.askedFor = append(r.askedFor, []byte(keyID))
	if !strings.HasPrefix(keyID, "arn:aws:kms:"+r.region+":") {
		r.t.Errorf("%s was asked for in %s", keyID, r.region)
	}
}

func (r *replay) Decrypt(_ context.Context, in *kms.DecryptInput, _ ...func(*kms.Options)) (*kms.DecryptOutput, error) {
	r.check(*in.KeyId)
	c := r.officialCase
	if !bytes.Equal(in.CiphertextBlob, c.edks[0].Ciphertext) {
		return nil, errors.New("another ciphertext")
	}
	if c.Type == rsaProvider {
		if string(in.EncryptionAlgorithm) != c.Algorithm || in.EncryptionContext != nil {
			r.t.Errorf("asked with %q, %v", in.EncryptionAlgorithm, in.EncryptionContext)
		}
		serialized, _ := c.context.AppendBinary(nil)
		digest := sha512.Sum384(serialized)
		return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: append(digest[:], c.dataKey...)}, nil
	}
	if !maps.Equal(in.EncryptionContext, c.context) {
		r.t.Errorf("asked with %v", in.EncryptionContext)
	}
	return &kms.DecryptOutput{KeyId: in.KeyId, Plaintext: bytes.Clone(c.dataKey)}, nil
}

func (r *replay) GenerateDataKey(_ context.Context, in *kms.GenerateDataKeyInput, _ ...func(*kms.Options)) (*kms.GenerateDataKeyOutput, error) {
	r.check(*in.KeyId)
	return &kms.GenerateDataKeyOutput{KeyId: in.KeyId, Plaintext: make([]byte, *in.NumberOfBytes), CiphertextBlob: r.officialCase.edks[0].Ciphertext}, nil
}

func (r *replay) DeriveSharedSecret(_ context.Context, in *kms.DeriveSharedSecretInput, _ ...func(*kms.Options)) (*kms.DeriveSharedSecretOutput, error) {
	r.check(*in.KeyId)
	r.public = append(r.public, in.PublicKey)
	public, err := parsePublicKey(in.PublicKey)
	if err != nil {
		return nil, err
	}
	return &kms.DeriveSharedSecretOutput{KeyId: in.KeyId, SharedSecret: make([]byte, (len(public.Bytes())-1)/2)}, nil
}

func TestOfficialMPL(t *testing.T) {
	keys := readOfficialKeys(t, "mpl-decrypt-go/keys.json")
	var manifest struct {
		Tests map[string]struct {
			Description       string
			Suite             string                 `json:"algorithmSuiteId"`
			KeyDescription    officialCase           `json:"keyDescription"`
			EncryptionContext esdk.EncryptionContext `json:"encryptionContext"`
			DataKeys          []struct {
				ProviderID   string `json:"keyProviderId"`
				ProviderInfo []byte `json:"keyProviderInfo"`
				Ciphertext   []byte
			} `json:"encryptedDataKeys"`
			Result struct {
				DataKey []byte `json:"plaintextDataKey"`
			}
		}
	}
	if err := json.Unmarshal(officialVectors(t, "mpl-decrypt-go/manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for id, test := range manifest.Tests {
		c := test.KeyDescription
		suite, err := strconv.ParseUint(test.Suite, 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		c.suite, c.context, c.dataKey = esdk.SuiteID(suite), test.EncryptionContext, test.Result.DataKey
		for _, k := range test.DataKeys {
			c.edks = append(c.edks, esdk.EncryptedDataKey{ProviderID: k.ProviderID, ProviderInfo: k.ProviderInfo, Ciphertext: k.Ciphertext})
		}
		runOfficial(t, id, &c, keys, counts)
	}
	wantCounts(t, counts, map[string]int{"aws-kms": 11, "aws-kms-mrk-aware": 22, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 7, "aws-kms-ecdh": 33})
}

// The data keys of these messages are unknown.
func TestOfficialMessages(t *testing.T) {
	const dir = "dafny-4.1.0-v5"
	keys := readOfficialKeys(t, dir+"/keys.json")
	var manifest struct {
		Tests map[string]struct {
			Scenario struct {
				Ciphertext        string
				Decrypt           officialCase           `json:"decryptKeyDescription"`
				ReproducedContext esdk.EncryptionContext `json:"reproduced-encryption-context"`
			} `json:"decryption-scenario"`
		}
	}
	if err := json.Unmarshal(officialVectors(t, dir+"/decrypt-manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for id, test := range manifest.Tests {
		c := test.Scenario.Decrypt
		if !strings.HasPrefix(c.Type, kmsProvider) || c.Type == "aws-kms-hierarchy" {
			continue
		}
		message := officialVectors(t, path.Join(dir, strings.TrimPrefix(test.Scenario.Ciphertext, "file://")))
		header, err := esdk.ParseHeader(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		c.suite, c.context, c.edks = header.Suite, maps.Clone(header.EncryptionContext), header.EncryptedDataKeys
		maps.Copy(c.context, test.Scenario.ReproducedContext)
		runOfficial(t, id, &c, keys, counts)
	}
	wantCounts(t, counts, map[string]int{"aws-kms": 11, "aws-kms-mrk-aware": 22, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 7, "aws-kms-ecdh": 33})
}

func wantCounts(t *testing.T, got, want map[string]int) {
	t.Helper()
	if t.Logf("vectors: %v", got); !maps.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
}

func runOfficial(t *testing.T, id string, c *officialCase, keys officialKeys, counts map[string]int) {
	run := map[string]func(*testing.T, *officialCase, officialKeys){
		"aws-kms": runSymmetric, "aws-kms-mrk-aware": runSymmetric, "aws-kms-mrk-aware-discovery": runSymmetric,
		"aws-kms-rsa": runRSA, "aws-kms-ecdh": runECDH,
	}[c.Type]
	if run == nil {
		return
	}
	counts[c.Type]++
	if len(c.edks) != 1 {
		t.Fatalf("%s: %d encrypted data keys", id, len(c.edks))
	}
	if c.dataKey == nil {
		c.dataKey = bytes.Repeat([]byte{7}, c.suite.DataKeyLength())
	}
	t.Run(c.Type+"/"+id, func(t *testing.T) { run(t, c, keys) })
}

func (c *officialCase) unwrap(t *testing.T, kr esdk.Keyring) ([]byte, error) {
	return kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: c.suite, EncryptionContext: c.context, EncryptedDataKeys: c.edks})
}

// wrapLike checks that a keyring writes the same result as the official SDK.
func (c *officialCase) wrapLike(t *testing.T, kr esdk.Keyring, sameCiphertext bool) {
	t.Helper()
	r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: c.suite, EncryptionContext: c.context})
	if err != nil {
		t.Fatal(err)
	}
	got, want := r.EncryptedDataKeys[0], c.edks[0]
	if got.ProviderID != want.ProviderID || !bytes.Equal(got.ProviderInfo, want.ProviderInfo) || len(got.Ciphertext) != len(want.Ciphertext) {
		t.Errorf("wrote %q %q %d bytes, official is %q %q %d bytes", got.ProviderID, got.ProviderInfo, len(got.Ciphertext), want.ProviderID, want.ProviderInfo, len(want.Ciphertext))
	}
	if sameCiphertext && !bytes.Equal(got.Ciphertext, want.Ciphertext) {
		t.Error("wrote another ciphertext")
	}
}

func runSymmetric(t *testing.T, c *officialCase, keys officialKeys) {
	aws := &replay{t: t, officialCase: c}
	config := Config{Clients: replayClients{aws}}
	var kr esdk.Keyring
	var err error
	var ask string
	switch c.Type {
	case "aws-kms":
		ask = keys.find(t, c.Key).KeyID
		kr, err = NewKeyring(config, ask)
	case "aws-kms-mrk-aware":
		ask = keys.find(t, c.Key).KeyID
		kr, err = NewMRKKeyring(config, ask)
	default:
		named, _ := kmsarn.ParseKey(string(c.edks[0].ProviderInfo))
		ask = named.In(c.Region).String()
		var filter *Filter
		if c.Filter != nil {
			filter = &Filter{c.Filter.Partition, c.Filter.Accounts}
		}
		kr, err = NewMRKDiscoveryKeyring(config, filter, c.Region)
	}
	if err != nil {
		t.Fatal(err)
	}
	if dataKey, err := c.unwrap(t, kr); err != nil || !bytes.Equal(dataKey, c.dataKey) {
		t.Errorf("another data key, or none: %v", err)
	}
	if len(aws.askedFor) != 1 || string(aws.askedFor[0]) != ask {
		t.Errorf("asked for %q, want %s", aws.askedFor, ask)
	}
	encrypt, err := NewKeyring(config, string(c.edks[0].ProviderInfo))
	if err != nil {
		t.Fatal(err)
	}
	c.wrapLike(t, encrypt, true)
}

func runRSA(t *testing.T, c *officialCase, keys officialKeys) {
	key := keys.find(t, c.Key)
	public, err := esdk.ParsePEM[*rsa.PublicKey]([]byte(key.Material))
	if err != nil {
		t.Fatal(err)
	}
	hash := map[string]crypto.Hash{"RSAES_OAEP_SHA_1": crypto.SHA1, "RSAES_OAEP_SHA_256": crypto.SHA256}[c.Algorithm]
	kr, err := NewRSAKeyring(Config{Clients: replayClients{&replay{t: t, officialCase: c}}}, RSAConfig{key.KeyID, public, hash})
	if err != nil || hash == 0 {
		t.Fatal(hash, err)
	}
	if dataKey, err := c.unwrap(t, kr); err != nil || !bytes.Equal(dataKey, c.dataKey) {
		t.Errorf("another data key, or none: %v", err)
	}
	c.wrapLike(t, kr, false)
}

// runECDH can't know the secret, but checks all steps before it.
func runECDH(t *testing.T, c *officialCase, keys officialKeys) {
	name := c.Sender
	if name == "discovery" {
		name = c.Recipient
	}
	key := keys.find(t, name)
	sender, err1 := parsePublicKey(key.SenderPublic)
	recipient, err2 := parsePublicKey(key.RecipientPublic)
	if err := cmp.Or(err1, err2); err != nil {
		t.Fatal(err)
	}
	aws := &replay{t: t, officialCase: c}
	config := Config{Clients: replayClients{aws}}
	unwrap := func(kr esdk.Keyring, err error, keyID string, peer []byte) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		aws.askedFor, aws.public = nil, nil
		_, err = c.unwrap(t, kr)
		if err == nil || !strings.Contains(err.Error(), "wrong key or encryption context") {
			t.Errorf("with another secret: %v", err)
		}
		if len(aws.askedFor) != 1 || string(aws.askedFor[0]) != keyID || !bytes.Equal(aws.public[0], peer) {
			t.Errorf("asked for %q with %s, want %q with %s", aws.askedFor, b64(aws.public...), keyID, b64(peer))
		}
	}
	newStatic := func(keyID string, own, peer *ecdh.PublicKey) (esdk.Keyring, error) {
		return NewECDHKeyring(t.Context(), config, ECDHConfig{KeyID: keyID, PublicKey: own, Peer: peer})
	}
	kr, err := newStatic(key.Sender, sender, recipient)
	unwrap(kr, err, key.Sender, key.RecipientPublic)
	c.wrapLike(t, kr, false)
	kr, err = newStatic(key.Recipient, recipient, sender)
	unwrap(kr, err, key.Recipient, key.SenderPublic)
	kr, err = NewECDHDiscoveryKeyring(t.Context(), config, ECDHConfig{KeyID: key.Recipient, PublicKey: recipient})
	unwrap(kr, err, key.Recipient, key.SenderPublic)
}

func b64(all ...[]byte) (text []string) {
	for _, b := range all {
		text = append(text, base64.StdEncoding.EncodeToString(b))
	}
	return text
}
