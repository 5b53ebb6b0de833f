// Package p384 does the work of a message's signature: a part of the limits.
package p384

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"runtime"
	"sync"
)

var digest = make([]byte, 48)

// Sign makes a new key and a signature, as each signed message needs.
func Sign() error {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	_, err = ecdsa.SignASN1(rand.Reader, key, digest)
	return err
}

// NewVerify returns a function that verifies a signature. It's safe for
// concurrent use.
func NewVerify() (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	return func() error {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, signature) {
			return errors.New("signature not valid")
		}
		return nil
	}, nil
}

// Repeat calls op n times, on all cores.
func Repeat(n int, op func() error) error {
	cores := runtime.GOMAXPROCS(0)
	errs := make([]error, cores)
	var all sync.WaitGroup
	for i := range cores {
		all.Go(func() {
			for range n*(i+1)/cores - n*i/cores {
				if err := op(); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
