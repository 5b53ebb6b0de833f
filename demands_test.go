package esdk_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"testing"

	"esdk"
	"esdk/internal/format"
	"esdk/internal/suite"
)

// These tests cover demands of the specification that no other test would miss.

// carelessCMM allows every suite and ignores the request's policy.
type carelessCMM struct {
	esdk.CMM
	encryptions, decryptions int
}

func (c *carelessCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	c.encryptions++
	careless := *req
	if s := suite.Lookup(uint16(req.Suite)); s != nil {
		careless.CommitmentPolicy = policyFor(s)
	}
	return c.CMM.EncryptionMaterials(ctx, &careless)
}

func (c *carelessCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	c.decryptions++
	careless := *req
	careless.CommitmentPolicy = esdk.ForbidEncryptAllowDecrypt
	return c.CMM.DecryptionMaterials(ctx, &careless)
}

// The client enforces its policy itself, before it asks a CMM that might not.
func TestClientEnforcesDecryptionPolicy(t *testing.T) {
	for _, s := range suite.All {
		message := encrypt(t, newClient(t, esdk.Config{Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s)}), pattern(10), nil)
		for _, policy := range []esdk.CommitmentPolicy{esdk.RequireEncryptRequireDecrypt, esdk.RequireEncryptAllowDecrypt, esdk.ForbidEncryptAllowDecrypt} {
			cmm := &carelessCMM{CMM: defaultCMM(t)}
			c := newClient(t, esdk.Config{CMM: cmm, CommitmentPolicy: policy, Release: esdk.VerifyFirst})
			if s.Commits || policy != esdk.RequireEncryptRequireDecrypt {
				wantDecrypts(t, c, message, nil, pattern(10))
				continue
			}
			wantRefused(t, c, message, nil, esdk.ErrCommitmentPolicy)
			if _, err := c.NewReaderAt(t.Context(), bytes.NewReader(message), int64(len(message)), nil); !errors.Is(err, esdk.ErrCommitmentPolicy) {
				t.Errorf("%04x: NewReaderAt: %v", s.ID, err)
			}
			if cmm.decryptions != 0 {
				t.Errorf("%04x: the CMM was asked", s.ID)
			}
		}
	}
}

// The materials' suite encrypts, even if another suite was requested.
func TestSuiteOfMaterials(t *testing.T) {
	other := must[esdk.CMM](t)(esdk.NewDefaultCMM(testKeyring(t)))
	c := newClient(t, esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit, CMM: suiteCMM{other, esdk.AES256GCMHKDFSHA512CommitECDSAP384}})
	message, h, err := c.Encrypt(t.Context(), pattern(10), nil)
	if err != nil || h.Suite != esdk.AES256GCMHKDFSHA512CommitECDSAP384 {
		t.Fatalf("%v, %v", h, err)
	}
	checkSuite := must[*esdk.Header](t)(esdk.ParseHeader(bytes.NewReader(message)))
	if checkSuite.Suite != h.Suite {
		t.Errorf("the message has suite %v, its header says %v", checkSuite.Suite, h.Suite)
	}
	wantDecrypts(t, newClient(t, esdk.Config{}), message, nil, pattern(10))
}

// suiteCMM encrypts with one suite and ignores the requested one.
type suiteCMM struct {
	esdk.CMM
	suite esdk.SuiteID
}

func (c suiteCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	other := *req
	other.Suite = c.suite
	return c.CMM.EncryptionMaterials(ctx, &other)
}

// By default, only the format limits the number of data keys.
func TestManyDataKeysByDefault(t *testing.T) {
	many := must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), slices.Repeat([]esdk.Keyring{testKeyring(t)}, 9999)...))
	c := newClient(t, esdk.Config{Keyring: many})
	message, h, err := c.Encrypt(t.Context(), nil, nil)
	if err != nil || len(h.EncryptedDataKeys) != 10000 {
		t.Fatal(err)
	}
	wantDecrypts(t, newClient(t, esdk.Config{}), message, nil, nil)
}

// A CMM gets contexts that are never nil, all data keys in order, and the
// message's suite, in both versions of the format.
func TestRequestsAreComplete(t *testing.T) {
	kr := must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), testKeyring(t), testKeyring(t)))
	for _, s := range suite.All {
		cmm := &recordingCMM{CMM: must[esdk.CMM](t)(esdk.NewDefaultCMM(kr))}
		c := newClient(t, esdk.Config{CMM: cmm, Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s)})
		message, h, err := c.Encrypt(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := cmm.encryption; got.EncryptionContext == nil || len(got.EncryptionContext) != 0 || got.RequiredContextKeys != nil {
			t.Errorf("%04x: Encrypt asks for %+v", s.ID, *got)
		}
		wantDecrypts(t, c, message, nil, nil)
		stored := h.EncryptionContext
		if stored == nil {
			stored = esdk.EncryptionContext{}
		}
		if want := (esdk.DecryptionRequest{
			Suite: esdk.SuiteID(s.ID), CommitmentPolicy: policyFor(s), EncryptionContext: stored,
			EncryptedDataKeys: h.EncryptedDataKeys, ReproducedContext: esdk.EncryptionContext{},
		}); len(h.EncryptedDataKeys) != 3 || !reflect.DeepEqual(*cmm.decryption, want) {
			t.Errorf("%04x: Decrypt asks for %+v, want %+v", s.ID, *cmm.decryption, want)
		}
	}
}

// A plaintext that is too long is rejected before a keyring is asked.
func TestTooLongIsRefusedFirst(t *testing.T) {
	cmm := &carelessCMM{CMM: defaultCMM(t)}
	c := newClient(t, esdk.Config{CMM: cmm, MaxPlaintextLength: 9})
	if _, _, err := c.Encrypt(t.Context(), pattern(10), nil); !errors.Is(err, esdk.ErrLimit) || cmm.encryptions != 0 {
		t.Errorf("%v, %d requests", err, cmm.encryptions)
	}
}

// Every byte of a message ID is random. The chance that a byte is the same in
// 64 messages is 1 in 2^504.
func TestMessageIDsAreRandom(t *testing.T) {
	for _, id := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA256, esdk.AES256GCMHKDFSHA512Commit} {
		c := newClient(t, esdk.Config{Suite: id, CommitmentPolicy: policyFor(suite.Lookup(uint16(id)))})
		var first []byte
		varies := make(map[int]bool)
		for range 64 {
			_, h, err := c.Encrypt(t.Context(), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = h.MessageID
			}
			for i, b := range h.MessageID {
				if b != first[i] {
					varies[i] = true
				}
			}
		}
		if len(varies) != suite.Lookup(uint16(id)).MessageIDLength() {
			t.Errorf("%v: bytes %v vary, of %d", id, varies, len(first))
		}
	}
}

// Both ends of a stream take less memory than the message, however it's written
// or read: memory doesn't depend on the length.
func TestMemoryOfWriteAndRead(t *testing.T) {
	const size = 40 << 20
	for _, id := range []esdk.SuiteID{esdk.AES256GCMHKDFSHA512Commit, esdk.AES256GCMHKDFSHA512CommitECDSAP384} {
		for _, piece := range []int{1000, 64 << 10, 3 << 20} {
			for _, workers := range []int{1, 4} {
				c := newClient(t, esdk.Config{Suite: id, Concurrency: workers})
				source, sink := io.Pipe()
				in, out := pattern(piece), make([]byte, piece)
				n := allocated(func() {
					go func() { sink.CloseWithError(writePieces(t, c, sink, in, size)) }()
					r, err := c.NewReader(t.Context(), source, nil)
					if err != nil {
						t.Fatal(err)
					}
					if n, err := readPieces(r, out); n != size || err != nil {
						t.Fatalf("%d bytes, %v", n, err)
					}
				})
				if n > size/2 {
					t.Errorf("%v in pieces of %d with %d workers takes %d bytes", id, piece, workers, n)
				}
			}
		}
	}
}

func writePieces(t *testing.T, c *esdk.Client, dst io.Writer, piece []byte, size int) error {
	w, err := c.NewWriter(t.Context(), dst, nil)
	for n := 0; n < size && err == nil; {
		m := min(len(piece), size-n)
		_, err = w.Write(piece[:m])
		n += m
	}
	if err != nil {
		return err
	}
	return w.Close()
}

func readPieces(r io.Reader, piece []byte) (total int, err error) {
	for {
		n, err := r.Read(piece)
		total += n
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Version 4.0.0 of the .NET SDK derived the content key without the message id,
// where the suite doesn't commit, and authenticated a count of zero behind the
// header if no pair was required.
func TestRecoverNET400(t *testing.T) {
	recovering := newClient(t, esdk.Config{CommitmentPolicy: esdk.RequireEncryptAllowDecrypt, RecoverNET400: true})
	tenant := esdk.EncryptionContext{"tenant": "17"}
	for _, s := range suite.All {
		for _, required := range []esdk.EncryptionContext{nil, tenant} {
			f := newForger(t, s, 4, sampleContext)
			net400 := f.likeNET400(t, required)
			regular := slices.Equal(f.header.Tag, net400.header.Tag)
			message := net400.message(t, net400.regular(1, pattern(4)), net400.final(2, pattern(2)))
			plaintext := append(pattern(4), pattern(2)...)
			wantDecrypts(t, recovering, message, required, plaintext)
			if kept := required != nil && (s.Commits || !s.Derives()); kept {
				wantDecrypts(t, reader(t), message, required, plaintext)
			} else {
				wantRefused(t, reader(t), message, required, esdk.ErrAuthentication)
			}
			if regular {
				t.Errorf("%04x: the header is as it should be", s.ID)
			}
			// Its tags are verified nonetheless.
			for _, at := range []int{len(net400.head()) - 1, len(net400.head()) + 4 + 12} {
				message[at] ^= 1
				wantRefused(t, recovering, message, required, esdk.ErrAuthentication)
				message[at] ^= 1
			}
		}
	}
	for _, s := range samples(t) {
		wantDecrypts(t, recovering, s.message, nil, s.plaintext)
	}
}

// likeNET400 returns a forger of messages as .NET 4.0.0 wrote them, which
// require more pairs than they store.
func (f *forger) likeNET400(t testing.TB, required esdk.EncryptionContext) *forger {
	t.Helper()
	h := *f.header
	full := esdk.EncryptionContext(maps.Clone(h.Context))
	maps.Copy(full, required)
	wrapped := must[*esdk.WrapResult](t)(testKeyring(t).Wrap(t.Context(), &esdk.WrapRequest{
		Suite: esdk.SuiteID(h.Suite.ID), EncryptionContext: full,
	}))
	h.DataKeys = []format.DataKey{format.DataKey(wrapped.EncryptedDataKeys[0])}
	keys := must[suite.Keys](t)(h.Suite.Derive(wrapped.DataKey, h.MessageID))
	h.Commitment = keys.Commitment
	if h.Suite.Derives() && !h.Suite.Commits {
		keys = must[suite.Keys](t)(h.Suite.DeriveNET400(wrapped.DataKey))
	}
	if err := h.Build(); err != nil {
		t.Fatal(err)
	}
	aad := must[[]byte](t)(required.AppendBinary(slices.Clip(h.Raw)))
	if len(required) == 0 {
		aad = append(aad, 0, 0)
	}
	aead := must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(keys.Content))))
	h.Tag = aead.Seal(nil, h.IV, nil, aad)
	return &forger{header: &h, aead: aead, key: f.key}
}

// The memory to append to may be adjacent to the input, but must not share a
// byte with it.
func TestAppendOverlapByOneByte(t *testing.T) {
	client := newClient(t, esdk.Config{Suite: unsigned})
	message := encrypt(t, client, pattern(100), nil)
	memory := make([]byte, 2000)
	for _, c := range []struct {
		start, end int // spare memory around an input at 500
		ok         bool
	}{
		{0, 500, true}, {0, 501, false}, {500 + len(message) - 1, 2000, false}, {500 + len(message), 2000, true},
	} {
		input := append(memory[500:500], message...)
		if _, _, err := client.AppendDecrypt(t.Context(), memory[c.start:c.start:c.end], input, nil); c.ok != (err == nil) {
			t.Errorf("AppendDecrypt to %d:%d: %v", c.start, c.end, err)
		}
		input = append(memory[500:500], message...)
		if _, _, err := client.AppendEncrypt(t.Context(), memory[c.start:c.start:c.end], input, nil); c.ok != (err == nil) {
			t.Errorf("AppendEncrypt to %d:%d: %v", c.start, c.end, err)
		}
	}
}

// The default CMM passes a keyring all data keys of a message, its suite and
// the full context.
func TestDefaultCMMAsksForAll(t *testing.T) {
	dataKey := pattern(32)
	var asked *esdk.UnwrapRequest
	cmm := must[esdk.CMM](t)(esdk.NewDefaultCMM(keyringFunc{OnUnwrap: func(_ context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		asked = req
		return dataKey, nil
	}}))
	edks := []esdk.EncryptedDataKey{{ProviderID: "one"}, {ProviderID: "two", ProviderInfo: []byte{1}}, {ProviderID: "three", Ciphertext: []byte{2}}}
	m, err := cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{
		Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: esdk.EncryptionContext{"a": "1"},
		EncryptedDataKeys: edks, ReproducedContext: esdk.EncryptionContext{"b": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	full := esdk.EncryptionContext{"a": "1", "b": "2"}
	if want := (&esdk.UnwrapRequest{Suite: esdk.AES256GCMHKDFSHA512Commit, EncryptionContext: full, EncryptedDataKeys: edks}); !reflect.DeepEqual(asked, want) {
		t.Errorf("the keyring is asked for %+v, want %+v", asked, want)
	}
	if !reflect.DeepEqual(m.EncryptionContext, full) || !slices.Equal(m.RequiredContextKeys, []string{"b"}) || !bytes.Equal(m.DataKey, dataKey) {
		t.Errorf("materials %+v", m)
	}
}

// The required-context CMM checks a request before passing it on, and keeps a
// copy of its keys.
func TestRequiredContextIsCheckedFirst(t *testing.T) {
	underlying := &carelessCMM{CMM: defaultCMM(t)}
	keys := []string{"tenant"}
	cmm := must[esdk.CMM](t)(esdk.NewRequiredContextCMM(underlying, keys...))
	keys[0] = "other"
	for _, ec := range []esdk.EncryptionContext{nil, {"other": "1"}} {
		if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: ec}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("EncryptionMaterials: %v", err)
		}
		if _, err := cmm.DecryptionMaterials(t.Context(), &esdk.DecryptionRequest{
			EncryptionContext: esdk.EncryptionContext{"tenant": "1"}, ReproducedContext: ec,
		}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("DecryptionMaterials: %v", err)
		}
	}
	if underlying.encryptions+underlying.decryptions != 0 {
		t.Error("the underlying CMM was asked")
	}
	if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: esdk.EncryptionContext{"tenant": "1"}}); err != nil {
		t.Error(err)
	}
}

// A generator that makes no data key, or an empty one, fails.
func TestGeneratorWithoutDataKey(t *testing.T) {
	for _, dataKey := range [][]byte{nil, {}} {
		generator := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
			return &esdk.WrapResult{DataKey: dataKey}, nil
		}}
		asked := false
		child := keyringFunc{OnWrap: func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) {
			asked = true
			return &esdk.WrapResult{}, nil
		}}
		kr := must[esdk.Keyring](t)(esdk.NewMultiKeyring(generator, child))
		if _, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: esdk.AES256GCM}); err == nil || asked {
			t.Errorf("data key %#v: %v, child asked: %t", dataKey, err, asked)
		}
	}
}

// A raw RSA keyring without a hash uses SHA-256. It tries no data key with
// another namespace or name, even if it could decrypt it.
func TestRawRSAMatches(t *testing.T) {
	ctx := t.Context()
	config := esdk.RawRSAConfig{Namespace: "n", Name: "k", PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey(), Hash: crypto.SHA256}
	explicit := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(config))
	config.Hash = 0
	implicit := must[esdk.Keyring](t)(esdk.NewRawRSAKeyring(config))
	const id = esdk.AES256GCMHKDFSHA512Commit
	wrapped := must[*esdk.WrapResult](t)(explicit.Wrap(ctx, &esdk.WrapRequest{Suite: id}))
	got, err := implicit.Unwrap(ctx, &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: wrapped.EncryptedDataKeys})
	if err != nil || !bytes.Equal(got, wrapped.DataKey) {
		t.Errorf("without a hash: %x, %v", got, err)
	}
	for _, other := range []esdk.EncryptedDataKey{{ProviderID: "N", ProviderInfo: []byte("k")}, {ProviderID: "n", ProviderInfo: []byte("K")}} {
		other.Ciphertext = wrapped.EncryptedDataKeys[0].Ciphertext
		_, err := explicit.Unwrap(ctx, &esdk.UnwrapRequest{Suite: id, EncryptedDataKeys: []esdk.EncryptedDataKey{other}})
		var none *esdk.NoDataKeyError
		if !errors.As(err, &none) || len(none.Errors) != 0 {
			t.Errorf("data key of %s/%s: %v", other.ProviderID, other.ProviderInfo, err)
		}
	}
}

// A provider ID is read unchanged. One that isn't UTF-8 belongs to no keyring
// here.
func TestProviderIDOfOthers(t *testing.T) {
	for _, s := range samples(t) {
		message := bytes.Replace(s.message, []byte("\x00\x04test"), []byte("\x00\x04\xffest"), 1)
		h, err := esdk.ParseHeader(bytes.NewReader(message))
		if err != nil || h.EncryptedDataKeys[0].ProviderID != "\xffest" {
			t.Errorf("%s: %+v, %v", s.name, h, err)
		}
		wantRefused(t, reader(t), message, nil, esdk.ErrNoDataKey)
	}
}
