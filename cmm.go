package esdk

import (
	"context"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// A CMM (cryptographic materials manager) assembles the keys of a message. Most
// users don't need their own: a [Client] with a [Keyring] uses the default CMM.
// Package [esdk/esdktest] checks other implementations.
//
// A CMM must be safe for concurrent use. It must not change a request or keep
// any of its slices or maps. The materials belong to the caller, which clears
// the data key, so a CMM that keeps materials returns copies.
//
// A CMM that allows only some suites checks the suite of the materials. The
// suite of the request isn't enough: it's 0 for the default, which signs, and
// the CMM beneath may choose another. To decrypt, the suite of the request is
// the message's.
//
// Specification: [framework/cmm-interface.md].
//
// [framework/cmm-interface.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/cmm-interface.md
type CMM interface {
	// EncryptionMaterials returns the keys that encrypt one message. It may
	// change the encryption context: the message gets the pairs in the
	// materials, not the pairs in the request.
	EncryptionMaterials(ctx context.Context, req *EncryptionRequest) (*EncryptionMaterials, error)

	// DecryptionMaterials returns the keys that decrypt one message. It fails
	// with [ErrEncryptionContext] if the message has another value for a
	// reproduced pair.
	DecryptionMaterials(ctx context.Context, req *DecryptionRequest) (*DecryptionMaterials, error)
}

// An EncryptionRequest asks a [CMM] for materials to encrypt with.
type EncryptionRequest struct {
	EncryptionContext EncryptionContext // never nil
	CommitmentPolicy  CommitmentPolicy

	// Suite is the suite of the [Config]. It's 0 if the Config has none: the
	// CMM that makes the materials then chooses, within the policy.
	Suite SuiteID

	// RequiredContextKeys are the keys of the pairs that must not be stored.
	RequiredContextKeys []string

	// PlaintextLength is the length of the plaintext in bytes, or an upper
	// bound. It is -1 if neither is known.
	PlaintextLength int64
}

// A DecryptionRequest asks a [CMM] for materials to decrypt with.
type DecryptionRequest struct {
	Suite             SuiteID // of the message, never 0
	CommitmentPolicy  CommitmentPolicy
	EncryptionContext EncryptionContext // as the message stores it; never nil
	EncryptedDataKeys []EncryptedDataKey

	// ReproducedContext is the encryption context that the caller gave. It is
	// never nil.
	ReproducedContext EncryptionContext
}

var errNoMaterials = errtext.Errorf("the CMM returned neither materials nor an error")

// encryptionMaterials asks a CMM, which may be the user's, and never returns
// nil without an error. All calls to a user's CMM go through it or
// decryptionMaterials.
func encryptionMaterials(ctx context.Context, cmm CMM, req *EncryptionRequest) (*EncryptionMaterials, error) {
	m, err := cmm.EncryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errNoMaterials
	}
	return m, nil
}

func decryptionMaterials(ctx context.Context, cmm CMM, req *DecryptionRequest) (*DecryptionMaterials, error) {
	m, err := cmm.DecryptionMaterials(ctx, req)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errNoMaterials
	}
	return m, nil
}

type defaultCMM struct{ keyring Keyring }

// NewDefaultCMM returns the CMM that a [Client] uses if it's given a keyring.
// Each message has its own data key, made by the keyring, and its own signing
// key pair if its suite signs. Use it as the base of another CMM.
//
// Specification: [framework/default-cmm.md].
//
// [framework/default-cmm.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/default-cmm.md
func NewDefaultCMM(kr Keyring) (CMM, error) {
	if isnil.Value(kr) {
		return nil, errtext.Errorf("default CMM needs a keyring")
	}
	return &defaultCMM{kr}, nil
}

func (c *defaultCMM) EncryptionMaterials(ctx context.Context, req *EncryptionRequest) (*EncryptionMaterials, error) {
	id := req.Suite
	if id == 0 {
		id = req.CommitmentPolicy.defaultSuite()
	}
	s, err := id.lookup()
	if err != nil {
		return nil, err
	}
	if err := req.CommitmentPolicy.checkEncrypt(s); err != nil {
		return nil, err
	}
	if _, ok := req.EncryptionContext[publicKeyKey]; ok {
		return nil, contextError("key %q is reserved", publicKeyKey)
	}
	for _, k := range req.RequiredContextKeys {
		if _, ok := req.EncryptionContext[k]; !ok {
			return nil, contextError("required key %q is missing", k)
		}
	}
	m := &EncryptionMaterials{
		Suite:               id,
		EncryptionContext:   cloneContext(req.EncryptionContext),
		RequiredContextKeys: slices.Clone(req.RequiredContextKeys),
	}
	if s.Signs() {
		if m.SigningKey, err = s.GenerateSigningKey(); err != nil {
			return nil, errtext.Errorf("making a signing key: %w", err)
		}
		m.paired = m.SigningKey
		if m.EncryptionContext[publicKeyKey], err = s.EncodePublicKey(&m.SigningKey.PublicKey); err != nil {
			return nil, errtext.Errorf("making a signing key: %w", err)
		}
	}
	encoded := m.EncryptionContext[publicKeyKey]
	wrapped, err := wrap(ctx, c.keyring, &WrapRequest{Suite: id, EncryptionContext: m.EncryptionContext})
	if err != nil {
		return nil, err
	}
	if !isContextOf(m.EncryptionContext, req.EncryptionContext, encoded) {
		clear(wrapped.DataKey)
		return nil, contextError("the keyring changed the encryption context of its request")
	}
	m.DataKey, m.EncryptedDataKeys = wrapped.DataKey, wrapped.EncryptedDataKeys
	return m, nil
}

// isContextOf reports whether a context still equals the requested one, plus
// the encoded public key unless encoded is empty. The data keys are bound to
// the context that a keyring saw, and the message is bound to this one.
func isContextOf(have, asked EncryptionContext, encoded string) bool {
	want := len(asked)
	if encoded != "" {
		want++
	}
	for k, v := range asked {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return len(have) == want && have[publicKeyKey] == encoded
}

func (c *defaultCMM) DecryptionMaterials(ctx context.Context, req *DecryptionRequest) (*DecryptionMaterials, error) {
	copied := *req
	copied.EncryptionContext = cloneContext(req.EncryptionContext)
	return c.takeDecryption(ctx, &copied, "")
}

// takeDecryption is like DecryptionMaterials, but the materials take the
// encryption context of the request. The bytes of the message's context may be
// empty.
func (c *defaultCMM) takeDecryption(ctx context.Context, req *DecryptionRequest, stored string) (*DecryptionMaterials, error) {
	s, err := req.Suite.lookup()
	if err != nil {
		return nil, err
	}
	if err := req.CommitmentPolicy.checkDecrypt(s); err != nil {
		return nil, err
	}
	both := new(struct { // in one allocation
		materials DecryptionMaterials
		request   UnwrapRequest
	})
	m := &both.materials
	m.EncryptionContext = req.EncryptionContext
	if m.RequiredContextKeys, err = m.EncryptionContext.reproduce(req.ReproducedContext); err != nil {
		return nil, err
	}
	encoded, ok := m.EncryptionContext[publicKeyKey]
	if ok != s.Signs() {
		return nil, contextError("%q belongs to signed messages, and to all of them", publicKeyKey)
	}
	if ok {
		if m.VerificationKey, err = s.DecodePublicKey(encoded); err != nil {
			return nil, contextError("%q: %v", publicKeyKey, err)
		}
	}
	both.request = UnwrapRequest{
		Suite:             req.Suite,
		EncryptionContext: m.EncryptionContext,
		EncryptedDataKeys: req.EncryptedDataKeys,
		stored:            stored,
	}
	m.DataKey, err = unwrap(ctx, c.keyring, &both.request)
	if err != nil {
		if none, ok := err.(*NoDataKeyError); ok {
			return nil, none
		}
		return nil, &NoDataKeyError{[]error{err}}
	}
	return m, nil
}

// reproduce adds the reproduced pairs to a stored context, and lists the keys
// that weren't stored. A reproduced pair that is stored must have the same
// value.
func (ec EncryptionContext) reproduce(reproduced EncryptionContext) (added []string, err error) {
	for k, v := range reproduced {
		have, ok := ec[k]
		switch {
		case ok && have != v:
			return nil, contextError("the message has another value for key %q", k)
		case ok:
		case k == publicKeyKey:
			return nil, contextError("the message has no %q", k)
		default:
			ec[k] = v
			added = append(added, k)
		}
	}
	slices.Sort(added)
	return added, nil
}
