package otelesdk

import (
	"context"

	"esdk"
	"esdk/internal/isnil"
	"go.opentelemetry.io/otel/trace"
)

// Keyring returns a keyring that measures the durations of another one. Kind
// distinguishes several keyrings, for instance aws-kms. The keyring records
// this metric:
//
//	esdk.keyring.duration  a histogram in seconds, by esdk.operation (wrap, unwrap),
//	                       esdk.keyring and error.type
//
// Its spans are named esdk.keyring.wrap and esdk.keyring.unwrap.
func (i *Instrumentation) Keyring(kind string, next esdk.Keyring) esdk.Keyring {
	if isnil.Value(next) {
		return next
	}
	return &keyring{i, kind, next}
}

type keyring struct {
	*Instrumentation
	kind string
	next esdk.Keyring
}

func (k *keyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	ctx, o := k.begin(ctx, "esdk.keyring.wrap", trace.SpanKindInternal, keyringKey.String(k.kind), suiteOf(req.Suite))
	result, err := k.next.Wrap(ctx, req)
	o.end(ctx, k.keyrings, err, operationKey.String("wrap"), keyringKey.String(k.kind))
	return result, err
}

func (k *keyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	ctx, o := k.begin(ctx, "esdk.keyring.unwrap", trace.SpanKindInternal, keyringKey.String(k.kind), suiteOf(req.Suite), dataKeysKey.Int(len(req.EncryptedDataKeys)))
	dataKey, err := k.next.Unwrap(ctx, req)
	o.end(ctx, k.keyrings, err, operationKey.String("unwrap"), keyringKey.String(k.kind))
	return dataKey, err
}
