// Age is the peer of age, with an X25519 key.
package main

import (
	"io"

	"filippo.io/age"

	"esdk/bench/internal/peer"
)

func main() {
	// The key is as long-lived as the process, as that of the other peers is.
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
	s := &peer.Scheme{
		EncryptStream: func(dst io.Writer, plaintext io.Reader) error {
			w, err := age.Encrypt(dst, identity.Recipient())
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, peer.ReaderOnly(plaintext)); err != nil {
				return err
			}
			return w.Close()
		},
		DecryptStream: func(dst io.Writer, message io.Reader) error {
			r, err := age.Decrypt(message, identity)
			if err != nil {
				return err
			}
			_, err = io.Copy(dst, r)
			return err
		},
	}
	return s.InMemory()
}
