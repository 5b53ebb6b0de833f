package esdk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"esdk"
	"esdk/internal/suite"
)

// Tests of demands that the specification makes and that nothing else here would
// notice if they were broken.

// carelessCMM allows each suite, whatever the policy of the request is.
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

// The client enforces its policy itself, before it asks a CMM that may not.
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

// The suite of the materials encrypts, even if another one was asked for.
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

// suiteCMM encrypts with one suite, whatever it is asked for.
type suiteCMM struct {
	esdk.CMM
	suite esdk.SuiteID
}

func (c suiteCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	other := *req
	other.Suite = c.suite
	return c.CMM.EncryptionMaterials(ctx, &other)
}

// By default, the number of data keys has no limit but the format's.
func TestManyDataKeysByDefault(t *testing.T) {
	many := must[esdk.Keyring](t)(esdk.NewMultiKeyring(testKeyring(t), slices.Repeat([]esdk.Keyring{testKeyring(t)}, 9999)...))
	c := newClient(t, esdk.Config{Keyring: many})
	message, h, err := c.Encrypt(t.Context(), nil, nil)
	if err != nil || len(h.EncryptedDataKeys) != 10000 {
		t.Fatal(err)
	}
	wantDecrypts(t, newClient(t, esdk.Config{}), message, nil, nil)
}

// A CMM gets contexts that are never nil, all data keys in their order, and the
// suite of the message in each version of the format.
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
			EncryptedDataKeys: h.EncryptedDataKeys, Reproduced: esdk.EncryptionContext{},
		}); len(h.EncryptedDataKeys) != 3 || !reflect.DeepEqual(*cmm.decryption, want) {
			t.Errorf("%04x: Decrypt asks for %+v, want %+v", s.ID, *cmm.decryption, want)
		}
	}
}

// A plaintext that is too long is refused before a keyring is asked.
func TestTooLongIsRefusedFirst(t *testing.T) {
	cmm := &carelessCMM{CMM: defaultCMM(t)}
	c := newClient(t, esdk.Config{CMM: cmm, MaxPlaintextLength: 9})
	if _, _, err := c.Encrypt(t.Context(), pattern(10), nil); !errors.Is(err, esdk.ErrLimit) || cmm.encryptions != 0 {
		t.Errorf("%v, %d requests", err, cmm.encryptions)
	}
}

// Each byte of a message id is random. A byte that is the same in 64 messages
// is so by chance once in 2^504.
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

// The default fan-out is 20, and without a negative one there is no other way
// to have none.
func TestStormDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStormCache(t, esdk.StormConfig{})
		s := &source{ttl: time.Hour, takes: 500 * time.Millisecond}
		for i := range 50 {
			go c.Load(t.Context(), fmt.Sprint("fan-out ", i), s.fetch)
		}
		synctest.Wait()
		if n := c.Stats().InFlight; n != 20 {
			t.Errorf("%d fetches at once, want 20", n)
		}
		time.Sleep(time.Minute)
		if n := s.fetched.Load(); n != 50 {
			t.Errorf("%d fetches, want 50", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// The grace period is 10 s: an entry is refreshed from then on.
		c := newStormCache(t, esdk.StormConfig{})
		s := &source{ttl: time.Minute}
		want(t, c, "a", s, 1)
		time.Sleep(50*time.Second - time.Nanosecond)
		want(t, c, "a", s, 1)
		time.Sleep(time.Nanosecond)
		want(t, c, "a", s, 2)
	})
	synctest.Test(t, func(t *testing.T) {
		// The grace interval is 1 s: then a fetch is tried beside a slow one.
		c := newStormCache(t, esdk.StormConfig{})
		s := &source{ttl: time.Hour, takes: 5 * time.Second}
		go c.Load(t.Context(), "a", s.fetch)
		time.Sleep(time.Second - time.Nanosecond)
		go c.Load(t.Context(), "a", s.fetch)
		synctest.Wait()
		if n := s.fetched.Load(); n != 1 {
			t.Errorf("%d fetches before the grace interval ends", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := s.fetched.Load(); n != 2 {
			t.Errorf("%d fetches when the grace interval ends, want 2", n)
		}
		time.Sleep(time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		// The in-flight TTL is 10 s: nobody waits longer for room to fetch.
		c := newStormCache(t, esdk.StormConfig{FanOut: 1})
		s := &source{ttl: time.Hour, takes: time.Minute}
		go c.Load(t.Context(), "a", s.fetch)
		synctest.Wait()
		start := time.Now()
		_, err := c.Load(t.Context(), "b", s.fetch)
		if took := time.Since(start); err == nil || took <= 10*time.Second || took > 11*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Hour)
	})
	synctest.Test(t, func(t *testing.T) {
		c := newStormCache(t, esdk.StormConfig{})
		s := &source{ttl: time.Hour}
		for i := range 1001 {
			want(t, c, fmt.Sprint("entry ", i), s, int64(i+1))
		}
		if got := c.Stats(); got.Entries != 1000 || got.Evictions != 1 {
			t.Errorf("stats %+v, want 1000 entries", got)
		}
	})
}

func TestStormRefusesNegative(t *testing.T) {
	for _, c := range []esdk.StormConfig{
		{Capacity: -1}, {FanOut: -1}, {GracePeriod: -1}, {GraceInterval: -1}, {InFlightTTL: -1},
		// In the order of the others, were it not for the sign.
		{GraceInterval: -2, InFlightTTL: -1, GracePeriod: time.Second},
	} {
		if _, err := esdk.NewStormCache(c); err == nil || err.Error() != "esdk: storm cache: negative value" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Both ends of a stream take less memory than the message, however it is written
// or read: it does not depend on the length.
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
