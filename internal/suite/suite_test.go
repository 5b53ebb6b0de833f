package suite

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// The table has every suite of the message format, with the properties from the
// specification.
func TestAllSuites(t *testing.T) {
	type properties struct {
		id         uint16
		keyLength  int
		kdf        crypto.Hash
		commits    bool
		curve      elliptic.Curve
		hash       crypto.Hash
		idLength   int
		version    byte
		signature  int
		commitment int
	}
	want := []properties{
		{id: 0x0014, keyLength: 16, idLength: 16, version: 1},
		{id: 0x0046, keyLength: 24, idLength: 16, version: 1},
		{id: 0x0078, keyLength: 32, idLength: 16, version: 1},
		{id: 0x0114, keyLength: 16, kdf: crypto.SHA256, idLength: 16, version: 1},
		{id: 0x0146, keyLength: 24, kdf: crypto.SHA256, idLength: 16, version: 1},
		{id: 0x0178, keyLength: 32, kdf: crypto.SHA256, idLength: 16, version: 1},
		{id: 0x0214, keyLength: 16, kdf: crypto.SHA256, curve: elliptic.P256(), hash: crypto.SHA256, idLength: 16, version: 1, signature: 71},
		{id: 0x0346, keyLength: 24, kdf: crypto.SHA384, curve: elliptic.P384(), hash: crypto.SHA384, idLength: 16, version: 1, signature: 103},
		{id: 0x0378, keyLength: 32, kdf: crypto.SHA384, curve: elliptic.P384(), hash: crypto.SHA384, idLength: 16, version: 1, signature: 103},
		{id: 0x0478, keyLength: 32, kdf: crypto.SHA512, commits: true, idLength: 32, version: 2, commitment: 32},
		{id: 0x0578, keyLength: 32, kdf: crypto.SHA512, commits: true, curve: elliptic.P384(), hash: crypto.SHA384,
			idLength: 32, version: 2, signature: 103, commitment: 32},
	}
	var got []properties
	for _, s := range All {
		keys, err := s.Derive(make([]byte, s.KeyLength), make([]byte, s.MessageIDLength()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, properties{s.ID, s.KeyLength, s.kdf, s.Commits, s.curve, s.hash,
			s.MessageIDLength(), s.Version(), s.SignatureLength, len(keys.Commitment)})
	}
	if !slices.Equal(got, want) {
		t.Errorf("the suites are\n%+v, want\n%+v", got, want)
	}
}

func TestTable(t *testing.T) {
	if !slices.IsSortedFunc(All, func(a, b *Suite) int { return int(a.ID) - int(b.ID) }) {
		t.Error("suites are not in order of their ids")
	}
	for _, s := range All {
		if Lookup(s.ID) != s {
			t.Errorf("Lookup(%04x) finds another suite", s.ID)
		}
		if Parse(s.Name) != s {
			t.Errorf("Parse(%s) finds another suite", s.Name)
		}
		// Each property can be read from the name.
		name := s.Name
		if want := strings.Contains(name, "COMMIT_KEY"); s.Commits != want || want != (s.Version() == 2) || want != (s.MessageIDLength() == 32) {
			t.Errorf("%s: commits %t, version %d, message id of %d bytes", name, s.Commits, s.Version(), s.MessageIDLength())
		}
		if want := strings.Contains(name, "HKDF"); s.Derives() != want {
			t.Errorf("%s: derives %t", name, s.Derives())
		}
		if want := strings.Contains(name, "ECDSA"); s.Signs() != want || want != (s.SignatureLength > 0) || want != (s.NewDigest() != nil) {
			t.Errorf("%s: signs %t", name, s.Signs())
		}
		if !strings.HasPrefix(name, fmt.Sprintf("AES_%d_GCM_", 8*s.KeyLength)) {
			t.Errorf("%s: key of %d bytes", name, s.KeyLength)
		}
	}
	for _, id := range []uint16{0, 0x0067, 0x0079, 0x6701, 0xFFFF} {
		if Lookup(id) != nil {
			t.Errorf("Lookup(%04x) finds a suite", id)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]uint16{
		"0x0578": 0x0578, "0X0578": 0x0578, "578": 0x0578, "0578": 0x0578, "0x14": 0x0014,
		"AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384": 0x0578,
		"aes_256_gcm_hkdf_sha512_commit_key":            0x0478,
		"AES_128_GCM_IV12_TAG16":                        0x0014,
		"AES_128_GCM":                                   0x0014,
		"AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384": 0x0378,
		"AES_256_GCM_HKDF_SHA384_ECDSA_P384":            0x0378,
		"AES_256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY": 0x0478,
		"": 0, "0x": 0, "x": 0, "0x0079": 0, "0x10578": 0, "-578": 0, "AES_512_GCM": 0, "_IV12_TAG16": 0,
	} {
		got := Parse(text)
		if want == 0 && got != nil || want != 0 && (got == nil || got.ID != want) {
			t.Errorf("Parse(%q) = %v, want %04x", text, got, want)
		}
	}
}

// rfc5869 is a second implementation of HKDF.
func rfc5869(h func() hash.Hash, key, salt, info []byte, length int) []byte {
	sum := func(key []byte, parts ...[]byte) []byte {
		mac := hmac.New(h, key)
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	if salt == nil {
		salt = make([]byte, h().Size())
	}
	prk := sum(salt, key)
	var out, last []byte
	for i := byte(1); len(out) < length; i++ {
		last = sum(prk, last, info, []byte{i})
		out = append(out, last...)
	}
	return out[:length]
}

func TestDerive(t *testing.T) {
	for _, s := range All {
		dataKey, id := make([]byte, s.KeyLength), make([]byte, s.MessageIDLength())
		rand.Read(dataKey)
		rand.Read(id)
		idBytes := []byte{byte(s.ID >> 8), byte(s.ID)}
		var content, net400, commitment []byte
		switch {
		case !s.Derives():
			content = dataKey
		case s.Commits:
			content = rfc5869(sha512.New, dataKey, id, append(idBytes, "DERIVEKEY"...), 32)
			commitment = rfc5869(sha512.New, dataKey, id, []byte("COMMITKEY"), 32)
		default:
			h := sha256.New
			if s.ID == 0x0346 || s.ID == 0x0378 {
				h = sha512.New384
			}
			content = rfc5869(h, dataKey, nil, slices.Concat(idBytes, id), s.KeyLength)
			net400 = rfc5869(h, dataKey, nil, idBytes, s.KeyLength)
		}
		keys, err := s.Derive(dataKey, id)
		if err != nil || !bytes.Equal(keys.Content, content) || !bytes.Equal(keys.Commitment, commitment) {
			t.Errorf("%s: %x, %v; want %x and %x", s.Name, keys, err, content, commitment)
		}
		if net400 != nil {
			if keys, err := s.DeriveNET400(dataKey); err != nil || !bytes.Equal(keys.Content, net400) {
				t.Errorf("%s: .NET 4.0.0: %x, %v; want %x", s.Name, keys, err, net400)
			}
		}
		// The content key is never the caller's slice, since it's cleared.
		before := bytes.Clone(dataKey)
		keys.Clear()
		if !bytes.Equal(dataKey, before) || !bytes.Equal(keys.Content, make([]byte, s.KeyLength)) {
			t.Errorf("%s: Clear left the content key, or cleared the data key", s.Name)
		}
		for _, n := range []int{0, s.KeyLength - 1, s.KeyLength + 1} {
			if _, err := s.Derive(make([]byte, n), id); err == nil {
				t.Errorf("%s: derived from %d bytes", s.Name, n)
			}
		}
	}
}

// Hash states that are kept for the next message hold no key of the last one:
// they are as new.
func TestDeriveClearsHashes(t *testing.T) {
	for _, s := range All {
		if !s.Derives() {
			continue
		}
		h, secret := s.takeHashes(), make([]byte, s.kdf.New().BlockSize())
		rand.Read(secret)
		for n := range secret {
			for range h.states { // HMAC writes a block that hides a key, then less than a block
				state := h.get()
				state.Write(secret)
				state.Write(secret[:n])
			}
		}
		kept := h.states
		s.giveHashes(h)
		for i, state := range kept {
			if !bytes.Equal(memoryOf(state), memoryOf(s.kdf.New())) {
				t.Errorf("%s: hash state %d is not as new", s.Name, i)
			}
		}
	}
}

// memoryOf returns the memory of a hash state, which is a pointer.
func memoryOf(state hash.Hash) []byte {
	v := reflect.ValueOf(state).Elem()
	return unsafe.Slice((*byte)(v.Addr().UnsafePointer()), v.Type().Size())
}

func signers() []*Suite {
	return slices.DeleteFunc(slices.Clone(All), func(s *Suite) bool { return !s.Signs() })
}

// All signatures have one length, so that the size of a message is known.
func TestSign(t *testing.T) {
	for _, s := range signers() {
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			h := s.NewDigest()
			h.Write([]byte{byte(i)})
			digest := h.Sum(nil)
			signature, err := s.Sign(key, digest)
			if err != nil || len(signature) != s.SignatureLength {
				t.Fatalf("%s: %d bytes, %v; want %d", s.Name, len(signature), err, s.SignatureLength)
			}
			if !s.Verify(&key.PublicKey, digest, signature) {
				t.Errorf("%s: own signature is not valid", s.Name)
			}
			signature[len(signature)-1] ^= 1
			if s.Verify(&key.PublicKey, digest, signature) {
				t.Errorf("%s: a changed signature is valid", s.Name)
			}
		}
	}
}

// One signature in a few hundred has another length even after its correction.
// This many signatures show that none gets out.
func TestSignLength(t *testing.T) {
	for _, s := range signers() {
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := s.NewDigest().Sum(nil)
		for range 3000 {
			if signature, err := s.Sign(key, digest); err != nil || len(signature) != s.SignatureLength {
				t.Fatalf("%s: %d bytes, %v; want %d", s.Name, len(signature), err, s.SignatureLength)
			}
		}
	}
}

// Other SDKs write signatures of any length, and we read them.
func TestVerifyAnyLength(t *testing.T) {
	for _, s := range signers() {
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := s.NewDigest().Sum(nil)
		lengths := make(map[int]bool)
		for range 100 {
			signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
			if err != nil || !s.Verify(&key.PublicKey, digest, signature) {
				t.Fatalf("%s: %d bytes: %v", s.Name, len(signature), err)
			}
			lengths[len(signature)] = true
		}
		if len(lengths) < 2 {
			t.Errorf("%s: only saw lengths %v", s.Name, lengths)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	for _, s := range signers() {
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.EncodePublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		// 33 or 49 bytes in Base64 with padding.
		if want := map[int]int{71: 44, 103: 68}[s.SignatureLength]; len(text) != want {
			t.Errorf("%s: %d characters, want %d", s.Name, len(text), want)
		}
		got, err := s.DecodePublicKey(text)
		if err != nil || !got.Equal(&key.PublicKey) || !s.FitsKey(got) {
			t.Errorf("%s: %v", s.Name, err)
		}
		uncompressed, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string]string{
			"empty":          "",
			"not Base64":     "!" + text[1:],
			"URL alphabet":   strings.Repeat("_", len(text)),
			"no padding":     strings.TrimRight(text, "="),
			"a line break":   text[:4] + "\n" + text[4:],
			"spare bits":     spareBits(text),
			"uncompressed":   base64.StdEncoding.EncodeToString(uncompressed),
			"not on a curve": base64.StdEncoding.EncodeToString(append([]byte{2}, bytes.Repeat([]byte{0xFF}, len(text)/4*3-1)...)),
		} {
			if bad == text { // without padding, there are no spare bits
				continue
			}
			if _, err := s.DecodePublicKey(bad); err == nil {
				t.Errorf("%s: %s is accepted", s.Name, name)
			}
		}
		if !s.FitsSigningKey(key) || s.FitsSigningKey(nil) {
			t.Errorf("%s: signing keys", s.Name)
		}
		for name, remove := range map[string]func(*ecdsa.PrivateKey){
			"no curve": func(k *ecdsa.PrivateKey) { k.Curve = nil },
			"no x":     func(k *ecdsa.PrivateKey) { k.X = nil },
			"no y":     func(k *ecdsa.PrivateKey) { k.Y = nil },
			//lint:ignore SA1019 the key is made invalid on purpose
			"no d": func(k *ecdsa.PrivateKey) { k.D = nil },
		} {
			incomplete := *key
			remove(&incomplete)
			if s.FitsSigningKey(&incomplete) {
				t.Errorf("%s: a signing key with %s fits", s.Name, name)
			}
			if fits := s.FitsKey(&incomplete.PublicKey); fits != (name == "no d") {
				t.Errorf("%s: a verification key with %s fits: %t", s.Name, name, fits)
			}
		}
		if s.FitsKey(nil) {
			t.Errorf("%s: no key fits", s.Name)
		}
		if s.FitsKey(&ecdsa.PublicKey{Curve: elliptic.P521()}) {
			t.Errorf("%s: a key of P-521 fits", s.Name)
		}
	}
}

// spareBits sets a bit of the last character that encodes no byte.
func spareBits(text string) string {
	digits := strings.TrimRight(text, "=")
	if digits == text {
		return text
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, digits[len(digits)-1]) + 1 // the spare bits were zero
	return digits[:len(digits)-1] + alphabet[last:last+1] + text[len(digits):]
}

func TestIsPair(t *testing.T) {
	for _, s := range All {
		if !s.Signs() {
			continue
		}
		key, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		if !s.IsPair(key) {
			t.Errorf("%s: a new key is no pair", s.Name)
		}
		other, err := s.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		halves, outside := *key, *key
		halves.PublicKey = other.PublicKey
		//lint:ignore SA1019 such keys are what is tested
		outside.D = new(big.Int)
		if s.IsPair(&halves) || s.IsPair(&outside) {
			t.Errorf("%s: halves of two keys are a pair", s.Name)
		}
	}
}
