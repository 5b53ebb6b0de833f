package esdk_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"esdk"
)

// wrappingKey stands for a key of 32 random bytes that is stored somewhere
// safe.
var wrappingKey = make([]byte, 32)

func newKeyring() esdk.Keyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "2026-11", Key: wrappingKey})
	if err != nil {
		log.Fatal(err)
	}
	return kr
}

func Example() {
	ctx := context.Background()
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "2026-11", Key: wrappingKey})
	if err != nil {
		log.Fatal(err)
	}
	// The encryption context isn't secret, but the message is bound to it.
	tenant := esdk.EncryptionContext{"tenant": "17"}
	message, err := esdk.Encrypt(ctx, kr, []byte("my secret"), tenant)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, tenant)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))

	_, err = esdk.Decrypt(ctx, kr, message, esdk.EncryptionContext{"tenant": "18"})
	fmt.Println(errors.Is(err, esdk.ErrEncryptionContext))
	// Output:
	// my secret
	// true
}

func ExampleClient() {
	ctx := context.Background()
	client, err := esdk.New(esdk.Config{
		Keyring:              newKeyring(),
		Suite:                esdk.AES256GCMHKDFSHA512Commit, // unsigned: the sender is the reader
		MaxEncryptedDataKeys: 3,
	})
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(ctx, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, header, err := client.Decrypt(ctx, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, with %v\n", plaintext, header.Suite)
	// Output: my secret, with AES_256_GCM_HKDF_SHA512_COMMIT_KEY
}

// Errors say why a message doesn't decrypt.
func ExampleClient_Decrypt() {
	ctx := context.Background()
	client, err := esdk.New(esdk.Config{Keyring: newKeyring()})
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(ctx, []byte("my secret"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	try := func(message []byte, ec esdk.EncryptionContext) {
		_, _, err := client.Decrypt(ctx, message, ec)
		var format *esdk.FormatError
		var none *esdk.NoDataKeyError
		switch {
		case errors.Is(err, esdk.ErrEncryptionContext):
			fmt.Println("the message is of another tenant")
		case errors.As(err, &none):
			fmt.Println("no key opens it:", len(none.Errors), "attempts")
		case errors.Is(err, esdk.ErrAuthentication):
			fmt.Println("the message was changed")
		case errors.Is(err, io.ErrUnexpectedEOF):
			fmt.Println("the message was cut short")
		case errors.As(err, &format):
			fmt.Println("not a message, from byte", format.Offset, "on")
		default:
			fmt.Println(err)
		}
	}
	try(message, esdk.EncryptionContext{"tenant": "18"})
	try(message[:len(message)-1], nil)
	try([]byte("no message"), nil)
	changed := bytes.Clone(message)
	changed[len(changed)-1] ^= 1
	try(changed, nil)
	// Output:
	// the message is of another tenant
	// the message was cut short
	// not a message, from byte 0 on
	// the message was changed
}

// A client sets limits if anyone may send it messages. A message over a limit
// is rejected before a keyring is asked, or before it's in memory as a whole.
func ExampleConfig() {
	client, err := esdk.New(esdk.Config{
		Keyring:              newKeyring(),
		MaxEncryptedDataKeys: 3,        // each may cost a call to a key service
		MaxHeaderLength:      16 << 10, // bytes
		MaxFrameLength:       1 << 20,
		MaxPlaintextLength:   10 << 20,
		Release:              esdk.VerifyFirst, // streams release nothing before the signature is verified
	})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = client.Encrypt(context.Background(), make([]byte, 10<<20+1), nil)
	fmt.Println(errors.Is(err, esdk.ErrLimit))
	// Output: true
}

// A message is complete only after Close has returned no error. Don't defer
// Close without checking its error, and don't call it if the source failed. An
// incomplete message doesn't decrypt, so it's never mistaken for a complete
// one.
func ExampleWriter() {
	ctx := context.Background()
	client, err := esdk.New(esdk.Config{Keyring: newKeyring()})
	if err != nil {
		log.Fatal(err)
	}
	encrypt := func(dst io.Writer, src io.Reader) error {
		w, err := client.NewWriter(ctx, dst, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, src); err != nil {
			return err
		}
		return w.Close()
	}
	var message bytes.Buffer
	if err := encrypt(&message, strings.NewReader("a long text")); err != nil {
		log.Fatal(err)
	}

	r, err := client.NewReader(ctx, &message, nil)
	if err != nil {
		log.Fatal(err)
	}
	// The copy is authentic as a whole only if Copy returns no error.
	if _, err := io.Copy(os.Stdout, r); err != nil {
		log.Fatal(err)
	}
	// Output: a long text
}

// The public key encrypts, and may be on machines that must not decrypt.
func ExampleNewRawRSAKeyring() {
	ctx := context.Background()
	publicPEM, privatePEM := newRSAKeys()

	public, err := esdk.ParsePEM[*rsa.PublicKey](publicPEM)
	if err != nil {
		log.Fatal(err)
	}
	encrypt, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "my-app", Name: "backup", PublicKey: public})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, encrypt, []byte("my backup"), nil)
	if err != nil {
		log.Fatal(err)
	}

	private, err := esdk.ParsePEM[*rsa.PrivateKey](privatePEM)
	if err != nil {
		log.Fatal(err)
	}
	decrypt, err := esdk.NewRawRSAKeyring(esdk.RawRSAConfig{Namespace: "my-app", Name: "backup", PrivateKey: private})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, decrypt, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	// Output: my backup
}

// newRSAKeys stands for two key files.
func newRSAKeys() (public, private []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	public = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)})
	private = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return public, private
}

// Alice and Bob know each other's public keys. Both can decrypt messages that
// one of them encrypts to the other.
func ExampleNewRawECDHKeyring() {
	ctx := context.Background()
	alice, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	bob, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}

	toBob, err := esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: alice, Peer: bob.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, toBob, []byte("hello Bob"), nil)
	if err != nil {
		log.Fatal(err)
	}

	fromAlice, err := esdk.NewRawECDHKeyring(esdk.RawECDHConfig{PrivateKey: bob, Peer: alice.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, fromAlice, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	// Output: hello Bob
}

// Encrypting to Bob requires no key of your own.
func ExampleNewRawECDHEphemeralKeyring() {
	ctx := context.Background()
	bob, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	toBob, err := esdk.NewRawECDHEphemeralKeyring(bob.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, toBob, []byte("guess who"), nil)
	if err != nil {
		log.Fatal(err)
	}
	asBob, err := esdk.NewRawECDHDiscoveryKeyring(bob)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, asBob, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	// Output: guess who
}

// Either of two keys decrypts, such as last year's key and this year's, or the
// daily key and one in a vault.
func ExampleNewMultiKeyring() {
	ctx := context.Background()
	daily, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "daily", Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		log.Fatal(err)
	}
	vault, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "my-app", Name: "vault", Key: bytes.Repeat([]byte{2}, 32)})
	if err != nil {
		log.Fatal(err)
	}
	both, err := esdk.NewMultiKeyring(daily, vault)
	if err != nil {
		log.Fatal(err)
	}
	message, err := esdk.Encrypt(ctx, both, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, vault, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))
	// Output: my secret
}

// The message doesn't store the tenant. The reader must know it, and can't take
// it from the message by mistake.
func ExampleNewRequiredContextCMM() {
	ctx := context.Background()
	underlying, err := esdk.NewDefaultCMM(newKeyring())
	if err != nil {
		log.Fatal(err)
	}
	cmm, err := esdk.NewRequiredContextCMM(underlying, "tenant")
	if err != nil {
		log.Fatal(err)
	}
	client, err := esdk.New(esdk.Config{CMM: cmm})
	if err != nil {
		log.Fatal(err)
	}
	message, _, err := client.Encrypt(ctx, []byte("my secret"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = client.Decrypt(ctx, message, nil)
	fmt.Println(err)
	plaintext, _, err := client.Decrypt(ctx, message, esdk.EncryptionContext{"tenant": "17"})
	fmt.Println(string(plaintext), err)
	// Output:
	// esdk: encryption context: required key "tenant" was not given
	// my secret <nil>
}

// A header can be read without a key. None of it is authenticated.
func ExampleParseHeader() {
	message, err := esdk.Encrypt(context.Background(), newKeyring(), []byte("my secret"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	header, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header.Suite, header.EncryptionContext["tenant"])
	for _, edk := range header.EncryptedDataKeys {
		fmt.Println(edk.ProviderID)
	}
	// Output:
	// AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384 17
	// my-app
}

// An hsmKeyring wraps data keys in a hardware module. Here, a cipher stands for
// the module. Package esdktest checks the keyring.
type hsmKeyring struct {
	key  string // its name in the module
	aead cipher.AEAD
}

func (k *hsmKeyring) Wrap(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return req.Wrap(func(dataKey, aad []byte) (esdk.EncryptedDataKey, error) {
		nonce := make([]byte, k.aead.NonceSize())
		rand.Read(nonce)
		return esdk.EncryptedDataKey{
			ProviderID:   "my-hsm",
			ProviderInfo: []byte(k.key),
			Ciphertext:   k.aead.Seal(nonce, nonce, dataKey, aad),
		}, nil
	})
}

func (k *hsmKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	ours := func(edk *esdk.EncryptedDataKey) bool {
		return edk.ProviderID == "my-hsm" && string(edk.ProviderInfo) == k.key
	}
	return req.Unwrap(ctx, ours, func(edk *esdk.EncryptedDataKey, aad []byte) ([]byte, error) {
		n := k.aead.NonceSize()
		if len(edk.Ciphertext) < n {
			return nil, fmt.Errorf("%w: ciphertext is too short", esdk.ErrAuthentication)
		}
		dataKey, err := k.aead.Open(nil, edk.Ciphertext[:n], edk.Ciphertext[n:], aad)
		if err != nil { // of a module, only if it says that the ciphertext isn't authentic
			return nil, fmt.Errorf("%w: %w", esdk.ErrAuthentication, err)
		}
		return dataKey, nil
	})
}

// This is a complete keyring of your own.
func ExampleKeyring() {
	ctx := context.Background()
	block, err := aes.NewCipher(wrappingKey)
	if err != nil {
		log.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		log.Fatal(err)
	}
	kr := &hsmKeyring{"slot-3", aead}
	message, err := esdk.Encrypt(ctx, kr, []byte("my secret"), esdk.EncryptionContext{"tenant": "17"})
	if err != nil {
		log.Fatal(err)
	}
	plaintext, err := esdk.Decrypt(ctx, kr, message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(plaintext))

	// Callers tell a data key that isn't authentic from a failing module.
	header, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		log.Fatal(err)
	}
	header.EncryptedDataKeys[0].Ciphertext[0] ^= 1
	_, err = kr.Unwrap(ctx, &esdk.UnwrapRequest{
		Suite:             header.Suite,
		EncryptionContext: header.EncryptionContext,
		EncryptedDataKeys: header.EncryptedDataKeys,
	})
	fmt.Println(errors.Is(err, esdk.ErrAuthentication))
	// Output:
	// my secret
	// true
}

// A labelCMM writes the name of its service into each message, and rejects
// messages of other services before any keyring is asked.
type labelCMM struct {
	esdk.CMM
	service string
}

func (c *labelCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	labelled := *req // the request and its map belong to the caller
	labelled.EncryptionContext = maps.Clone(req.EncryptionContext)
	labelled.EncryptionContext["service"] = c.service
	return c.CMM.EncryptionMaterials(ctx, &labelled)
}

func (c *labelCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	if got := req.EncryptionContext["service"]; got != c.service {
		return nil, fmt.Errorf("%w: message is of service %q", esdk.ErrEncryptionContext, got)
	}
	return c.CMM.DecryptionMaterials(ctx, req)
}

// This CMM of your own wraps the default CMM.
func ExampleCMM() {
	ctx := context.Background()
	newClient := func(service string) *esdk.Client {
		underlying, err := esdk.NewDefaultCMM(newKeyring())
		if err != nil {
			log.Fatal(err)
		}
		client, err := esdk.New(esdk.Config{CMM: &labelCMM{underlying, service}})
		if err != nil {
			log.Fatal(err)
		}
		return client
	}
	message, header, err := newClient("billing").Encrypt(ctx, []byte("my secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(header.EncryptionContext["service"])
	_, _, err = newClient("shipping").Decrypt(ctx, message, nil)
	fmt.Println(err)
	// Output:
	// billing
	// esdk: encryption context: message is of service "billing"
}

// A deferred Abort keeps a function that returns early from leaving a message
// of only a part of the plaintext.
func ExampleWriter_Abort() {
	client, err := esdk.New(esdk.Config{Keyring: newKeyring()})
	if err != nil {
		log.Fatal(err)
	}
	archive := func(dst io.Writer, names ...string) error {
		w, err := client.NewWriter(context.Background(), dst, nil)
		if err != nil {
			return err
		}
		defer w.Abort() // not w.Close()
		for _, name := range names {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			f.Close()
			if err != nil {
				return err
			}
		}
		return w.Close()
	}
	var message bytes.Buffer
	if err := archive(&message, "README.md", "no such file"); err != nil {
		_, _, err = client.Decrypt(context.Background(), message.Bytes(), nil)
		fmt.Println("decrypts:", err == nil)
	}
	// Output: decrypts: false
}

// APIs that take an io.Reader get the message without a pipe or a buffer.
func ExampleClient_NewEncryptingReader() {
	client, err := esdk.New(esdk.Config{Keyring: newKeyring()})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reader, err := client.NewReader(r.Context(), r.Body, nil)
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, reader)
		fmt.Println("received", n, "bytes", err, "size known:", r.ContentLength > n)
	}))
	defer server.Close()

	body, err := client.NewEncryptingReader(ctx, strings.NewReader(strings.Repeat("secret", 1000)), -1, nil)
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL, body)
	if err != nil {
		log.Fatal(err)
	}
	if size, ok := body.Size(); ok {
		req.ContentLength = size
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	// Output: received 6000 bytes <nil> size known: true
}
