// Age is the peer of age, with an X25519 key.
package main

import (
	"io"

	"filippo.io/age"

	"esdk/bench/internal/peer"
)

func main() {
	// The key lives as long as the process, like the keys of the other peers.
	identity, err := age.GenerateX25519Identity()
	peer.Main("filippo.io/age", peer.Schemes(func(r *peer.Request) (*peer.Scheme, error) {
		if err != nil {
			return nil, err
		}
		if r.Suite == "0578" {
			return nil, peer.Unsupported("does not sign")
		}
		return scheme(identity), nil
	}))
}

func scheme(identity *age.X25519Identity) *peer.Scheme {
	return peer.Streams(
		func(dst io.Writer) (io.WriteCloser, error) { return age.Encrypt(dst, identity.Recipient()) },
		func(message io.Reader) (io.Reader, error) { return age.Decrypt(message, identity) },
	)
}
