package otelesdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"esdk"
	"esdk/awskms"
	"esdk/branchkey"
	"esdk/caching"
	"esdk/esdktest"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// A watched program has its recordings in memory.
type watched struct {
	*Instrumentation
	t      *testing.T
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func watch(t *testing.T, contextKeys ...string) *watched {
	t.Helper()
	w := &watched{t: t, spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	var err error
	w.Instrumentation, err = New(Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)),
		ContextKeys:    contextKeys,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// metrics returns values by name and attributes: sums of counters, and numbers
// of values of histograms.
func (w *watched) metrics() map[string]int64 {
	w.t.Helper()
	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(context.Background(), &all); err != nil {
		w.t.Fatal(err)
	}
	values := make(map[string]int64)
	for _, s := range all.ScopeMetrics {
		if !strings.HasSuffix(s.Scope.Name, "/otel") {
			w.t.Errorf("the scope is %q, not the import path", s.Scope.Name)
		}
		for _, m := range s.Metrics {
			name := func(a attribute.Set) string { return m.Name + " " + a.Encoded(attribute.DefaultEncoder()) }
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					values[name(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					values[name(p.Attributes)] = int64(p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					values[name(p.Attributes)] = int64(p.Count)
				}
			default:
				w.t.Errorf("%s is a %T", m.Name, data)
			}
		}
	}
	return values
}

func (w *watched) want(want map[string]int64) {
	w.t.Helper()
	got := w.metrics()
	for name, value := range want {
		if got[name] != value {
			w.t.Errorf("%s is %d, want %d", name, got[name], value)
		}
	}
	if w.t.Failed() {
		for name, value := range got {
			w.t.Log(name, value)
		}
	}
}

// spanNames returns the names of all ended spans, children before their
// parents.
func (w *watched) spanNames() (names []string) {
	for _, s := range w.spans.Ended() {
		names = append(names, s.Name())
	}
	return names
}

func raw(t *testing.T) esdk.Keyring {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	k, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "namespace", Name: "name", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func defaultCMM(t *testing.T, k esdk.Keyring) esdk.CMM {
	t.Helper()
	c, err := esdk.NewDefaultCMM(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newClient(t *testing.T, c esdk.CMM) *esdk.Client {
	t.Helper()
	out, err := esdk.New(esdk.Config{CMM: c})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestContracts: the wrappers fulfill the contracts of keyrings and CMMs.
func TestContracts(t *testing.T) {
	w := watch(t)
	esdktest.TestKeyring(t, w.Keyring("raw-aes", raw(t)))
	esdktest.TestCMM(t, w.CMM(defaultCMM(t, raw(t))))
}

const suite = "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"

// TestMessages counts messages, and measures their requests.
func TestMessages(t *testing.T) {
	w := watch(t, "tenant")
	c := newClient(t, w.CMM(defaultCMM(t, w.Keyring("raw-aes", raw(t)))))
	ec := esdk.EncryptionContext{"tenant": "17", "secret": "SECRET"}
	for range 3 {
		message, _, err := c.Encrypt(t.Context(), []byte("plaintext"), ec)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Decrypt(t.Context(), message, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.want(map[string]int64{
		"esdk.messages esdk.operation=encrypt,esdk.suite=" + suite:           3,
		"esdk.messages esdk.operation=decrypt,esdk.suite=" + suite:           3,
		"esdk.materials.duration esdk.operation=encrypt,esdk.suite=" + suite: 3,
		"esdk.materials.duration esdk.operation=decrypt,esdk.suite=" + suite: 3,
		"esdk.plaintext.size esdk.suite=" + suite:                            3,
		"esdk.keyring.duration esdk.keyring=raw-aes,esdk.operation=wrap":     3,
		"esdk.keyring.duration esdk.keyring=raw-aes,esdk.operation=unwrap":   3,
	})
	if got, want := strings.Join(w.spanNames()[:4], " "), "esdk.keyring.wrap esdk.encrypt.materials esdk.keyring.unwrap esdk.decrypt.materials"; got != want {
		t.Errorf("spans %s, want %s", got, want)
	}
	for _, s := range w.spans.Ended() {
		text := fmt.Sprint(s.Attributes(), s.Status(), s.Events())
		if strings.Contains(text, "SECRET") || strings.Contains(text, "plaintext ") {
			t.Errorf("%s has %s", s.Name(), text)
		}
		if strings.HasSuffix(s.Name(), "materials") != strings.Contains(text, "{esdk.context.tenant 17}") {
			t.Errorf("%s has %s", s.Name(), text)
		}
	}
	if spans := w.spans.Ended(); spans[0].Parent().SpanID() != spans[1].SpanContext().SpanID() {
		t.Error("a keyring's span is not below that of the CMM")
	}
}

// TestKMS measures calls of AWS KMS by operation, Region and error.
func TestKMS(t *testing.T) {
	sim := kmssim.New()
	t.Cleanup(sim.Close)
	const region = "us-west-2"
	arn := sim.CreateKey(region, types.KeySpecSymmetricDefault)
	w := watch(t)
	clients := w.Clients(awskms.FixedClient(sim.Client(region)))
	k, err := awskms.NewKeyring(awskms.Config{Clients: clients}, arn)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, w.CMM(defaultCMM(t, k)))
	message, _, err := c.Encrypt(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Decrypt(t.Context(), message, nil); err != nil {
		t.Fatal(err)
	}
	sim.Disable(arn)
	_, _, err = c.Decrypt(t.Context(), message, nil)
	if err == nil {
		t.Fatal("a disabled key decrypts")
	}
	w.want(map[string]int64{
		"rpc.client.call.duration cloud.region=us-west-2,rpc.method=KMS/GenerateDataKey,rpc.system.name=aws-api":                      1,
		"rpc.client.call.duration cloud.region=us-west-2,rpc.method=KMS/Decrypt,rpc.system.name=aws-api":                              1,
		"rpc.client.call.duration cloud.region=us-west-2,error.type=DisabledException,rpc.method=KMS/Decrypt,rpc.system.name=aws-api": 1,
		"esdk.messages error.type=DisabledException,esdk.operation=decrypt,esdk.suite=" + suite:                                       1,
	})
	for _, s := range w.spans.Ended() {
		if text := fmt.Sprint(s.Attributes(), s.Status(), s.Events()); strings.Contains(text, arn) || strings.Contains(text, err.Error()) {
			t.Errorf("%s has %s", s.Name(), text)
		}
		if strings.HasPrefix(s.Name(), "KMS/") != (s.SpanKind() == trace.SpanKindClient) {
			t.Errorf("%s is of kind %v", s.Name(), s.SpanKind())
		}
	}
}

// TestKeyStore: the clients also work for a key store.
func TestKeyStore(t *testing.T) {
	sim := kmssim.New()
	t.Cleanup(sim.Close)
	arn := sim.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	w := watch(t)
	storage, err := branchkey.NewFileStorage(t.TempDir() + "/keys")
	if err != nil {
		t.Fatal(err)
	}
	store, err := branchkey.NewStore(branchkey.Config{
		Storage: storage, LogicalName: "keys", KMS: branchkey.KMSConfig{KeyARN: arn},
		Clients: w.Clients(awskms.FixedClient(sim.Client("us-west-2"))),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateKeyStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, err := store.CreateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	storm, err := caching.NewStormTracking(caching.StormTrackingConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cache := w.Cache("branch-keys", storm)
	if _, err := branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: id, TTL: time.Second, Cache: cache}); err == nil {
		t.Error("the grace period of the cache is not seen")
	}
	k, err := branchkey.NewKeyring(branchkey.KeyringConfig{Store: store, BranchKeyID: id, TTL: time.Minute, Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := newClient(t, defaultCMM(t, k)).Encrypt(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	prefix := "rpc.client.call.duration cloud.region=us-west-2,rpc.method=KMS/"
	w.want(map[string]int64{
		prefix + "GenerateDataKeyWithoutPlaintext,rpc.system.name=aws-api": 2,
		prefix + "ReEncrypt,rpc.system.name=aws-api":                       1,
		prefix + "Decrypt,rpc.system.name=aws-api":                         1,
		"esdk.cache.hits esdk.cache.name=branch-keys":                      2,
		"esdk.cache.misses esdk.cache.name=branch-keys":                    1,
	})
}

// TestCache observes a cache.
func TestCache(t *testing.T) {
	w := watch(t)
	lru, err := caching.NewLRU(1)
	if err != nil {
		t.Fatal(err)
	}
	c := w.Cache("data-keys", lru)
	load := func(id string, err error) {
		c.Load(t.Context(), id, func(context.Context) (*caching.Entry, error) {
			return &caching.Entry{Value: id, Created: time.Now(), Expires: time.Now().Add(time.Hour)}, err
		})
	}
	load("a", nil)
	load("a", nil)
	load("b", nil)
	load("c", errors.New("refused"))
	w.want(map[string]int64{
		"esdk.cache.hits esdk.cache.name=data-keys":      1,
		"esdk.cache.misses esdk.cache.name=data-keys":    3,
		"esdk.cache.evictions esdk.cache.name=data-keys": 1,
		"esdk.cache.entries esdk.cache.name=data-keys":   1,
		"esdk.cache.in_flight esdk.cache.name=data-keys": 0,
		"esdk.cache.entry.age esdk.cache.name=data-keys": 3,
	})
	if got, want := c.Stats(), lru.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestErrors: errors have classes, and their texts aren't recorded.
func TestErrors(t *testing.T) {
	for want, err := range map[string]error{
		"canceled":           fmt.Errorf("secret: %w", context.Canceled),
		"authentication":     esdk.ErrAuthentication,
		"no_data_key":        &esdk.NoDataKeyError{Errors: []error{errors.New("secret")}},
		"wrong_key":          &esdk.NoDataKeyError{Errors: []error{fmt.Errorf("secret: %w", esdk.ErrAuthentication)}},
		"encryption_context": esdk.ErrEncryptionContext,
		"format":             &esdk.FormatError{Field: "secret", Err: errors.New("secret")},
		"limit":              fmt.Errorf("secret: %w", esdk.ErrLimit),
		"_OTHER":             errors.New("secret"),
	} {
		if got := errorType(err).Value.AsString(); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// panicking is a broken provider.
type panicking struct {
	noop.MeterProvider
	trace.TracerProvider
}

func (p panicking) Tracer(string, ...trace.TracerOption) trace.Tracer { return panickingTracer{} }
func (p panicking) Meter(string, ...metric.MeterOption) metric.Meter  { return panickingMeter{} }

type panickingTracer struct{ trace.Tracer }

func (panickingTracer) Start(context.Context, string, ...trace.SpanStartOption) (context.Context, trace.Span) {
	panic("a fault")
}

type panickingMeter struct{ noop.Meter }

func (panickingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, nil // so that each use panics
}

// TestNeverFails: a panic of a provider doesn't fail an operation.
func TestNeverFails(t *testing.T) {
	o, err := New(Config{TracerProvider: panicking{}, MeterProvider: panicking{}})
	if err != nil {
		t.Fatal(err)
	}
	lru, err := caching.NewLRU(10)
	if err != nil {
		t.Fatal(err)
	}
	cached, err := caching.NewCMM(caching.Config{Keyring: o.Keyring("raw-aes", raw(t)), MaxAge: time.Hour, Cache: o.Cache("cache", lru)})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, o.CMM(cached))
	message, _, err := c.Encrypt(t.Context(), []byte("plaintext"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, _, err := c.Decrypt(t.Context(), message, nil); err != nil || !bytes.Equal(plaintext, []byte("plaintext")) {
		t.Errorf("%q, %v", plaintext, err)
	}
}

// TestNil: users of a missing part report it, and don't panic.
func TestNil(t *testing.T) {
	w := watch(t)
	if w.CMM(nil) != nil || w.Keyring("x", nil) != nil || w.Cache("x", nil) != nil || w.Clients(nil) != nil {
		t.Error("nothing is wrapped")
	}
	if _, err := esdk.NewDefaultCMM(w.Keyring("x", nil)); err == nil {
		t.Error("a CMM without a keyring")
	}
}

// BenchmarkEncrypt measures the overhead for a message of 1 KiB.
func BenchmarkEncrypt(b *testing.B) {
	key := make([]byte, 32)
	k, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "namespace", Name: "name", Key: key})
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, wrap func(*Instrumentation, esdk.Keyring) esdk.CMM, c Config) {
		b.Run(name, func(b *testing.B) {
			o, err := New(c)
			if err != nil {
				b.Fatal(err)
			}
			client, err := esdk.New(esdk.Config{CMM: wrap(o, k), Suite: esdk.AES256GCMHKDFSHA512Commit})
			if err != nil {
				b.Fatal(err)
			}
			plaintext := make([]byte, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := client.Encrypt(b.Context(), plaintext, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	plain := func(_ *Instrumentation, k esdk.Keyring) esdk.CMM { c, _ := esdk.NewDefaultCMM(k); return c }
	wrapped := func(o *Instrumentation, k esdk.Keyring) esdk.CMM {
		c, _ := esdk.NewDefaultCMM(o.Keyring("raw-aes", k))
		return o.CMM(c)
	}
	sdk := Config{TracerProvider: sdktrace.NewTracerProvider(), MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))}
	run("none", plain, sdk)
	run("no provider", wrapped, Config{})
	run("SDK", wrapped, sdk)
}
