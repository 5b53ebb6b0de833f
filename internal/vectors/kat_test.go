package vectors

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rsa"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"esdk"
	"esdk/internal/ecpoint"
	"esdk/internal/format"
	"esdk/internal/suite"
	"esdk/internal/vectors/vectorstest"
)

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// count adds the result of a known answer.
func count(t *testing.T, s *Summary, name string, ok bool) {
	t.Helper()
	r := Result{ID: name, Outcome: Passed}
	if !ok {
		r.Outcome = Failed
		t.Errorf("%s: another answer", name)
	}
	s.Add(r)
}

// notOfThisPackage counts known answers for another part of this module.
func notOfThisPackage(t *testing.T, keyType string, n int) Summary {
	t.Helper()
	t.Logf("not of this package: %d known answers for %s", n, keyType)
	return want(0, map[string]int{keyType: n})
}

// runHKDF tests the standard library's HKDF, which internal/suite uses.
func runHKDF(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			TestName, WhichSha          string
			IKM, Salt, Info, OKMDesired hexBytes
			OKMLen                      int
		}
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	hashes := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384}
	for _, c := range set.Tests {
		okm, err := hkdf.Key(hashes[c.WhichSha].New, c.IKM, c.Salt, string(c.Info), c.OKMLen)
		count(t, &s, c.TestName, err == nil && bytes.Equal(okm, c.OKMDesired))
	}
	return s
}

func runRawAES(t *testing.T, dir string) (s Summary) {
	var set struct {
		Namespace, Name string
		Tests           []struct {
			WrappingKey hexBytes               `json:"wrapping-key"`
			Suite       SuiteID                `json:"suite"`
			Context     esdk.EncryptionContext `json:"encryption-context"`
			DataKey     hexBytes               `json:"data-key"`
			IV          hexBytes               `json:"iv"`
			Ciphertext  hexBytes               `json:"edk-ciphertext-and-tag"`
		}
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	for _, c := range set.Tests {
		kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: set.Namespace, Name: set.Name, Key: c.WrappingKey})
		if err != nil {
			t.Fatal(err)
		}
		info := append([]byte(set.Name), 0, 0, 0, 8*format.TagLength, 0, 0, 0, format.IVLength)
		edk := esdk.EncryptedDataKey{ProviderID: set.Namespace, ProviderInfo: append(info, c.IV...), Ciphertext: c.Ciphertext}
		req := &esdk.UnwrapRequest{Suite: esdk.SuiteID(c.Suite), EncryptionContext: c.Context, EncryptedDataKeys: []esdk.EncryptedDataKey{edk}}
		dataKey, err := kr.Unwrap(t.Context(), req)
		count(t, &s, req.Suite.String(), err == nil && bytes.Equal(dataKey, c.DataKey))
		req.EncryptionContext = esdk.EncryptionContext{"another": "context"}
		if _, err := kr.Unwrap(t.Context(), req); !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("with another context: %v", err)
		}
	}
	return s
}

func runRawRSA(t *testing.T, dir string) (s Summary) {
	var set struct {
		Namespace, Name string
		PrivateKey      string `json:"private-key"`
		WrongKey        string `json:"wrong-private-key"`
		Tests           []struct {
			Padding    string
			Suite      SuiteID
			DataKey    hexBytes `json:"data-key"`
			Ciphertext hexBytes `json:"edk-ciphertext"`
		}
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	private, err := esdk.ParsePEM[*rsa.PrivateKey]([]byte(set.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := esdk.ParsePEM[*rsa.PrivateKey]([]byte(set.WrongKey)); err == nil {
		t.Error("a malformed private key is read")
	}
	hashes := map[string]crypto.Hash{"OAEP_SHA1_MGF1": crypto.SHA1, "OAEP_SHA256_MGF1": crypto.SHA256}
	for _, c := range set.Tests {
		kr, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{
			Namespace: set.Namespace, Name: set.Name, PrivateKey: private,
			Hash: hashes[c.Padding], PKCS1v15: c.Padding == "PKCS1",
		})
		if err != nil {
			t.Fatal(err)
		}
		edk := esdk.EncryptedDataKey{ProviderID: set.Namespace, ProviderInfo: []byte(set.Name), Ciphertext: c.Ciphertext}
		dataKey, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: esdk.SuiteID(c.Suite), EncryptedDataKeys: []esdk.EncryptedDataKey{edk}})
		count(t, &s, c.Padding, err == nil && bytes.Equal(dataKey, c.DataKey))
	}
	return s
}

func runECDSA(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Suite, Message string
			PublicKey      string `json:"public-key-compressed-base64"`
			Signature      []byte `json:"signature-der-base64"`
		}
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	for _, c := range set.Tests {
		st := suite.Parse(c.Suite)
		public, err := st.DecodePublicKey(c.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		digest := st.NewDigest()
		digest.Write([]byte(c.Message))
		count(t, &s, c.Suite, st.Verify(public, digest.Sum(nil), c.Signature))
		digest.Write([]byte("!"))
		if st.Verify(public, digest.Sum(nil), c.Signature) {
			t.Errorf("%s: the signature of another message is valid", c.Suite)
		}
	}
	return s
}

func runPointCompression(t *testing.T, dir string) (s Summary) {
	var set struct{ Points map[string]hexBytes }
	vectorstest.ReadJSON(t, &set, dir+".json")
	for name, curve := range map[string]elliptic.Curve{"prime256v1": elliptic.P256(), "secp384r1": elliptic.P384()} {
		uncompressed, compressed := set.Points[name+"PublicFixture"], set.Points[name+"CompressedFixture"]
		point, err := ecpoint.Decompress(curve, compressed)
		count(t, &s, name, err == nil && bytes.Equal(point, uncompressed) && bytes.Equal(ecpoint.Compress(uncompressed), compressed))
	}
	return s
}

// runFrameIVs tests the IVs of valid sequence numbers. The set's other numbers
// either exceed 32 bits, or are tested with the frames of
// kat/serialize-fixtures.
func runFrameIVs(t *testing.T, dir string) (s Summary) {
	var set struct {
		Tests []struct {
			Sequence uint32   `json:"sequence-number"`
			IV       hexBytes `json:"iv-hex"`
		}
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	for _, c := range set.Tests {
		final := format.AppendFinal(nil, c.Sequence, 0)
		ok := bytes.Equal(final[8:8+format.IVLength], c.IV)
		if c.Sequence < format.MaxFrames {
			regular := format.AppendRegular(nil, c.Sequence)
			ok = ok && binary.BigEndian.Uint32(regular) == c.Sequence && bytes.Equal(regular[4:], c.IV)
		}
		count(t, &s, c.IV.String(), ok)
	}
	return s
}

func (h hexBytes) String() string { return hex.EncodeToString(h) }

func countKDF(t *testing.T, dir string) Summary {
	var set struct {
		RawDerive []json.RawMessage `json:"raw-derive"`
		KDF       []json.RawMessage
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	return notOfThisPackage(t, "kdf-ctr-hmac-sha256", len(set.RawDerive)+len(set.KDF))
}

func countCacheIDs(t *testing.T, dir string) Summary {
	var set struct{ Encrypt, Decrypt []json.RawMessage }
	vectorstest.ReadJSON(t, &set, dir+".json")
	return notOfThisPackage(t, "caching-cmm-cache-ids", len(set.Encrypt)+len(set.Decrypt))
}

func countARNs(t *testing.T, dir string) Summary {
	var set struct {
		Parse  []json.RawMessage `json:"parse-arn"`
		IsMRK  []json.RawMessage `json:"is-mrk-identifier"`
		Match  []json.RawMessage `json:"match-for-decrypt"`
		Unique []json.RawMessage `json:"mrk-are-unique"`
	}
	vectorstest.ReadJSON(t, &set, dir+".json")
	return notOfThisPackage(t, "kms-arn-and-mrk", len(set.Parse)+len(set.IsMRK)+len(set.Match)+len(set.Unique))
}
