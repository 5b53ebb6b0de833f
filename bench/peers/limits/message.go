package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"errors"

	"esdk/bench/internal/peer"
)

// contextLength is the length of {"purpose":"bench"}, serialized.
const contextLength = 2 + 2 + 7 + 2 + 5

// headerLength is the length of the part that the header tag covers: version,
// suite, message id, context, one data key, content type, frame length and
// commitment.
const headerLength = 1 + 2 + 32 + 2 + contextLength + 2 + keyLength + 1 + 4 + 32

// keyLength is the length of a data key wrapped by a raw AES key: "bench",
// "aes256" with the lengths of tag and IV, and the data key with its tag.
const keyLength = 2 + 5 + 2 + 6 + 4 + 4 + 12 + 2 + 32 + tagLength

// forcedEncrypt makes the forced calls of a short unsigned message: random
// numbers, a wrapped data key, derived keys, the header tag, and one frame. It
// reuses the wrapping cipher, as a keyring can, and on demand the output.
func forcedEncrypt(size int, reuse bool) (peer.Operation, error) {
	wrapping, err := newGCM(peer.Key())
	if err != nil {
		return nil, err
	}
	plaintext, context := data(size), make([]byte, contextLength)
	header, aad := make([]byte, headerLength), make([]byte, aadLength)
	out := output(size+tagLength, reuse)
	return func() error {
		random := make([]byte, 32+32+12) // data key, message id, IV
		rand.Read(random)
		dataKey, messageID, iv := random[:32], random[32:64], random[64:]
		wrapping.Seal(nil, iv, dataKey, context)
		content, err := derive(dataKey, messageID)
		if err != nil {
			return err
		}
		gcm, err := newGCM(content)
		if err != nil {
			return err
		}
		nonce := make([]byte, 12)
		gcm.Seal(nil, nonce, nil, header)
		nonce[11] = 1
		gcm.Seal(out(), nonce, plaintext, aad)
		return nil
	}, nil
}

// forcedDecrypt does the same for decryption.
func forcedDecrypt(size int, reuse bool) (peer.Operation, error) {
	wrapping, err := newGCM(peer.Key())
	if err != nil {
		return nil, err
	}
	dataKey, messageID, context := peer.Key(), make([]byte, 32), make([]byte, contextLength)
	header, aad := make([]byte, headerLength), make([]byte, aadLength)
	iv, nonce, next := make([]byte, 12), make([]byte, 12), append(make([]byte, 11), 1)
	wrapped := wrapping.Seal(nil, iv, dataKey, context)
	content, err := derive(dataKey, messageID)
	if err != nil {
		return nil, err
	}
	gcm, err := newGCM(content)
	if err != nil {
		return nil, err
	}
	tag := gcm.Seal(nil, nonce, nil, header)
	frame := gcm.Seal(nil, next, data(size), aad)
	out := output(size, reuse)
	return func() error {
		dataKey, err := wrapping.Open(nil, iv, wrapped, context)
		if err != nil {
			return err
		}
		content, err := derive(dataKey, messageID)
		if err != nil {
			return err
		}
		gcm, err := newGCM(content)
		if err != nil {
			return err
		}
		if _, err := gcm.Open(nil, nonce, tag, header); err != nil {
			return err
		}
		_, err = gcm.Open(out(), next, frame, aad)
		return err
	}, nil
}

// output returns a function that returns memory for an output: always the same,
// or new.
func output(size int, reuse bool) func() []byte {
	out := make([]byte, 0, size)
	return func() []byte {
		if reuse {
			return out
		}
		return make([]byte, 0, size)
	}
}

// derive returns the content key and the commitment.
func derive(dataKey, messageID []byte) ([]byte, error) {
	prk, err := hkdf.Extract(sha512.New, dataKey, messageID)
	if err != nil {
		return nil, err
	}
	if _, err := hkdf.Expand(sha512.New, prk, "COMMITKEY", 32); err != nil {
		return nil, err
	}
	return hkdf.Expand(sha512.New, prk, "\x04\x78DERIVEKEY", 32)
}

// decompress does the step before a verification: the format has compressed
// public keys.
func decompress() (peer.Operation, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	uncompressed, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	compressed := append([]byte{2 | uncompressed[len(uncompressed)-1]&1}, uncompressed[1:49]...)
	return func() error {
		x, y := elliptic.UnmarshalCompressed(elliptic.P384(), compressed)
		if x == nil {
			return errors.New("no point")
		}
		point := append([]byte{4}, x.FillBytes(make([]byte, 48))...)
		point = append(point, y.FillBytes(make([]byte, 48))...)
		_, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
		return err
	}, nil
}
