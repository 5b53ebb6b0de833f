package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"esdk/esdktest/kmssim"
	"esdk/internal/vectors"
	"esdk/internal/vectors/vectorstest"
)

// runHere runs the command in this process.
func runHere(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	a := newApp()
	dir := t.TempDir()
	for name, file := range map[string]**os.File{"stdout": &a.Stdout, "stderr": &a.Stderr} {
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

// result is the line that the command prints for a case.
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

// needKMS returns the number of cases that need AWS KMS, by type, in the sets
// made by the MPL's generator.
func needKMS(symmetric int) map[string]int {
	return map[string]int{
		"aws-kms": symmetric, "aws-kms-ecdh": 33, "aws-kms-mrk-aware": 22, "aws-kms-mrk-aware-discovery": 22, "aws-kms-rsa": 7,
	}
}

// TestOfficialVectors runs the manifests with branch keys. All cases whose keys
// are available pass, and the others come with a hint. The tests of package
// vectors run the other manifests.
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
			if want := `{"note":"cases that need --kms, which calls AWS KMS: ` + m.needKMS + "\"}\n"; status != cli.ExitOK || stderr != want {
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

// TestOfficialVectorsKMS uses an AWS KMS that has none of the keys. All cases
// that need them fail with an error that says so. They include messages of .NET
// 4.0.0 that must be rejected.
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
		{"mpl-decrypt-go/manifest.json", 189, 95}, // its descriptions don't name the keys
		{"mpl-decrypt-py/manifest.json", 470, 199},
	} {
		t.Run(m.name, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(m.name))
			status, stdout, stderr := runHere(t, "vectors", "run", "--kms", "--filter", "us-west-2-decryptable|KMS|aws-kms|->Decryption", path)
			summary := fmt.Sprintf("%s: %d passed, %d failed, 0 not supported\n", path, m.passed, m.failed)
			if status != cli.ExitSomeFailed || !strings.HasSuffix(stdout, summary) || strings.Contains(stderr, "--kms") {
				t.Errorf("status %d, %q, %q, want %q", status, stdout[max(0, len(stdout)-200):], stderr, summary)
			}
			for line := range strings.Lines(strings.TrimSuffix(stdout, summary)) {
				// AWS KMS doesn't reveal whether a key of another account
				// exists.
				if !strings.Contains(line, "AccessDeniedException: The key arn:aws:kms:us-") {
					t.Error(line)
				}
			}
		})
	}
}

// startKMS points the AWS SDK at a simulator of AWS KMS.
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
