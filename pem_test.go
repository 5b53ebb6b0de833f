package esdk_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"esdk"
)

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	return pemBlock("PRIVATE KEY", must[[]byte](t)(x509.MarshalPKCS8PrivateKey(key)))
}

func pkix(t testing.TB, key any) []byte {
	t.Helper()
	return pemBlock("PUBLIC KEY", must[[]byte](t)(x509.MarshalPKIXPublicKey(key)))
}

func TestParsePEM(t *testing.T) {
	key := rsaKey()
	pkcs1 := pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	pkcs1Public := pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey))
	for name, data := range map[string][]byte{
		"PKCS #8":           pkcs8(t, key),
		"PKCS #1":           pkcs1,
		"behind text":       append([]byte("some text\n"), pkcs1...),
		"behind a public":   append(pkix(t, &key.PublicKey), pkcs1...),
		"behind an EC key":  append(pkcs8(t, ecdhKey(t, ecdh.P256())), pkcs1...),
		"behind parameters": append(pemBlock("EC PARAMETERS", []byte{6, 1, 1}), pkcs1...),
		"behind garbage":    append(pemBlock("PRIVATE KEY", []byte("garbage")), pkcs1...),
		"Windows":           []byte(strings.ReplaceAll(string(pkcs1), "\n", "\r\n")),
	} {
		if got, err := esdk.ParsePEM[*rsa.PrivateKey](data); err != nil || !got.Equal(key) {
			t.Errorf("RSA private key, %s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{"SubjectPublicKeyInfo": pkix(t, &key.PublicKey), "PKCS #1": pkcs1Public} {
		if got, err := esdk.ParsePEM[*rsa.PublicKey](data); err != nil || !got.Equal(&key.PublicKey) {
			t.Errorf("RSA public key, %s: %v", name, err)
		}
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
		want := must[*ecdh.PrivateKey](t)(key.ECDH())
		sec1 := pemBlock("EC PRIVATE KEY", must[[]byte](t)(x509.MarshalECPrivateKey(key)))
		for name, data := range map[string][]byte{
			"SEC 1":        sec1,
			"PKCS #8":      pkcs8(t, key),
			"of ECDH":      pkcs8(t, want),
			"as OpenSSL's": append(pemBlock("EC PARAMETERS", []byte{6, 1, 1}), sec1...),
		} {
			if got, err := esdk.ParsePEM[*ecdh.PrivateKey](data); err != nil || !got.Equal(want) {
				t.Errorf("%s private key, %s: %v", curve.Params().Name, name, err)
			}
		}
		if got, err := esdk.ParsePEM[*ecdh.PublicKey](pkix(t, &key.PublicKey)); err != nil || !got.Equal(want.PublicKey()) {
			t.Errorf("%s public key: %v", curve.Params().Name, err)
		}
	}
}

// A key that can't be read is nil, and the error says why.
func TestParsePEMErrors(t *testing.T) {
	key := rsaKey()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "none found"},
		{"no PEM", []byte("garbage"), "none found"},
		{"DER", x509.MarshalPKCS1PrivateKey(key), "none found"},
		{"other kind of block", pemBlock("CERTIFICATE", []byte("x")), "none found"},
		{"empty block", pemBlock("PRIVATE KEY", nil), "asn1"},
		{"garbage in PKCS #8", pemBlock("PRIVATE KEY", []byte("garbage")), "asn1"},
		{"garbage in PKCS #1", pemBlock("RSA PRIVATE KEY", []byte("garbage")), "asn1"},
		{"garbage in SEC 1", pemBlock("EC PRIVATE KEY", []byte("garbage")), "asn1"},
		{"garbage in SubjectPublicKeyInfo", pemBlock("PUBLIC KEY", []byte("garbage")), "asn1"},
		{"garbage in PKCS #1 public", pemBlock("RSA PUBLIC KEY", []byte("garbage")), "asn1"},
		{"encrypted", pemBlock("ENCRYPTED PRIVATE KEY", []byte("x")), "decrypt it first"},
		{"cut short", pkcs8(t, key)[:200], "none found"},
		{"Ed25519", pkcs8(t, edwards), "none found"},
		{"P-224", pkcs8(t, p224), "curve"},
		{"P-224 public", pkix(t, &p224.PublicKey), "curve"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(kind string, isNil bool, err error) {
				t.Helper()
				if !isNil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), kind) {
					t.Errorf("%s: key is nil: %t, %v; want an error with %q", kind, isNil, err, c.want)
				}
			}
			rsaPublic, err := esdk.ParsePEM[*rsa.PublicKey](c.data)
			check("an RSA public key", rsaPublic == nil, err)
			rsaPrivate, err := esdk.ParsePEM[*rsa.PrivateKey](c.data)
			check("an RSA private key", rsaPrivate == nil, err)
			ecdhPublic, err := esdk.ParsePEM[*ecdh.PublicKey](c.data)
			check("an elliptic-curve public key", ecdhPublic == nil, err)
			ecdhPrivate, err := esdk.ParsePEM[*ecdh.PrivateKey](c.data)
			check("an elliptic-curve private key", ecdhPrivate == nil, err)
		})
	}
	// Neither key of a pair passes for the other.
	if _, err := esdk.ParsePEM[*rsa.PublicKey](pkcs8(t, key)); err == nil {
		t.Error("a private key passes for a public one")
	}
	if _, err := esdk.ParsePEM[*ecdh.PublicKey](pkcs8(t, ecdhKey(t, ecdh.P256()))); err == nil {
		t.Error("a private ECDH key passes for a public one")
	}
	// The keyring rejects a key that the format doesn't support.
	x := must[*ecdh.PrivateKey](t)(esdk.ParsePEM[*ecdh.PrivateKey](pkcs8(t, ecdhKey(t, ecdh.X25519()))))
	if _, err := esdk.NewRawECDHDiscoveryKeyring(x); err == nil {
		t.Error("X25519 makes a keyring")
	}
}
