package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"esdk/internal/vectors/vectorstest"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

type generated struct {
	Positive, Negative int
	Unsupported        map[string]int
}

// generateHere runs the command in this process. It must succeed.
func generateHere(t *testing.T, dir string, args ...string) (g generated) {
	t.Helper()
	status, stdout, stderr := runHere(t, append([]string{"vectors", "generate", "--json", "-o", dir}, args...)...)
	if status != cli.ExitOK {
		t.Fatalf("%q: status %d, %s", args, status, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// passes runs a manifest. All its cases must pass.
func passes(t *testing.T, manifest string, args ...string) {
	t.Helper()
	status, stdout, stderr := runHere(t, append([]string{"vectors", "run", manifest}, args...)...)
	if status != cli.ExitOK || !strings.Contains(stdout, " 0 failed, 0 not supported\n") {
		t.Errorf("%s %q: status %d, %s%s", manifest, args, status, stdout, stderr)
	}
}

// TestGenerateOfficial runs the official manifests, as far as their keys are
// available.
func TestGenerateOfficial(t *testing.T) {
	official := vectorstest.Dir(t)
	keys := filepath.Join(official, "net-4.0.1-v4", "keys.json")
	for _, c := range []struct {
		name        string
		args        []string
		want        generated
		run, filter string // manifest to run afterwards, and a filter for its cases
	}{
		{"dafny-4.1.0-v5/encrypt-manifest.json", nil,
			generated{149, 0, map[string]int{"aws-kms": 11, "aws-kms-ecdh": 33, "aws-kms-mrk-aware": 44, "aws-kms-rsa": 7}}, "manifest.json", ""},
		{"scenarios/net4x-generate-manifest.json", []string{"--keys", keys},
			generated{99, 0, map[string]int{"aws-kms": 33}}, "manifest.json", ""},
		// One message is truncated at every length, one has each of its bits
		// flipped, one is half signed, and one is signed although it must not
		// be.
		{"scenarios/0006-awses-message-decryption-generation.v2.json", nil,
			generated{2289, 4241, map[string]int{"aws-kms": 352, "frame-size 0": 660}},
			"negative-manifest.json", "-truncated-|-bit-.*[07]$|^81c31b07|^49b3e922"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			g := generateHere(t, dir, append(c.args, filepath.Join(official, filepath.FromSlash(c.name)))...)
			if g.Positive != c.want.Positive || g.Negative != c.want.Negative || !maps.Equal(g.Unsupported, c.want.Unsupported) {
				t.Errorf("got %+v, want %+v", g, c.want)
			}
			passes(t, filepath.Join(dir, c.run), "--filter", cmp.Or(c.filter, "."))
		})
	}
}

// generateKeys writes a keys manifest with AWS KMS keys of each kind.
func (f *vectorFolder) generateKeys() (path string) {
	f.Helper()
	key := func(keyType, id string, more jsonObject) jsonObject {
		k := jsonObject{"type": keyType, "key-id": id, "encrypt": true, "decrypt": true}
		maps.Copy(k, more)
		return k
	}
	rsaKey := f.kms.CreateKey("us-west-2", types.KeySpecRsa2048)
	sender, recipient := f.kms.CreateKey("us-west-2", types.KeySpecEccNistP256), f.kms.CreateKey("us-west-2", types.KeySpecEccNistP256)
	return f.write("kms.json", jsonObject{"manifest": jsonObject{"type": "keys", "version": 3}, "keys": jsonObject{
		"key": key("aws-kms", f.key, nil),
		"rsa": key("aws-kms-rsa", rsaKey, jsonObject{"encoding": "pem", "material": readFile(f.T, f.writePublicKey("public.pem", rsaKey))}),
		"pair": key("aws-kms-ecdh", "", jsonObject{
			"sender-material": sender, "sender-material-public-key": f.publicKey(sender),
			"recipient-material": recipient, "recipient-material-public-key": f.publicKey(recipient),
		}),
		"encrypt-only": jsonObject{"type": "aws-kms", "key-id": f.key, "encrypt": true, "decrypt": false},
	}})
}

// TestGenerateKMS plans with AWS KMS keys of each kind. Without --kms, AWS KMS
// isn't called.
func TestGenerateKMS(t *testing.T) {
	f := newVectorFolder(t)
	keys, mrk := f.generateKeys(), f.kms.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	f.kms.Reset()
	offline := generateHere(t, filepath.Join(f.dir, "offline"), "--keys", keys)
	want := map[string]int{"aws-kms": 11, "aws-kms-rsa": 2 * 7, "aws-kms-ecdh": 11}
	if n := len(f.kms.Requests()); n > 0 || !maps.Equal(offline.Unsupported, want) {
		t.Errorf("%d requests, %+v, want none and %v", n, offline, want)
	}
	dir := filepath.Join(f.dir, "online")
	online := generateHere(t, dir, "--keys", keys, "--kms-key", mrk)
	// The key pairs and the multi-Region key decrypt in two ways, and the
	// multi-Region key also has an ordinary keyring.
	if more := 11 + 2*7 + 2*11 + 3*11; online.Positive != offline.Positive+more || online.Negative != offline.Negative || len(online.Unsupported) > 0 {
		t.Errorf("%+v, want %d more positive than %+v", online, more, offline)
	}
	passes(t, filepath.Join(dir, "manifest.json"), "--kms", "--filter", "kms|^0478")

	f.kms.Disable(f.key)
	failed := filepath.Join(t.TempDir(), "failed")
	status, _, stderr := runHere(t, "vectors", "generate", "--kms", "--keys", keys, "-o", failed)
	entries, err := os.ReadDir(filepath.Dir(failed))
	if status != cli.ExitError || !strings.Contains(stderr, "aws-kms-key") || !strings.Contains(stderr, "DisabledException") || err != nil || len(entries) > 0 {
		t.Errorf("status %d, %s, left %v, %v", status, stderr, entries, err)
	}
}

// TestGenerateMode checks that the mode of a directory and its files follows
// the umask.
func TestGenerateMode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	manifest := filepath.Join(filepath.Dir(dir), "manifest.json")
	keys := strings.Replace(manifest, "manifest", "keys", 1)
	for path, text := range map[string]string{
		keys: `{"manifest": {"type": "keys", "version": 3}, "keys": {"aes": {"type": "symmetric", "encoding": "base64", "material": "AAECAwQFBgcICRAREhMUFQ=="}}}`,
		manifest: `{"manifest": {"type": "awses-encrypt", "version": 2}, "keys": "file://keys.json", "plaintexts": {"tiny": 10}, "tests": {"a":
			{"plaintext": "tiny", "algorithm": "0478", "master-keys": [{"type": "raw", "key": "aes", "provider-id": "n", "encryption-algorithm": "aes"}]}}}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	generateHere(t, dir, manifest)
	plain := filepath.Join(filepath.Dir(dir), "plain")
	if err := os.Mkdir(plain, 0o777); err != nil {
		t.Fatal(err)
	}
	for path, like := range map[string]string{dir: plain, filepath.Join(dir, "ciphertexts"): plain, filepath.Join(dir, "keys.json"): keys, filepath.Join(dir, "plaintexts", "tiny"): keys} {
		if got, want := mode(t, path), mode(t, like); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
	var names []string
	entries, err := os.ReadDir(filepath.Join(dir, "ciphertexts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"a"}) {
		t.Errorf("ciphertexts %q, want a", names)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}
