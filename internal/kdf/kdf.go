// Package kdf derives keys as NIST SP 800-108 describes it, which the standard
// library has no exported function for.
package kdf

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// Counter returns length bytes of the KDF in counter mode, with HMAC and a counter
// of 32 bits before the fixed input (SP 800-108r1, section 4.1). The capacity of
// the result holds nothing but the result and zeros, and no other memory of this
// package holds a part of it.
func Counter(h func() hash.Hash, key, fixedInput []byte, length int) []byte {
	mac := hmac.New(h, key)
	blocks := (length + mac.Size() - 1) / mac.Size()
	// With room for all blocks, no array that grew keeps a part of the result.
	out := make([]byte, 0, blocks*mac.Size())
	for i := range blocks {
		mac.Reset()
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(i+1)))
		mac.Write(fixedInput)
		out = mac.Sum(out)
	}
	clear(out[length:])
	return out[:length]
}

// FixedInput returns label ‖ 0 ‖ context ‖ the length in bits, of 32 bits.
func FixedInput(label, context []byte, length int) []byte {
	b := make([]byte, 0, len(label)+1+len(context)+4)
	b = append(append(b, label...), 0)
	b = append(b, context...)
	return binary.BigEndian.AppendUint32(b, uint32(length)*8)
}
