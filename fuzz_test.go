package esdk_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

var update = flag.Bool("update", false, "write testdata/messages anew")

// keptPlaintext is the plaintext of all messages in testdata/messages.
const keptPlaintext = "These bytes are in each of the messages."

// keptKeyring opens the messages in testdata/messages. Its keys are constant,
// so that all processes of a fuzzer have the same ones.
func keptKeyring(t testing.TB) esdk.Keyring {
	t.Helper()
	private := must[*ecdh.PrivateKey](t)(ecdh.P256().NewPrivateKey(bytes.Repeat([]byte{1}, 32)))
	return must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), ecdhKeyring(t, private, private.PublicKey())))
}

// keptMessages returns the messages in testdata/messages by name: a framed and
// an unframed one for each suite. They were written once, and stay readable.
func keptMessages(t testing.TB) map[string][]byte {
	t.Helper()
	messages := make(map[string][]byte)
	for _, path := range must[[]string](t)(filepath.Glob("testdata/messages/*")) {
		messages[filepath.Base(path)] = must[[]byte](t)(os.ReadFile(path))
	}
	if len(messages) != 2*len(suite.All) {
		t.Fatalf("there are %d messages", len(messages))
	}
	return messages
}

func keptReader(t testing.TB) *esdk.Client {
	return newClient(t, esdk.Config{Keyring: keptKeyring(t), CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
}

func TestKeptMessages(t *testing.T) {
	if *update {
		writeMessages(t)
	}
	for name, message := range keptMessages(t) {
		t.Run(name, func(t *testing.T) {
			wantDecrypts(t, keptReader(t), message, sampleContext, []byte(keptPlaintext))
		})
	}
}

func writeMessages(t *testing.T) {
	const dir = "testdata/messages"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range suite.All {
		c := newClient(t, esdk.Config{Keyring: keptKeyring(t), Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), FrameLength: 16})
		f := newForger(t, s, 0, sampleContext)
		for kind, message := range map[string][]byte{
			"framed":     encrypt(t, c, []byte(keptPlaintext), sampleContext),
			"non-framed": f.message(t, f.nonFramed([]byte(keptPlaintext))),
		} {
			if err := os.WriteFile(filepath.Join(dir, s.Name+"-"+kind), message, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// FuzzDecrypt checks that no bytes decrypt other than the kept messages, at
// once or as a stream, and that nothing but the start of the plaintext is
// released.
func FuzzDecrypt(f *testing.F) {
	kept := make(map[string]bool)
	for _, message := range keptMessages(f) {
		kept[string(message)] = true
		f.Add(message)
	}
	c := keptReader(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		plaintext, header, err := c.Decrypt(context.Background(), message, nil)
		released, streamErr := decryptStream(t, c, bytes.NewReader(message), nil)
		if kept[string(message)] {
			if err != nil || streamErr != nil || string(plaintext) != keptPlaintext || string(released) != keptPlaintext {
				t.Fatalf("a message that is kept: %q, %v; %q, %v", plaintext, err, released, streamErr)
			}
			return
		}
		if err == nil || plaintext != nil || header != nil {
			t.Fatalf("accepted %x: %q", message, plaintext)
		}
		if streamErr == nil || err.Error() != streamErr.Error() {
			t.Fatalf("Decrypt: %v; Reader: %v", err, streamErr)
		}
		if !strings.HasPrefix(keptPlaintext, string(released)) || len(released) == len(keptPlaintext) {
			t.Fatalf("released %q", released)
		}
		checkClass(t, err)
	})
}

// checkClass checks that callers can classify an error for a message.
func checkClass(t *testing.T, err error) {
	t.Helper()
	for _, class := range []error{
		esdk.ErrAuthentication, esdk.ErrCommitment, esdk.ErrCommitmentPolicy, esdk.ErrEncryptionContext, esdk.ErrNoDataKey, esdk.ErrLimit,
	} {
		if errors.Is(err, class) {
			return
		}
	}
	if !errors.As(err, new(*esdk.FormatError)) {
		t.Errorf("error of no class: %v", err)
	}
}

// FuzzParseHeader checks that each parsed header serializes to the original
// bytes, and that its fields hold everything in the bytes. A message in memory
// gives the same, and its bytes may change afterwards.
func FuzzParseHeader(f *testing.F) {
	for _, message := range keptMessages(f) {
		f.Add(message)
	}
	for _, text := range []string{"AYADeA", "AgV4abcd", "AgR4abcd", "\x01\x80\x00\x67", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		source := bytes.NewReader(b)
		public, err := esdk.ParseHeader(source)
		h, internalErr := format.ReadHeader(bytes.NewReader(b), format.Limits{})
		if (err == nil) != (internalErr == nil) && !errors.Is(err, esdk.ErrLimit) {
			t.Fatalf("ParseHeader: %v; ReadHeader: %v", err, internalErr)
		}
		message, inMemory := bytes.Clone(b), new(format.Header)
		memoryErr := inMemory.Parse(message, format.Limits{})
		clear(message)
		if fmt.Sprint(memoryErr) != fmt.Sprint(internalErr) || memoryErr == nil && !reflect.DeepEqual(inMemory, h) {
			t.Fatalf("Parse: %+v, %v; ReadHeader: %+v, %v", inMemory, memoryErr, h, internalErr)
		}
		if err != nil {
			if !errors.As(err, new(*esdk.FormatError)) && !errors.Is(err, esdk.ErrLimit) {
				t.Fatalf("error of no class: %v", err)
			}
			return
		}
		if public.Length != len(b)-source.Len() || !bytes.Equal(h.Append(nil), b[:public.Length]) {
			t.Fatalf("%x became %x", b[:public.Length], h.Append(nil))
		}
		rebuilt, ok := rebuild(t, public, h, b)
		if ok && !bytes.Equal(rebuilt.Append(nil), b[:public.Length]) {
			t.Fatalf("%x was built again as %x", b[:public.Length], rebuilt.Append(nil))
		}
	})
}

// rebuild builds a header from its public fields, unless the message has a form
// that is only ever read.
func rebuild(t *testing.T, public *esdk.Header, h *format.Header, b []byte) (*format.Header, bool) {
	rebuilt := &format.Header{
		Suite:       suite.Lookup(uint16(public.Suite)),
		MessageID:   public.MessageID,
		Context:     public.EncryptionContext,
		FrameLength: public.FrameLength,
		Commitment:  h.Commitment,
		IV:          h.IV,
		Tag:         h.Tag,
	}
	for _, edk := range public.EncryptedDataKeys {
		if !utf8.ValidString(edk.ProviderID) {
			return nil, false
		}
		rebuilt.DataKeys = append(rebuilt.DataKeys, format.DataKey(edk))
	}
	at := 4 + len(public.MessageID)
	if public.Version == 2 {
		at--
	}
	stored := b[at+2 : at+2+int(binary.BigEndian.Uint16(b[at:]))]
	serialized, err := public.EncryptionContext.AppendBinary(nil)
	if err != nil {
		t.Fatalf("the context parses, but does not serialize: %v", err)
	}
	if !bytes.Equal(stored, serialized) || public.FrameLength == 0 {
		return nil, false
	}
	if err := rebuilt.Build(); err != nil {
		t.Fatalf("the header parses, but does not build: %v", err)
	}
	return rebuilt, true
}

// FuzzRoundTrip checks that every plaintext decrypts to itself, for all frame
// lengths and contexts, written and read in pieces of any length.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(nil), uint32(0), uint8(0), "", "", uint16(0), uint16(0))
	f.Add(pattern(100), uint32(10), uint8(9), "key", "value", uint16(7), uint16(3))
	f.Add(pattern(100), uint32(100), uint8(10), "k", "\xff", uint16(100), uint16(1))
	f.Add(pattern(101), uint32(1), uint8(1), "aws-crypto-x", "v", uint16(1), uint16(1000))
	f.Add(pattern(5000), uint32(1<<32-1), uint8(6), "ä", "\U0001F600", uint16(4096), uint16(4096))
	f.Fuzz(func(t *testing.T, plaintext []byte, frame uint32, suiteIndex uint8, key, value string, writes, reads uint16) {
		s := suite.All[int(suiteIndex)%len(suite.All)]
		c := newClient(t, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), FrameLength: frame})
		ec := esdk.EncryptionContext{key: value}
		message, header, err := c.Encrypt(context.Background(), plaintext, ec)
		if !utf8.ValidString(key) || !utf8.ValidString(value) || strings.HasPrefix(key, "aws-crypto-") || len(key)+len(value) > 60_000 {
			if !errors.Is(err, esdk.ErrEncryptionContext) && len(key)+len(value) < 60_000 {
				t.Fatalf("context %q: %v", ec, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(withoutPublicKey(header.EncryptionContext), ec) {
			t.Fatalf("context %q became %q", ec, header.EncryptionContext)
		}
		streamed := writeInPieces(t, c, plaintext, ec, int(writes)+1)
		if len(streamed) != len(message) {
			t.Fatalf("stream wrote %d bytes, one-shot %d", len(streamed), len(message))
		}
		if got, _, err := c.Decrypt(context.Background(), streamed, ec); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("stream to one-shot: %d bytes, %v", len(got), err)
		}
		if got, err := readInPieces(c, message, ec, int(reads)+1); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("one-shot to stream: %d bytes, %v", len(got), err)
		}
	})
}

func withoutPublicKey(ec esdk.EncryptionContext) esdk.EncryptionContext {
	rest := maps.Clone(ec)
	delete(rest, publicKeyKey)
	return rest
}

func writeInPieces(t *testing.T, c *esdk.Client, plaintext []byte, ec esdk.EncryptionContext, size int) []byte {
	t.Helper()
	var message bytes.Buffer
	w := must[*esdk.Writer](t)(c.NewWriter(context.Background(), &message, ec))
	for rest := plaintext; len(rest) > 0; {
		n := min(size, len(rest))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return message.Bytes()
}

func readInPieces(c *esdk.Client, message []byte, ec esdk.EncryptionContext, size int) ([]byte, error) {
	r, err := c.NewReader(context.Background(), bytes.NewReader(message), ec)
	if err != nil {
		return nil, err
	}
	var plaintext []byte
	buf := make([]byte, size)
	for {
		n, err := r.Read(buf)
		plaintext = append(plaintext, buf[:n]...)
		if err == io.EOF {
			return plaintext, nil
		}
		if err != nil {
			return plaintext, err
		}
	}
}

// FuzzParsePEM checks that any text yields a key or an error, and that each key
// parses to the same key again.
func FuzzParsePEM(f *testing.F) {
	key := rsaKey()
	ec := ecdhKey(f, ecdh.P256())
	for _, seed := range [][]byte{
		pkcs8(f, key), pkix(f, &key.PublicKey), pkcs8(f, ec), pkix(f, ec.PublicKey()),
		pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		pemBlock("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&key.PublicKey)),
		pemBlock("EC PRIVATE KEY", []byte("garbage")), pemBlock("ENCRYPTED PRIVATE KEY", nil), []byte("text"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parseAgain[*rsa.PrivateKey](t, data, pkcs8)
		parseAgain[*rsa.PublicKey](t, data, pkix)
		parseAgain[*ecdh.PrivateKey](t, data, pkcs8)
		parseAgain[*ecdh.PublicKey](t, data, pkix)
	})
}

func parseAgain[K interface {
	comparable
	*rsa.PublicKey | *rsa.PrivateKey | *ecdh.PublicKey | *ecdh.PrivateKey
}](t *testing.T, data []byte, marshal func(testing.TB, any) []byte) {
	t.Helper()
	var none K
	key, err := esdk.ParsePEM[K](data)
	if (key == none) == (err == nil) {
		t.Fatalf("%v, %v", key, err)
	}
	if err != nil {
		return
	}
	text := marshal(t, key)
	again, err := esdk.ParsePEM[K](text)
	if err != nil || !bytes.Equal(marshal(t, again), text) {
		t.Fatalf("%T: %v", key, err)
	}
}
