package caching

import (
	"sync"

	"esdk"
)

// cachedEncryption holds materials and counts their use. It has no limits,
// since the CMMs that share it may have different ones.
//
// It owns its data key, which is overwritten once the value is unreachable.
// Callers get copies.
type cachedEncryption struct {
	cachedID
	materials *esdk.EncryptionMaterials

	mu       sync.Mutex
	reserved *call  // already counted, not yet served
	messages uint64 // encrypted
	bytes    int64  // of their plaintexts
}

// cachedDecryption holds materials, and whether they are right. A data key can
// be wrong: with PKCS #1 v1.5, a keyring returns a random data key if a token
// fails.
type cachedDecryption struct {
	cachedID
	materials *esdk.DecryptionMaterials

	mu      sync.Mutex
	proven  bool // they opened a header
	refuted bool // they didn't open one, before they were proven
}

func (c *cachedDecryption) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven || !c.refuted
}

// opened records whether the materials opened a header, and reports whether
// they ever did.
func (c *cachedDecryption) opened(ok bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = c.proven || ok
	c.refuted = c.refuted || !ok
	return c.proven
}

// A cachedID is the ID for which a value was made.
type cachedID string

func (id cachedID) of() cachedID { return id }

// A cachedValue is a value that a caching CMM stores.
type cachedValue interface {
	comparable
	of() cachedID
}

// A call is one call to a caching CMM.
type call struct {
	bytes int64 // of plaintext
}

// use counts the message of a call, and reports whether the limits of the
// calling CMM allow it. The call that fetched the materials is counted from the
// start. Otherwise CMMs with higher limits could use them up before it, each
// time it fetches.
func (c *cachedEncryption) use(by *call, limits *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved == by {
		c.reserved = nil
		return true
	}
	// The sum might overflow; the difference can't.
	if c.messages >= limits.MaxMessages || by.bytes > limits.MaxBytes-c.bytes {
		return false
	}
	if !cachable(c.materials.Suite) {
		return false // the call that fetched has them
	}
	c.messages++
	c.bytes += by.bytes
	return true
}

// spent reports whether no message of any length can use the data key any more.
func (c *cachedEncryption) spent(limits *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.messages >= limits.MaxMessages
}
