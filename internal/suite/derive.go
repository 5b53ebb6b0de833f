package suite

import (
	"crypto"
	"crypto/hkdf"
	"fmt"
	"hash"
)

// CommitmentLength is the length in bytes of the key commitment in the header
// of a suite that commits.
const CommitmentLength = 32

// Keys are the keys of one message.
type Keys struct {
	Content    []byte // encrypts header tag and body
	Commitment []byte // stored in the header; nil if the suite does not commit
}

// Clear overwrites the content key.
func (k *Keys) Clear() { clear(k.Content) }

// Derive derives the keys of the message with the id from its data key, which
// it does not keep. Specification: framework/transitive-requirements.md#hkdf
// and framework/algorithm-suites.md#algorithm-suites-encryption-key-derivation-settings.
func (s *Suite) Derive(dataKey, messageID []byte) (*Keys, error) {
	switch {
	case len(dataKey) != s.KeyLength:
		return nil, fmt.Errorf("data key has %d bytes, suite 0x%04x takes %d", len(dataKey), s.ID, s.KeyLength)
	case s.kdf == 0:
		return &Keys{Content: append([]byte(nil), dataKey...)}, nil
	case s.Commits:
		return s.deriveCommitting(dataKey, messageID)
	}
	return s.expand(dataKey, s.info+string(messageID))
}

// DeriveNET400 derives the content key as version 4.0.0 of the .NET SDK did for
// suites that do not commit: without the message id.
// See aws/aws-encryption-sdk issue 619.
func (s *Suite) DeriveNET400(dataKey []byte) (*Keys, error) {
	return s.expand(dataKey, s.info)
}

func (s *Suite) expand(dataKey []byte, info string) (*Keys, error) {
	h := s.takeHashes()
	defer s.giveHashes(h)
	content, err := hkdf.Key(h.next, dataKey, nil, info, s.KeyLength)
	if err != nil {
		return nil, err
	}
	return &Keys{Content: content}, nil
}

func (s *Suite) deriveCommitting(dataKey, messageID []byte) (*Keys, error) {
	h := s.takeHashes()
	defer s.giveHashes(h)
	prk, err := hkdf.Extract(h.next, dataKey, messageID)
	if err != nil {
		return nil, err
	}
	defer clear(prk)
	content, err := hkdf.Expand(h.next, prk, s.info+"DERIVEKEY", s.KeyLength)
	if err != nil {
		return nil, err
	}
	// The commitment's info has no suite id, unlike the key's.
	commitment, err := hkdf.Expand(h.next, prk, "COMMITKEY", CommitmentLength)
	if err != nil {
		return nil, err
	}
	return &Keys{Content: content, Commitment: commitment}, nil
}

// hashes are the hash states that HKDF asks for in one derivation, of which it
// forgets each when it is done. They are a quarter of what a short message
// allocates, and so are kept for the next one.
type hashes struct {
	kdf    crypto.Hash
	states []hash.Hash
	used   int
}

func (h *hashes) next() hash.Hash {
	if h.used == len(h.states) {
		h.states = append(h.states, h.kdf.New())
	}
	h.used++
	return h.states[h.used-1]
}

func (s *Suite) takeHashes() *hashes {
	if h, ok := s.hashes.Get().(*hashes); ok {
		return h
	}
	return &hashes{kdf: s.kdf}
}

func (s *Suite) giveHashes(h *hashes) {
	for _, state := range h.states[:h.used] {
		state.Reset()
	}
	h.used = 0
	s.hashes.Put(h)
}
