package caching

import (
	"crypto/sha512"
	"encoding/binary"
	"slices"

	"esdk"
)

// encryptionID identifies everything that materials depend on. The
// specification's IDs leave out the required keys and the policy. With them, a
// hit could store pairs that must not be stored, or have a suite that the
// policy forbids. IDs are never part of a message, and needn't match other
// implementations.
func (c *cmm) encryptionID(req *esdk.EncryptionRequest) (string, error) {
	id := newCacheID("encrypt", c.Partition)
	id.uint(uint64(req.CommitmentPolicy))
	id.uint(uint64(req.Suite))
	if err := id.context(req.EncryptionContext); err != nil {
		return "", err
	}
	keys := slices.Sorted(slices.Values(req.RequiredContextKeys))
	id.uint(uint64(len(keys)))
	for _, k := range keys {
		id.bytes([]byte(k))
	}
	return id.sum(), nil
}

// decryptionID does the same for decryption. It includes the reproduced pairs,
// so that a hit doesn't skip their comparison.
func (c *cmm) decryptionID(req *esdk.DecryptionRequest) (string, error) {
	id := newCacheID("decrypt", c.Partition)
	id.uint(uint64(req.CommitmentPolicy))
	id.uint(uint64(req.Suite))
	for _, ec := range []esdk.EncryptionContext{req.EncryptionContext, req.ReproducedContext} {
		if err := id.context(ec); err != nil {
			return "", err
		}
	}
	for _, k := range req.EncryptedDataKeys {
		id.bytes([]byte(k.ProviderID))
		id.bytes(k.ProviderInfo)
		id.bytes(k.Ciphertext)
	}
	return id.sum(), nil
}

// cacheID collects fields, each prefixed by its length, so that no two lists of
// fields have the same bytes.
type cacheID []byte

func newCacheID(operation, partition string) *cacheID {
	id := new(cacheID)
	id.bytes([]byte(operation))
	id.bytes([]byte(partition))
	return id
}

func (id *cacheID) uint(n uint64) { *id = binary.BigEndian.AppendUint64(*id, n) }

func (id *cacheID) bytes(b []byte) {
	id.uint(uint64(len(b)))
	*id = append(*id, b...)
}

func (id *cacheID) context(ec esdk.EncryptionContext) error {
	b, err := ec.AppendBinary(nil)
	id.bytes(b)
	return err
}

func (id *cacheID) sum() string {
	sum := sha512.Sum384(*id)
	return string(sum[:])
}
