package vectors

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/vectors/vectorstest"
)

const hookKeys = `{"manifest": {"type": "keys", "version": 2}, "keys": {
	"kms": {"type": "aws-kms", "key-id": "arn:kms"},
	"branch": {"type": "static-branch-key", "key-id": "b", "branchKeyVersion": "v", "branchKey": "AQI="},
	"pair": {"type": "aws-kms-ecdh", "sender-material": "arn:s", "recipient-material": "arn:r",
		"recipient-material-public-key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9istdPCuX9nF8EmA4tioe/k0TCa2M9VeBW1N9n0sxPA6uPVOfLtE4+KuYxAGT0dYoK6CY93nowUy1yS+R7A+wA=="}}}`

// runWithHook runs one version 5 case. Its message is encrypted under the key
// in vectorstest.Keys.
func runWithHook(t *testing.T, scenario, description string, hook func(*KeyDescription, Keys) (esdk.Keyring, error)) Result {
	t.Helper()
	dir := vectorstest.WriteFiles(t, map[string]string{
		"keys.json": hookKeys,
		"message":   testMessage(t, "text", 0),
		"plaintext": "text",
		"manifest.json": fmt.Sprintf(`{"manifest": {"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": {"a": {"decryption-scenario":
			{"type": %q, "ciphertext": "file://message", "result": "file://plaintext", "decryptKeyDescription": %s}}}}`, scenario, description),
	})
	return load(t, filepath.Join(dir, "manifest.json"), Options{Keyring: hook}).Cases[0].Run(t.Context())
}

// rightKeyring decrypts the message.
func rightKeyring(*KeyDescription, Keys) (esdk.Keyring, error) {
	return esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "namespace", Name: "aes", Key: make([]byte, 16)})
}

// TestHook: descriptions of other types are passed to the hook, wherever they
// appear, with everything that the official manifests say about them.
func TestHook(t *testing.T) {
	kms := KeyDescription{Type: "aws-kms", Key: "kms"}
	discovery := KeyDescription{Type: "aws-kms-mrk-aware-discovery", Region: "r"}
	filtered := discovery
	filtered.Filter = &DiscoveryFilter{"aws", []string{"1", "2"}}
	for _, c := range []struct {
		text string
		want KeyDescription
	}{
		{`{"type": "aws-kms", "key": "kms"}`, kms},
		{`{"type": "multi-keyring", "childKeyrings": [{"type": "multi-keyring", "generator": {"type": "aws-kms", "key": "kms"}}]}`, kms},
		{`{"type": "required-encryption-context-cmm", "requiredEncryptionContextKeys": ["tenant"],
			"underlying": {"type": "aws-kms", "key": "kms"}}`, kms},
		{`{"type": "aws-kms-hierarchy", "key": "branch"}`, KeyDescription{Type: "aws-kms-hierarchy", Key: "branch"}},
		{`{"type": "aws-kms-rsa", "key": "kms", "encryption-algorithm": "RSAES_OAEP_SHA_1"}`,
			KeyDescription{Type: "aws-kms-rsa", Key: "kms", Algorithm: "RSAES_OAEP_SHA_1"}},
		{`{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "r"}`, discovery},
		{`{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "r",
			"aws-kms-discovery-filter": {"partition": "aws", "account-ids": ["1", "2"]}}`, filtered},
	} {
		var got []KeyDescription
		r := runWithHook(t, "positive-esdk", c.text, func(d *KeyDescription, ks Keys) (esdk.Keyring, error) {
			got = append(got, *d)
			return rightKeyring(d, ks)
		})
		if !reflect.DeepEqual(got, []KeyDescription{c.want}) {
			t.Errorf("%s\ngot %+v, want one %+v", c.text, got, c.want)
		}
		// The message has no required context.
		required := strings.Contains(c.text, "required-") && errors.Is(r.Err, esdk.ErrEncryptionContext)
		if r.Outcome != Passed && !required {
			t.Errorf("%s\ngot %s: %v", c.text, r.Outcome, r.Err)
		}
	}
}

func TestHookKeys(t *testing.T) {
	ks, err := ParseKeys([]byte(hookKeys))
	if err != nil {
		t.Fatal(err)
	}
	k, err := ks.Get("branch")
	if err != nil || k.Type != "static-branch-key" || k.ID != "b" || k.BranchKeyVersion != "v" || string(k.BranchKey) != "\x01\x02" {
		t.Errorf("got %+v, %v", k, err)
	}
	d := &KeyDescription{Schema: "static", Sender: "pair", Recipient: "pair", RecipientPublicKey: "recipient-material-public-key"}
	sender, recipient, err := ks.Parties(d)
	if err != nil || sender.Material != "arn:s" || recipient.Material != "arn:r" {
		t.Errorf("got %+v, %+v, %v", sender, recipient, err)
	}
	if public, err := recipient.PublicKey(); err != nil || len(public.Bytes()) != 65 {
		t.Errorf("recipient's public key is %v, %v", public, err)
	}
	if public, err := sender.PublicKey(); err == nil {
		t.Errorf("sender has the public key %v", public)
	}
	d.Schema, d.Sender = "discovery", "discovery"
	if sender, recipient, err = ks.Parties(d); err != nil || sender != nil || recipient.Material != "arn:r" {
		t.Errorf("got %+v, %+v, %v", sender, recipient, err)
	}
}

// brokenKeyring fails for all inputs.
type brokenKeyring struct {
	esdk.Keyring
	err error
}

func (k brokenKeyring) Unwrap(context.Context, *esdk.UnwrapRequest) ([]byte, error) {
	return nil, &esdk.NoDataKeyError{Errors: []error{k.err}}
}

// TestHookErrors: the error of the hook or its keyring decides whether a case
// is unsupported, fails or passes. A negative case must not pass because the
// network is down.
func TestHookErrors(t *testing.T) {
	offline := fmt.Errorf("network is down, %w", ErrInconclusive)
	for _, c := range []struct {
		scenario    string
		hook, later error
		outcome     Outcome
		text        string
	}{
		{"positive-esdk", ErrUnsupported, nil, Unsupported, `key type "aws-kms" is not supported`},
		{"negative-esdk", fmt.Errorf("%w yet", ErrUnsupported), nil, Unsupported, `key type "aws-kms" is not supported yet`},
		{"positive-esdk", errors.New("no such key"), nil, Failed, "no such key"},
		{"negative-esdk", errors.New("no such key"), nil, Failed, "no such key"},
		{"positive-esdk", nil, errors.New("wrong key"), Failed, "wrong key"},
		{"negative-esdk", nil, errors.New("wrong key"), Passed, "wrong key"},
		{"positive-esdk", nil, offline, Failed, "network is down"},
		{"negative-esdk", nil, offline, Failed, "network is down"},
	} {
		description := `{"type": "multi-keyring", "childKeyrings": [{"type": "aws-kms"}]}`
		r := runWithHook(t, c.scenario, description, func(*KeyDescription, Keys) (esdk.Keyring, error) {
			return brokenKeyring{err: c.later}, c.hook
		})
		if r.Outcome != c.outcome || !strings.Contains(r.Err.Error(), c.text) {
			t.Errorf("%s, %v, %v: got %s: %v, want %s", c.scenario, c.hook, c.later, r.Outcome, r.Err, c.outcome)
		}
		if r.Outcome == Unsupported && r.KeyType != "aws-kms" {
			t.Errorf("type %q is not supported, want aws-kms", r.KeyType)
		}
	}
}

// TestLegacyHook: the alias in the oldest manifest stands for the keys of its
// account and Region.
func TestLegacyHook(t *testing.T) {
	const manifest = `{"manifest": {"type": "ciphertext"}, "test_cases": [{"algorithm": "0014", "ciphertext": {"filename": "message"},
		"plaintext": {"filename": "plaintext"}, "master_keys": [
			{"provider_id": "aws-kms", "decryptable": false, "key_id": "arn:aws:kms:elsewhere:2:alias/b"},
			{"provider_id": %q, "decryptable": true, "key_id": %q}]}]}`
	run := func(provider, keyID string, o Options) Result {
		path := filepath.Join(vectorstest.WriteFiles(t, map[string]string{"manifest.json": fmt.Sprintf(manifest, provider, keyID)}), "manifest.json")
		return load(t, path, o).Cases[0].Run(t.Context())
	}
	const alias = "arn:aws:kms:us-west-2:1:alias/a"
	var got []KeyDescription
	run("aws-kms", alias, Options{Keyring: func(d *KeyDescription, ks Keys) (esdk.Keyring, error) {
		got = append(got, *d)
		return rightKeyring(d, ks)
	}})
	want := []KeyDescription{{Type: "aws-kms-mrk-aware-discovery", Region: "us-west-2", Filter: &DiscoveryFilter{"aws", []string{"1"}}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, c := range []struct {
		provider, keyID string
		outcome         Outcome
		keyType         string
	}{
		{"aws-kms", alias, Unsupported, "aws-kms"},
		{"other", alias, Unsupported, "other"},
		{"aws-kms", "alias/a", Failed, "aws-kms"},
	} {
		if r := run(c.provider, c.keyID, Options{}); r.Outcome != c.outcome || r.KeyType != c.keyType {
			t.Errorf("%s %s: got %s of type %q: %v", c.provider, c.keyID, r.Outcome, r.KeyType, r.Err)
		}
	}
}
