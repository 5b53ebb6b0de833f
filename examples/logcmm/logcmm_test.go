package logcmm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"esdk"
	"esdk/caching"
	"esdk/esdktest"
)

func newKeyring(t testing.TB, name string) esdk.Keyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: name, Key: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// A logged is a client that logs to a buffer.
type logged struct {
	*esdk.Client
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func newLogged(t testing.TB, next esdk.CMM, c esdk.Config) *logged {
	l := new(logged)
	c.CMM = New(next, slog.New(slog.NewJSONHandler(l, nil)))
	client, err := esdk.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l.Client = client
	return l
}

func defaultCMM(t testing.TB, kr esdk.Keyring) esdk.CMM {
	next, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

type record struct {
	Level, Msg, Suite, Error string
	ContextKeys              []string
	Took                     *int64
}

// records returns the records since the last call.
func (l *logged) records(t testing.TB) (all []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := json.NewDecoder(&l.out)
	for {
		var r record
		if err := d.Decode(&r); err == io.EOF {
			l.out.Reset()
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if r.Took == nil || *r.Took < 0 {
			t.Errorf("%s: no duration", r.Msg)
		}
		r.Took = nil
		all = append(all, r)
	}
}

func (l *logged) want(t *testing.T, what string, want ...record) {
	t.Helper()
	if got := l.records(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v was logged, want %v", what, got, want)
	}
}

const (
	signed  = "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"
	keyName = "aws-crypto-public-key"
)

var ec = esdk.EncryptionContext{"tenant": "value-17", "kind": "value-of-kind"}

func TestMessages(t *testing.T) {
	l := newLogged(t, defaultCMM(t, newKeyring(t, "one")), esdk.Config{})
	message, _, err := l.Encrypt(t.Context(), []byte("secret"), ec)
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{keyName, "kind", "tenant"}
	l.want(t, "encryption", record{"INFO", "message encrypted", signed, "", keys, nil})
	if _, _, err := l.Decrypt(t.Context(), message, ec); err != nil {
		t.Fatal(err)
	}
	l.want(t, "decryption", record{"INFO", "message opened", signed, "", keys, nil})

	header, err := esdk.ParseHeader(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(message)
	changed[header.Length-1] ^= 1 // the header's tag
	if _, _, err := l.Decrypt(t.Context(), changed, nil); !errors.Is(err, esdk.ErrAuthentication) {
		t.Error(err)
	}
	l.want(t, "changed header", record{"ERROR", "message not opened", signed, esdk.ErrAuthentication.Error(), keys, nil})

	changed = bytes.Clone(message)
	changed[len(changed)-1] ^= 1 // the signature, which the CMM doesn't see
	if _, _, err := l.Decrypt(t.Context(), changed, nil); !errors.Is(err, esdk.ErrAuthentication) {
		t.Error(err)
	}
	l.want(t, "changed body", record{"INFO", "message opened", signed, "", keys, nil})

	for _, m := range [][]byte{nil, []byte("secret"), message[:header.Length-1]} { // without a header, the CMM isn't called
		if _, _, err := l.Decrypt(t.Context(), m, nil); err == nil {
			t.Errorf("%q decrypts", m)
		}
	}
	l.want(t, "no message")
}

// TestErrors checks that errors are logged, and that plaintexts and values of
// contexts aren't.
func TestErrors(t *testing.T) {
	l := newLogged(t, defaultCMM(t, newKeyring(t, "one")), esdk.Config{})
	message, _, err := l.Encrypt(t.Context(), []byte("plain-text"), ec)
	if err != nil {
		t.Fatal(err)
	}
	other := newLogged(t, defaultCMM(t, newKeyring(t, "other")), esdk.Config{})
	for _, try := range []struct {
		l  *logged
		ec esdk.EncryptionContext
		is error
	}{
		{l, esdk.EncryptionContext{"tenant": "value-18"}, esdk.ErrEncryptionContext},
		{l, esdk.EncryptionContext{"tenand": "value-17"}, esdk.ErrNoDataKey},
		{other, nil, esdk.ErrNoDataKey},
	} {
		try.l.records(t)
		if _, _, err = try.l.Decrypt(t.Context(), message, try.ec); !errors.Is(err, try.is) {
			t.Error(err)
		}
		text := try.l.out.String()
		if strings.Contains(text, "value-") || strings.Contains(text, "plain-text") {
			t.Errorf("logged: %s", text)
		}
		got := try.l.records(t)
		if len(got) != 1 || got[0].Level != "ERROR" || got[0].Msg != "message not opened" || got[0].Error == "" || got[0].Suite != signed {
			t.Errorf("%v: %v was logged", try.is, got)
		}
	}
	bad := esdk.EncryptionContext{"aws-crypto-x": "value-1", "tenant": "value-17"} // rejected before the CMM is called
	if _, _, err := l.Encrypt(t.Context(), nil, bad); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Error(err)
	}
	l.want(t, "reserved key")
	failing := newLogged(t, failingCMM{}, esdk.Config{})
	if _, _, err := failing.Encrypt(t.Context(), nil, ec); err == nil {
		t.Error("no error")
	}
	failing.want(t, "failure", record{"ERROR", "message not encrypted", "default", strings.Repeat("x", 1000), []string{"kind", "tenant"}, nil})
}

type failingCMM struct{ esdk.CMM }

func (failingCMM) EncryptionMaterials(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return nil, errors.New(strings.Repeat("x", 5000))
}

// TestManyKeys checks that logged context keys are limited in number and
// length, since a stranger's message may have thousands.
func TestManyKeys(t *testing.T) {
	l := newLogged(t, defaultCMM(t, newKeyring(t, "one")), esdk.Config{})
	many := esdk.EncryptionContext{strings.Repeat("a", 30000): "x"}
	for i := range 1000 {
		many[fmt.Sprintf("%04d", i)] = "x"
	}
	if _, _, err := l.Encrypt(t.Context(), nil, many); err != nil {
		t.Fatal(err)
	}
	if n := l.out.Len(); n > 1000 {
		t.Errorf("%d bytes were logged", n)
	}
	if got := l.records(t); len(got) != 1 || len(got[0].ContextKeys) != 20 || got[0].ContextKeys[19] != "0019" {
		t.Errorf("%v was logged", got)
	}
	long := esdk.EncryptionContext{strings.Repeat("a", 30000): "x"}
	if _, _, err := l.Encrypt(t.Context(), nil, long); err != nil {
		t.Fatal(err)
	}
	if got := l.records(t); len(got) != 1 || got[0].ContextKeys[0] != strings.Repeat("a", 100) {
		t.Errorf("%v was logged", got)
	}
}

// TestOpened checks that the next CMM still learns whether its materials opened
// the header.
func TestOpened(t *testing.T) {
	next := &openedCMM{CMM: defaultCMM(t, newKeyring(t, "one"))}
	l := newLogged(t, next, esdk.Config{})
	message, _, err := l.Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Decrypt(t.Context(), message, nil); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(next.told) != "[true]" {
		t.Errorf("told %v", next.told)
	}
}

type openedCMM struct {
	esdk.CMM
	told []bool
}

func (c *openedCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	m, err := c.CMM.DecryptionMaterials(ctx, req)
	if err == nil {
		m.Opened = func(ok bool) { c.told = append(c.told, ok) }
	}
	return m, err
}

func TestConcurrent(t *testing.T) {
	l := newLogged(t, defaultCMM(t, newKeyring(t, "one")), esdk.Config{Suite: esdk.AES256GCMHKDFSHA512Commit})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			message, _, err := l.Encrypt(t.Context(), []byte("secret"), ec)
			if err != nil {
				t.Error(err)
			}
			if _, _, err := l.Decrypt(t.Context(), message, ec); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(l.records(t)); n != 40 {
		t.Errorf("%d records of 40 messages", n)
	}
}

func TestConformance(t *testing.T) {
	esdktest.TestCMM(t, New(defaultCMM(t, newKeyring(t, "one")), slog.New(slog.DiscardHandler)))
}

// newCache returns a cache with one miss and one hit.
func newCache(t testing.TB) caching.Cache {
	cache, err := caching.NewLRU(10)
	if err != nil {
		t.Fatal(err)
	}
	cmm, err := caching.NewCMM(caching.Config{Keyring: newKeyring(t, "one"), Cache: cache, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	l := newLogged(t, cmm, esdk.Config{})
	for range 2 {
		if _, _, err := l.Encrypt(t.Context(), nil, ec); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.records(t)); n != 2 {
		t.Errorf("%d of 2 messages of a cache were logged", n)
	}
	return cache
}

func TestPublish(t *testing.T) {
	name := rand.Text() // unique, for -count
	Publish(name, newCache(t))
	got := expvar.Get(name).String()
	if want := `{"Hits":1,"Misses":1,"Evictions":0,"Entries":1,"InFlight":0}`; got != want {
		t.Errorf("published %s, want %s", got, want)
	}
}

func TestLogStats(t *testing.T) {
	cache := newCache(t)
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			LogStats(ctx, slog.New(slog.NewTextHandler(&out, nil)), time.Minute, "data keys", cache)
			close(done)
		}()
		time.Sleep(150 * time.Second) // on the bubble's clock
		cancel()
		<-done
		line := `msg=cache name="data keys" hits=1 misses=1 evictions=0 entries=1 inFlight=0`
		if n := strings.Count(out.String(), line); n != 3 || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("logged in two and a half minutes: %s", &out)
		}
	})
}

func BenchmarkEncrypt(b *testing.B) {
	next := defaultCMM(b, newKeyring(b, "one"))
	b.Run("without", func(b *testing.B) { benchmark(b, next) })
	b.Run("with", func(b *testing.B) { benchmark(b, New(next, slog.New(slog.NewJSONHandler(io.Discard, nil)))) })
}

func benchmark(b *testing.B, cmm esdk.CMM) {
	client, err := esdk.New(esdk.Config{CMM: cmm, Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		b.Fatal(err)
	}
	var message []byte
	for b.Loop() {
		if message, _, err = client.Encrypt(b.Context(), make([]byte, 1024), ec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(message)-1024), "bytes-added/op")
}
