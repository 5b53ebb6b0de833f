// Sio is the peer of minio/sio. It gets the content key directly: it neither
// wraps nor derives keys.
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
	return peer.Streams(
		func(dst io.Writer) (io.WriteCloser, error) { return sio.EncryptWriter(dst, config) },
		func(message io.Reader) (io.Reader, error) { return sio.DecryptReader(message, config) },
	), nil
}
