// Package ecpoint converts points of the NIST curves between their
// uncompressed and compressed forms (SEC 1, section 2.3).
//
// The standard library parses uncompressed points only in its current key
// types, and the message format stores compressed ones.
package ecpoint

import (
	"crypto/elliptic"
	"errors"
)

// Compress returns the compressed form of an uncompressed point, which must be
// valid: 0x04 ‖ X ‖ Y becomes 0x02 or 0x03 ‖ X.
func Compress(uncompressed []byte) []byte {
	size := (len(uncompressed) - 1) / 2
	compressed := make([]byte, 1+size)
	compressed[0] = 2 | uncompressed[len(uncompressed)-1]&1
	copy(compressed[1:], uncompressed[1:1+size])
	return compressed
}

// Decompress returns the uncompressed form of a compressed point. It fails if
// the point has another length or form, or isn't on the curve.
func Decompress(curve elliptic.Curve, compressed []byte) ([]byte, error) {
	x, y := elliptic.UnmarshalCompressed(curve, compressed)
	if x == nil {
		return nil, errors.New("not a compressed point of " + curve.Params().Name)
	}
	size := (curve.Params().BitSize + 7) / 8
	uncompressed := make([]byte, 1+2*size)
	uncompressed[0] = 4
	x.FillBytes(uncompressed[1 : 1+size])
	y.FillBytes(uncompressed[1+size:])
	return uncompressed, nil
}
