package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"esdk"
)

func TestNew(t *testing.T) {
	kr, cmm := testKeyring(t), defaultCMM(t)
	for _, c := range []struct {
		name   string
		config esdk.Config
		want   string // a part of the error; empty: success
	}{
		{"keyring", esdk.Config{Keyring: kr}, ""},
		{"CMM", esdk.Config{CMM: cmm}, ""},
		{"everything", esdk.Config{Keyring: kr, CommitmentPolicy: esdk.ForbidEncryptAllowDecrypt, Suite: esdk.AES128GCM, FrameLength: 1<<32 - 1,
			MaxEncryptedDataKeys: 1 << 20, MaxPlaintextLength: 1 << 60, MaxFrameLength: 1, MaxHeaderLength: 1, Release: esdk.RejectSigned, RecoverNET400: true}, ""},
		{"neither", esdk.Config{}, "either a Keyring or a CMM"},
		{"both", esdk.Config{Keyring: kr, CMM: cmm}, "either a Keyring or a CMM"},
		{"policy below", esdk.Config{Keyring: kr, CommitmentPolicy: -1}, "CommitmentPolicy(-1)"},
		{"policy beyond", esdk.Config{Keyring: kr, CommitmentPolicy: 3}, "CommitmentPolicy(3)"},
		{"release below", esdk.Config{Keyring: kr, Release: -1}, "ReleasePolicy(-1)"},
		{"release beyond", esdk.Config{Keyring: kr, Release: 3}, "ReleasePolicy(3)"},
		{"unknown suite", esdk.Config{Keyring: kr, Suite: 0x0079}, "0x0079"},
		{"suite of another product", esdk.Config{Keyring: kr, Suite: 0x0067}, "0x0067"},
		{"negative data keys", esdk.Config{Keyring: kr, MaxEncryptedDataKeys: -1}, "negative"},
		{"negative plaintext", esdk.Config{Keyring: kr, MaxPlaintextLength: -1}, "negative"},
		{"negative header", esdk.Config{Keyring: kr, MaxHeaderLength: -1}, "negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := esdk.New(c.config)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || client != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want an error with %q", client, err, c.want)
			}
		})
	}
	if _, err := esdk.Encrypt(t.Context(), nil, nil, nil); err == nil {
		t.Error("Encrypt without a keyring")
	}
	if _, err := esdk.Decrypt(t.Context(), nil, nil, nil); err == nil {
		t.Error("Decrypt without a keyring")
	}
}

func TestMaxEncryptedDataKeys(t *testing.T) {
	aes := testKeyring(t)
	three := must[esdk.Keyring](t)(esdk.NewMultiKeyring(aes, aes, aes))
	message := encrypt(t, newClient(t, esdk.Config{Keyring: three}), nil, nil)
	for limit, allowed := range map[int]bool{0: true, 1: false, 2: false, 3: true, 1 << 20: true} {
		kr := &countingKeyring{Keyring: three}
		c := newClient(t, esdk.Config{Keyring: kr, MaxEncryptedDataKeys: limit})
		_, _, err := c.Encrypt(t.Context(), nil, nil)
		if allowed != (err == nil) || !allowed && !errors.Is(err, esdk.ErrLimit) {
			t.Errorf("Encrypt, limit %d: %v", limit, err)
		}
		if allowed {
			wantDecrypts(t, c, message, nil, nil)
			continue
		}
		wantRefused(t, c, message, nil, esdk.ErrLimit)
		// The limit prevents a KMS call for each of thousands of data keys.
		if n := kr.unwraps.Load(); n != 0 {
			t.Errorf("limit %d: keyring was asked %d times", limit, n)
		}
	}
}

func TestReservedKeys(t *testing.T) {
	c := newClient(t, esdk.Config{CMM: cmmFunc{CMM: defaultCMM(t), OnEncryption: func(*esdk.EncryptionMaterials) { t.Error("the CMM was asked") }}})
	for _, k := range []string{publicKeyKey, "aws-crypto-", "aws-crypto-mine"} {
		if _, _, err := c.Encrypt(t.Context(), nil, esdk.EncryptionContext{k: "v"}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("Encrypt with %q: %v", k, err)
		}
		if _, err := c.NewWriter(t.Context(), io.Discard, esdk.EncryptionContext{k: "v"}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("NewWriter with %q: %v", k, err)
		}
	}
	c = newClient(t, esdk.Config{})
	for _, k := range []string{"aws-crypto", "AWS-CRYPTO-X", "aws", " aws-crypto-x"} {
		ec := esdk.EncryptionContext{k: "v"}
		wantDecrypts(t, c, encrypt(t, c, nil, ec), ec, nil)
	}
}

func TestEncryptionContexts(t *testing.T) {
	many := make(esdk.EncryptionContext)
	for i := range 4000 {
		many[fmt.Sprint(i)] = "value"
	}
	unsigned := esdk.AES256GCMHKDFSHA512Commit
	rsa := rsaKeyring(t, esdk.RawRSAConfig{PublicKey: &rsaKey().PublicKey, PrivateKey: rsaKey()})
	long := func(n int) esdk.EncryptionContext { return esdk.EncryptionContext{"k": strings.Repeat("v", n)} }
	for _, c := range []struct {
		name    string
		suite   esdk.SuiteID
		ec      esdk.EncryptionContext
		allowed bool
	}{
		{"nil", 0, nil, true},
		{"empty", 0, esdk.EncryptionContext{}, true},
		{"empty key", 0, esdk.EncryptionContext{"": "v"}, true},
		{"empty value", 0, esdk.EncryptionContext{"k": ""}, true},
		{"empty both", 0, esdk.EncryptionContext{"": ""}, true},
		{"many", 0, many, true},
		{"control characters", 0, esdk.EncryptionContext{"\x00": "\n"}, true},
		{"not normalized", 0, esdk.EncryptionContext{"e\u0301": "1", "\u00e9": "2"}, true},
		{"key not UTF-8", 0, esdk.EncryptionContext{"\xff": "v"}, false},
		{"value not UTF-8", 0, esdk.EncryptionContext{"k": "a\xc3"}, false},
		{"surrogate", 0, esdk.EncryptionContext{"k": "\xed\xa0\x80"}, false},
		{"as long as can be", unsigned, long(65535 - 2 - 4 - 1), true},
		{"one byte more", unsigned, long(65535 - 2 - 4), false},
		{"longer than a length field", unsigned, long(65536), false},
		{"no room for the public key", 0, long(65535 - 2 - 4 - 1), false},
		{"the least room for it", 0, long(65535 - 2 - 4 - 1 - 4 - len(publicKeyKey) - 68), true},
		{"a byte less than that", 0, long(65535 - 2 - 4 - 4 - len(publicKeyKey) - 68), false},
	} {
		for name, kr := range map[string]esdk.Keyring{"AES": testKeyring(t), "RSA": rsa} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				client := newClient(t, esdk.Config{Keyring: kr, Suite: c.suite})
				message, _, err := client.Encrypt(t.Context(), []byte("p"), c.ec)
				if !c.allowed {
					if !errors.Is(err, esdk.ErrEncryptionContext) {
						t.Errorf("got %v, want ErrEncryptionContext", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantDecrypts(t, client, message, c.ec, []byte("p"))
				wantDecrypts(t, client, message, nil, []byte("p"))
			})
		}
	}
}

func TestContextIsNotChanged(t *testing.T) {
	ec := esdk.EncryptionContext{"k": "v"}
	kr := testKeyring(t)
	meddler := keyringFunc{
		OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			r, err := kr.Wrap(ctx, req)
			delete(req.EncryptionContext, "k")
			return r, err
		},
		OnUnwrap: func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
			dataKey, err := kr.Unwrap(ctx, req)
			clear(req.EncryptionContext)
			clear(req.EncryptedDataKeys)
			return dataKey, err
		},
	}
	c := newClient(t, esdk.Config{Keyring: meddler})
	// The keyring's request shares its context with the materials.
	if _, _, err := c.Encrypt(t.Context(), nil, ec); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("a keyring took a pair away: %v", err)
	}
	message, header, err := newClient(t, esdk.Config{}).Encrypt(t.Context(), nil, ec)
	if err != nil {
		t.Fatal(err)
	}
	header.EncryptionContext["k"] = "changed"
	if _, _, err := c.Decrypt(t.Context(), message, ec); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Errorf("materials without a context: %v", err)
	}
	if len(ec) != 1 || ec["k"] != "v" {
		t.Errorf("the caller's context is now %v", ec)
	}
}

// If a keyring's changes to the request's context took effect, the message
// would have one context and its data keys would be bound to another, or a
// header would have pairs that aren't authentic.
func TestKeyringChangesContext(t *testing.T) {
	message := encrypt(t, newClient(t, esdk.Config{}), nil, esdk.EncryptionContext{"k": "v"})
	for name, change := range map[string]func(ec esdk.EncryptionContext){
		"adds":                  func(ec esdk.EncryptionContext) { ec["new"] = "" },
		"replaces":              func(ec esdk.EncryptionContext) { ec["k"] = "w" },
		"renames":               func(ec esdk.EncryptionContext) { delete(ec, "k"); ec["K"] = "v" },
		"takes away":            func(ec esdk.EncryptionContext) { delete(ec, "k") },
		"changes public key":    func(ec esdk.EncryptionContext) { ec[publicKeyKey] += "A" },
		"takes public key away": func(ec esdk.EncryptionContext) { delete(ec, publicKeyKey) },
	} {
		kr := testKeyring(t)
		var dataKey []byte
		changing := keyringFunc{OnWrap: func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			r, err := kr.Wrap(ctx, req)
			change(req.EncryptionContext)
			dataKey = r.DataKey
			return r, err
		}}
		cmm := must[esdk.CMM](t)(esdk.NewDefaultCMM(changing))
		if _, err := cmm.EncryptionMaterials(t.Context(), &esdk.EncryptionRequest{EncryptionContext: esdk.EncryptionContext{"k": "v"}}); !errors.Is(err, esdk.ErrEncryptionContext) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(dataKey, make([]byte, len(dataKey))) {
			t.Errorf("%s: the data key was not cleared", name)
		}
		changing.OnUnwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
			dataKey, err := kr.Unwrap(ctx, req)
			change(req.EncryptionContext)
			return dataKey, err
		}
		wantRefused(t, newClient(t, esdk.Config{Keyring: changing}), message, nil, esdk.ErrEncryptionContext)
	}
}

// An empty plaintext isn't nil, unlike none.
func TestEmptyPlaintext(t *testing.T) {
	c := newClient(t, esdk.Config{Suite: unsigned})
	plaintext, _, err := c.Decrypt(t.Context(), encrypt(t, c, nil, nil), nil)
	if err != nil || plaintext == nil || len(plaintext) != 0 {
		t.Errorf("%v, %v", plaintext, err)
	}
}

// A keyring's changes to its request don't get into the header.
func TestKeyringChangesDataKeys(t *testing.T) {
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	kr := keyringFunc{OnUnwrap: func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		dataKey, err := testKeyring(t).Unwrap(ctx, req)
		req.EncryptedDataKeys[0] = esdk.EncryptedDataKey{ProviderID: "forged"}
		return dataKey, err
	}}
	if _, h, err := newClient(t, esdk.Config{Keyring: kr}).Decrypt(t.Context(), message, nil); err != nil || h.EncryptedDataKeys[0].ProviderID == "forged" {
		t.Errorf("%+v, %v", h, err)
	}
}

// A pair that doesn't match the message is noticed before a keyring is asked.
func TestContextMismatch(t *testing.T) {
	kr := &countingKeyring{Keyring: testKeyring(t)}
	c := newClient(t, esdk.Config{Keyring: kr})
	message := encrypt(t, c, nil, esdk.EncryptionContext{"tenant": "17", "stage": "test"})
	for _, ec := range []esdk.EncryptionContext{
		{"tenant": "18"},
		{"tenant": ""},
		{"tenant": "17", "stage": "prod"},
		{publicKeyKey: "mine"},
	} {
		wantRefused(t, c, message, ec, esdk.ErrEncryptionContext)
	}
	if n := kr.unwraps.Load(); n != 0 {
		t.Errorf("the keyring was asked %d times", n)
	}
	// A pair that isn't stored may be a required one, so only the keys can
	// tell.
	wantRefused(t, c, message, esdk.EncryptionContext{"Tenant": "17"}, esdk.ErrNoDataKey)
	wantRefused(t, c, message, esdk.EncryptionContext{"\xff": "17"}, esdk.ErrEncryptionContext)
	wantDecrypts(t, c, message, esdk.EncryptionContext{"stage": "test"}, nil)
}

func TestMaxPlaintextLength(t *testing.T) {
	limited := newClient(t, esdk.Config{MaxPlaintextLength: 100, FrameLength: 16})
	free := newClient(t, esdk.Config{FrameLength: 16})
	wantDecrypts(t, limited, encrypt(t, limited, pattern(100), nil), nil, pattern(100))
	wantDecrypts(t, limited, encryptStream(t, limited, pattern(100), nil), nil, pattern(100))
	if _, _, err := limited.Encrypt(t.Context(), pattern(101), nil); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("Encrypt: %v", err)
	}
	w := must[*esdk.Writer](t)(limited.NewWriter(t.Context(), io.Discard, nil))
	for range 100 {
		if _, err := w.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.Write([]byte{1}); n != 0 || !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := w.Close(); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("Close: %v", err)
	}
	wantRefused(t, limited, encrypt(t, free, pattern(101), nil), nil, esdk.ErrLimit)
	wantRefused(t, limited, encrypt(t, free, pattern(112), nil), nil, esdk.ErrLimit)
	wantRefused(t, limited, encrypt(t, free, pattern(113), nil), nil, esdk.ErrLimit)
	wantRefused(t, limited, encrypt(t, newClient(t, esdk.Config{}), pattern(101), nil), nil, esdk.ErrLimit)

	s := sampleOf(t, "0014/framed").suite
	legacy := newClient(t, esdk.Config{MaxPlaintextLength: 100, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
	for size, want := range map[int]error{100: nil, 101: esdk.ErrLimit} {
		f := newForger(t, s, 0, nil)
		message := f.message(t, f.nonFramed(pattern(size)))
		if want != nil {
			wantRefused(t, legacy, message, nil, want)
			continue
		}
		wantDecrypts(t, legacy, message, nil, pattern(size))
	}
}

func TestMaxFrameLength(t *testing.T) {
	kr := &countingKeyring{Keyring: testKeyring(t)}
	c := newClient(t, esdk.Config{Keyring: kr, MaxFrameLength: 1000})
	for length, allowed := range map[uint32]bool{1: true, 1000: true, 1001: false, 1<<32 - 1: false} {
		message := encrypt(t, newClient(t, esdk.Config{FrameLength: length}), []byte("p"), nil)
		if allowed {
			wantDecrypts(t, c, message, nil, []byte("p"))
			continue
		}
		before := kr.unwraps.Load()
		wantRefused(t, c, message, nil, esdk.ErrLimit)
		if kr.unwraps.Load() != before {
			t.Errorf("frame length %d: the keyring was asked", length)
		}
	}
}

// An unframed body is held as a whole, as a frame is, and has the same limit.
// If the plaintext has a limit too, the lower one applies.
func TestMaxFrameLengthNotFramed(t *testing.T) {
	f := newForger(t, sampleOf(t, "0478/framed").suite, 0, nil)
	message := f.message(t, f.nonFramed(pattern(1000)))
	for _, c := range []struct {
		frame     uint32
		plaintext int64
		allowed   bool
	}{{0, 0, true}, {1000, 0, true}, {999, 0, false}, {1000, 1 << 40, true}, {999, 1 << 40, false}, {1000, 999, false}, {1 << 31, 1000, true}, {1<<32 - 1, 999, false}, {0, 999, false}} {
		client := newClient(t, esdk.Config{MaxFrameLength: c.frame, MaxPlaintextLength: c.plaintext})
		if c.allowed {
			wantDecrypts(t, client, message, nil, pattern(1000))
		} else {
			wantRefused(t, client, message, nil, esdk.ErrLimit)
		}
	}
}

func TestMaxHeaderLength(t *testing.T) {
	message, h, err := newClient(t, esdk.Config{}).Encrypt(t.Context(), nil, sampleContext)
	if err != nil {
		t.Fatal(err)
	}
	wantDecrypts(t, newClient(t, esdk.Config{MaxHeaderLength: h.Length}), message, nil, nil)
	wantRefused(t, newClient(t, esdk.Config{MaxHeaderLength: h.Length - 1}), message, nil, esdk.ErrLimit)
	wantRefused(t, newClient(t, esdk.Config{MaxHeaderLength: 1}), message, nil, esdk.ErrLimit)

	// By default, no header grows beyond 10 MiB, no matter how many data keys
	// of the maximum length it has.
	f := newForger(t, sampleOf(t, "0014/framed").suite, 16, nil)
	edk := f.header.DataKeys[0]
	edk.ProviderInfo, edk.Ciphertext = make([]byte, 65535), make([]byte, 65535)
	for range 100 {
		f.header.DataKeys = append(f.header.DataKeys, edk)
	}
	if err := f.header.Build(); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, reader(t), f.message(t), nil, esdk.ErrLimit)
	if _, err := esdk.ParseHeader(bytes.NewReader(f.message(t))); !errors.Is(err, esdk.ErrLimit) {
		t.Errorf("ParseHeader: %v", err)
	}
}

func TestRejectSigned(t *testing.T) {
	kr := &countingKeyring{Keyring: testKeyring(t)}
	c := newClient(t, esdk.Config{Keyring: kr, Release: esdk.RejectSigned, CommitmentPolicy: esdk.RequireEncryptAllowDecrypt})
	for _, s := range samples(t) {
		if !s.suite.Signs() {
			wantDecrypts(t, c, s.message, nil, s.plaintext)
			continue
		}
		before := kr.unwraps.Load()
		wantRefused(t, c, s.message, nil, esdk.ErrSigned)
		if kr.unwraps.Load() != before {
			t.Errorf("%s: the keyring was asked", s.name)
		}
	}
}

func TestCancelledContext(t *testing.T) {
	kr := &countingKeyring{Keyring: testKeyring(t)}
	c := newClient(t, esdk.Config{Keyring: kr})
	message := encrypt(t, c, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, encryptErr := c.Encrypt(ctx, nil, nil)
	_, writerErr := c.NewWriter(ctx, io.Discard, nil)
	_, _, decryptErr := c.Decrypt(ctx, message, nil)
	_, readerErr := c.NewReader(ctx, bytes.NewReader(message), nil)
	for name, err := range map[string]error{"Encrypt": encryptErr, "NewWriter": writerErr, "Decrypt": decryptErr, "NewReader": readerErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if kr.unwraps.Load() != 0 {
		t.Error("the keyring was asked")
	}
	// A cancellation within the keyring is reported as one.
	ctx, cancel = context.WithCancel(t.Context())
	slow := keyringFunc{OnUnwrap: func(ctx context.Context, _ *esdk.UnwrapRequest) ([]byte, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	_, _, err := newClient(t, esdk.Config{Keyring: slow}).Decrypt(ctx, message, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("Decrypt: %v", err)
	}
}

// A keyring's own error reaches the caller, on both sides.
func TestKeyringErrors(t *testing.T) {
	errDenied := errors.New("access denied")
	denied := keyringFunc{
		OnWrap:   func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, errDenied },
		OnUnwrap: func(context.Context, *esdk.UnwrapRequest) ([]byte, error) { return nil, errDenied },
	}
	if _, err := esdk.Encrypt(t.Context(), denied, nil, nil); !errors.Is(err, errDenied) {
		t.Errorf("Encrypt: %v", err)
	}
	message := encrypt(t, newClient(t, esdk.Config{}), nil, nil)
	_, err := esdk.Decrypt(t.Context(), denied, message, nil)
	if !errors.Is(err, errDenied) || !errors.Is(err, esdk.ErrNoDataKey) {
		t.Errorf("Decrypt: %v", err)
	}
	var none *esdk.NoDataKeyError
	if !errors.As(err, &none) || len(none.Errors) != 1 || none.Errors[0] != errDenied {
		t.Errorf("Decrypt: %#v", err)
	}
	if text := new(esdk.NoDataKeyError).Error(); !strings.Contains(text, "none is for this keyring") {
		t.Errorf("text without a cause: %s", text)
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newClient(t, esdk.Config{FrameLength: 100})
	signed := encrypt(t, c, pattern(1000), sampleContext)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			plaintext := pattern(20 * i)
			message, _, err := c.Encrypt(t.Context(), plaintext, sampleContext)
			if err != nil {
				t.Error(err)
				return
			}
			wantDecrypts(t, c, message, sampleContext, plaintext)
			wantDecrypts(t, c, signed, sampleContext, pattern(1000))
			var buf bytes.Buffer
			w, err := c.NewWriter(t.Context(), &buf, sampleContext)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.Copy(w, iotest.OneByteReader(bytes.NewReader(plaintext))); err != nil {
				t.Error(err)
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			wantDecrypts(t, c, buf.Bytes(), sampleContext, plaintext)
		})
	}
	wg.Wait()
}

// No part of a message is ever the same twice.
func TestMessagesDiffer(t *testing.T) {
	c := newClient(t, esdk.Config{})
	_, one, err := c.Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := c.Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one.MessageID, two.MessageID) || bytes.Equal(one.EncryptedDataKeys[0].Ciphertext, two.EncryptedDataKeys[0].Ciphertext) ||
		one.EncryptionContext[publicKeyKey] == two.EncryptionContext[publicKeyKey] {
		t.Error("two messages share a random value")
	}
}

func TestSuiteIDs(t *testing.T) {
	if n := esdk.AES192GCM.DataKeyLength(); n != 24 {
		t.Errorf("data key length %d", n)
	}
	unknown := esdk.SuiteID(0x0067)
	if unknown.DataKeyLength() != 0 || unknown.Signed() || unknown.String() != "0x0067" {
		t.Errorf("unknown suite: %d, %t, %s", unknown.DataKeyLength(), unknown.Signed(), unknown)
	}
	if s := esdk.AES256GCMHKDFSHA512CommitECDSAP384; !s.Signed() || s.String() != "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384" {
		t.Errorf("%s: %t", s, s.Signed())
	}
	if esdk.AES256GCMHKDFSHA512Commit.Signed() {
		t.Error("0x0478 is not signed")
	}
}
