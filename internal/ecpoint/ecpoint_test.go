package ecpoint

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
)

var curves = map[ecdh.Curve]elliptic.Curve{
	ecdh.P256(): elliptic.P256(),
	ecdh.P384(): elliptic.P384(),
	ecdh.P521(): elliptic.P521(),
}

func TestRoundTrip(t *testing.T) {
	for curve, params := range curves {
		signs := make(map[byte]bool)
		for range 20 {
			key, err := curve.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			point := key.PublicKey().Bytes()
			compressed := Compress(point)
			signs[compressed[0]] = true
			got, err := Decompress(params, compressed)
			if err != nil || !bytes.Equal(got, point) {
				t.Errorf("%v: %x became %x and %x, %v", curve, point, compressed, got, err)
			}
			// The other sign is the other point with the same X.
			compressed[0] ^= 1
			if other, err := Decompress(params, compressed); err != nil || bytes.Equal(other, point) {
				t.Errorf("%v: other sign: %x, %v", curve, other, err)
			}
		}
		if !signs[2] || !signs[3] || len(signs) != 2 {
			t.Errorf("%v: forms %v", curve, signs)
		}
	}
}

func TestDecompressRefuses(t *testing.T) {
	for curve, params := range curves {
		key, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point := key.PublicKey().Bytes()
		good := Compress(point)
		change := func(i int, v byte) []byte {
			b := bytes.Clone(good)
			b[i] = v
			return b
		}
		beyond := bytes.Repeat([]byte{0xFF}, len(good))
		beyond[0] = 2
		for name, b := range map[string][]byte{
			"nothing":         nil,
			"one byte":        {2},
			"infinity":        {0},
			"long infinity":   change(0, 0),
			"uncompressed":    point,
			"form 4":          change(0, 4),
			"form 1":          change(0, 1),
			"short":           good[:len(good)-1],
			"long":            append(bytes.Clone(good), 0),
			"X not a residue": beyond,
		} {
			if got, err := Decompress(params, b); err == nil {
				t.Errorf("%v: %s gives %x", curve, name, got)
			}
		}
	}
	// About half of all X are on a curve; the rest fail.
	refused := 0
	for range 100 {
		b := make([]byte, 33)
		rand.Read(b)
		b[0] = 2
		if _, err := Decompress(elliptic.P256(), b); err != nil {
			refused++
		}
	}
	if refused < 10 || refused > 90 {
		t.Errorf("%d of 100 random X were refused", refused)
	}
}
