package esdk

import (
	"cmp"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"esdk/internal/errtext"
)

// ParsePEM returns the first key of type K in PEM data: a private key in PKCS
// #8, PKCS #1 or SEC 1, or a public key in SubjectPublicKeyInfo or PKCS #1. It
// doesn't decrypt keys. It skips other kinds of blocks, such as EC parameters.
//
//	key, err := esdk.ParsePEM[*rsa.PrivateKey](data)
func ParsePEM[K *rsa.PublicKey | *rsa.PrivateKey | *ecdh.PublicKey | *ecdh.PrivateKey](data []byte) (K, error) {
	var want K
	var firstErr error
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		key, err := parseKey(block)
		if err != nil {
			firstErr = cmp.Or(firstErr, err)
		} else if key, ok := key.(K); ok {
			return key, nil
		}
	}
	firstErr = cmp.Or(firstErr, errors.New("none found"))
	return want, errtext.Errorf("reading %s from PEM: %w", kindOf(want), firstErr)
}

func kindOf(key any) string {
	switch key.(type) {
	case *rsa.PrivateKey:
		return "an RSA private key"
	case *rsa.PublicKey:
		return "an RSA public key"
	case *ecdh.PrivateKey:
		return "an elliptic-curve private key"
	}
	return "an elliptic-curve public key"
}

// parseKey parses a block. It returns elliptic-curve keys as crypto/ecdh keys.
func parseKey(block *pem.Block) (key any, err error) {
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		err = errors.New("the private key is encrypted; decrypt it first")
	}
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k.ECDH()
	case *ecdsa.PublicKey:
		return k.ECDH()
	}
	return key, nil
}
