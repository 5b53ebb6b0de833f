package caching

import (
	"sync"

	"esdk"
)

// cachedEncryption are materials and the use that was made of them. It knows no
// limits, since the CMMs that share it may have different ones.
//
// The data key is its own, and is overwritten once nobody can reach it any more:
// what is handed out are copies.
type cachedEncryption struct {
	cachedID
	materials *esdk.EncryptionMaterials

	mu       sync.Mutex
	reserved *call  // is counted already, and not yet served
	messages uint64 // encrypted
	bytes    int64  // of their plaintexts
}

// cachedDecryption are materials, and whether they are the right ones. A data key
// may be a wrong one: with PKCS #1 v1.5, a keyring returns a random data key if a
// token fails.
type cachedDecryption struct {
	cachedID
	materials *esdk.DecryptionMaterials

	mu      sync.Mutex
	proven  bool // they opened a header
	refuted bool // or did not, before they were proven
}

func (c *cachedDecryption) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proven || !c.refuted
}

// opened notes whether the materials opened a header, and reports whether they
// ever did.
func (c *cachedDecryption) opened(ok bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = c.proven || ok
	c.refuted = c.refuted || !ok
	return c.proven
}

// A cachedID is the id that a value was made for.
type cachedID string

func (id cachedID) of() cachedID { return id }

// A cachedValue is what a caching CMM keeps.
type cachedValue interface {
	comparable
	of() cachedID
}

// A call is one call of a caching CMM.
type call struct {
	bytes int64 // of plaintext
}

// use counts the message of a call, unless it is one too many for the CMM that
// asks. The call that fetched the materials is counted from the start: else CMMs
// with higher limits could use them up before it, each time it fetches.
func (c *cachedEncryption) use(by *call, limits *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reserved == by {
		c.reserved = nil
		return true
	}
	// The difference does not overflow, as the sum might.
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

// spent reports whether no message of any length can use the data key again.
func (c *cachedEncryption) spent(limits *Config) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.messages >= limits.MaxMessages
}
