package esdk

import (
	"context"
	"slices"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

// A CMM (cryptographic materials manager) assembles the keys of a message. Most
// users need none of their own: a [Client] with a [Keyring] uses the default
// one. Package esdktest checks one of your own.
//
// A CMM must be safe for concurrent use. It must not change a request, nor keep
// any slice or map of it. The materials belong to the caller, who clears the
// data key: a CMM that keeps materials returns copies.
// Specification: framework/cmm-interface.md.
type CMM interface {
	// EncryptionMaterials returns what encrypts one message. It may change the
	// encryption context: the message then has the pairs of the materials, and
	// not those that were asked for.
	EncryptionMaterials(ctx context.Context, req *EncryptionRequest) (*EncryptionMaterials, error)

	// DecryptionMaterials returns what decrypts one message. It fails with
	// [ErrEncryptionContext] if a reproduced pair is not as the message has it.
	DecryptionMaterials(ctx context.Context, req *DecryptionRequest) (*DecryptionMaterials, error)
}

// An EncryptionRequest asks a [CMM] for materials to encrypt with.
type EncryptionRequest struct {
	EncryptionContext EncryptionContext // never nil
	CommitmentPolicy  CommitmentPolicy

	// Suite is the one to use; 0 leaves it to the CMM, within the policy.
	Suite SuiteID

	// RequiredContextKeys are the keys of the pairs that are not to be stored.
	RequiredContextKeys []string

	// PlaintextLength is the length of the plaintext in bytes, or a bound on it;
	// -1 if neither is known.
	PlaintextLength int64
}

// A DecryptionRequest asks a [CMM] for materials to decrypt with.
type DecryptionRequest struct {
	Suite             SuiteID
	CommitmentPolicy  CommitmentPolicy
	EncryptionContext EncryptionContext // as the message stores it; never nil
	EncryptedDataKeys []EncryptedDataKey

	// ReproducedContext is what the caller knows of the encryption context; never nil.
	ReproducedContext EncryptionContext
}

var errNoMaterials = errtext.Errorf("the CMM returned neither materials nor an error")

// encryptionMaterials asks a CMM, which may be the user's, and never returns nil
// without an error. All calls of a CMM go through it and decryptionMaterials.
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

// NewDefaultCMM returns the CMM that a [Client] uses if it is given a keyring:
// each message has a data key of the keyring, and, if its suite signs, a key
// pair of its own. It is there to be put under another CMM.
// Specification: framework/default-cmm.md.
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

// isContextOf reports whether a context is still that of a request and, unless it
// is empty, the encoded public key. The data keys are bound to the context that a
// keyring saw, and the message to this one.
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
	s, err := req.Suite.lookup()
	if err != nil {
		return nil, err
	}
	if err := req.CommitmentPolicy.checkDecrypt(s); err != nil {
		return nil, err
	}
	m := new(DecryptionMaterials)
	m.EncryptionContext, m.RequiredContextKeys, err = reproduce(req.EncryptionContext, req.ReproducedContext)
	if err != nil {
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
	m.DataKey, err = unwrap(ctx, c.keyring, &UnwrapRequest{
		Suite:             req.Suite,
		EncryptionContext: m.EncryptionContext,
		EncryptedDataKeys: req.EncryptedDataKeys,
	})
	if err != nil {
		if none, ok := err.(*NoDataKeyError); ok {
			return nil, none
		}
		return nil, &NoDataKeyError{[]error{err}}
	}
	return m, nil
}

// reproduce adds to a stored context the pairs that the caller reproduced, and
// lists the keys of those that were not stored. A pair that is stored must be
// the same.
func reproduce(stored, reproduced EncryptionContext) (full EncryptionContext, added []string, err error) {
	full = cloneContext(stored)
	for k, v := range reproduced {
		have, ok := stored[k]
		switch {
		case ok && have != v:
			return nil, nil, contextError("the message has another value for key %q", k)
		case ok:
		case k == publicKeyKey:
			return nil, nil, contextError("the message has no %q", k)
		default:
			full[k] = v
			added = append(added, k)
		}
	}
	slices.Sort(added)
	return full, added, nil
}
