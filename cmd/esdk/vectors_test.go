package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk/esdktest/kmssim"
	"esdk/internal/vectors"
	"esdk/internal/vectors/vectorstest"
)

// runHere runs the command in this process.
func runHere(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	a := newApp()
	dir := t.TempDir()
	for name, file := range map[string]**os.File{"stdout": &a.stdout, "stderr": &a.stderr} {
		var err error
		if *file, err = os.Create(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		defer (*file).Close()
	}
	status = a.execute(t.Context(), args)
	return status, readFile(t, dir, "stdout"), readFile(t, dir, "stderr")
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// result is a line that the command prints of a case.
type result struct {
	ID      string
	KeyType string `json:"key_type"`
	Outcome vectors.Outcome
	Error   string
}

func readResults(t *testing.T, stdout string) (results []result) {
	t.Helper()
	for line := range strings.Lines(stdout) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		results = append(results, r)
	}
	return results
}

// needKMS are the cases by type that need AWS KMS, of the sets that the MPL's
// generator made.
func needKMS(symmetric int) map[string]int {
	return map[string]int{
		"aws-kms": symmetric, "aws-kms-ecdh": 33, "aws-kms-mrk-aware": 22, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 7,
	}
}

// TestOfficialVectors runs the manifests with branch keys: all cases whose keys
// are given pass, and the others tell what to do. The tests of package vectors
// run the other manifests.
func TestOfficialVectors(t *testing.T) {
	dir := vectorstest.Dir(t)
	for _, m := range []struct {
		name                 string
		passed, hierarchical int
		unsupported          map[string]int
		needKMS              string
	}{
		{"dafny-4.1.0-v5/decrypt-manifest.json", 149, 6, needKMS(11), "95"},
		{"mpl-decrypt-go/manifest.json", 189, 5, needKMS(11), "95"},
		{"mpl-decrypt-py/manifest.json", 470, 5, needKMS(115), "199"},
	} {
		t.Run(m.name, func(t *testing.T) {
			status, stdout, stderr := runHere(t, "vectors", "run", "--json", filepath.Join(dir, filepath.FromSlash(m.name)))
			if want := "esdk: cases that need --kms, which asks AWS KMS: " + m.needKMS + "\n"; status != exitOK || stderr != want {
				t.Errorf("status %d, %q, want 0 and %q", status, stderr, want)
			}
			passed, hierarchical, unsupported := 0, 0, map[string]int{}
			for _, r := range readResults(t, stdout) {
				switch {
				case r.Outcome == vectors.Passed:
					passed++
					if r.KeyType == "aws-kms-hierarchy" {
						hierarchical++
					}
				case r.Outcome == vectors.Unsupported && strings.Contains(r.Error, "--kms"):
					unsupported[r.KeyType]++
				default:
					t.Errorf("%+v", r)
				}
			}
			if passed != m.passed || hierarchical != m.hierarchical || !maps.Equal(unsupported, m.unsupported) {
				t.Errorf("%d passed, %d of them hierarchical, not supported %v, want %+v", passed, hierarchical, unsupported, m)
			}
		})
	}
}

// TestOfficialVectorsKMS asks an AWS KMS that has none of the keys. All cases
// that need them fail for it and say so, among them those of .NET 4.0.0 that are
// to be refused.
func TestOfficialVectorsKMS(t *testing.T) {
	dir := vectorstest.Dir(t)
	startKMS(t)
	for _, m := range []struct {
		name           string
		passed, failed int
	}{
		{"net-4.0.1-v4/manifest.json", 0, 17},
		{"net-4.0.0-mixed/manifest.json", 0, 17},
		{"dafny-4.1.0-v5/decrypt-manifest.json", 6, 95}, // the former have a branch key
		{"python-1.3.0-legacy/manifests/ciphertext.manifest", 0, 180},
		{"python-1.3.5-kms/decrypt_message.json", 0, 180},
		{"mpl-decrypt-go/manifest.json", 189, 95}, // its descriptions do not tell the keys
		{"mpl-decrypt-py/manifest.json", 470, 199},
	} {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(m.name))
			status, stdout, stderr := runHere(t, "vectors", "run", "--kms", "--filter", "us-west-2-decryptable|KMS|aws-kms|->Decryption", path)
			summary := fmt.Sprintf("%s: %d passed, %d failed, 0 not supported\n", path, m.passed, m.failed)
			if status != exitSomeFailed || !strings.HasSuffix(stdout, summary) || strings.Contains(stderr, "--kms") {
				t.Errorf("status %d, %q, %q, want %q", status, stdout[max(0, len(stdout)-200):], stderr, summary)
			}
			for line := range strings.Lines(strings.TrimSuffix(stdout, summary)) {
				// AWS KMS does not tell whether a key of another account exists.
				if !strings.Contains(line, "AccessDeniedException: The key arn:aws:kms:us-") {
					t.Error(line)
				}
			}
		})
	}
}

// startKMS has the AWS SDK find a simulator of AWS KMS.
func startKMS(t *testing.T) *kmssim.Server {
	t.Helper()
	s := kmssim.New()
	t.Cleanup(s.Close)
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL":            s.URL(),
		"AWS_REGION":                  "us-west-2",
		"AWS_ACCESS_KEY_ID":           "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":       "secret",
		"AWS_MAX_ATTEMPTS":            "1",
		"AWS_CONFIG_FILE":             none,
		"AWS_SHARED_CREDENTIALS_FILE": none,
	} {
		t.Setenv(name, value)
	}
	return s
}

// TestVectorsKMS runs a manifest of keys that AWS KMS has: for each type, a
// message that decrypts and one with another key, which does not.
func TestVectorsKMS(t *testing.T) {
	s := startKMS(t)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	publicKey := func(arn string) []byte {
		out, err := s.Client("us-west-2").GetPublicKey(t.Context(), &kms.GetPublicKeyInput{KeyId: &arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.PublicKey
	}
	key, other := s.CreateKey("us-west-2", types.KeySpecSymmetricDefault), s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	primary := s.CreateMultiRegionKey("us-west-2", types.KeySpecSymmetricDefault)
	replica := s.Replicate(primary, "eu-west-1")
	rsaKey := s.CreateKey("us-west-2", types.KeySpecRsa2048)
	alice, bob := s.CreateKey("us-west-2", types.KeySpecEccNistP256), s.CreateKey("us-west-2", types.KeySpecEccNistP256)
	rsaFile := write("rsa.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicKey(rsaKey)}))
	bobFile := write("bob.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicKey(bob)}))

	type object map[string]any
	ecdh := func(schema string) object {
		return object{"type": "aws-kms-ecdh", "schema": schema, "sender": "ecdh", "recipient": "ecdh", "recipient-public-key": "recipient-material-public-key"}
	}
	tests := object{}
	for name, c := range map[string]struct {
		encrypt, another string
		decrypt          object
	}{
		"strict": {key, other, object{"type": "aws-kms", "key": "key"}},
		"mrk":    {replica, other, object{"type": "aws-kms-mrk-aware", "key": "mrk"}},
		"discovery": {replica, "", object{"type": "aws-kms-mrk-aware-discovery", "default-mrk-region": "us-west-2",
			"aws-kms-discovery-filter": object{"partition": "aws", "account-ids": []string{kmssim.Account}}}},
		"rsa":            {"kms-rsa:" + rsaKey + "@" + rsaFile, key, object{"type": "aws-kms-rsa", "key": "rsa", "encryption-algorithm": "RSAES_OAEP_SHA_256"}},
		"ecdh":           {"kms-ecdh:" + alice + "@" + bobFile, key, ecdh("static")},
		"ecdh-discovery": {"kms-ecdh:" + alice + "@" + bobFile, key, ecdh("discovery")},
	} {
		for kind, wrapping := range map[string]string{"positive": c.encrypt, "negative": c.another} {
			if wrapping == "" {
				continue
			}
			out := name + "-" + kind
			if status, _, stderr := runHere(t, "encrypt", "--unsigned", "-k", wrapping, "-o", filepath.Join(dir, out), write(out+".plain", []byte("plaintext"))); status != exitOK {
				t.Fatal(stderr)
			}
			tests[out] = object{"decryption-scenario": object{
				"type": kind + "-esdk", "ciphertext": "file://" + out, "result": "file://" + out + ".plain",
				"algorithmSuiteId": "0478", "decryptKeyDescription": c.decrypt,
			}}
		}
	}
	marshal := func(v object) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	write("keys.json", marshal(object{"manifest": object{"type": "keys", "version": 3}, "keys": object{
		"key": object{"type": "aws-kms", "key-id": key},
		"mrk": object{"type": "aws-kms", "key-id": primary},
		"rsa": object{"type": "aws-kms-rsa", "key-id": rsaKey},
		"ecdh": object{"type": "aws-kms-ecdh", "sender-material": alice, "recipient-material": bob,
			"sender-material-public-key": publicKey(alice), "recipient-material-public-key": publicKey(bob)},
	}}))
	path := write("manifest.json", marshal(object{"manifest": object{"type": "awses-decrypt", "version": 5}, "keys": "file://keys.json", "tests": tests}))
	status, stdout, _ := runHere(t, "vectors", "run", "--kms", path)
	if want := fmt.Sprintf("%s: 11 passed, 0 failed, 0 not supported\n", path); status != exitOK || stdout != want {
		t.Errorf("status %d, %q, want %q", status, stdout, want)
	}
}
