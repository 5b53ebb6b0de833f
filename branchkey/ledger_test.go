package branchkey

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"esdk"
	"esdk/caching"
)

// A ledger surrounds a caching CMM, records each data key and its uses, and
// checks the limits of the CMM. It takes each time where it can only
// underestimate an age, so an age above the limit is always an error.
type ledger struct {
	t                     *testing.T
	maxMessages, maxBytes int64
	maxAge                time.Duration

	mu        sync.Mutex
	made      map[string]*usage
	unwrapped map[string]time.Time // when it was last unwrapped

	// These are reported at the end.
	keys, messages, bytes     int64
	fullMessages, fullBytes   int64 // keys that reached a limit
	mostMessages, mostBytes   int64
	oldest, oldestDecrypt     time.Duration
	unwraps, decryptMaterials int64
}

// A usage counts the uses of one data key.
type usage struct {
	made            time.Time
	messages, bytes int64
}

// forgotten is the age at which the ledger drops a data key. Using a dropped
// key is an error, too.
const forgotten = time.Minute

func newLedger(t *testing.T, c caching.Config) *ledger {
	return &ledger{
		t: t, maxMessages: int64(c.MaxMessages), maxBytes: c.MaxBytes, maxAge: c.MaxAge,
		made: make(map[string]*usage), unwrapped: make(map[string]time.Time),
	}
}

// keyName identifies a data key by its ciphertext.
func keyName(edks []esdk.EncryptedDataKey) string { return string(edks[0].Ciphertext) }

// ledgerKeyring wraps the keyring below the caching CMM, and records new data
// keys.
type ledgerKeyring struct {
	esdk.Keyring
	*ledger
}

func (k ledgerKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	start := time.Now()
	r, err := k.Keyring.Wrap(ctx, req)
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.keys++
		k.made[keyName(r.EncryptedDataKeys)] = &usage{made: start}
		if k.keys%1000 == 0 {
			k.forget(start.Add(-forgotten))
		}
	}
	return r, err
}

func (l *ledger) forget(before time.Time) {
	for name, u := range l.made {
		if u.made.Before(before) {
			delete(l.made, name)
		}
	}
	for name, at := range l.unwrapped {
		if at.Before(before) {
			delete(l.unwrapped, name)
		}
	}
}

func (k ledgerKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	start := time.Now()
	dataKey, err := k.Keyring.Unwrap(ctx, req)
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.unwraps++
		if name := keyName(req.EncryptedDataKeys); k.unwrapped[name].Before(start) {
			k.unwrapped[name] = start
		}
	}
	return dataKey, err
}

// ledgerCMM wraps the caching CMM, and checks the ages of its results.
type ledgerCMM struct {
	esdk.CMM
	*ledger
}

func (c ledgerCMM) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	start := time.Now()
	m, err := c.CMM.EncryptionMaterials(ctx, req)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.oldest = max(c.oldest, c.checkAge("encrypt", start, c.usage(m.EncryptedDataKeys).made))
	}
	return m, err
}

func (c ledgerCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	start := time.Now()
	m, err := c.CMM.DecryptionMaterials(ctx, req)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.decryptMaterials++
		c.oldestDecrypt = max(c.oldestDecrypt, c.checkAge("decrypt", start, c.unwrapped[keyName(req.EncryptedDataKeys)]))
	}
	return m, err
}

// checkAge returns the age of a data key when a call got it without waiting for
// it.
func (l *ledger) checkAge(what string, start, made time.Time) time.Duration {
	age := start.Sub(made)
	if age >= l.maxAge {
		l.t.Errorf("%s: a data key was %v old, and may be %v", what, age, l.maxAge)
	}
	return age
}

func (l *ledger) usage(edks []esdk.EncryptedDataKey) *usage {
	if u := l.made[keyName(edks)]; u != nil {
		return u
	}
	l.t.Error("encrypted under a data key that was made long ago, or never")
	return new(usage)
}

// encrypted counts a message encrypted with a data key.
func (l *ledger) encrypted(h *esdk.Header, plaintext int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.usage(h.EncryptedDataKeys)
	u.messages++
	u.bytes += int64(plaintext)
	if u.messages > l.maxMessages || u.bytes > l.maxBytes {
		l.t.Errorf("%d messages of %d bytes under a data key, at most %d of %d are allowed", u.messages, u.bytes, l.maxMessages, l.maxBytes)
	}
	l.messages++
	l.bytes += int64(plaintext)
	if u.messages == l.maxMessages {
		l.fullMessages++
	}
	if u.bytes == l.maxBytes && plaintext > 0 {
		l.fullBytes++
	}
	l.mostMessages, l.mostBytes = max(l.mostMessages, u.messages), max(l.mostBytes, u.bytes)
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d messages of %d bytes under %d data keys; %d keys used up by messages (most %d of %d), %d by bytes (most %d of %d); "+
		"oldest at use %v to encrypt, %v to decrypt, of %v; %d decryptions by %d unwraps",
		l.messages, l.bytes, l.keys, l.fullMessages, l.mostMessages, l.maxMessages, l.fullBytes, l.mostBytes, l.maxBytes,
		l.oldest, l.oldestDecrypt, l.maxAge, l.decryptMaterials, l.unwraps)
}
