// Limits is the peer that does only the unavoidable work: the primitives of the
// standard library, over the same bytes.
package main

import (
	"crypto/sha512"

	"esdk/bench/internal/p384"
	"esdk/bench/internal/peer"
)

func main() { peer.Main("", open) }

func open(r *peer.Request) (peer.Operation, error) {
	switch r.Op {
	case "seal":
		return seal(r)
	case "open":
		return unseal(r)
	case "sha384":
		data := data(r.Size)
		return func() error {
			sha512.Sum384(data)
			return nil
		}, nil
	case "forced-encrypt":
		return forcedEncrypt(r.Size, r.Reuse)
	case "forced-decrypt":
		return forcedDecrypt(r.Size, r.Reuse)
	case "sign":
		return p384.Sign, nil
	case "verify":
		return p384.NewVerify()
	case "decompress":
		return decompress()
	}
	return nil, peer.Unsupported("operation " + r.Op)
}

// samples are kept for later requests of the same size.
var samples = map[int][]byte{}

func data(size int) []byte {
	if samples[size] == nil {
		samples[size] = peer.Pattern(size)
	}
	return samples[size]
}
