package otelesdk

import (
	"context"

	"esdk"
	"esdk/internal/isnil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const (
	operationKey = attribute.Key("esdk.operation") // encrypt or decrypt, wrap or unwrap
	suiteKey     = attribute.Key("esdk.suite")     // the name of the algorithm suite
	keyringKey   = attribute.Key("esdk.keyring")   // the kind of the keyring
	dataKeysKey  = attribute.Key("esdk.data_keys") // the number of encrypted data keys
	sizeKey      = attribute.Key("esdk.plaintext.size")
)

// CMM returns a CMM that counts messages, since a message asks for its
// materials once. It records these metrics:
//
//	esdk.messages            a counter, by esdk.operation, esdk.suite and error.type
//	esdk.materials.duration  a histogram in seconds, by the same attributes
//	esdk.plaintext.size      a histogram in bytes, of messages to encrypt with a length known
//	                         in advance
//
// Its spans are named esdk.encrypt.materials and esdk.decrypt.materials. Wrap
// the outermost CMM: inside a caching CMM, only cache misses are seen.
func (i *Instrumentation) CMM(next esdk.CMM) esdk.CMM {
	if isnil.Value(next) {
		return next // its users reject it
	}
	return &cmm{i, next}
}

type cmm struct {
	*Instrumentation
	next esdk.CMM
}

func (c *cmm) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	ctx, o := c.begin(ctx, "esdk.encrypt.materials", trace.SpanKindInternal)
	m, err := c.next.EncryptionMaterials(ctx, req)
	suite := req.Suite
	if m != nil {
		suite = m.Suite
		o.set(dataKeysKey.Int(len(m.EncryptedDataKeys)))
		o.set(c.contextAttributes(m.EncryptionContext)...)
	}
	if length := req.PlaintextLength; length >= 0 {
		o.set(sizeKey.Int64(length))
		quietly(func() { c.lengths.Record(ctx, length, attributes(suiteOf(suite))) })
	}
	c.end(ctx, o, "encrypt", suite, err)
	return m, err
}

func (c *cmm) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	ctx, o := c.begin(ctx, "esdk.decrypt.materials", trace.SpanKindInternal)
	o.set(dataKeysKey.Int(len(req.EncryptedDataKeys)))
	o.set(c.contextAttributes(req.EncryptionContext)...)
	m, err := c.next.DecryptionMaterials(ctx, req)
	c.end(ctx, o, "decrypt", req.Suite, err)
	return m, err
}

func (c *cmm) end(ctx context.Context, o *operation, name string, suite esdk.SuiteID, err error) {
	all := []attribute.KeyValue{operationKey.String(name), suiteOf(suite)}
	o.set(all...)
	o.end(ctx, c.materials, err, all...)
	if err != nil {
		all = append(all, errorType(err))
	}
	quietly(func() { c.messages.Add(ctx, 1, attributes(all...)) })
}

// suiteOf returns the name of a suite, or "default" if none was chosen yet.
func suiteOf(id esdk.SuiteID) attribute.KeyValue {
	if id == 0 {
		return suiteKey.String("default")
	}
	return suiteKey.String(id.String())
}
