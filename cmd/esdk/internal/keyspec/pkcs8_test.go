package keyspec

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const testPassphrase = "correct horse, battery; staple"

// openssl runs OpenSSL, which must be installed, with the passphrase in a file.
func openssl(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte(testPassphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if arg == "PASSPHRASE" {
			args[i] = "file:" + passphrase
		}
	}
	c := exec.Command("openssl", args...)
	c.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl %q: %v: %s", args, err, &stderr)
	}
	return out
}

func newTestKey(t testing.TB) (der []byte) {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err = x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestReadOpenSSL reads private keys that OpenSSL encrypted in each way.
func TestReadOpenSSL(t *testing.T) {
	der := newTestKey(t)
	plain := pemOf("PRIVATE KEY", der)
	ways := [][]string{{"-scrypt"}, {"-scrypt", "-scrypt_N", "1024", "-scrypt_r", "4", "-scrypt_p", "3", "-v2", "aes-128-cbc"}}
	for _, bits := range []string{"128", "192", "256"} {
		for _, prf := range []string{"hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512"} {
			ways = append(ways, []string{"-v2", "aes-" + bits + "-cbc", "-v2prf", prf, "-iter", "1000"})
		}
	}
	for _, way := range ways {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			text := openssl(t, plain, append([]string{"pkcs8", "-topk8", "-passout", "PASSPHRASE"}, way...)...)
			block, _ := pem.Decode(text)
			if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
				t.Fatalf("%s", text)
			}
			got, err := decryptPKCS8(block.Bytes, []byte(testPassphrase))
			if err != nil || !bytes.Equal(got, der) {
				t.Errorf("%x, %v", got, err)
			}
			for _, wrong := range []string{"", testPassphrase[1:], testPassphrase + "\n"} {
				if got, err := decryptPKCS8(block.Bytes, []byte(wrong)); err == nil && bytes.Equal(got, der) {
					t.Errorf("opens with %q", wrong)
				}
			}
		})
	}
}

// OpenSSL reads the private keys that esdk writes.
func TestWriteForOpenSSL(t *testing.T) {
	der := newTestKey(t)
	encrypted, err := encryptPKCS8(der, []byte(testPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	got := openssl(t, pemOf("ENCRYPTED PRIVATE KEY", encrypted), "pkey", "-passin", "PASSPHRASE")
	block, _ := pem.Decode(got)
	if block == nil || !bytes.Equal(block.Bytes, der) {
		t.Errorf("%s", got)
	}
	again, err := encryptPKCS8(der, []byte(testPassphrase))
	if err != nil || bytes.Equal(again, encrypted) {
		t.Errorf("twice the same: %v", err)
	}
	if plain, err := decryptPKCS8(encrypted, []byte(testPassphrase)); err != nil || !bytes.Equal(plain, der) {
		t.Errorf("%v", err)
	}
}

// Old ways of encryption are named in errors.
func TestOldPKCS8(t *testing.T) {
	plain := pemOf("PRIVATE KEY", newTestKey(t))
	for _, way := range [][]string{{"-v2", "des3"}, {"-v1", "PBE-SHA1-3DES"}} {
		block, _ := pem.Decode(openssl(t, plain, append([]string{"pkcs8", "-topk8", "-passout", "PASSPHRASE"}, way...)...))
		if _, err := decryptPKCS8(block.Bytes, []byte(testPassphrase)); !errors.Is(err, errOldPKCS8) {
			t.Errorf("%s: %v", way, err)
		}
	}
}

// The parameters in a file can't make decryption take hours or all memory.
func TestPKCS8Bounds(t *testing.T) {
	der := newTestKey(t)
	salt := make([]byte, 16)
	start := time.Now()
	for name, kdf := range map[string]struct {
		oid    asn1.ObjectIdentifier
		params any
	}{
		"iterations":          {oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: maxIterations + 1, PRF: algorithm{Algorithm: oidHMACSHA256}}},
		"no iterations":       {oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: 0, PRF: algorithm{Algorithm: oidHMACSHA256}}},
		"negative iterations": {oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: -1, PRF: algorithm{Algorithm: oidHMACSHA256}}},
		"salt":                {oidPBKDF2, pbkdf2Params{Salt: make([]byte, maxSalt+1), Iterations: 1000, PRF: algorithm{Algorithm: oidHMACSHA256}}},
		"key length":          {oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: 1000, KeyLength: 16, PRF: algorithm{Algorithm: oidHMACSHA256}}},
		"hash":                {oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: 1000, PRF: algorithm{Algorithm: oidPBKDF2}}},
		"memory":              {oidScrypt, scryptParams{Salt: salt, N: 1 << 22, R: 8, P: 1}},
		"N":                   {oidScrypt, scryptParams{Salt: salt, N: 1 << 62, R: 1, P: 1}},
		"N of 3":              {oidScrypt, scryptParams{Salt: salt, N: 3, R: 1, P: 1}},
		"r":                   {oidScrypt, scryptParams{Salt: salt, N: 2, R: 1 << 62, P: 1}},
		"p":                   {oidScrypt, scryptParams{Salt: salt, N: 1 << 14, R: 8, P: 1 << 20}},
		"negative p":          {oidScrypt, scryptParams{Salt: salt, N: 1 << 14, R: 8, P: -1}},
		"no p":                {oidScrypt, scryptParams{Salt: salt, N: 1 << 14, R: 8}},
		"scrypt key length":   {oidScrypt, scryptParams{Salt: salt, N: 1 << 10, R: 8, P: 1, KeyLength: 16}},
		"no function":         {oidAES256CBC, scryptParams{Salt: salt, N: 1 << 10, R: 8, P: 1}},
	} {
		params := pbes2Params{Encryption: newAlgorithm(oidAES256CBC, make([]byte, 16))}
		params.KDF = newAlgorithm(kdf.oid, kdf.params)
		text, err := asn1.Marshal(encryptedPrivateKey{Algorithm: newAlgorithm(oidPBES2, params), Data: make([]byte, 160)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decryptPKCS8(text, []byte(testPassphrase)); err == nil || errors.Is(err, errPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	encrypted, err := encryptPKCS8(der, []byte(testPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 40 { // truncated anywhere
		if _, err := decryptPKCS8(encrypted[:n*len(encrypted)/40], []byte(testPassphrase)); err == nil {
			t.Errorf("cut to %d of 40 parts: no error", n)
		}
	}
	if _, err := decryptPKCS8(append(encrypted, 0), []byte(testPassphrase)); err == nil {
		t.Error("with a byte behind it: no error")
	}
}

// A changed byte gives an error or bytes that aren't a key, but never a panic.
func TestDamagedPKCS8(t *testing.T) {
	der := newTestKey(t)
	block, _ := pem.Decode(openssl(t, pemOf("PRIVATE KEY", der), "pkcs8", "-topk8", "-passout", "PASSPHRASE", "-iter", "1000"))
	for i := range block.Bytes {
		for _, bit := range []byte{1, 0x80} {
			damaged := bytes.Clone(block.Bytes)
			damaged[i] ^= bit
			got, err := decryptPKCS8(damaged, []byte(testPassphrase))
			if err == nil && bytes.Equal(got, der) {
				t.Errorf("byte %d: no error", i)
			}
		}
	}
}
