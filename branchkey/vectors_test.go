package branchkey

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"esdk"
	"esdk/internal/kdf"
	"esdk/internal/vectors/vectorstest"
)

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

func decrypts(t *testing.T, kr esdk.Keyring, message, plaintext []byte, ec esdk.EncryptionContext) {
	t.Helper()
	client := ok[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt}))
	got, _, err := client.Decrypt(t.Context(), message, ec)
	if err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// TestOfficialVectors runs the vector sets without manifests; the command runs
// the manifests with branch keys.
func TestOfficialVectors(t *testing.T) {
	dir := vectorstest.Dir(t)
	for _, set := range []struct {
		name string
		run  func(*testing.T, string) int
		want int
	}{
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

// runKDF runs the known answers of the KDF. The first list gives the input
// after the counter, the others give its parts.
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
		if got := kdf.Counter(hashes[a.Hash], a.IKM, a.Info, a.L); !bytes.Equal(got, a.OKM) {
			t.Errorf("%s: %x, want %x", a.Name, got, a.OKM)
		}
	}
	for _, a := range set.KDF {
		if string(a.Purpose) == providerID { // the label of this package
			if got := deriveKey(a.IKM, a.Info); !bytes.Equal(got, a.OKM) {
				t.Errorf("%s: deriveKey gives %x, want %x", a.Name, got, a.OKM)
			}
		}
		input := kdf.FixedInput(a.Purpose, a.Info, a.L)
		if got := kdf.Counter(hashes[a.Hash], a.IKM, input, a.L); !bytes.Equal(got, a.OKM) {
			t.Errorf("%s: %x, want %x", a.Name, got, a.OKM)
		}
	}
	return len(set.Raw) + len(set.KDF)
}

// TestDeriveKey checks the derivation without the vectors: HMAC of counter,
// label, a zero byte, salt and the length in bits.
func TestDeriveKey(t *testing.T) {
	secret, salt := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("\x00\x00\x00\x01aws-kms-hierarchy\x00" + string(salt) + "\x00\x00\x01\x00"))
	if got, want := deriveKey(secret, salt), mac.Sum(nil); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestWrapLayout unwraps by hand, since wrap and unwrap could share a mistake.
func TestWrapLayout(t *testing.T) {
	source := newSource()
	version := source.add("Näme")
	r, _ := wrap(t, newKeyring(t, KeyringConfig{Store: source, BranchKeyID: "Näme"}))
	edk := r.EncryptedDataKeys[0]
	if edk.ProviderID != "aws-kms-hierarchy" || string(edk.ProviderInfo) != "Näme" {
		t.Errorf("%q %q", edk.ProviderID, edk.ProviderInfo)
	}
	salt, iv, uuid, sealed := edk.Ciphertext[:16], edk.Ciphertext[16:28], edk.Ciphertext[28:44], edk.Ciphertext[44:]
	mac := hmac.New(sha256.New, source.secrets["Näme"+version])
	mac.Write([]byte("\x00\x00\x00\x01aws-kms-hierarchy\x00" + string(salt) + "\x00\x00\x01\x00"))
	aead := ok[cipher.AEAD](t)(cipher.NewGCM(ok[cipher.Block](t)(aes.NewCipher(mac.Sum(nil)))))
	aad := "aws-kms-hierarchy" + "Näme" + string(uuid) + "\x00\x01\x00\x06tenant\x00\x0217"
	got, err := aead.Open(nil, iv, sealed, []byte(aad))
	if err != nil || !bytes.Equal(got, r.DataKey) || hex.EncodeToString(uuid) != strings.ReplaceAll(version, "-", "") {
		t.Errorf("%x, %v; version %x, want %s", got, err, uuid, version)
	}
}
