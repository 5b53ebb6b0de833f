package branchkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/caching"
	"esdk/esdktest/kmssim"
)

// "make soak" runs it for ten minutes, with the race detector.
var soakTime = flag.Duration("soak", 2*time.Second, "how `long` TestSoak runs")

const (
	soakGoroutines = 200
	maxSoakMessage = 16 << 10 // bytes; a stream counts as this many
	rotation       = 250 * time.Millisecond
)

var soakLimits = caching.Config{MaxMessages: 25, MaxBytes: 10 * maxSoakMessage, MaxAge: 500 * time.Millisecond}

// TestSoak shares one client, caching CMM, keyring of each kind and key store
// among many goroutines. Meanwhile, branch keys are rotated, and AWS KMS
// refuses and throttles. No limit of the CMM is exceeded by even one message,
// byte or moment, every message decrypts, and no goroutine or memory is left
// behind.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT run: -short is set")
	}
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) { // its cleanups have run when it returns
		s := newSoak(t)
		s.run(t)
		t.Log(s.ledger)
		t.Logf("%d calls failed since AWS KMS was throttled, of %d; %d rotations; KMS %v", s.throttled.Load(), s.calls.Load(), s.rotations, s.kmsCalls)
	})
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, of which %d were there before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

type soak struct {
	*ledger
	client *esdk.Client
	store  *Store
	kms    *kmsEnv
	db     *fakeDynamoDB

	throttling       atomic.Bool
	throttled, calls atomic.Int64
	rotations        int
	kmsCalls         map[string]int

	mu   sync.Mutex
	kept []sealed // of any goroutine, for others to decrypt
}

// sealed is a message and its plaintext.
type sealed struct {
	message, plaintext []byte
	ec                 esdk.EncryptionContext
	stream             bool
}

func newSoak(t *testing.T) *soak {
	s := &soak{ledger: newLedger(t, soakLimits), kms: newKMS(t), db: newFakeDynamoDB(t), kmsCalls: make(map[string]int)}
	s.store = s.kms.with(t, s.db.storage(t), func(*Config) {})
	id := ok[string](t)(s.store.CreateKey(t.Context(), "key", customContext))
	aesKey := make([]byte, 32)
	rand.Read(aesKey)
	direct := s.kms.CreateKey(region, types.KeySpecSymmetricDefault)
	keyring := ok[esdk.Keyring](t)
	multi := keyring(esdk.NewMultiKeyring(
		keyring(awskms.NewKeyring(awskms.Config{Clients: s.kms.clients()}, direct)),
		keyring(NewKeyring(KeyringConfig{Store: s.store, BranchKeyID: id, TTL: 11 * time.Second})), // fetched anew after 5.5
		keyring(esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "raw", Name: "key", Key: aesKey})),
	))
	c := soakLimits
	c.Keyring = ledgerKeyring{multi, s.ledger}
	cmm := ledgerCMM{ok[esdk.CMM](t)(caching.NewCMM(c)), s.ledger}
	// Only unsigned messages can be read by NewReaderAt.
	s.client = ok[*esdk.Client](t)(esdk.New(esdk.Config{
		CMM: cmm, Suite: esdk.AES256GCMHKDFSHA512Commit, MaxPlaintextLength: maxSoakMessage, FrameLength: 1000,
	}))
	s.kms.Fault(s.fault(direct))
	return s
}

// fault makes AWS KMS throttle all requests for a while, now and then, and
// refuse to decrypt with the first keyring's key, so that other keyrings have
// to.
func (s *soak) fault(direct string) func(*kmssim.Request) *kmssim.Fault {
	return func(r *kmssim.Request) *kmssim.Fault {
		switch {
		case s.throttling.Load(), mathrand.IntN(50) == 0:
			return &kmssim.Fault{Code: "ThrottlingException"}
		case r.Operation == "Decrypt" && r.Input["KeyId"] == direct && mathrand.IntN(2) == 0:
			return &kmssim.Fault{Code: "AccessDeniedException"}
		}
		return nil
	}
}

// run lets the goroutines work, and compares the heap after the warm-up with
// the heap at the end.
func (s *soak) run(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), *soakTime)
	defer stop()
	var all sync.WaitGroup
	for range soakGoroutines {
		all.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				s.step(t)
			}
		})
	}
	all.Go(func() { s.rotate(ctx, t) })
	var warm atomic.Uint64
	time.AfterFunc(*soakTime/4, func() { warm.Store(heap()) })
	all.Wait()
	s.kms.Fault(nil)
	s.forgetRequests()
	end := heap()
	t.Logf("%d KiB held after a quarter of the time, %d at the end", warm.Load()>>10, end>>10)
	if end > warm.Load()+16<<20 {
		t.Error("memory grows")
	}
	// A slow machine may not use up a data key within seconds, before it is too
	// old.
	if *soakTime >= time.Minute && (s.mostMessages != s.maxMessages || s.mostBytes != s.maxBytes) {
		t.Error("no data key came to its limits: they were not tested")
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// rotate creates new versions of the branch key, and makes AWS KMS throttle
// every tenth time.
func (s *soak) rotate(ctx context.Context, t *testing.T) {
	ticker := time.NewTicker(rotation)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			s.throttling.Store(false)
			return
		case <-ticker.C:
		}
		s.throttling.Store(n%10 == 3)
		switch err := s.store.VersionKey(t.Context(), "key"); {
		case err == nil:
			s.rotations++
		case !isThrottled(err):
			t.Error(err)
		}
		s.forgetRequests()
	}
}

// forgetRequests drops the records of the simulators.
func (s *soak) forgetRequests() {
	for operation, n := range s.kms.Counts() {
		s.kmsCalls[operation] += n
	}
	s.kms.Reset()
	s.db.take()
}

func isThrottled(err error) bool { return apiCode(err) == "ThrottlingException" }

// step encrypts a message and decrypts some, in one of several ways.
func (s *soak) step(t *testing.T) {
	m := newSealed()
	s.calls.Add(1)
	err := s.encrypt(t, m)
	if err != nil {
		s.failed(t, "encrypt", err)
		return
	}
	for _, m := range []*sealed{m, s.exchange(m)} {
		s.calls.Add(1)
		if err := s.decrypt(t, m); err != nil {
			s.failed(t, "decrypt", err)
		}
	}
}

func (s *soak) failed(t *testing.T, what string, err error) {
	s.throttled.Add(1)
	if !isThrottled(err) {
		t.Errorf("%s: %v", what, err)
	}
}

// newSealed picks a message to encrypt. The messages of a tenant share data
// keys; the first tenant's are used up by messages, the second's by bytes, and
// the third's get too old. A stream counts as a message of the greatest length.
func newSealed() *sealed {
	tenant, length, stream := 0, mathrand.IntN(100), mathrand.IntN(3) == 0
	switch n := mathrand.IntN(1000); {
	case n < 300 && stream:
		tenant, length = 1, maxSoakMessage
	case n < 300:
		// Now and then add one byte, which could exceed the limit.
		tenant, length = 1, maxSoakMessage/4*mathrand.IntN(4)+mathrand.IntN(10)/9
	case n < 340:
		tenant = 2
	}
	stream = stream && tenant > 0
	plaintext := make([]byte, length)
	rand.Read(plaintext)
	return &sealed{plaintext: plaintext, ec: esdk.EncryptionContext{"tenant": fmt.Sprint(tenant)}, stream: stream}
}

// exchange stores a message, and returns one stored before.
func (s *soak) exchange(m *sealed) *sealed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) < 1000 {
		s.kept = append(s.kept, *m)
		return m
	}
	i := mathrand.IntN(len(s.kept))
	other := s.kept[i]
	if mathrand.IntN(4) == 0 {
		s.kept[i] = *m // otherwise it gets older
	}
	return &other
}

func (s *soak) encrypt(t *testing.T, m *sealed) error {
	if !m.stream {
		message, h, err := s.client.Encrypt(t.Context(), m.plaintext, m.ec)
		if err == nil {
			m.message = message
			s.encrypted(h, len(m.plaintext))
		}
		return err
	}
	var out bytes.Buffer
	w, err := s.client.NewWriter(t.Context(), &out, m.ec)
	if err != nil {
		return err
	}
	s.encrypted(w.Header(), len(m.plaintext))
	for rest := m.plaintext; len(rest) > 0; {
		n := min(len(rest), 1+mathrand.IntN(5000))
		if _, err := w.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	err = w.Close()
	m.message = out.Bytes()
	return err
}

func (s *soak) decrypt(t *testing.T, m *sealed) error {
	want := m.plaintext
	got, err := func() ([]byte, error) {
		switch mathrand.IntN(3) {
		case 0:
			got, _, err := s.client.Decrypt(t.Context(), m.message, m.ec)
			return got, err
		case 1:
			r, err := s.client.NewReader(t.Context(), bytes.NewReader(m.message), m.ec)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		r, err := s.client.NewReaderAt(t.Context(), bytes.NewReader(m.message), int64(len(m.message)), m.ec)
		if err != nil {
			return nil, err
		}
		start := mathrand.IntN(len(want) + 1)
		part := make([]byte, mathrand.IntN(len(want)-start+1))
		want = want[start:][:len(part)]
		if n, err := r.ReadAt(part, int64(start)); n != len(part) || err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return part, nil
	}()
	if err == nil && !bytes.Equal(got, want) {
		t.Error("another plaintext")
	}
	return err
}
