package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync"

	"esdk/bench/internal/peer"
)

const (
	blockLength = 4096
	tagLength   = 16
	// aadLength is the length of the message id, the text and the numbers that
	// a frame is bound to.
	aadLength = 32 + 28 + 12
)

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal encrypts all blocks in place, with as many goroutines as cores.
func seal(r *peer.Request) (peer.Operation, error) {
	gcm, err := newGCM(peer.Key())
	if err != nil {
		return nil, err
	}
	plaintext := data(r.Size)
	blocks := (r.Size + blockLength - 1) / blockLength
	var reused []byte
	return func() error {
		out := reused
		if out == nil {
			out = make([]byte, r.Size+blocks*tagLength)
		}
		if r.Reuse {
			reused = out
		}
		share(blocks, r.Cores, func(from, to int) error {
			nonce, aad := make([]byte, 12), make([]byte, aadLength)
			block := blocksOf(plaintext, blockLength, r.Copied)
			for i := from; i < to; i++ {
				binary.BigEndian.PutUint32(nonce[8:], uint32(i))
				at := i * (blockLength + tagLength)
				gcm.Seal(out[at:at], nonce, block(i), aad)
			}
			return nil
		})
		return nil
	}, nil
}

// unseal decrypts all blocks.
func unseal(r *peer.Request) (peer.Operation, error) {
	gcm, err := newGCM(peer.Key())
	if err != nil {
		return nil, err
	}
	blocks := (r.Size + blockLength - 1) / blockLength
	message := sealed(gcm, r.Size)
	var reused []byte
	return func() error {
		out := reused
		if out == nil {
			out = make([]byte, r.Size)
		}
		if r.Reuse {
			reused = out
		}
		return share(blocks, r.Cores, func(from, to int) error {
			nonce, aad := make([]byte, 12), make([]byte, aadLength)
			block := blocksOf(message, blockLength+tagLength, r.Copied)
			for i := from; i < to; i++ {
				binary.BigEndian.PutUint32(nonce[8:], uint32(i))
				if _, err := gcm.Open(out[i*blockLength:i*blockLength], nonce, block(i), aad); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}

// blocksOf returns a function that returns a block of the input. If it's
// copied, as from a file, so are 64 blocks at once, into memory that stays in a
// cache.
func blocksOf(in []byte, length int, copied bool) func(i int) []byte {
	from := func(memory []byte, i int) []byte { return memory[i*length : min((i+1)*length, len(memory))] }
	if !copied {
		return func(i int) []byte { return from(in, i) }
	}
	const together = 64
	memory, batch := make([]byte, together*length), -1
	have := memory
	return func(i int) []byte {
		if i/together != batch {
			batch = i / together
			have = memory[:copy(memory, in[batch*together*length:])]
		}
		return from(have, i%together)
	}
}

var sealedSamples = map[int][]byte{}

func sealed(gcm cipher.AEAD, size int) []byte {
	if message, ok := sealedSamples[size]; ok {
		return message
	}
	plaintext := data(size)
	// Each call of Seal would grow its output by the minimum.
	message := make([]byte, 0, size+(size/blockLength+1)*tagLength)
	nonce, aad := make([]byte, 12), make([]byte, aadLength)
	for i := 0; i*blockLength < size; i++ {
		binary.BigEndian.PutUint32(nonce[8:], uint32(i))
		message = gcm.Seal(message, nonce, plaintext[i*blockLength:min((i+1)*blockLength, size)], aad)
	}
	sealedSamples[size] = message
	return message
}

// share splits the work on n blocks between the cores.
func share(n, cores int, work func(from, to int) error) error {
	if cores <= 1 {
		return work(0, n)
	}
	errs := make([]error, cores)
	var all sync.WaitGroup
	for i := range cores {
		all.Go(func() { errs[i] = work(n*i/cores, n*(i+1)/cores) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
