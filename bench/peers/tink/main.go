// Tink is the peer of Tink's streaming AEAD, in segments of 4 KiB. It uses one
// key of its own for all messages.
package main

import (
	"io"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
	"github.com/tink-crypto/tink-go/v2/tink"

	"esdk/bench/internal/peer"
)

func main() {
	// The key lives as long as the process, like the keys of the other peers.
	aead, err := newAEAD()
	peer.Main("github.com/tink-crypto/tink-go/v2", peer.Schemes(func(r *peer.Request) (*peer.Scheme, error) {
		if err != nil {
			return nil, err
		}
		if r.Suite == "0578" {
			return nil, peer.Unsupported("does not sign")
		}
		return scheme(aead), nil
	}))
}

func newAEAD() (tink.StreamingAEAD, error) {
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF4KBKeyTemplate())
	if err != nil {
		return nil, err
	}
	return streamingaead.New(handle)
}

func scheme(aead tink.StreamingAEAD) *peer.Scheme {
	associated := []byte("purpose=bench")
	return peer.Streams(
		func(dst io.Writer) (io.WriteCloser, error) { return aead.NewEncryptingWriter(dst, associated) },
		func(message io.Reader) (io.Reader, error) { return aead.NewDecryptingReader(message, associated) },
	)
}
