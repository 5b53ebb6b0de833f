package awskms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"esdk"
	"esdk/internal/faulttest"
)

// newProxy returns the AWS SDK's own clients of a simulated KMS, behind a proxy
// that spoils answers.
func newProxy(t testing.TB) (sim, *faulttest.Proxy) {
	s := newSim(t)
	p := &faulttest.Proxy{Handler: s.Server}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	s.proxy = server.URL
	return s, p
}

// edited replaces members of the answer, where present.
func edited(members ...any) faulttest.Spoiler {
	return func(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
		var out map[string]any
		json.Unmarshal(answer.Body.Bytes(), &out)
		for i := 0; i < len(members); i += 2 {
			if name := members[i].(string); out[name] != nil {
				out[name] = members[i+1]
			}
		}
		json.NewEncoder(w).Encode(out)
	}
}

func hasCode(code string) func(error) bool {
	return func(err error) bool {
		var api smithy.APIError
		return errors.As(err, &api) && api.ErrorCode() == code
	}
}

func hasA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

// wireFaults are faults of an answer, with a check for the cause in the error.
var wireFaults = map[string]struct {
	spoil faulttest.Spoiler
	cause func(error) bool
}{
	"throttled":       {faulttest.Status(400, `{"__type":"ThrottlingException"}`), hasCode("ThrottlingException")},
	"denied":          {faulttest.Status(400, `{"__type":"AccessDeniedException"}`), hasCode("AccessDeniedException")},
	"internal error":  {faulttest.Status(500, `{"__type":"KMSInternalException"}`), hasA[*types.KMSInternalException]},
	"bad gateway":     {faulttest.Status(502, "<html>bad gateway</html>"), hasA[*smithyhttp.ResponseError]},
	"unavailable":     {faulttest.Status(503, ""), hasA[*smithyhttp.ResponseError]},
	"reset mid-body":  {faulttest.Reset, func(err error) bool { return hasA[*net.OpError](err) || errors.Is(err, io.ErrUnexpectedEOF) }},
	"cut mid-body":    {faulttest.Cut, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	"no HTTP":         {faulttest.Say("SSH-2.0\r\n"), hasA[*smithyhttp.RequestSendError]},
	"HTML":            {faulttest.Status(200, "<html>please log in</html>"), hasA[*smithy.DeserializationError]},
	"another JSON":    {faulttest.Status(200, `[1,2]`), func(err error) bool { return err != nil }},
	"numbers":         {edited("Plaintext", 5, "SharedSecret", 5), hasA[*smithy.DeserializationError]},
	"no Base64":       {edited("Plaintext", "!!", "SharedSecret", "!!"), hasA[*smithy.DeserializationError]},
	"nothing":         {faulttest.Status(200, ""), says("the answer")},
	"an empty object": {faulttest.Status(200, "{}"), says("the answer")},
	"another key":     {edited("KeyId", "arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000000"), says("for another key")},
	"no ARN":          {edited("KeyId", "key/1"), says("key/1")},
	"short secret":    {edited("Plaintext", make([]byte, 31), "SharedSecret", make([]byte, 31)), says("31 bytes")},
	"long secret":     {edited("Plaintext", make([]byte, 81), "SharedSecret", make([]byte, 81)), says("81 bytes")},
	"no secret":       {edited("Plaintext", nil, "SharedSecret", nil), says("0 bytes")},
	"endless":         {faulttest.Endless(200, `{"CiphertextBlob":"`), says("longer than")},
	"endless error":   {faulttest.Endless(400, `{"__type":"`), says("longer than")},
	"endless space":   {faulttest.Endless(200, strings.Repeat(" ", 1<<20)), says("longer than")},
}

// fewerKeyrings returns each kind of keyring, or with -short only one that
// calls AWS KMS to wrap: all keyrings make their requests through the same
// function.
func fewerKeyrings(t testing.TB, s sim) map[string]pair {
	all := allKeyrings(t, s)
	if testing.Short() {
		return map[string]pair{"strict": all["strict"]}
	}
	return all
}

// TestWireFaults inflicts each fault on each keyring, in both directions. The
// error has the cause, the other keyrings of a multi-keyring still decrypt,
// memory is bounded, and the same keyring works again after the fault.
func TestWireFaults(t *testing.T) {
	s, p := newProxy(t)
	for name, k := range fewerKeyrings(t, s) {
		t.Run(name, func(t *testing.T) {
			f := newFaultTest(t, k)
			before := runtime.NumGoroutine()
			for fault, w := range wireFaults {
				p.Spoil(w.spoil)
				n := allocated(func() { f.check(t, fault, w.cause) })
				p.Spoil(nil)
				if n > 32<<20 {
					t.Errorf("%s: %d bytes of memory", fault, n)
				}
				f.works(t, fault)
			}
			waitForGoroutines(t, s, before)
		})
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// faultTest has a pair of keyrings and two messages: one encrypted by the pair
// alone, one by the pair and a second keyring.
type faultTest struct {
	pair
	both    esdk.Keyring // to decrypt
	wrapped *esdk.WrapResult
	alone   []byte
	mixed   []byte
}

func newFaultTest(t *testing.T, k pair) *faultTest {
	second := rawAES(t)
	message := func(kr esdk.Keyring) []byte {
		client := must[*esdk.Client](t)(esdk.New(esdk.Config{Keyring: kr, Suite: unsigned}))
		m, _, err := client.Encrypt(t.Context(), []byte("plaintext"), testContext)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	return &faultTest{
		pair:    k,
		both:    mustKeyring(t)(esdk.NewMultiKeyring(nil, k.decrypt, second)),
		wrapped: wrap(t, k.encrypt, nil),
		alone:   message(k.encrypt),
		mixed:   message(mustKeyring(t)(esdk.NewMultiKeyring(k.encrypt, second))),
	}
}

// check verifies that every call fails with the cause, except for calls without
// requests.
func (f *faultTest) check(t *testing.T, fault string, cause func(error) bool) {
	t.Helper()
	if r, err := tryWrap(t, f.encrypt, nil); !f.offline && (err == nil || r != nil || !cause(err)) {
		t.Errorf("%s: Wrap: %v, %v", fault, r, err)
	}
	if none := wantNone(t, f.decrypt, f.wrapped.EncryptedDataKeys...); !cause(none) {
		t.Errorf("%s: Unwrap: %v", fault, none)
	}
	plaintext, err := esdk.Decrypt(t.Context(), f.decrypt, f.alone, testContext)
	if plaintext != nil || !errors.Is(err, esdk.ErrNoDataKey) || errors.Is(err, esdk.ErrAuthentication) || !cause(err) {
		t.Errorf("%s: Decrypt: %q, %v", fault, plaintext, err)
	}
	if plaintext, err := esdk.Decrypt(t.Context(), f.both, f.mixed, testContext); string(plaintext) != "plaintext" {
		t.Errorf("%s: the second keyring does not decrypt: %v", fault, err)
	}
}

// works checks that the keyrings work after a fault.
func (f *faultTest) works(t *testing.T, fault string) {
	t.Helper()
	r := wrap(t, f.encrypt, nil)
	for _, r := range []*esdk.WrapResult{r, f.wrapped} {
		if got, err := tryUnwrap(t, f.decrypt, r.EncryptedDataKeys...); err != nil || !bytes.Equal(got, r.DataKey) {
			t.Errorf("after %s: %v", fault, err)
		}
	}
}

// A call waits for a missing answer until the deadline of its context, and no
// longer. The caller can try again.
func TestWireTimeout(t *testing.T) {
	s, p := newProxy(t)
	for name, k := range fewerKeyrings(t, s) {
		t.Run(name, func(t *testing.T) {
			f := newFaultTest(t, k)
			before := runtime.NumGoroutine()
			p.Spoil(faulttest.Stall)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if _, err := k.encrypt.Wrap(ctx, &esdk.WrapRequest{Suite: unsigned}); !k.offline && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wrap: %v", err)
			}
			if _, err := esdk.Decrypt(ctx, k.decrypt, f.alone, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Decrypt: %v", err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := k.decrypt.Unwrap(ctx, &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: testContext, EncryptedDataKeys: f.wrapped.EncryptedDataKeys})
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, esdk.ErrNoDataKey) {
				t.Errorf("Unwrap: %v", err)
			}
			p.Spoil(nil)
			f.works(t, name)
			waitForGoroutines(t, s, before)
		})
	}
}

// A context that ends at any step of the AWS SDK ends the call with its error.
// Each request has several such steps.
func TestContextEndsAnywhere(t *testing.T) {
	s := newSim(t)
	for name, k := range allKeyrings(t, s) {
		t.Run(name, func(t *testing.T) {
			f := newFaultTest(t, k)
			before := runtime.NumGoroutine()
			for call, run := range map[string]func(context.Context) error{
				"Wrap": func(ctx context.Context) error {
					_, err := k.encrypt.Wrap(ctx, &esdk.WrapRequest{Suite: unsigned, EncryptionContext: testContext})
					return err
				},
				"Unwrap": func(ctx context.Context) error {
					_, err := k.decrypt.Unwrap(ctx, &esdk.UnwrapRequest{
						Suite: unsigned, EncryptionContext: testContext, EncryptedDataKeys: f.wrapped.EncryptedDataKeys,
					})
					return err
				},
			} {
				for steps, done := 0, false; !done; steps++ {
					ctx := faulttest.NewCountdown(t.Context(), steps)
					err := run(ctx)
					ctx.Cancel()
					if done = err == nil; !done && !errors.Is(err, context.Canceled) {
						t.Errorf("%s after %d steps: %v", call, steps, err)
					}
				}
			}
			f.works(t, name)
			waitForGoroutines(t, s, before)
		})
	}
}

// waitForGoroutines waits until no more goroutines than before are left, not
// counting idle connections.
func waitForGoroutines(t *testing.T, s sim, want int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > want; time.Sleep(time.Millisecond) {
		if client, ok := s.Server.Client(west).Options().HTTPClient.(*http.Client); ok {
			client.CloseIdleConnections()
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, want %d:\n%s", runtime.NumGoroutine(), want, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
