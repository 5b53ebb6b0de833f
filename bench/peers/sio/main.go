// Sio is the peer of minio/sio, which is given the content key as it is: it wraps
// and derives none.
package main

import (
	"io"

	"github.com/minio/sio"

	"esdk/bench/internal/peer"
)

func main() { peer.Main("github.com/minio/sio", peer.Schemes(setUp)) }

func setUp(r *peer.Request) (*peer.Scheme, error) {
	if r.Suite == "0578" {
		return nil, peer.Unsupported("does not sign")
	}
	config := sio.Config{MinVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM}, Key: peer.Key()}
	s := &peer.Scheme{
		EncryptStream: func(dst io.Writer, plaintext io.Reader) error {
			w, err := sio.EncryptWriter(dst, config)
			if err != nil {
				return err
			}
			if _, err := io.Copy(w, peer.ReaderOnly(plaintext)); err != nil {
				return err
			}
			return w.Close()
		},
		DecryptStream: func(dst io.Writer, message io.Reader) error {
			r, err := sio.DecryptReader(message, config)
			if err != nil {
				return err
			}
			_, err = io.Copy(dst, r)
			return err
		},
	}
	return s.InMemory(), nil
}
