// Esdk is the peer of the library of this repository.
package main

import (
	"context"
	"io"

	"esdk"
	"esdk/bench/internal/peer"
)

var encryptionContext = esdk.EncryptionContext{"purpose": "bench"}

func main() { peer.Main("esdk", peer.Schemes(setUp)) }

func setUp(r *peer.Request) (*peer.Scheme, error) {
	keyring, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "bench", Name: "aes256", Key: peer.Key()})
	if err != nil {
		return nil, err
	}
	suite := esdk.AES256GCMHKDFSHA512CommitECDSAP384
	if r.Suite == "0478" {
		suite = esdk.AES256GCMHKDFSHA512Commit
	}
	c, err := esdk.New(esdk.Config{Keyring: keyring, Suite: suite, Concurrency: r.Cores})
	if err != nil {
		return nil, err
	}
	s := &peer.Scheme{
		Encrypt:       func(_, plaintext []byte) ([]byte, error) { return first(c.Encrypt(ctx, plaintext, encryptionContext)) },
		Decrypt:       func(_, message []byte) ([]byte, error) { return first(c.Decrypt(ctx, message, nil)) },
		EncryptStream: func(dst io.Writer, plaintext io.Reader) error { return encryptStream(c, dst, plaintext) },
		DecryptStream: func(dst io.Writer, message io.Reader) error { return decryptStream(c, dst, message) },
	}
	if r.Reuse {
		s.Encrypt = func(dst, plaintext []byte) ([]byte, error) {
			return first(c.AppendEncrypt(ctx, dst, plaintext, encryptionContext))
		}
		s.Decrypt = func(dst, message []byte) ([]byte, error) { return first(c.AppendDecrypt(ctx, dst, message, nil)) }
	}
	return s, nil
}

var ctx = context.Background()

func first(out []byte, _ *esdk.Header, err error) ([]byte, error) { return out, err }

func encryptStream(c *esdk.Client, dst io.Writer, plaintext io.Reader) error {
	w, err := c.NewWriter(ctx, dst, encryptionContext)
	if err != nil {
		return err
	}
	if _, err := w.ReadFrom(plaintext); err != nil {
		return err
	}
	return w.Close()
}

func decryptStream(c *esdk.Client, dst io.Writer, message io.Reader) error {
	m, err := c.NewReader(ctx, message, nil)
	if err != nil {
		return err
	}
	_, err = m.WriteTo(dst)
	return err
}
