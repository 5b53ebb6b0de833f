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
	"errors"
	"strings"
	"testing"

	"esdk"
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
		{"nothing", nil, nil, "none found"},
		{"no PEM", []byte(id + seed), []byte(id + public), "none found"},
		{"other type", pemBlock("PRIVATE KEY", id, seed), pemBlock("PUBLIC KEY", id, public), "none found"},
		{"end is missing", pemBlock(privateType, id, seed)[:60], pemBlock(publicType, id, public)[:900], "none found"},
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

// wantNoSecret checks that an error doesn't show a key's seed, which is made of
// equal bytes.
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

// hardwareKey returns a key whose secrets can't be read.
func hardwareKey(t testing.TB) stdhpke.PrivateKey {
	t.Helper()
	pq := must[*mlkem.DecapsulationKey768](t)(mlkem.GenerateKey768())
	classic := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader))
	return must[stdhpke.PrivateKey](t)(stdhpke.NewHybridPrivateKey(struct{ crypto.Decapsulator }{pq}, struct{ ecdh.KeyExchanger }{classic}))
}

// privatePart is a private key with some methods replaced. publicPart is the
// same for a public key.
type privatePart struct {
	stdhpke.PrivateKey
	public stdhpke.PublicKey
	bytes  func() ([]byte, error)
}

func (k privatePart) PublicKey() stdhpke.PublicKey { return k.public }
func (k privatePart) Bytes() ([]byte, error)       { return k.bytes() }

type publicPart struct {
	stdhpke.PublicKey
	bytes []byte
}

func (k publicPart) Bytes() []byte { return k.bytes }

type noKEM struct{ stdhpke.PublicKey }

func (noKEM) KEM() stdhpke.KEM { return nil }

// An incomplete key is an error, not a panic.
func TestIncompleteKeys(t *testing.T) {
	key := newKey(t, 1)
	x25519 := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader))
	for name, public := range map[string]stdhpke.PublicKey{
		"zero ML-KEM key": must[stdhpke.PublicKey](t)(stdhpke.NewHybridPublicKey(new(mlkem.EncapsulationKey768), x25519.PublicKey())),
		"nil embedded":    struct{ stdhpke.PublicKey }{},
		"no KEM":          noKEM{key.PublicKey()},
		"no bytes":        publicPart{key.PublicKey(), nil},
		"short":           publicPart{key.PublicKey(), key.PublicKey().Bytes()[1:]},
		"coefficients":    publicPart{key.PublicKey(), bytes.Repeat([]byte{0xff}, 1216)},
	} {
		if kr, err := hpke.NewKeyring(hpke.Config{Name: "k", PublicKey: public}); kr != nil || err == nil || !strings.Contains(err.Error(), "lacks a part") {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
		if kr, err := hpke.NewKeyring(hpke.Config{Name: "k", PublicKey: public, PrivateKey: key}); kr != nil || err == nil {
			t.Errorf("%s, with its private key: %v, %v", name, kr, err)
		}
		if b, err := hpke.MarshalPublicKey(public); b != nil || err == nil || !strings.HasPrefix(err.Error(), "hpke: ") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		private := privatePart{key, public, key.Bytes}
		if kr, err := hpke.NewKeyring(hpke.Config{Name: "k", PrivateKey: private}); kr != nil || err == nil {
			t.Errorf("%s, of a private key: %v, %v", name, kr, err)
		}
	}
	for name, private := range map[string]stdhpke.PrivateKey{
		"nil embedded":  struct{ stdhpke.PrivateKey }{},
		"no public key": privatePart{key, nil, key.Bytes},
	} {
		if kr, err := hpke.NewKeyring(hpke.Config{Name: "k", PrivateKey: private}); kr != nil || err == nil || !strings.Contains(err.Error(), "lacks a part") {
			t.Errorf("%s: %v, %v", name, kr, err)
		}
	}
	for name, seed := range map[string]func() ([]byte, error){
		"nil and no error": func() ([]byte, error) { return nil, nil },
		"short":            func() ([]byte, error) { return make([]byte, 31), nil },
		"panic":            nil,
	} {
		if b, err := hpke.MarshalPrivateKey(privatePart{key, key.PublicKey(), seed}); b != nil || err == nil || !strings.Contains(err.Error(), "hpke: the key lacks a part") {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if b, err := hpke.MarshalPrivateKey(struct{ stdhpke.PrivateKey }{}); b != nil || err == nil {
		t.Errorf("nil embedded: %q, %v", b, err)
	}
}

// nothing is hardware that returns neither a secret nor an error.
type nothing struct {
	crypto.Decapsulator
	ecdh.KeyExchanger
}

func (nothing) Decapsulate([]byte) ([]byte, error)   { return nil, nil }
func (nothing) ECDH(*ecdh.PublicKey) ([]byte, error) { return nil, nil }

func TestHardwareReturnsNothing(t *testing.T) {
	pq := must[*mlkem.DecapsulationKey768](t)(mlkem.GenerateKey768())
	classic := must[*ecdh.PrivateKey](t)(ecdh.X25519().GenerateKey(rand.Reader))
	none := nothing{pq, classic}
	for name, key := range map[string]stdhpke.PrivateKey{
		"ML-KEM": must[stdhpke.PrivateKey](t)(stdhpke.NewHybridPrivateKey(none, classic)),
		"X25519": must[stdhpke.PrivateKey](t)(stdhpke.NewHybridPrivateKey(pq, none)),
		"both":   must[stdhpke.PrivateKey](t)(stdhpke.NewHybridPrivateKey(none, none)),
	} {
		kr := newKeyring(t, "key", key)
		_, edk := wrap(t, kr)
		if got, err := unwrap(t, kr, edk); got != nil || !errors.Is(err, esdk.ErrNoDataKey) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// A key file is written into memory of exactly its length, so that no outgrown
// array keeps a part of it. Its bytes are the same as encoding/pem's.
func TestKeyFileMemory(t *testing.T) {
	key := newKey(t, 1)
	secret := must[[]byte](t)(hpke.MarshalPrivateKey(key))
	public := must[[]byte](t)(hpke.MarshalPublicKey(key.PublicKey()))
	for _, text := range [][]byte{secret, public} {
		block, rest := pem.Decode(text)
		if block == nil || len(rest) > 0 || !bytes.Equal(pem.EncodeToMemory(block), text) {
			t.Errorf("encoding/pem writes it in another way than:\n%s", text)
		}
		if cap(text) != len(text) {
			t.Errorf("%d bytes stand in an array of %d", len(text), cap(text))
		}
	}
}

func TestHardwareKey(t *testing.T) {
	kr := newKeyring(t, "key", hardwareKey(t))
	dataKey, edk := wrap(t, kr)
	if got, err := unwrap(t, kr, edk); err != nil || !bytes.Equal(got, dataKey) {
		t.Errorf("Unwrap: %v", err)
	}
}

// FuzzKeyFile checks that every file yields a key or an error, and that a key
// works and survives being written and read again.
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
