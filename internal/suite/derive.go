package suite

import (
	"crypto/hkdf"
	"fmt"
	"hash"
)

// CommitmentLength is the length in bytes of the key commitment in the header
// of a suite that commits.
const CommitmentLength = 32

// Keys are the keys of one message.
type Keys struct {
	Content    []byte // encrypts the header tag and the body
	Commitment []byte // stored in the header; nil if the suite doesn't commit
}

// Clear overwrites the content key.
func (k *Keys) Clear() { clear(k.Content) }

// Derive derives the keys of the message with the ID from its data key, which
// it doesn't keep.
//
// Specification: framework/transitive-requirements.md#hkdf and
// framework/algorithm-suites.md#algorithm-suites-encryption-key-derivation-settings.
func (s *Suite) Derive(dataKey, messageID []byte) (Keys, error) {
	switch {
	case len(dataKey) != s.KeyLength:
		return Keys{}, fmt.Errorf("data key has %d bytes, suite 0x%04x takes %d", len(dataKey), s.ID, s.KeyLength)
	case s.kdf == 0:
		return Keys{Content: append([]byte(nil), dataKey...)}, nil
	case s.Commits:
		// Unlike the key's info, the commitment's has no suite ID.
		return s.HKDF(dataKey, messageID, s.KeyLength, s.info+"DERIVEKEY", "COMMITKEY")
	}
	return s.HKDF(dataKey, nil, s.KeyLength, s.info+string(messageID), "")
}

// DeriveNET400 derives the content key as version 4.0.0 of the .NET SDK did for
// suites that don't commit: without the message ID. See aws/aws-encryption-sdk
// issue 619.
func (s *Suite) DeriveNET400(dataKey []byte) (Keys, error) {
	return s.HKDF(dataKey, nil, s.KeyLength, s.info, "")
}

// HKDF implements RFC 5869 with the suite's hash. It derives a content key of
// the given length from one info and, if the suite commits, a commitment from
// another. It's exported for test vectors, which have other infos than the
// format.
func (s *Suite) HKDF(secret, salt []byte, length int, content, commitment string) (keys Keys, err error) {
	h := s.takeHashes()
	defer s.giveHashes(h)
	prk, err := hkdf.Extract(h.get, secret, salt)
	if err != nil {
		return Keys{}, err
	}
	defer clear(prk)
	if keys.Content, err = hkdf.Expand(h.get, prk, content, length); err != nil {
		return Keys{}, err
	}
	if s.Commits {
		if keys.Commitment, err = hkdf.Expand(h.get, prk, commitment, CommitmentLength); err != nil {
			return Keys{}, err
		}
	}
	return keys, nil
}

// hashes are two hash states for one derivation. HKDF makes one HMAC after the
// other, and an HMAC asks for two different states, so they alternate.
type hashes struct {
	states [2]hash.Hash
	next   int
}

func (h *hashes) get() hash.Hash {
	state := h.states[h.next]
	h.next ^= 1
	state.Reset()
	return state
}

func (s *Suite) takeHashes() *hashes {
	if h, ok := s.hashes.Get().(*hashes); ok {
		return h
	}
	return &hashes{states: [2]hash.Hash{s.kdf.New(), s.kdf.New()}}
}

// zeros is as long as the longest block of the hashes. It must not be changed.
var zeros [128]byte

// giveHashes returns hash states to the pool without any key. Reset alone
// leaves the last block in a state's buffer, and that block holds the data key.
// Writing one byte less than a block overwrites it without hashing.
func (s *Suite) giveHashes(h *hashes) {
	for _, state := range h.states {
		state.Reset()
		state.Write(zeros[:state.BlockSize()-1])
		state.Reset()
	}
	s.hashes.Put(h)
}
