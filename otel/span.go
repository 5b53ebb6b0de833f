package otelesdk

import (
	"context"
	"slices"
	"time"

	"esdk"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// An operation is an operation in progress, with its span.
type operation struct {
	span  trace.Span // nil if none could be made
	start time.Time
}

func (i *Instrumentation) begin(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, *operation) {
	o := &operation{start: time.Now()}
	spanned := ctx
	quietly(func() {
		spanned, o.span = i.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	})
	if spanned == nil {
		spanned = ctx
	}
	return spanned, o
}

// end records the duration, with the class of the error.
func (o *operation) end(ctx context.Context, h metric.Float64Histogram, err error, all ...attribute.KeyValue) {
	if err != nil {
		all = append(slices.Clip(all), errorType(err))
	}
	quietly(func() { h.Record(ctx, since(o.start), attributes(all...)) })
	quietly(func() {
		if o.span == nil {
			return
		}
		defer o.span.End()
		if err != nil {
			o.span.SetAttributes(errorType(err))
			o.span.SetStatus(codes.Error, errorType(err).Value.AsString())
		}
	})
}

func (o *operation) set(attributes ...attribute.KeyValue) {
	quietly(func() {
		if o.span != nil {
			o.span.SetAttributes(attributes...)
		}
	})
}

// contextAttributes returns the pairs that may be shown.
func (i *Instrumentation) contextAttributes(ec esdk.EncryptionContext) (all []attribute.KeyValue) {
	for _, k := range i.contextKeys {
		if v, ok := ec[k]; ok {
			all = append(all, attribute.String("esdk.context."+k, v))
		}
	}
	return all
}
