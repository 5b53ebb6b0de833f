package esdk_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"esdk"
	"esdk/internal/clienttest"
	"esdk/internal/format"
	"esdk/internal/suite"
)

type (
	keyringFunc = clienttest.KeyringFuncs
	cmmFunc     = clienttest.ChangingCMM
)

var (
	testKeyring   = clienttest.Keyring
	defaultCMM    = clienttest.DefaultCMM
	newClient     = clienttest.New
	pattern       = clienttest.Pattern
	encrypt       = clienttest.Encrypt
	encryptStream = clienttest.EncryptStream
	decryptStream = clienttest.DecryptStream
	wantDecrypts  = clienttest.WantDecrypts
	wantRefused   = clienttest.WantRefused
	errNotAsked   = clienttest.ErrNotAsked
)

func must[T any](t testing.TB) func(T, error) T { return clienttest.Must[T](t) }

// policyFor returns a policy under which a suite both encrypts and decrypts.
func policyFor(s *suite.Suite) esdk.CommitmentPolicy { return clienttest.PolicyFor(esdk.SuiteID(s.ID)) }

// wantMalformed checks that a message fails with a FormatError about a field.
func wantMalformed(t testing.TB, c *esdk.Client, message []byte, field string) {
	t.Helper()
	_, _, oneShot := c.Decrypt(t.Context(), message, nil)
	_, streamed := decryptStream(t, c, bytes.NewReader(message), nil)
	for how, err := range map[string]error{"Decrypt": oneShot, "Reader": streamed} {
		var malformed *esdk.FormatError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("%s: %v; want a FormatError about %q", how, err, field)
		}
	}
}

// countingKeyring counts its Unwrap calls.
type countingKeyring struct {
	esdk.Keyring
	unwraps atomic.Int64
}

func (k *countingKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	k.unwraps.Add(1)
	return k.Keyring.Unwrap(ctx, req)
}

// A forger has the data key of a message, and makes messages that Client
// wouldn't.
type forger struct {
	header *format.Header
	aead   cipher.AEAD
	key    *ecdsa.PrivateKey
}

// newForger makes a header for testKeyring with a valid tag. A frame length of
// 0 makes a header for an unframed body.
func newForger(t testing.TB, s *suite.Suite, frameLength uint32, ec esdk.EncryptionContext) *forger {
	t.Helper()
	f := &forger{header: &format.Header{
		Suite:       s,
		MessageID:   pattern(s.MessageIDLength()),
		Context:     map[string]string{},
		FrameLength: frameLength,
		IV:          make([]byte, format.IVLength),
	}}
	for k, v := range ec {
		f.header.Context[k] = v
	}
	if s.Signs() {
		f.key = must[*ecdsa.PrivateKey](t)(s.GenerateSigningKey())
		f.header.Context["aws-crypto-public-key"] = must[string](t)(s.EncodePublicKey(&f.key.PublicKey))
	}
	wrapped := must[*esdk.WrapResult](t)(testKeyring(t).Wrap(t.Context(), &esdk.WrapRequest{
		Suite: esdk.SuiteID(s.ID), EncryptionContext: f.header.Context,
	}))
	for _, edk := range wrapped.EncryptedDataKeys {
		f.header.DataKeys = append(f.header.DataKeys, format.DataKey(edk))
	}
	keys := must[suite.Keys](t)(s.Derive(wrapped.DataKey, f.header.MessageID))
	f.header.Commitment = keys.Commitment
	f.aead = must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(keys.Content))))
	if err := f.header.Build(); err != nil {
		t.Fatal(err)
	}
	f.setContentType()
	f.header.Tag = f.aead.Seal(nil, f.header.IV, nil, f.header.Raw)
	return f
}

// setContentType marks the body as unframed, which Build never does.
func (f *forger) setContentType() {
	behind := 4 + suite.CommitmentLength
	if !f.header.Suite.Commits {
		behind = 4 + 1 + 4
	}
	if f.header.FrameLength == 0 {
		f.header.Raw[len(f.header.Raw)-behind-1] = 1
	}
}

func (f *forger) head() []byte { return f.header.Append(nil) }

// nonFramed makes an unframed body.
func (f *forger) nonFramed(plaintext []byte) []byte {
	iv := binary.BigEndian.AppendUint32(make([]byte, 8), 1)
	body := binary.BigEndian.AppendUint64(slices.Clone(iv), uint64(len(plaintext)))
	aad := format.NewBodyAAD(f.header.MessageID, format.Single).Frame(1, uint64(len(plaintext)))
	return f.aead.Seal(body, iv, plaintext, aad)
}

// regular makes one regular frame.
func (f *forger) regular(sequence uint32, plaintext []byte) []byte {
	frame := format.AppendRegular(nil, sequence)
	aad := format.NewBodyAAD(f.header.MessageID, format.Regular).Frame(sequence, uint64(len(plaintext)))
	return f.aead.Seal(frame, frame[4:4+format.IVLength], plaintext, aad)
}

// final makes a final frame.
func (f *forger) final(sequence uint32, plaintext []byte) []byte {
	frame := format.AppendFinal(nil, sequence, uint32(len(plaintext)))
	aad := format.NewBodyAAD(f.header.MessageID, format.Final).Frame(sequence, uint64(len(plaintext)))
	return f.aead.Seal(frame, frame[8:8+format.IVLength], plaintext, aad)
}

// message appends the parts of a body to the header, and signs them.
func (f *forger) message(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	message := append(f.head(), slices.Concat(parts...)...)
	digest := f.header.Suite.NewDigest()
	if digest == nil {
		return message
	}
	digest.Write(message)
	signature := must[[]byte](t)(f.header.Suite.Sign(f.key, digest.Sum(nil)))
	return format.AppendFooter(message, signature)
}

// A sample is a small message; there is one of each kind that can be read.
type sample struct {
	name      string
	suite     *suite.Suite
	message   []byte
	plaintext []byte
	header    int // its length
}

var sampleContext = esdk.EncryptionContext{"k": "v"}

// samples returns a framed and a non-framed message of each suite.
func samples(t testing.TB) []sample {
	t.Helper()
	var all []sample
	plaintext := []byte("ten bytes.")
	for _, s := range suite.All {
		c := newClient(t, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), FrameLength: 4})
		message, header, err := c.Encrypt(t.Context(), plaintext, sampleContext)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sample{fmt.Sprintf("%04x/framed", s.ID), s, message, plaintext, header.Length})
		f := newForger(t, s, 0, sampleContext)
		all = append(all, sample{fmt.Sprintf("%04x/non-framed", s.ID), s, f.message(t, f.nonFramed(plaintext)), plaintext, len(f.head())})
	}
	return all
}

func sampleOf(t testing.TB, name string) sample {
	t.Helper()
	for _, s := range samples(t) {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("there is no sample %s", name)
	return sample{}
}

// reader returns a client that reads all samples.
func reader(t testing.TB) *esdk.Client {
	return newClient(t, esdk.Config{CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
}
