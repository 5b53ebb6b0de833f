package vectors_test

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"encoding/binary"
	"slices"

	"esdk/internal/suite"
)

// A forgery makes a commitment that replaces the right one.
type forgery struct {
	name, description string
	plaintext         int // length in bytes
	forge             func(m *message, right []byte) ([]byte, error)
}

// The controls come first: with the right commitment the messages decrypt.
var forgeries = []forgery{
	{"control", "positive control: several frames", 4*frameLength - 7, right},
	{"control-full", "positive control: the final frame is full", 2 * frameLength, right},
	{"control-empty", "positive control: no plaintext", 0, right},

	{"first-bit", "the first bit is flipped", 3 * frameLength, flip(0, 0x80)},
	{"middle-bit", "a bit of the byte in the middle is flipped", 100, flip(suite.CommitmentLength/2, 0x10)},
	{"last-bit", "the last bit is flipped", 65, flip(suite.CommitmentLength-1, 0x01)},
	{"zero", "all bytes are zero", 1, zero},
	{"half", "only the first half is right, the rest is zero", 64, half},
	{"reversed", "the bytes are in reverse order", 63, reversed},
	{"other-key", "of another data key", 200, ofOtherKey},
	{"other-message", "of another message id", 128, ofOtherMessage},
	{"empty", "a bit is flipped, and there is no plaintext", 0, flip(7, 0x02)},

	{"info-suite", "derived with the suite id before the label", 66, derived(crypto.SHA512, withSuite("", "COMMITKEY"))},
	{"info-suite-after", "derived with the suite id behind the label", 67, derived(crypto.SHA512, withSuite("COMMITKEY", ""))},
	{"info-derivekey", "derived with the label of the content key, without the suite id", 68, derived(crypto.SHA512, plainInfo("DERIVEKEY"))},
	{"info-none", "derived without a label", 69, derived(crypto.SHA512, plainInfo(""))},
	{"info-message-id", "derived with the message id behind the label", 70, derived(crypto.SHA512, withMessageID)},
	{"sha256", "derived with HKDF-SHA-256", 71, derived(crypto.SHA256, plainInfo("COMMITKEY"))},
	{"sha384", "derived with HKDF-SHA-384", 72, derived(crypto.SHA384, plainInfo("COMMITKEY"))},
	{"no-salt", "derived without the message id as salt", 73, withoutSalt},
	{"no-extract", "expanded from the data key itself", 74, withoutExtract},
	{"no-expand", "the start of HKDF's pseudorandom key", 75, withoutExpand},
	{"second-half", "the second half of HKDF's first block, not the first", 76, secondHalf},
}

const commitLabel = "COMMITKEY"

func right(_ *message, right []byte) ([]byte, error) { return right, nil }

func flip(i int, bit byte) func(*message, []byte) ([]byte, error) {
	return func(_ *message, right []byte) ([]byte, error) {
		forged := bytes.Clone(right)
		forged[i] ^= bit
		return forged, nil
	}
}

func zero(*message, []byte) ([]byte, error) { return make([]byte, suite.CommitmentLength), nil }

func half(_ *message, right []byte) ([]byte, error) {
	forged := make([]byte, suite.CommitmentLength)
	copy(forged, right[:suite.CommitmentLength/2])
	return forged, nil
}

func reversed(_ *message, right []byte) ([]byte, error) {
	forged := bytes.Clone(right)
	slices.Reverse(forged)
	return forged, nil
}

func ofOtherKey(m *message, _ []byte) ([]byte, error) {
	keys, err := m.suite.Derive(random(m.label+" other data key", m.suite.KeyLength), m.id)
	if err != nil {
		return nil, err
	}
	return keys.Commitment, nil
}

func ofOtherMessage(m *message, _ []byte) ([]byte, error) {
	keys, err := m.suite.Derive(m.dataKey, random(m.label+" other message id", len(m.id)))
	if err != nil {
		return nil, err
	}
	return keys.Commitment, nil
}

// derived makes a commitment with HKDF and another hash or info.
func derived(hash crypto.Hash, info func(*message) string) func(*message, []byte) ([]byte, error) {
	return func(m *message, _ []byte) ([]byte, error) {
		return hkdf.Key(hash.New, m.dataKey, m.id, info(m), suite.CommitmentLength)
	}
}

func plainInfo(info string) func(*message) string {
	return func(*message) string { return info }
}

func withSuite(before, after string) func(*message) string {
	return func(m *message) string {
		return before + string(binary.BigEndian.AppendUint16(nil, m.suite.ID)) + after
	}
}

func withMessageID(m *message) string { return commitLabel + string(m.id) }

func withoutSalt(m *message, _ []byte) ([]byte, error) {
	return hkdf.Key(crypto.SHA512.New, m.dataKey, nil, commitLabel, suite.CommitmentLength)
}

func withoutExtract(m *message, _ []byte) ([]byte, error) {
	return hkdf.Expand(crypto.SHA512.New, m.dataKey, commitLabel, suite.CommitmentLength)
}

func withoutExpand(m *message, _ []byte) ([]byte, error) {
	prk, err := hkdf.Extract(crypto.SHA512.New, m.dataKey, m.id)
	if err != nil {
		return nil, err
	}
	return prk[:suite.CommitmentLength], nil
}

func secondHalf(m *message, _ []byte) ([]byte, error) {
	block, err := hkdf.Key(crypto.SHA512.New, m.dataKey, m.id, commitLabel, 2*suite.CommitmentLength)
	if err != nil {
		return nil, err
	}
	return block[suite.CommitmentLength:], nil
}
