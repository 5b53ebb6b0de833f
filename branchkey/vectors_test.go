package branchkey

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"esdk"
)

// officialVectors returns the folder with the official vectors, which are not
// part of this repository. Without it the test is skipped, or fails if
// ESDK_REQUIRE_VECTORS is set.
func officialVectors(t testing.TB) string {
	t.Helper()
	root := filepath.Dir(ok[string](t)(os.Getwd()))
	dir := os.Getenv("ESDK_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "shared", "vectors")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	const text = "the official test vectors were NOT run: there is no folder %s. Set ESDK_VECTORS to a copy of them."
	if os.Getenv("ESDK_REQUIRE_VECTORS") != "" {
		t.Fatalf(text, dir)
	}
	t.Skipf(text+" Set ESDK_REQUIRE_VECTORS to have this fail.", dir)
	return ""
}

func readJSON(t testing.TB, v any, path ...string) {
	t.Helper()
	text := ok[[]byte](t)(os.ReadFile(filepath.Join(path...)))
	must(t, json.Unmarshal(text, v))
}

// staticKey is a branch key of a manifest.
type staticKey struct {
	Type    string
	ID      string `json:"key-id"`
	Version string `json:"branchKeyVersion"`
	Secret  []byte `json:"branchKey"`
}

func (k *staticKey) LogicalName() string { return "vectors" }

func (k *staticKey) ActiveBranchKey(context.Context, string) (*Key, error) {
	return &Key{ID: k.ID, Version: k.Version, Secret: bytes.Clone(k.Secret)}, nil
}

func (k *staticKey) BranchKeyVersion(ctx context.Context, id, version string) (*Key, error) {
	if id != k.ID || version != k.Version {
		return nil, ErrNotFound
	}
	return k.ActiveBranchKey(ctx, id)
}

func (k *staticKey) keyring(t testing.TB) esdk.Keyring {
	if k == nil || k.Type != "static-branch-key" {
		t.Fatalf("no static branch key: %+v", k)
	}
	return newKeyring(t, KeyringConfig{Store: k, BranchKeyID: k.ID})
}

func staticKeys(t testing.TB, dir string) map[string]*staticKey {
	var keys struct{ Keys map[string]json.RawMessage }
	readJSON(t, &keys, dir, "keys.json")
	static := map[string]*staticKey{}
	for name, text := range keys.Keys {
		k := new(staticKey)
		if json.Unmarshal(text, k) == nil && k.Type == "static-branch-key" {
			static[name] = k
		}
	}
	return static
}

func decrypts(t *testing.T, kr esdk.Keyring, message, plaintext []byte, ec esdk.EncryptionContext) {
	t.Helper()
	client := ok[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt}))
	got, _, err := client.Decrypt(t.Context(), message, ec)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestOfficialVectors runs all cases whose branch key is given.
func TestOfficialVectors(t *testing.T) {
	dir := officialVectors(t)
	for _, set := range []struct {
		name string
		run  func(*testing.T, string) int
		want int
	}{
		{"dafny-4.1.0-v5", runMessages, 6},
		{"mpl-decrypt-go", runDataKeys, 5},
		{"mpl-decrypt-py", runDataKeys, 5},
		{"js-hierarchical", runJS, 2},
		{"kat", runKDF, 37},
	} {
		t.Run(set.name, func(t *testing.T) {
			if n := set.run(t, filepath.Join(dir, set.name)); n != set.want {
				t.Errorf("ran %d cases, want %d", n, set.want)
			}
		})
	}
}

type keyDescription struct{ Type, Key string }

func runMessages(t *testing.T, dir string) (n int) {
	keys := staticKeys(t, dir)
	var manifest struct {
		Tests map[string]struct {
			Scenario struct {
				Ciphertext, Result, Description string
				Key                             keyDescription         `json:"decryptKeyDescription"`
				Reproduced                      esdk.EncryptionContext `json:"reproduced-encryption-context"`
			} `json:"decryption-scenario"`
		}
	}
	readJSON(t, &manifest, dir, "decrypt-manifest.json")
	file := func(uri string) []byte {
		return ok[[]byte](t)(os.ReadFile(filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(uri, "file://")))))
	}
	for id, test := range manifest.Tests {
		s := test.Scenario
		if s.Key.Type != "aws-kms-hierarchy" {
			continue
		}
		n++
		t.Run(id, func(t *testing.T) {
			decrypts(t, keys[s.Key.Key].keyring(t), file(s.Ciphertext), file(s.Result), s.Reproduced)
		})
	}
	return n
}

func runDataKeys(t *testing.T, dir string) (n int) {
	keys := staticKeys(t, dir)
	var manifest struct {
		Tests map[string]struct {
			Type  string
			Suite string         `json:"algorithmSuiteId"`
			Key   keyDescription `json:"keyDescription"`
			EDKs  []struct {
				ProviderID   string `json:"keyProviderId"`
				ProviderInfo []byte `json:"keyProviderInfo"`
				Ciphertext   []byte
			} `json:"encryptedDataKeys"`
			Result  struct{ PlaintextDataKey []byte }
			Context esdk.EncryptionContext `json:"encryptionContext"`
		}
	}
	readJSON(t, &manifest, dir, "manifest.json")
	for id, test := range manifest.Tests {
		if test.Key.Type != "aws-kms-hierarchy" {
			continue
		}
		n++
		t.Run(id, func(t *testing.T) {
			if test.Type != "positive-keyring" {
				t.Fatalf("type is %q", test.Type)
			}
			suite := ok[uint64](t)(strconv.ParseUint(test.Suite, 16, 16))
			req := &esdk.UnwrapRequest{Suite: esdk.SuiteID(suite), EncryptionContext: test.Context}
			for _, e := range test.EDKs {
				req.EncryptedDataKeys = append(req.EncryptedDataKeys, esdk.EncryptedDataKey(e))
			}
			got := ok[[]byte](t)(keys[test.Key.Key].keyring(t).Unwrap(t.Context(), req))
			if !bytes.Equal(got, test.Result.PlaintextDataKey) {
				t.Error("another data key")
			}
		})
	}
	return n
}

func runJS(t *testing.T, dir string) int {
	var set struct {
		Key   *staticKey `json:"branch-key"`
		Tests []struct {
			Ciphertext []byte
			Plaintext  []byte                 `json:"plaintextBase64"`
			Context    esdk.EncryptionContext `json:"encryption-context"`
			Status     bool
		}
	}
	readJSON(t, &set, dir, "vectors.json")
	for _, c := range set.Tests {
		if !c.Status {
			t.Fatal("a negative case")
		}
		decrypts(t, set.Key.keyring(t), c.Ciphertext, c.Plaintext, c.Context)
	}
	return len(set.Tests)
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// runKDF runs the known answers of the KDF. Those of the first list have the
// input that follows the counter, the others what it is made of.
func runKDF(t *testing.T, dir string) int {
	type answer struct {
		Name, Hash              string
		IKM, Info, Purpose, OKM hexBytes
		L                       int
	}
	var set struct {
		Raw []answer `json:"raw-derive"`
		KDF []answer
	}
	readJSON(t, &set, dir, "kdf-ctr-hmac-sha256.json")
	hashes := map[string]func() hash.Hash{"sha256": sha256.New, "sha384": sha512.New384}
	for _, a := range set.Raw {
		if got := counterKDF(hashes[a.Hash], a.IKM, a.Info, a.L); !bytes.Equal(got, a.OKM) {
			t.Errorf("%s: %x, want %x", a.Name, got, a.OKM)
		}
	}
	for _, a := range set.KDF {
		if string(a.Purpose) == providerID { // that is ours
			if got := deriveKey(a.IKM, a.Info); !bytes.Equal(got, a.OKM) {
				t.Errorf("%s: deriveKey gives %x, want %x", a.Name, got, a.OKM)
			}
		}
		info := append(bytes.Clone(a.Purpose), 0)
		info = append(info, a.Info...)
		info = binary.BigEndian.AppendUint32(info, uint32(a.L*8))
		if got := counterKDF(hashes[a.Hash], a.IKM, info, a.L); !bytes.Equal(got, a.OKM) {
			t.Errorf("%s: %x, want %x", a.Name, got, a.OKM)
		}
	}
	return len(set.Raw) + len(set.KDF)
}

// TestDeriveKey holds the form of the derivation without the vectors: HMAC of
// counter, label, a zero byte, salt and the length in bits.
func TestDeriveKey(t *testing.T) {
	secret, salt := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("\x00\x00\x00\x01aws-kms-hierarchy\x00" + string(salt) + "\x00\x00\x01\x00"))
	if got, want := deriveKey(secret, salt), mac.Sum(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
