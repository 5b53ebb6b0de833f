package keyspec

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rsa"
	"encoding/pem"
	"slices"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// A pemKey is a type of key in PEM files.
type pemKey interface {
	*rsa.PublicKey | *rsa.PrivateKey | *ecdh.PublicKey | *ecdh.PrivateKey
}

// onlyKey returns the key of a given type in PEM data. It's an error if there
// are several different ones.
func onlyKey[K pemKey](data []byte) (none K, err error) {
	var keys []K
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		text := pem.EncodeToMemory(block)
		key, err := esdk.ParsePEM[K](text)
		clear(text)
		clear(block.Bytes)
		if err == nil && !slices.ContainsFunc(keys, func(k K) bool { return sameKey(k, key) }) {
			keys = append(keys, key)
		}
	}
	switch len(keys) {
	case 0:
		return esdk.ParsePEM[K](data)
	case 1:
		return keys[0], nil
	}
	return none, cli.UsageError("the file contains %d different keys", len(keys)).WithHint("put the right key into a file of its own")
}

func sameKey(a, b any) bool {
	switch a := a.(type) {
	case interface{ Equal(crypto.PrivateKey) bool }:
		return a.Equal(b)
	case interface{ Equal(crypto.PublicKey) bool }:
		return a.Equal(b)
	}
	return false
}

// checkPair returns an error if the public key beside a private key isn't its
// own, since it's unclear which one should encrypt.
func checkPair(file string, own, beside any) error {
	if sameKey(own, beside) {
		return nil
	}
	return cli.UsageError("%s: the file contains a private key and the public key of another", cli.Printable(file)).
		WithHint("put the right key into a file of its own")
}

// fileError returns an error that names its key file.
func fileError(file string, err error) error {
	return cli.WithCode(cli.ExitUsage, cli.Errorf("%s: %w", cli.Printable(file), err))
}
