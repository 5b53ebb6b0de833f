package hpke_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	stdhpke "crypto/hpke"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/hpke"
)

var update = flag.Bool("update", false, "write the messages in testdata anew")

const (
	keptDir       = "testdata/messages"
	keptName      = "archive-2026"
	keptPlaintext = "what was kept"
)

var keptContext = esdk.EncryptionContext{"kind": "kept", "für": "später"}

// keptSuites are all suites of the format.
var keptSuites = []esdk.SuiteID{0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0478, 0x0578}

// keptKey returns the key in testdata, which was written once with the
// messages.
func keptKey(t testing.TB) stdhpke.PrivateKey {
	t.Helper()
	private := must[stdhpke.PrivateKey](t)(hpke.ParsePrivateKey(must[[]byte](t)(os.ReadFile("testdata/private.pem"))))
	public := must[stdhpke.PublicKey](t)(hpke.ParsePublicKey(must[[]byte](t)(os.ReadFile("testdata/public.pem"))))
	if !bytes.Equal(public.Bytes(), private.PublicKey().Bytes()) {
		t.Fatal("the keys in testdata are no pair")
	}
	return private
}

func keptMessage(t testing.TB, id esdk.SuiteID) []byte {
	return must[[]byte](t)(os.ReadFile(filepath.Join(keptDir, fmt.Sprintf("%04x", uint16(id)))))
}

// TestKeptMessages: messages that were written once stay readable.
func TestKeptMessages(t *testing.T) {
	if *update {
		writeMessages(t)
	}
	client := must[*esdk.Client](t)(esdk.New(esdk.Config{
		Keyring:          must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: keptName, PrivateKey: keptKey(t)})),
		CommitmentPolicy: esdk.RequireEncryptAllowDecrypt,
	}))
	for _, id := range keptSuites {
		got, header, err := client.Decrypt(t.Context(), keptMessage(t, id), keptContext)
		if err != nil || string(got) != keptPlaintext || header.Suite != id {
			t.Errorf("%v: %q, %v", id, got, err)
		}
	}
}

func writeMessages(t *testing.T) {
	key := must[stdhpke.PrivateKey](t)(hpke.GenerateKey())
	files := map[string][]byte{
		"testdata/private.pem": must[[]byte](t)(hpke.MarshalPrivateKey(key)),
		"testdata/public.pem":  must[[]byte](t)(hpke.MarshalPublicKey(key.PublicKey())),
	}
	for _, id := range keptSuites {
		policy := esdk.ForbidEncryptAllowDecrypt
		if id == 0x0478 || id == 0x0578 {
			policy = esdk.RequireEncryptRequireDecrypt
		}
		client := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: newKeyring(t, keptName, key), Suite: id, CommitmentPolicy: policy}))
		message, _, err := client.Encrypt(t.Context(), []byte(keptPlaintext), keptContext)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Join(keptDir, fmt.Sprintf("%04x", uint16(id)))] = message
	}
	if err := os.MkdirAll(keptDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormat opens the data keys of the kept messages according to
// docs/format.md, without the keyring: once with crypto/hpke, and once with its
// building blocks, so that the messages can be read even if crypto/hpke
// changes.
func TestFormat(t *testing.T) {
	key := keptKey(t)
	kr := must[esdk.Keyring](t)(hpke.NewKeyring(hpke.Config{Name: keptName, PrivateKey: key}))
	public := sha256.Sum256(key.PublicKey().Bytes())
	for _, id := range keptSuites {
		header := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(keptMessage(t, id))))
		want, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{
			Suite: id, EncryptionContext: header.EncryptionContext, EncryptedDataKeys: header.EncryptedDataKeys,
		})
		if err != nil {
			t.Fatal(err)
		}
		edk := header.EncryptedDataKeys[0]
		providerInfo := slices.Concat([]byte{1}, public[:16], []byte("archive-2026"))
		if edk.ProviderID != "esdk-hpke" || !bytes.Equal(edk.ProviderInfo, providerInfo) {
			t.Errorf("%v: %q, %x", id, edk.ProviderID, edk.ProviderInfo)
		}
		info := slices.Concat(
			[]byte("esdk-hpke data key"), []byte{byte(id >> 8), byte(id)},
			[]byte{0, 29}, providerInfo,
			must[[]byte](t)(header.EncryptionContext.AppendBinary(nil)),
		)
		got, err := stdhpke.Open(key, stdhpke.HKDFSHA256(), stdhpke.AES256GCM(), info, edk.Ciphertext)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: with crypto/hpke: %x, %v", id, got, err)
		}
		if got, err := openByHand(privateBytes(t, key), info, edk.Ciphertext); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: by hand: %x, %v", id, got, err)
		}
	}
}

// openByHand implements HPKE in base mode with X-Wing, HKDF-SHA256 and
// AES-256-GCM: RFC 9180 and draft-connolly-cfrg-xwing-kem.
func openByHand(seed, info, ciphertext []byte) ([]byte, error) {
	ctM, ctX, sealed := ciphertext[:1088], ciphertext[1088:1120], ciphertext[1120:]
	shared, err := decapsulateByHand(seed, ctM, ctX)
	if err != nil {
		return nil, err
	}
	const suiteID = "HPKE\x64\x7a\x00\x01\x00\x02"
	extract := func(salt []byte, label string, in []byte) []byte {
		return first(hkdf.Extract(sha256.New, slices.Concat([]byte("HPKE-v1"+suiteID+label), in), salt))
	}
	expand := func(prk []byte, label string, context []byte, n int) []byte {
		return first(hkdf.Expand(sha256.New, prk, "\x00"+string(rune(n))+"HPKE-v1"+suiteID+label+string(context), n))
	}
	context := slices.Concat([]byte{0}, extract(nil, "psk_id_hash", nil), extract(nil, "info_hash", info))
	secret := extract(shared, "secret", nil)
	aead, err := cipher.NewGCM(first(aes.NewCipher(expand(secret, "key", context, 32))))
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, expand(secret, "base_nonce", context, 12), sealed, nil)
}

func decapsulateByHand(seed, ctM, ctX []byte) ([]byte, error) {
	expanded := sha3.SumSHAKE256(seed, 96)
	dkM, err := mlkem.NewDecapsulationKey768(expanded[:64])
	if err != nil {
		return nil, err
	}
	ssM, err := dkM.Decapsulate(ctM)
	if err != nil {
		return nil, err
	}
	skX, err := ecdh.X25519().NewPrivateKey(expanded[64:])
	if err != nil {
		return nil, err
	}
	ssX, err := skX.ECDH(first(ecdh.X25519().NewPublicKey(ctX)))
	if err != nil {
		return nil, err
	}
	shared := sha3.Sum256(slices.Concat(ssM, ssX, ctX, skX.PublicKey().Bytes(), []byte(`\.//^\`)))
	return shared[:], nil
}

func first[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestKeptKey: the key files stay readable, and their fingerprint stays the
// same.
func TestKeptKey(t *testing.T) {
	key := keptKey(t)
	header := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(keptMessage(t, suite))))
	_, fingerprint, err := hpke.ParseProviderInfo(header.EncryptedDataKeys[0].ProviderInfo)
	if err != nil || fingerprint != hpke.Fingerprint(key.PublicKey()) {
		t.Errorf("fingerprint %s, %v", fingerprint, err)
	}
	seed := privateBytes(t, key)
	text := string(must[[]byte](t)(os.ReadFile("testdata/private.pem")))
	if want := string(pemBlock("ESDK HPKE PRIVATE KEY", "\x64\x7a", string(seed))); text != want || len(seed) != 32 {
		t.Errorf("private key is not as the format has it:\n%s", text)
	}
	if public := hex.EncodeToString(key.PublicKey().Bytes()); !strings.HasSuffix(public, x25519Of(seed)) || len(public) != 2*1216 {
		t.Errorf("public key does not end in that of X25519: %s", public)
	}
}

func x25519Of(seed []byte) string {
	key := first(ecdh.X25519().NewPrivateKey(sha3.SumSHAKE256(seed, 96)[64:]))
	return hex.EncodeToString(key.PublicKey().Bytes())
}
