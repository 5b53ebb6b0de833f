package branchkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk"
	"esdk/awskms"
	"esdk/internal/faulttest"
	"esdk/internal/fipstest"
)

// newProxies returns a Store whose answers from DynamoDB and AWS KMS go through
// proxies.
func newProxies(t *testing.T) (s *Store, db *fakeDynamoDB, dbProxy, kmsProxy *faulttest.Proxy) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	serve := func(h http.Handler) (*faulttest.Proxy, string) {
		p := &faulttest.Proxy{Handler: h}
		server := httptest.NewServer(p)
		t.Cleanup(server.Close)
		return p, server.URL
	}
	dbProxy, dbURL := serve(db)
	kmsProxy, kmsURL := serve(k.Server)
	s = k.with(t, ok[Storage](t)(NewDynamoDBStorage(newDynamoDBClient(dbURL), "table")), func(c *Config) {
		c.KMS.Former = []string{k.another()}
		o := k.Client(region).Options()
		o.BaseEndpoint = &kmsURL
		c.Clients = awskms.FixedClient(kms.New(o))
	})
	return s, db, dbProxy, kmsProxy
}

// together runs call in several goroutines at once: none writes before all have
// read. It returns their errors.
func together(p *faulttest.Proxy, callers int, call func() error) []error {
	var waiting sync.WaitGroup
	waiting.Add(callers)
	tries := atomic.Int64{}
	inner := p.Handler
	p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "TransactWriteItems") && tries.Add(1) <= int64(callers) {
			waiting.Done()
			waiting.Wait()
		}
		inner.ServeHTTP(w, r)
	})
	defer func() { p.Handler = inner }()
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = call() })
	}
	all.Wait()
	return errs
}

// collide makes DynamoDB answer every other one of the first transactions as if
// another transaction were under way.
func collide(transactions int) func(string, object) (int, object) {
	n := 0
	return func(op string, _ object) (int, object) {
		if op != "TransactWriteItems" || n == transactions {
			return 0, nil
		}
		if n++; n%2 == 0 {
			return 0, nil
		}
		return reasons("None", "TransactionConflict")
	}
}

// If many callers create or rotate one branch key at once, exactly one
// succeeds. The others get an error that wraps DynamoDB's own, and have changed
// nothing. A caller that tries again succeeds.
func TestLostRaces(t *testing.T) {
	const callers = 16
	s, db, p, _ := newProxies(t)
	create := func() error { _, err := s.CreateKey(t.Context(), "key", customContext); return err }
	version := func() error { return s.VersionKey(t.Context(), "key") }
	for round, race := range []struct {
		call     func() error
		sentinel error
		added    int // items
	}{{create, ErrExists, 3}, {version, ErrConflict, 1}, {version, ErrConflict, 1}} {
		items := len(db.items)
		db.setAnswer(collide(2 * callers))
		won := 0
		for _, err := range together(p, callers, race.call) {
			var cancelled *dynamodbtypes.TransactionCanceledException
			if err == nil {
				won++
			} else if !errors.Is(err, race.sentinel) || !errors.As(err, &cancelled) {
				t.Errorf("round %d: a loser gets %v", round, err)
			}
		}
		db.setAnswer(nil)
		if won != 1 || len(db.items) != items+race.added {
			t.Errorf("round %d: %d of %d won, %d items more, want %d", round, won, callers, len(db.items)-items, race.added)
		}
		active := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key"))
		stays := ok[*Key](t)(s.BranchKeyVersion(t.Context(), "key", active.Version))
		if !bytes.Equal(active.Secret, stays.Secret) {
			t.Errorf("round %d: the active key is not the version that it names", round)
		}
	}
	must(t, version())
	wantError(t, create(), ErrExists)
}

// A write whose answer was lost doesn't conflict with the AWS SDK's retry of
// it.
func TestLostAnswer(t *testing.T) {
	for name, spoil := range map[string]faulttest.Spoiler{
		"closed": faulttest.Say(""), "reset": faulttest.Reset, "error": faulttest.Status(500, ""),
	} {
		s, db, p, _ := newProxies(t)
		var lost atomic.Int64
		once := func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
			if lost.Add(1); strings.HasSuffix(r.Header.Get("X-Amz-Target"), "TransactWriteItems") {
				p.Spoil(nil)
				spoil(w, r, answer)
				return
			}
			w.Write(answer.Body.Bytes())
		}
		p.Spoil(once)
		ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
		p.Spoil(once)
		must(t, s.VersionKey(t.Context(), "key"))
		if lost.Load() < 3 || len(db.items) != 4 {
			t.Errorf("%s: %d answers, %d items", name, lost.Load(), len(db.items))
		}
	}
}

// A fault of the wire never makes an operation do half of its work. The
// operation fails, memory is bounded, and the next call works.
func TestWireFaults(t *testing.T) {
	s, db, dbProxy, kmsProxy := newProxies(t)
	ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
	version := ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key")).Version
	for fault, spoil := range map[string]faulttest.Spoiler{
		"reset":          faulttest.Reset,
		"cut":            faulttest.Cut,
		"no HTTP":        faulttest.Say("SSH-2.0\r\n"),
		"internal error": faulttest.Status(500, `{"__type":"InternalServerError"}`),
		"HTML":           faulttest.Status(200, "<html>please log in</html>"),
		"bad gateway":    faulttest.Status(502, "<html>bad gateway</html>"),
		"endless":        faulttest.Endless(200, `{"CiphertextBlob":"`),
		"endless error":  faulttest.Endless(400, `{"__type":"`),
	} {
		for service, p := range map[string]*faulttest.Proxy{"DynamoDB": dbProxy, "KMS": kmsProxy} {
			for name, operation := range operations(s, "key", version) {
				what := fmt.Sprintf("%s of %s: %s", fault, service, name)
				items := len(db.items)
				p.Spoil(spoil)
				var err error
				n := allocated(func() { err = operation(t.Context()) })
				p.Spoil(nil)
				if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
					t.Errorf("%s: %v", what, err)
				}
				if n > 32<<20 {
					t.Errorf("%s: %d bytes of memory", what, n)
				}
				// A write may succeed though its answer was spoiled, but not by
				// half.
				if added := len(db.items) - items; added != 0 && (service == "KMS" || added != map[string]int{"CreateKey": 3, "VersionKey": 1}[name]) {
					t.Errorf("%s: %d items more", what, added)
				}
				if err := operation(t.Context()); err != nil {
					t.Errorf("after %s: %v", what, err)
				}
			}
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A context that ends at any step of the AWS SDK, a cache or a storage ends the
// call with its error, and the next call works.
func TestContextEndsAnywhere(t *testing.T) {
	for name, storage := range map[string]func(t *testing.T) Storage{
		"DynamoDB": func(t *testing.T) Storage { return newFakeDynamoDB(t).storage(t) },
		"file":     func(t *testing.T) Storage { return newFile(t) },
	} {
		before := runtime.NumGoroutine()
		t.Run(name, func(t *testing.T) { testContextEnds(t, storage(t)) })
		// Idle connections have goroutines, which end with the servers.
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d goroutines, want %d", name, runtime.NumGoroutine(), before)
			}
		}
	}
}

func testContextEnds(t *testing.T, storage Storage) {
	k := newKMS(t)
	s := k.with(t, storage, func(c *Config) { c.KMS.Former = []string{k.another()} })
	if _, isFile := storage.(*fileStorage); isFile {
		ok[string](t)(s.CreateKeyStore(t.Context()))
	}
	ok[string](t)(s.CreateKey(t.Context(), "key", customContext))
	all := operations(s, "key", ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key")).Version)
	for name, call := range keyringCalls(t, s) {
		all[name] = call
	}
	for name, call := range all {
		steps := 0
		for done := false; !done; steps++ {
			ctx := faulttest.NewCountdown(t.Context(), steps)
			err := call(ctx)
			ctx.Cancel()
			// The server may still execute an abandoned call, between the read
			// and the write of this one.
			late := steps > 0 && name == "VersionKey" && errors.Is(err, ErrConflict)
			if done = err == nil; !done && !late && !errors.Is(err, context.Canceled) {
				t.Fatalf("%s after %d steps: %v", name, steps, err) // it may never succeed
			}
		}
		if steps < 2 {
			t.Errorf("%s never asks its context", name)
		}
		must(t, call(t.Context()))
	}
}

// keyringCalls returns calls that wrap and unwrap with an empty cache.
func keyringCalls(t *testing.T, s *Store) map[string]func(context.Context) error {
	fresh := func() esdk.Keyring {
		return ok[esdk.Keyring](t)(NewKeyring(KeyringConfig{Store: s, BranchKeyID: "key", TTL: time.Minute}))
	}
	const suite = esdk.AES256GCMHKDFSHA512Commit
	r := ok[*esdk.WrapResult](t)(fresh().Wrap(t.Context(), &esdk.WrapRequest{Suite: suite}))
	return map[string]func(context.Context) error{
		"Wrap": func(ctx context.Context) error {
			_, err := fresh().Wrap(ctx, &esdk.WrapRequest{Suite: suite})
			return err
		},
		"Unwrap": func(ctx context.Context) error {
			_, err := fresh().Unwrap(ctx, &esdk.UnwrapRequest{Suite: suite, EncryptedDataKeys: r.EncryptedDataKeys})
			return err
		},
	}
}

// scriptedDynamoDB answers with the results of its functions.
type scriptedDynamoDB struct {
	silentDynamoDB
	describe func() *dynamodbtypes.TableDescription
	write    func() error
}

func (s *scriptedDynamoDB) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return &dynamodb.DescribeTableOutput{Table: s.describe()}, nil
}

func (s *scriptedDynamoDB) TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	return &dynamodb.TransactWriteItemsOutput{}, s.write()
}

// Create checks a new table at least every five seconds, for five minutes.
func TestTableStaysInCreation(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		start, last := time.Now(), time.Now()
		client := &scriptedDynamoDB{describe: func() *dynamodbtypes.TableDescription {
			if gap := time.Since(last); gap > 5*time.Second {
				t.Errorf("asked after %v", gap)
			}
			time.Sleep(time.Millisecond) // as long as an answer takes
			last = time.Now()
			return &dynamodbtypes.TableDescription{TableStatus: dynamodbtypes.TableStatusCreating}
		}}
		_, err := ok[Storage](t)(NewDynamoDBStorage(client, "table")).Create(t.Context())
		took := time.Since(start)
		if err == nil || took < createTimeout-5*time.Second || took > createTimeout {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// The pauses between the attempts at a transaction grow.
func TestPausesOfTransaction(t *testing.T) {
	fipstest.Bubble(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		client := &scriptedDynamoDB{write: func() error {
			tries = append(tries, time.Since(start).Round(time.Millisecond))
			return &dynamodbtypes.TransactionCanceledException{CancellationReasons: []dynamodbtypes.CancellationReason{{Code: aws.String("TransactionConflict")}}}
		}}
		err := ok[Storage](t)(NewDynamoDBStorage(client, "table")).Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType}})
		var cancelled *dynamodbtypes.TransactionCanceledException
		wantError(t, err, &cancelled)
		const ms = time.Millisecond
		if want := []time.Duration{0, 25 * ms, 75 * ms, 150 * ms, 250 * ms, 375 * ms, 525 * ms, 700 * ms}; !slices.Equal(tries, want) {
			t.Errorf("tries after %v, want %v", tries, want)
		}
	})
}

// DynamoDB may give more reasons than there were puts. An extra one says
// nothing about the conditions.
func TestTooManyReasons(t *testing.T) {
	client := &scriptedDynamoDB{write: func() error {
		failed := dynamodbtypes.CancellationReason{Code: aws.String("ConditionalCheckFailed")}
		return &dynamodbtypes.TransactionCanceledException{CancellationReasons: []dynamodbtypes.CancellationReason{{}, failed, failed}}
	}}
	err := ok[Storage](t)(NewDynamoDBStorage(client, "table")).Write(t.Context(), Put{Item: &Item{ID: "id", Type: activeType}})
	var cancelled *dynamodbtypes.TransactionCanceledException
	wantError(t, err, &cancelled)
	if errors.Is(err, ErrExists) || errors.Is(err, ErrConflict) {
		t.Error(err)
	}
}
