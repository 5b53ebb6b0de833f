package hpke_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	stdhpke "crypto/hpke"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"esdk/hpke"
)

const (
	privateType = "ESDK HPKE PRIVATE KEY"
	publicType  = "ESDK HPKE PUBLIC KEY"
)

func pemBlock(kind string, parts ...string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(strings.Join(parts, ""))})
}

func privateBytes(t testing.TB, key stdhpke.PrivateKey) []byte {
	return must[[]byte](t)(key.Bytes())
}

func TestKeyFiles(t *testing.T) {
	key := must[stdhpke.PrivateKey](t)(hpke.GenerateKey())
	if other := must[stdhpke.PrivateKey](t)(hpke.GenerateKey()); bytes.Equal(privateBytes(t, key), privateBytes(t, other)) {
		t.Fatal("two new keys are the same")
	}
	secret := must[[]byte](t)(hpke.MarshalPrivateKey(key))
	public := must[[]byte](t)(hpke.MarshalPublicKey(key.PublicKey()))
	if again := must[[]byte](t)(hpke.MarshalPrivateKey(key)); !bytes.Equal(again, secret) {
		t.Error("a key is another one once it was marshalled")
	}
	if len(secret) > 150 || len(public) > 1800 {
		t.Errorf("files have %d and %d bytes", len(secret), len(public))
	}
	text := []byte("A comment\n\n")
	pkcs8 := pemBlock("PRIVATE KEY", "x")
	for name, data := range map[string][]byte{
		"alone":         bytes.Join([][]byte{secret, public}, nil),
		"public first":  bytes.Join([][]byte{public, secret}, nil),
		"text":          bytes.Join([][]byte{text, secret, text, public, text}, nil),
		"other blocks":  bytes.Join([][]byte{pkcs8, secret, pkcs8, public, pkcs8}, nil),
		"Windows":       bytes.ReplaceAll(bytes.Join([][]byte{secret, public}, nil), []byte("\n"), []byte("\r\n")),
		"no final line": bytes.TrimSpace(bytes.Join([][]byte{secret, public}, nil)),
	} {
		if got, err := hpke.ParsePrivateKey(data); err != nil || !bytes.Equal(privateBytes(t, got), privateBytes(t, key)) {
			t.Errorf("%s: private key: %v", name, err)
		}
		if got, err := hpke.ParsePublicKey(data); err != nil || !bytes.Equal(got.Bytes(), key.PublicKey().Bytes()) {
			t.Errorf("%s: public key: %v", name, err)
		}
	}
	// Neither passes for the other.
	if _, err := hpke.ParsePublicKey(secret); err == nil {
		t.Error("a private key passes for a public one")
	}
	if _, err := hpke.ParsePrivateKey(public); err == nil {
		t.Error("a public key passes for a private one")
	}
}

func TestKeyFileErrors(t *testing.T) {
	key := newKey(t, 0x5a)
	seed, public := string(privateBytes(t, key)), string(key.PublicKey().Bytes())
	const id = "\x64\x7a"
	withHeaders := func(kind, b string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{"DEK-Info": "x"}, Bytes: []byte(b)})
	}
	for _, c := range []struct {
		name            string
		private, public []byte
		want            string
	}{
		{"nothing", nil, nil, "none there"},
		{"no PEM", []byte(id + seed), []byte(id + public), "none there"},
		{"other type", pemBlock("PRIVATE KEY", id, seed), pemBlock("PUBLIC KEY", id, public), "none there"},
		{"end is missing", pemBlock(privateType, id, seed)[:60], pemBlock(publicType, id, public)[:900], "none there"},
		{"empty", pemBlock(privateType), pemBlock(publicType), "too short"},
		{"one byte", pemBlock(privateType, "\x64"), pemBlock(publicType, "\x64"), "too short"},
		{"no key", pemBlock(privateType, id), pemBlock(publicType, id), "invalid"},
		{"short", pemBlock(privateType, id, seed[1:]), pemBlock(publicType, id, public[1:]), "invalid"},
		{"long", pemBlock(privateType, id, seed, "\x00"), pemBlock(publicType, id, public, "\x00"), "invalid"},
		{"other KEM", pemBlock(privateType, "\x00\x50", seed), pemBlock(publicType, "\x00\x50", public), "of KEM 0x0050, not of 0x647a"},
		{"headers", withHeaders(privateType, id+seed), withHeaders(publicType, id+public), "headers"},
		{"two", bytes.Repeat(pemBlock(privateType, id, seed), 2), bytes.Repeat(pemBlock(publicType, id, public), 2), "several"},
		// 0xfff is no coefficient modulo 3329.
		{"coefficients", nil, pemBlock(publicType, id, "\xff\xff\xff", public[3:]), "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			private, err := hpke.ParsePrivateKey(c.private)
			if private != nil || err == nil || c.private != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("private: %v, want an error with %q", err, c.want)
			}
			wantNoSecret(t, err, key)
			public, err := hpke.ParsePublicKey(c.public)
			if public != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("public: %v, want an error with %q", err, c.want)
			}
		})
	}
}

// wantNoSecret wants an error not to show a key's seed of equal bytes.
func wantNoSecret(t testing.TB, err error, key stdhpke.PrivateKey) {
	t.Helper()
	seed := privateBytes(t, key)
	for _, form := range []string{string(seed[:4]), "5a5a5a5a", "90 90 90", base64.StdEncoding.EncodeToString(seed[:6])} {
		if err != nil && strings.Contains(err.Error(), form) {
			t.Errorf("shows the key: %v", err)
		}
	}
}

func TestMarshalErrors(t *testing.T) {
	nist := must[stdhpke.PrivateKey](t)(stdhpke.MLKEM768P256().GenerateKey())
	for _, key := range []stdhpke.PrivateKey{nil, nist} {
		if b, err := hpke.MarshalPrivateKey(key); err == nil || b != nil {
			t.Errorf("private: %q, %v", b, err)
		}
	}
	for _, key := range []stdhpke.PublicKey{nil, nist.PublicKey()} {
		if b, err := hpke.MarshalPublicKey(key); err == nil || b != nil {
			t.Errorf("public: %q, %v", b, err)
		}
	}
	if b, err := hpke.MarshalPrivateKey(hardwareKey(t)); err == nil || b != nil || !strings.Contains(err.Error(), "not available") {
		t.Errorf("hardware: %q, %v", b, err)
	}
}

// hardwareKey returns a key whose secrets are not to be had.
func hardwareKey(t testing.TB) stdhpke.PrivateKey {
	t.Helper()
	pq := must[*mlkem.DecapsulationKey768](t)(mlkem.GenerateKey768())
	classic := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader))
	return must[stdhpke.PrivateKey](t)(stdhpke.NewHybridPrivateKey(struct{ crypto.Decapsulator }{pq}, struct{ ecdh.KeyExchanger }{classic}))
}

func TestHardwareKey(t *testing.T) {
	kr := newKeyring(t, "key", hardwareKey(t))
	dataKey, edk := wrap(t, kr)
	if got, err := unwrap(t, kr, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("Unwrap: %v", err)
	}
}

// FuzzKeyFile has a key or an error come of any file, a key be read again as the
// same one once it is written, and work.
func FuzzKeyFile(f *testing.F) {
	key := newKey(f, 0x5a)
	secret := must[[]byte](f)(hpke.MarshalPrivateKey(key))
	public := must[[]byte](f)(hpke.MarshalPublicKey(key.PublicKey()))
	for _, seed := range [][]byte{nil, secret, public, append(secret, public...), pemBlock(privateType, "\x64\x7a"), pemBlock(publicType, "\x00\x50")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		private, err := hpke.ParsePrivateKey(bytes.Clone(data))
		if (private == nil) == (err == nil) {
			t.Fatalf("private: %v, %v", private, err)
		}
		wantNoSecret(t, err, key)
		if err == nil {
			again, err := hpke.ParsePrivateKey(must[[]byte](t)(hpke.MarshalPrivateKey(private)))
			if err != nil || !bytes.Equal(privateBytes(t, again), privateBytes(t, private)) {
				t.Errorf("private key is read again as another one, %v", err)
			}
			wrap(t, newKeyring(t, "key", private))
		}
		public, err := hpke.ParsePublicKey(data)
		if (public == nil) == (err == nil) {
			t.Fatalf("public: %v, %v", public, err)
		}
		if err == nil {
			again, err := hpke.ParsePublicKey(must[[]byte](t)(hpke.MarshalPublicKey(public)))
			if err != nil || !bytes.Equal(again.Bytes(), public.Bytes()) {
				t.Errorf("public key is read again as another one, %v", err)
			}
		}
	})
}
