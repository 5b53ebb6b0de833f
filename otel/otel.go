// Package otelesdk instruments programs that use the AWS Encryption SDK with
// OpenTelemetry. It provides spans and metrics for messages, key services,
// caches and errors.
//
// It wraps the parts that a program configures the SDK with:
//
//	o, err := otelesdk.New(otelesdk.Config{})
//	keyring, err := awskms.NewKeyring(awskms.Config{Clients: o.Clients(awskms.DefaultClients())}, arn)
//	cmm, err := esdk.NewDefaultCMM(o.Keyring("aws-kms", keyring))
//	client, err := esdk.New(esdk.Config{CMM: o.CMM(cmm)})
//
// Each wrapper behaves like the wrapped part, and returns its errors unchanged.
// Instrumentation never makes an operation fail: panics of providers are
// dropped.
//
// No plaintext, key, name of a wrapping key or text of an error is recorded.
// Values of the encryption context are recorded on spans only, for the keys in
// [Config.ContextKeys].
//
// The names of spans, metrics and attributes follow OpenTelemetry's semantic
// conventions (1.43) for calls of AWS KMS, and begin with esdk. for everything
// else.
package otelesdk

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names this package to exporters, by its import path.
var scope = reflect.TypeFor[Config]().PkgPath()

// Config configures [New]. The zero value uses the global providers of the
// program.
type Config struct {
	TracerProvider trace.TracerProvider // nil means [otel.GetTracerProvider]
	MeterProvider  metric.MeterProvider // nil means [otel.GetMeterProvider]

	// ContextKeys are the keys of the encryption context whose pairs are added
	// to spans, as attributes named esdk.context.KEY. To the SDK, an encryption
	// context isn't secret, but spans may reach more people than messages.
	// Metrics never contain pairs.
	ContextKeys []string
}

// An Instrumentation wraps the parts that a program configures the SDK with. It
// is safe for concurrent use, and a program needs only one.
type Instrumentation struct {
	contextKeys []string
	tracer      trace.Tracer
	meter       metric.Meter

	messages  metric.Int64Counter
	lengths   metric.Int64Histogram
	materials metric.Float64Histogram
	keyrings  metric.Float64Histogram
	calls     metric.Float64Histogram
	ages      metric.Float64Histogram

	caches caches
}

// These are the bounds of histograms, since the default ones don't suit
// seconds. The bounds for calls are from the conventions.
var (
	durationBounds = []float64{0.00001, 0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	callBounds     = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	ageBounds      = []float64{1, 10, 60, 300, 600, 1800, 3600, 21600, 86400}
	lengthBounds   = []float64{0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 16 << 20, 256 << 20, 4 << 30, 64 << 30}
)

// New makes the instruments. Its errors come from the MeterProvider.
func New(c Config) (*Instrumentation, error) {
	if c.TracerProvider == nil {
		c.TracerProvider = otel.GetTracerProvider()
	}
	if c.MeterProvider == nil {
		c.MeterProvider = otel.GetMeterProvider()
	}
	i := &Instrumentation{
		contextKeys: slices.Clone(c.ContextKeys),
		tracer:      c.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		meter:       c.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
	}
	var errs []error
	check := func(err error) { errs = append(errs, err) }
	seconds := func(name, description string, bounds []float64) metric.Float64Histogram {
		h, err := i.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		check(err)
		return h
	}
	var err error
	i.messages, err = i.meter.Int64Counter("esdk.messages", metric.WithUnit("{message}"), metric.WithDescription("Messages that were begun to be encrypted or decrypted."))
	check(err)
	i.lengths, err = i.meter.Int64Histogram("esdk.plaintext.size", metric.WithUnit("By"), metric.WithDescription("Lengths of plaintexts to be encrypted, as far as they are known before."),
		metric.WithExplicitBucketBoundaries(lengthBounds...))
	check(err)
	i.materials = seconds("esdk.materials.duration", "How long it took to get the keys of a message.", durationBounds)
	i.keyrings = seconds("esdk.keyring.duration", "How long a keyring took to wrap or unwrap a data key.", durationBounds)
	i.calls = seconds("rpc.client.call.duration", "How long calls of AWS KMS took.", callBounds)
	i.ages = seconds("esdk.cache.entry.age", "How long ago the key was made, or fetched, that a cache gave out.", ageBounds)
	check(i.observeCaches())
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("otelesdk: %w", err)
	}
	return i, nil
}

// quietly runs record and drops its panics, since it must not fail an
// operation.
func quietly(record func()) {
	defer func() { _ = recover() }()
	record()
}

// since returns the time since start, in seconds.
func since(start time.Time) float64 { return time.Since(start).Seconds() }

func attributes(all ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(all...))
}
