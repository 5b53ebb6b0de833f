package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/vectorkeys"
	"esdk/esdktest/kmssim"
	"esdk/internal/vectors"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

type jsonObject map[string]any

// vectorFolder is a directory with manifests, their keys, and messages of each
// kind of key.
type vectorFolder struct {
	*testing.T
	dir string
	kms *kmssim.Server
	key string // of AWS KMS
}

const branchKeyVersion = "e9ce18a3-edb5-4272-9f86-1cacb7997ff6"

func newVectorFolder(t *testing.T) *vectorFolder {
	s := startKMS(t)
	f := &vectorFolder{t, t.TempDir(), s, s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)}
	primary := s.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	rsaKey := s.CreateKey("us-west-2", types.KeySpecRsa2048)
	sender, recipient := s.CreateKey("us-west-2", types.KeySpecEccNistP384), s.CreateKey("us-west-2", types.KeySpecEccNistP384)
	f.write("plaintext", []byte("plaintext"))
	f.encrypt("key", f.key)
	f.encrypt("mrk", primary)
	f.encrypt("rsa", "kms-rsa:"+rsaKey+"@"+f.writePublicKey("rsa.pem", rsaKey)+"?pad=oaep-sha1")
	f.encrypt("ecdh", "kms-ecdh:"+sender+"@"+f.writePublicKey("recipient.pem", recipient))
	f.encryptBranch("branch")
	keys := jsonObject{
		"key":     jsonObject{"type": "aws-kms", "key-id": f.key},
		"replica": jsonObject{"type": "aws-kms", "key-id": s.Replicate(primary, "eu-west-1")},
		"rsa":     jsonObject{"type": "aws-kms-rsa", "key-id": rsaKey},
		"branch":  jsonObject{"type": "static-branch-key", "key-id": "tenant", "branchKeyVersion": branchKeyVersion, "branchKey": pattern(32)},
		"pair": jsonObject{
			"type": "aws-kms-ecdh", "sender-material": sender, "recipient-material": recipient,
			"sender-material-public-key": f.publicKey(sender), "recipient-material-public-key": f.publicKey(recipient),
		},
		"rsa-pair": jsonObject{"type": "aws-kms-ecdh", "recipient-material": recipient, "recipient-material-public-key": f.publicKey(rsaKey)},
		"pem":      jsonObject{"type": "aws-kms-ecdh", "recipient-material": "-----BEGIN PRIVATE KEY-----\n", "recipient-material-public-key": f.publicKey(recipient)},
	}
	maps.Copy(keys, brokenKeys)
	f.write("keys.json", jsonObject{"manifest": jsonObject{"type": "keys", "version": 3}, "keys": keys})
	return f
}

// brokenKeys are unusable, or unusable under their names.
var brokenKeys = jsonObject{
	"aes":        jsonObject{"type": "symmetric", "key-id": "aes"},
	"bucket":     jsonObject{"type": "aws-kms", "key-id": "arn:aws:s3:::bucket"},
	"alias":      jsonObject{"type": "aws-kms", "key-id": "alias/app"},
	"rsa-alias":  jsonObject{"type": "aws-kms-rsa", "key-id": "alias/app"},
	"short":      jsonObject{"type": "static-branch-key", "key-id": "tenant", "branchKeyVersion": branchKeyVersion, "branchKey": pattern(5)},
	"no-version": jsonObject{"type": "static-branch-key", "key-id": "tenant", "branchKey": pattern(32)},
}

func (f *vectorFolder) publicKey(arn string) []byte {
	f.Helper()
	out, err := f.kms.Client("us-west-2").GetPublicKey(f.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
	if err != nil {
		f.Fatal(err)
	}
	return out.PublicKey
}

func (f *vectorFolder) writePublicKey(name, arn string) (path string) {
	f.Helper()
	return f.write(name, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: f.publicKey(arn)}))
}

// write writes bytes as they are, and any other content as JSON.
func (f *vectorFolder) write(name string, content any) (path string) {
	f.Helper()
	text, ok := content.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(content); err != nil {
			f.Fatal(err)
		}
	}
	path = filepath.Join(f.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		f.Fatal(err)
	}
	return path
}

func (f *vectorFolder) encrypt(name, key string) {
	f.Helper()
	in, out := filepath.Join(f.dir, "plaintext"), filepath.Join(f.dir, name)
	if status, _, stderr := runHere(f.T, "encrypt", "--unsigned", "-k", key, "-o", out, in); status != cli.ExitOK {
		f.Fatal(stderr)
	}
	f.writeMessage(name, []byte(readFile(f.T, out)))
}

func (f *vectorFolder) encryptBranch(name string) {
	f.Helper()
	kr, err := vectorkeys.Keyring(f.Context(), newApp().keys, false)(&vectors.KeyDescription{Type: "aws-kms-hierarchy", Key: "branch"}, vectors.Keys{
		"branch": {Type: "static-branch-key", ID: "tenant", BranchKeyVersion: branchKeyVersion, BranchKey: pattern(32)},
	})
	if err != nil {
		f.Fatal(err)
	}
	message, err := esdk.Encrypt(f.Context(), kr, []byte("plaintext"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.writeMessage(name, message)
}

// writeMessage writes a message, and a copy of it with a modified encrypted
// data key.
func (f *vectorFolder) writeMessage(name string, message []byte) {
	f.Helper()
	f.write(name, message)
	h, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		f.Fatal(err)
	}
	dataKey := h.EncryptedDataKeys[0].Ciphertext
	message[bytes.Index(message, dataKey)+len(dataKey)-1] ^= 1
	f.write(name+"-changed", message)
}

// run runs a manifest, and returns the result of each case.
func (f *vectorFolder) run(manifest jsonObject, args ...string) map[string]result {
	f.Helper()
	path := f.write("manifest.json", manifest)
	_, stdout, _ := runHere(f.T, append([]string{"vectors", "run", "--json", path}, args...)...)
	results := map[string]result{}
	for _, r := range readResults(f.T, stdout) {
		results[r.ID] = r
	}
	return results
}

func check(t *testing.T, r result, want vectors.Outcome, text string) {
	t.Helper()
	if r.Outcome != want || !strings.Contains(r.Error, text) {
		t.Errorf("%+v, want %s, %q", r, want, text)
	}
}

// versionFive returns a manifest with two kinds of tests: messages that
// decrypt, and messages with modified encrypted data keys that must be
// rejected. The name of a test starts with the name of its message.
func versionFive(descriptions map[string]jsonObject) jsonObject {
	tests := jsonObject{}
	for name, d := range descriptions {
		message, _, _ := strings.Cut(name, " ")
		for suffix, kind := range map[string]string{"": "positive-esdk", "-changed": "negative-esdk"} {
			tests[name+suffix] = jsonObject{"decryption-scenario": jsonObject{
				"type": kind, "ciphertext": "file://" + message + suffix, "result": "file://plaintext", "decryptKeyDescription": d,
			}}
		}
	}
	return jsonObject{"manifest": jsonObject{"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": tests}
}

func ecdhVector(schema, recipient string) jsonObject {
	return jsonObject{
		"type": "aws-kms-ecdh", "schema": schema, "sender": "pair",
		"recipient": recipient, "recipient-public-key": "recipient-material-public-key",
	}
}

// TestVectorsKMS decrypts messages of each type of key, and rejects modified
// ones for the right reason: AWS KMS rejects them if it has the key for the
// data key, otherwise the keyring does.
func TestVectorsKMS(t *testing.T) {
	f := newVectorFolder(t)
	strict := jsonObject{"type": "aws-kms", "key": "key"}
	filter := jsonObject{"partition": "aws", "account-ids": []string{kmssim.Account}}
	const byKMS, byKeyring = "InvalidCiphertextException", "encrypted data key 1 (aws-kms-ecdh)"
	cases := map[string]struct {
		description jsonObject
		refusal     string
	}{
		"key":           {strict, byKMS},
		"key in multi":  {jsonObject{"type": "multi-keyring", "childKeyrings": []jsonObject{ecdhVector("static", "pair"), strict}}, byKMS},
		"mrk":           {jsonObject{"type": "aws-kms-mrk-aware", "key": "replica"}, byKMS},
		"mrk discovery": {jsonObject{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "eu-west-1"}, byKMS},
		"mrk filter":    {jsonObject{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "eu-west-1", "aws-kms-discovery-filter": filter}, byKMS},
		"rsa":           {jsonObject{"type": "aws-kms-rsa", "key": "rsa", "encryption-algorithm": "RSAES_OAEP_SHA_1"}, byKMS},
		"ecdh static":   {ecdhVector("static", "pair"), byKeyring},
		"ecdh":          {ecdhVector("discovery", "pair"), byKeyring},
		"branch":        {jsonObject{"type": "aws-kms-hierarchy", "key": "branch"}, "wrong branch key or encryption context"},
	}
	descriptions := map[string]jsonObject{}
	for name, c := range cases {
		descriptions[name] = c.description
	}
	f.kms.Reset()
	offline := f.run(versionFive(descriptions))
	if n := len(f.kms.Requests()); n > 0 {
		t.Errorf("%d requests without --kms", n)
	}
	online := f.run(versionFive(descriptions), "--kms")
	for name, c := range cases {
		check(t, online[name], vectors.Passed, "")
		check(t, online[name+"-changed"], vectors.Passed, c.refusal)
		if name == "branch" {
			check(t, offline[name], vectors.Passed, "")
		} else {
			check(t, offline[name], vectors.Unsupported, "is not supported without --kms")
			check(t, offline[name+"-changed"], vectors.Unsupported, "is not supported without --kms")
		}
	}
}

// TestVectorsKMSDown checks that cases fail if AWS KMS is unavailable,
// including negative ones: if a key can't be used, the message isn't proven
// wrong.
func TestVectorsKMSDown(t *testing.T) {
	f := newVectorFolder(t)
	manifest := versionFive(map[string]jsonObject{"key": {"type": "aws-kms", "key": "key"}})
	f.kms.Disable(f.key)
	for _, r := range f.run(manifest, "--kms") {
		check(t, r, vectors.Failed, "DisabledException")
	}
	f.kms.Close()
	for _, r := range f.run(manifest, "--kms") {
		check(t, r, vectors.Failed, "request send failed")
	}
}

// TestVectorsKMSOlder uses keys of AWS KMS in older manifests.
func TestVectorsKMSOlder(t *testing.T) {
	f := newVectorFolder(t)
	masterKeys := []jsonObject{{"type": "aws-kms", "key": "key"}}
	r := f.run(jsonObject{"manifest": jsonObject{"type": "awses-decrypt", "version": 4}, "keys": "file://keys.json", "tests": jsonObject{
		"key":         jsonObject{"ciphertext": "file://key", "master-keys": masterKeys, "result": jsonObject{"output": jsonObject{"plaintext": "file://plaintext"}}},
		"key-changed": jsonObject{"ciphertext": "file://key-changed", "master-keys": masterKeys, "result": jsonObject{"error": jsonObject{}}},
	}}, "--kms")
	check(t, r["key"], vectors.Passed, "")
	check(t, r["key-changed"], vectors.Passed, "InvalidCiphertextException")

	// The alias stands for any key of its account and Region that the message
	// names.
	legacy := func(account string) result {
		return f.run(jsonObject{"manifest": jsonObject{"type": "ciphertext"}, "test_cases": []jsonObject{{
			"algorithm": "0478", "ciphertext": jsonObject{"filename": "key"}, "plaintext": jsonObject{"filename": "plaintext"},
			"master_keys": []jsonObject{{"provider_id": "aws-kms", "decryptable": true, "key_id": "arn:aws:kms:us-west-2:" + account + ":alias/a"}},
		}}}, "--kms")["key"]
	}
	check(t, legacy(kmssim.Account), vectors.Passed, "")
	check(t, legacy("444455556666"), vectors.Failed, "none is for this keyring")
}

// TestVectorsHostile checks that cases with broken keys fail with an error that
// explains why.
func TestVectorsHostile(t *testing.T) {
	f := newVectorFolder(t)
	discovery := func(region string, filter any) jsonObject {
		return jsonObject{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": region, "aws-kms-discovery-filter": filter}
	}
	for text, d := range map[string]jsonObject{
		`no key "" in the keys manifest`:                 {"type": "aws-kms"},
		`no key "none" in`:                               {"type": "aws-kms-hierarchy", "key": "none"},
		`key "aes" is of type "symmetric", need aws-kms`: {"type": "aws-kms", "key": "aes"},
		`is of type "aws-kms", need static-branch-key`:   {"type": "aws-kms-hierarchy", "key": "key"},
		`is of type "aws-kms", need aws-kms-rsa`:         {"type": "aws-kms-rsa", "key": "key", "encryption-algorithm": "RSAES_OAEP_SHA_1"},
		`is not an ARN of AWS KMS`:                       {"type": "aws-kms-mrk-aware", "key": "bucket"},
		`configure the key's ARN`:                        {"type": "aws-kms", "key": "alias"},
		`RSA keyring needs the ARN of its key`:           {"type": "aws-kms-rsa", "key": "rsa-alias", "encryption-algorithm": "RSAES_OAEP_SHA_1"},
		`encryption algorithm "RSA" is not supported`:    {"type": "aws-kms-rsa", "key": "rsa", "encryption-algorithm": "RSA"},
		`needs Regions`:                                  discovery("", nil),
		`invalid input region example.com/#`:             discovery("example.com/#", nil),
		`discovery filter has no partition`:              discovery("us-west-2", jsonObject{}),
		`discovery filter has no accounts`:               discovery("us-west-2", jsonObject{"partition": "aws"}),
		`discovery filter has an empty account`:          discovery("us-west-2", jsonObject{"partition": "aws", "account-ids": []string{""}}),
		`with schema "?" is not supported`:               ecdhVector("?", "pair"),
		`recipient's public key: asn1`:                   ecdhVector("discovery", "key"),
		`public key is a *rsa.PublicKey`:                 ecdhVector("discovery", "rsa-pair"),
		`is neither an ARN, an alias nor a key id`:       ecdhVector("discovery", "pem"),
		`returned a key of 5 bytes, need 32`:             {"type": "aws-kms-hierarchy", "key": "short"},
		`branch key not found`:                           {"type": "aws-kms-hierarchy", "key": "no-version"},
		`key type "aws-kms-new" is not supported`:        {"type": "aws-kms-new", "key": "key"},
	} {
		message, outcome := "key", vectors.Failed
		switch d["type"] {
		case "aws-kms-hierarchy":
			message = "branch"
		case "aws-kms-mrk-aware-discovery":
			message = "mrk"
		case "aws-kms-new":
			outcome = vectors.Unsupported
		}
		check(t, f.run(versionFive(map[string]jsonObject{message: d}), "--kms")[message], outcome, text)
	}
}
