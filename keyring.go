package esdk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/format"
)

// A Keyring protects data keys with wrapping keys. Most users need only the
// keyrings of this module. Package [esdk/esdktest] checks other
// implementations.
//
// A Keyring must be safe for concurrent use. It must not change a request or
// keep any of its slices or maps. It must not put key material into errors. Its
// provider ID must not start with "aws-kms", which is reserved for AWS.
//
// Specification: [framework/keyring-interface.md].
//
// [framework/keyring-interface.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/keyring-interface.md
type Keyring interface {
	// Wrap encrypts the data key of the request, or a fresh one if the request
	// has none, under each wrapping key. It fails if any of them fails.
	// [WrapRequest.Wrap] does everything but the encryption.
	//
	// Specification: framework/keyring-interface.md#onencrypt.
	Wrap(ctx context.Context, req *WrapRequest) (*WrapResult, error)

	// Unwrap decrypts one of the encrypted data keys. It skips data keys of
	// other keyrings and tries each of its own until one decrypts. If none
	// does, it fails with a [*NoDataKeyError] that holds the error of each
	// attempt. The error matches [ErrAuthentication] if the data key isn't
	// authentic, and never if a service failed: it then wraps the service's
	// error. The caller owns the data key and clears it.
	// [UnwrapRequest.Unwrap] does everything but the decryption.
	//
	// Specification: framework/keyring-interface.md#ondecrypt.
	Unwrap(ctx context.Context, req *UnwrapRequest) (dataKey []byte, err error)
}

// A WrapRequest asks a [Keyring] for encrypted data keys.
type WrapRequest struct {
	Suite             SuiteID
	EncryptionContext EncryptionContext // binds the data key

	// DataKey is the data key to encrypt. If it's nil, the keyring generates
	// one of [SuiteID.DataKeyLength] bytes. Its bytes must not be kept.
	DataKey []byte
}

// A WrapResult holds a data key and its encrypted forms. The caller owns it and
// clears the data key.
type WrapResult struct {
	DataKey           []byte // the generated one; may be nil if the request had one
	EncryptedDataKeys []EncryptedDataKey
}

// An UnwrapRequest asks a [Keyring] for a data key.
type UnwrapRequest struct {
	Suite             SuiteID
	EncryptionContext EncryptionContext  // to which the data key is bound
	EncryptedDataKeys []EncryptedDataKey // all of the message's, in order

	stored string // the bytes of the message's context, if they are known
}

var errNoResult = errtext.Errorf("the keyring returned neither a result nor an error")

// wrap asks a keyring, which may be the user's, and never returns nil without
// an error. All calls to a keyring go through it or unwrap.
func wrap(ctx context.Context, kr Keyring, req *WrapRequest) (*WrapResult, error) {
	r, err := kr.Wrap(ctx, req)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errNoResult
	}
	if len(r.EncryptedDataKeys) == 0 {
		clear(r.DataKey)
		return nil, errtext.Errorf("the keyring returned no encrypted data key")
	}
	if length := len(r.DataKey); req.DataKey == nil && length != req.Suite.DataKeyLength() {
		clear(r.DataKey)
		return nil, errtext.Errorf("keyring made a data key of %d bytes, suite %v takes %d", length, req.Suite, req.Suite.DataKeyLength())
	}
	if req.DataKey == nil && datakey.IsZero(r.DataKey) {
		return nil, errZeroKey
	}
	return r, nil
}

// errZeroKey usually means that a keyring or CMM kept a data key, which was
// cleared when the last message was done.
var errZeroKey = errtext.Errorf("the data key is all zeros: it was cleared, or never drawn")

// wrapGiven asks a keyring to wrap a copy of a data key, in case it wrongly
// clears the data key.
func wrapGiven(ctx context.Context, kr Keyring, req WrapRequest) (*WrapResult, error) {
	dataKey := req.DataKey
	req.DataKey = bytes.Clone(dataKey)
	defer clear(req.DataKey)
	r, err := wrap(ctx, kr, &req)
	if err != nil {
		return nil, err
	}
	defer clear(r.DataKey)
	if r.DataKey != nil && subtle.ConstantTimeCompare(r.DataKey, dataKey) != 1 {
		return nil, errtext.Errorf("the keyring returned another data key than it was given")
	}
	return r, nil
}

// unwrap returns only data keys of the suite's length.
func unwrap(ctx context.Context, kr Keyring, req *UnwrapRequest) ([]byte, error) {
	dataKey, err := kr.Unwrap(ctx, req)
	if none, ok := err.(*NoDataKeyError); ok && none == nil {
		return nil, errNoResult
	}
	if err != nil {
		return nil, err
	}
	if dataKey == nil {
		return nil, errNoResult
	}
	if len(dataKey) != req.Suite.DataKeyLength() {
		clear(dataKey)
		return nil, errtext.Errorf("keyring returned a data key of %d bytes, suite %v takes %d", len(dataKey), req.Suite, req.Suite.DataKeyLength())
	}
	return dataKey, nil
}

// Wrap implements the part of [Keyring.Wrap] that doesn't depend on how a key
// encrypts, for a keyring with one wrapping key. It calls encrypt with the data
// key of the request, or with a fresh one, which it clears if encrypt fails.
// The other argument of encrypt is the serialized encryption context, for use
// as additional data; it's empty for an empty context. encrypt must neither
// change nor keep its arguments.
//
// Wrap fails with the unchanged error of encrypt, with [ErrEncryptionContext],
// or if the suite isn't known or has data keys of another length.
func (req *WrapRequest) Wrap(encrypt func(dataKey, aad []byte) (EncryptedDataKey, error)) (*WrapResult, error) {
	s, err := req.Suite.lookup()
	if err != nil {
		return nil, err
	}
	aad, err := req.EncryptionContext.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	dataKey, generated := req.DataKey, []byte(nil)
	switch {
	case dataKey == nil:
		generated = make([]byte, s.KeyLength)
		rand.Read(generated)
		dataKey = generated
	case len(dataKey) != s.KeyLength:
		return nil, errtext.Errorf("data key to wrap has %d bytes, suite %v takes %d", len(dataKey), req.Suite, s.KeyLength)
	}
	edk, err := encrypt(dataKey, aad)
	if err != nil {
		clear(generated)
		return nil, err
	}
	result := &struct {
		WrapResult
		only [1]EncryptedDataKey
	}{only: [1]EncryptedDataKey{edk}}
	result.DataKey, result.EncryptedDataKeys = generated, result.only[:]
	return &result.WrapResult, nil
}

// Unwrap implements the part of [Keyring.Unwrap] that doesn't depend on how a
// key decrypts. It calls decrypt for the encrypted data keys for which match
// returns true, in order, until one succeeds or ctx ends. The other argument of
// decrypt is the serialized encryption context, as in [WrapRequest.Wrap].
// Neither function may change or keep its arguments.
//
// Unwrap fails with a [*NoDataKeyError] that holds the error of each attempt,
// with [ErrEncryptionContext], or if the suite isn't known. If decrypt fails
// because the data key isn't authentic, its error must match
// [ErrAuthentication]. If a data key doesn't have the suite's length, it's
// cleared and counts as not authentic.
func (req *UnwrapRequest) Unwrap(ctx context.Context, match func(*EncryptedDataKey) bool, decrypt func(edk *EncryptedDataKey, aad []byte) ([]byte, error)) ([]byte, error) {
	s, err := req.Suite.lookup()
	if err != nil {
		return nil, err
	}
	aad, err := format.AppendStored(nil, req.stored, req.EncryptionContext)
	if err != nil {
		return nil, contextError("%w", err)
	}
	var failed *NoDataKeyError // nil until something has failed
	for i := range req.EncryptedDataKeys {
		edk := &req.EncryptedDataKeys[i]
		if !match(edk) {
			continue
		}
		dataKey, err := decrypt(edk, aad)
		if err == nil && len(dataKey) != s.KeyLength {
			err = errtext.Inauthentic(fmt.Errorf("data key has %d bytes, suite %v takes %d", len(dataKey), req.Suite, s.KeyLength))
			clear(dataKey)
		}
		if err == nil {
			return dataKey, nil
		}
		if failed == nil {
			failed = new(NoDataKeyError)
		}
		failed.Errors = append(failed.Errors, fmt.Errorf("encrypted data key %d (%s): %w", i+1, edk.ProviderID, errtext.Bare(err)))
		// The caller no longer waits, so don't make the key service work.
		if failed.stops(ctx) {
			break
		}
	}
	return nil, cmp.Or(failed, new(NoDataKeyError))
}

// checkName rejects a namespace or name that a raw keyring must not use.
func checkName(namespace, name string) error {
	if err := datakey.CheckName(namespace, name); err != nil {
		return errtext.Errorf("%w", err)
	}
	return nil
}
