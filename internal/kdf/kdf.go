// Package kdf implements the key derivation of NIST SP 800-108, for which the
// standard library exports no function.
package kdf

import (
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// Counter returns length bytes of the KDF in counter mode, with HMAC and a
// 32-bit counter before the fixed input (SP 800-108r1, section 4.1). The
// capacity of the result holds only the result and zeros, and no other memory
// of this package holds a part of it.
func Counter(h func() hash.Hash, key, fixedInput []byte, length int) []byte {
	mac := hmac.New(h, key)
	blocks := (length + mac.Size() - 1) / mac.Size()
	// There is room for all blocks, so no outgrown array keeps a part of the
	// result.
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

// FixedInput returns label ‖ 0 ‖ context ‖ the length in bits as a 32-bit
// number.
func FixedInput(label, context []byte, length int) []byte {
	b := make([]byte, 0, len(label)+1+len(context)+4)
	b = append(append(b, label...), 0)
	b = append(b, context...)
	return binary.BigEndian.AppendUint32(b, uint32(length)*8)
}
