package esdk

import (
	"crypto/ecdsa"
	"maps"
	"slices"

	"esdk/internal/datakey"
	"esdk/internal/errtext"
	"esdk/internal/format"
	"esdk/internal/suite"
)

// EncryptionMaterials hold the keys that encrypt one message.
//
// Specification: [framework/structures.md#encryption-materials].
//
// [framework/structures.md#encryption-materials]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#encryption-materials
type EncryptionMaterials struct {
	Suite SuiteID

	// EncryptionContext is bound to the message. For a suite that signs, it
	// holds the public key as "aws-crypto-public-key".
	EncryptionContext EncryptionContext

	// RequiredContextKeys are the keys of pairs that are authenticated but not
	// stored.
	RequiredContextKeys []string

	DataKey           []byte
	EncryptedDataKeys []EncryptedDataKey

	// SigningKey is on the suite's curve, or nil if the suite doesn't sign. It
	// must not be changed: a caching CMM gives the same key to many callers.
	SigningKey *ecdsa.PrivateKey

	paired *ecdsa.PrivateKey // a signing key whose halves are known to match
}

// Check reports whether a [Client] with this policy would encrypt a message
// with these materials. A CMM that keeps another CMM's materials rejects the
// ones that every client would reject.
func (m *EncryptionMaterials) Check(policy CommitmentPolicy) error {
	_, err := m.check(policy)
	return err
}

// check rejects materials that the policy forbids, and materials for a message
// that nobody could decrypt, or that anyone could. The CMM may be the user's.
func (m *EncryptionMaterials) check(policy CommitmentPolicy) (*suite.Suite, error) {
	s, err := m.Suite.lookup()
	if err != nil {
		return nil, err
	}
	if err := policy.checkEncrypt(s); err != nil {
		return nil, err
	}
	if len(m.EncryptedDataKeys) == 0 {
		return nil, errtext.Errorf("materials have 0 encrypted data keys")
	}
	if len(m.DataKey) != s.KeyLength {
		return nil, errtext.Errorf("materials have a data key of %d bytes, suite %v takes %d", len(m.DataKey), m.Suite, s.KeyLength)
	}
	if datakey.IsZero(m.DataKey) {
		return nil, errZeroKey
	}
	for _, k := range m.RequiredContextKeys {
		if _, ok := m.EncryptionContext[k]; !ok || k == publicKeyKey {
			return nil, contextError("materials require key %q", k)
		}
	}
	encoded, ok := m.EncryptionContext[publicKeyKey]
	if ok != s.Signs() || ok != (m.SigningKey != nil) {
		return nil, contextError("materials have %q or a signing key where the suite does not sign, or lack them", publicKeyKey)
	}
	if !ok {
		return s, nil
	}
	if !s.FitsSigningKey(m.SigningKey) {
		return nil, errtext.Errorf("materials have a signing key of another curve than the suite's, or an incomplete one")
	}
	if want, err := s.EncodePublicKey(&m.SigningKey.PublicKey); err != nil || want != encoded {
		return nil, contextError("materials have a %q that is not the signing key's", publicKeyKey)
	}
	if m.SigningKey != m.paired && !s.IsPair(m.SigningKey) {
		return nil, errtext.Errorf("materials have a signing key whose halves do not belong together")
	}
	m.paired = m.SigningKey // a cache's copies needn't be checked again
	return s, nil
}

// Clone returns a copy that shares no slice or map. The signing key is shared.
func (m *EncryptionMaterials) Clone() *EncryptionMaterials {
	c := *m
	c.EncryptionContext = cloneContext(m.EncryptionContext)
	c.RequiredContextKeys = slices.Clone(m.RequiredContextKeys)
	c.DataKey = slices.Clone(m.DataKey)
	c.EncryptedDataKeys = cloneDataKeys(m.EncryptedDataKeys)
	return &c
}

// DecryptionMaterials hold the keys that decrypt one message.
//
// Specification: [framework/structures.md#decryption-materials].
//
// [framework/structures.md#decryption-materials]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/structures.md#decryption-materials
type DecryptionMaterials struct {
	// EncryptionContext holds the stored and the reproduced pairs.
	EncryptionContext EncryptionContext

	// RequiredContextKeys are the keys of pairs that were reproduced and aren't
	// stored.
	RequiredContextKeys []string

	DataKey []byte

	// VerificationKey is on the suite's curve, or nil if the suite doesn't
	// sign. It must not be changed.
	VerificationKey *ecdsa.PublicKey

	// Opened may be nil. Otherwise the [Client] calls it once, and says whether
	// these materials authenticated the message's header. A CMM that keeps
	// materials can then forget materials that never opened anything. Opened
	// must be safe for concurrent use. A CMM that wraps another passes it on;
	// if it serves several messages with the same materials, it calls Opened
	// for each.
	Opened func(ok bool)
}

// Check reports whether a [Client] can decrypt a message of the suite with
// these materials, as far as the materials alone tell: the lengths and the
// curve fit. A CMM that keeps another CMM's materials rejects the ones that
// every client would reject.
func (m *DecryptionMaterials) Check(id SuiteID) error {
	s, err := id.lookup()
	if err != nil {
		return err
	}
	return m.check(s)
}

func (m *DecryptionMaterials) check(s *suite.Suite) error {
	if len(m.DataKey) != s.KeyLength {
		return errtext.Errorf("materials have a data key of %d bytes, suite %s takes %d", len(m.DataKey), s.Name, s.KeyLength)
	}
	if s.Signs() && !s.FitsKey(m.VerificationKey) || !s.Signs() && m.VerificationKey != nil {
		return errtext.Errorf("materials have a verification key that does not fit suite %s", s.Name)
	}
	for _, k := range m.RequiredContextKeys {
		if _, ok := m.EncryptionContext[k]; !ok || k == publicKeyKey {
			return contextError("materials require key %q", k)
		}
	}
	return nil
}

// Clone returns a copy that shares no slice or map. The verification key and
// Opened are shared.
func (m *DecryptionMaterials) Clone() *DecryptionMaterials {
	c := *m
	c.EncryptionContext = cloneContext(m.EncryptionContext)
	c.RequiredContextKeys = slices.Clone(m.RequiredContextKeys)
	c.DataKey = slices.Clone(m.DataKey)
	return &c
}

// checkContext rejects materials whose context isn't exactly the stored pairs
// plus the required ones, or that lack a reproduced pair. Other pairs would not
// be authenticated. The CMM and the keyring may be the user's.
func (m *DecryptionMaterials) checkContext(h *format.Header, reproduced EncryptionContext) error {
	pairs := 0
	for k, v := range h.Pairs {
		pairs++
		if have, ok := m.EncryptionContext[k]; !ok || have != v {
			return contextError("the materials lack the pair of key %q that the message stores", k)
		}
	}
	for k, v := range reproduced {
		if have, ok := m.EncryptionContext[k]; !ok || have != v {
			return contextError("the materials lack the reproduced pair of key %q", k)
		}
	}
	if len(m.EncryptionContext) == pairs && len(m.RequiredContextKeys) == 0 {
		return nil // as with most messages, the pairs are the stored ones
	}
	stored := maps.Collect(h.Pairs)
	for _, k := range m.RequiredContextKeys {
		if _, ok := stored[k]; ok {
			return contextError("the materials require key %q not to be stored, and the message stores it", k)
		}
	}
	for k := range m.EncryptionContext {
		if _, ok := stored[k]; !ok && !slices.Contains(m.RequiredContextKeys, k) {
			return contextError("the materials have key %q, which the message does not store, and do not require it", k)
		}
	}
	return nil
}
