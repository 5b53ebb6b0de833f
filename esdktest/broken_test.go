package esdktest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"esdk"
)

// A recorder is a test that a check may fail without failing the surrounding
// test.
type recorder struct {
	testing.TB
	findings []string
}

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.findings = append(r.findings, fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.findings = append(r.findings, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// record returns the findings of a check.
func record(t *testing.T, check func(testing.TB)) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.findings
}

// A named is a check with its name.
type named struct {
	name string
	run  func(testing.TB)
}

// expect checks that the named check finds something, or that no check does if
// the name is empty. It runs only the named check: the others may find
// something too, and the concurrent ones disturb the race detector, which some
// of the cases below violate as well.
func expect(t *testing.T, want string, checks []named) {
	t.Helper()
	known := want == ""
	for _, c := range checks {
		switch {
		case want == "":
			if findings := record(t, c.run); len(findings) > 0 {
				t.Errorf("check %q: %q", c.name, findings)
			}
		case want == c.name:
			known = true
			if len(record(t, c.run)) == 0 {
				t.Errorf("check %q found nothing", want)
			}
		}
	}
	if !known {
		t.Errorf("there is no check %q", want)
	}
}

func (k *KeyringTest) named() (checks []named) {
	for _, c := range keyringChecks {
		checks = append(checks, named{c.name, func(t testing.TB) { c.run(k, t) }})
	}
	return checks
}

func (c *CMMTest) named() (checks []named) {
	for _, check := range cmmChecks {
		checks = append(checks, named{check.name, func(t testing.TB) { check.run(c, t) }})
	}
	return checks
}

// keyring is a correct keyring whose parts can be replaced.
type keyring struct {
	esdk.Keyring
	wrap   func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error)
	unwrap func(context.Context, *esdk.UnwrapRequest) ([]byte, error)
}

func (k *keyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	return k.wrap(ctx, req)
}

func (k *keyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	return k.unwrap(ctx, req)
}

func newKeyring(t testing.TB) *keyring {
	good, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "good", Name: "key", Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return &keyring{good, good.Wrap, good.Unwrap}
}

// Each keyring breaks one rule, and the check of that rule must find it.
func TestBrokenKeyrings(t *testing.T) {
	cases := []struct {
		name  string
		check string
		spoil func(k *keyring)
	}{
		{"none", "", func(*keyring) {}},
		{"data key too long", "new data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				if err == nil && req.DataKey == nil {
					r.DataKey = append(r.DataKey, 0)
				}
				return r, err
			}
		}},
		{"data key of another suite", "new data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				other := *req
				if other.DataKey == nil {
					other.Suite = esdk.AES256GCM
				}
				return k.Keyring.Wrap(ctx, &other)
			}
		}},
		{"constant data key", "new data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				if req.DataKey != nil {
					return k.Keyring.Wrap(ctx, req)
				}
				dataKey := bytes.Repeat([]byte{7}, req.Suite.DataKeyLength())
				r, err := k.Keyring.Wrap(ctx, &esdk.WrapRequest{Suite: req.Suite, EncryptionContext: req.EncryptionContext, DataKey: dataKey})
				if err == nil {
					r.DataKey = dataKey
				}
				return r, err
			}
		}},
		{"ignores a given data key", "given data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				return k.Keyring.Wrap(ctx, &esdk.WrapRequest{Suite: req.Suite, EncryptionContext: req.EncryptionContext})
			}
		}},
		{"clears a given data key", "given data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				defer clear(req.DataKey)
				return k.Keyring.Wrap(ctx, req)
			}
		}},
		{"no encrypted data key", "encrypted data keys", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				if err == nil {
					r.EncryptedDataKeys = nil
				}
				return r, err
			}
		}},
		{"provider id of AWS", "encrypted data keys", rename("aws-kms-mine", "good")},
		{"provider id not UTF-8", "encrypted data keys", rename("\xff", "good")},
		{"data key in the clear", "encrypted data keys", clearText},
		{"ignores the context", "bound context", withContext(func(esdk.EncryptionContext) esdk.EncryptionContext { return nil })},
		{"binds only keys", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			return esdk.EncryptionContext{"keys": strings.Join(slices.Sorted(maps.Keys(ec)), "\x00")}
		})},
		{"binds only values", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			return esdk.EncryptionContext{"values": strings.Join(slices.Sorted(maps.Values(ec)), "\x00")}
		})},
		{"binds keys and values, but not to each other", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			return esdk.EncryptionContext{
				"keys":   strings.Join(slices.Sorted(maps.Keys(ec)), "\x00"),
				"values": strings.Join(slices.Sorted(maps.Values(ec)), "\x00"),
			}
		})},
		{"binds pairs without their lengths", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			var b strings.Builder
			for _, key := range slices.Sorted(maps.Keys(ec)) {
				b.WriteString(key + ec[key])
			}
			return esdk.EncryptionContext{"pairs": b.String()}
		})},
		{"binds the number of pairs", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			return esdk.EncryptionContext{"pairs": fmt.Sprint(len(ec))}
		})},
		{"binds one pair", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			return esdk.EncryptionContext{"purpose": ec["purpose"]}
		})},
		{"binds all pairs but one", "bound context", withContext(func(ec esdk.EncryptionContext) esdk.EncryptionContext {
			ec = maps.Clone(ec)
			delete(ec, "Stage")
			return ec
		})},
		{"accepts more pairs", "bound context", lookup(func(stored, asked esdk.EncryptionContext) bool { return contains(asked, stored) })},
		{"accepts fewer pairs", "bound context", lookup(func(stored, asked esdk.EncryptionContext) bool { return contains(stored, asked) })},
		{"accepts pairs where there were none", "bound context", lookup(func(stored, asked esdk.EncryptionContext) bool {
			return len(stored) == 0 || maps.Equal(stored, asked)
		})},
		{"accepts any context if none is asked for", "bound context", lookup(func(stored, asked esdk.EncryptionContext) bool {
			return len(asked) == 0 || maps.Equal(stored, asked)
		})},
		{"empty context is not nil", "empty context", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				if req.EncryptionContext == nil {
					return nil, &esdk.NoDataKeyError{}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"writes into the context", "request unchanged", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				if req.EncryptionContext != nil {
					req.EncryptionContext["seen"] = "yes"
				}
				return r, err
			}
		}},
		{"decrypts in place", "request unchanged", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err == nil {
					copy(req.EncryptedDataKeys[0].Ciphertext, dataKey)
				}
				return dataKey, err
			}
		}},
		{"appends to a data key", "request unchanged", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				_ = append(req.DataKey, 1)
				return r, err
			}
		}},
		{"appends to a ciphertext", "request unchanged", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					_ = append(edk.Ciphertext, 1)
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"appends to a provider info", "request unchanged", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					_ = append(edk.ProviderInfo, 1)
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"remembers the context by its map", "request not kept", func(k *keyring) {
			var last esdk.EncryptionContext
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				last = req.EncryptionContext
				return k.Keyring.Wrap(ctx, req)
			}
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				if !maps.Equal(last, req.EncryptionContext) {
					return nil, &esdk.NoDataKeyError{Errors: []error{errors.New("not the last one")}}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"data key is part of the request", "request not kept", clearText},
		{"returns the data key that it was given", "given data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				if err == nil && req.DataKey != nil {
					r.DataKey = req.DataKey
				}
				return r, err
			}
		}},
		{"no result of a given data key", "given data key", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				if req.DataKey != nil {
					return nil, nil
				}
				return k.Keyring.Wrap(ctx, req)
			}
		}},
		{"no result", "new data key", func(k *keyring) {
			k.wrap = func(context.Context, *esdk.WrapRequest) (*esdk.WrapResult, error) { return nil, nil }
		}},
		{"neither a data key nor an error, for others", "foreign skipped", func(k *keyring) { noDataKey(k, nil) }},
		{"neither a data key nor an error, for its own", "corrupted", func(k *keyring) { noDataKey(k, nil) }},
		{"an empty data key and no error", "corrupted", func(k *keyring) { noDataKey(k, []byte{}) }},
		{"neither a data key nor an error, under another context", "bound context", func(k *keyring) { noDataKey(k, nil) }},
		{"both a data key and an error", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					dataKey = make([]byte, req.Suite.DataKeyLength())
				}
				return dataKey, err
			}
		}},
		{"uses the memory of its result again", "result not kept", func(k *keyring) {
			var memory [1000]byte
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				r, err := k.Keyring.Wrap(ctx, req)
				if err == nil {
					edk := &r.EncryptedDataKeys[0]
					edk.Ciphertext = append(memory[:0], edk.Ciphertext...)
				}
				return r, err
			}
		}},
		{"uses the memory of its data key again", "result not kept", func(k *keyring) {
			var memory [32]byte
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					return nil, err
				}
				return append(memory[:0], dataKey...), nil
			}
		}},
		{"panics at a provider info that is cut short", "malformed provider info", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					if edk.ProviderID == "good" && string(edk.ProviderInfo[:3]) != "key" {
						return nil, &esdk.NoDataKeyError{}
					}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"makes up a data key for half a provider info", "malformed provider info", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					if string(edk.ProviderInfo) == "key" {
						return make([]byte, req.Suite.DataKeyLength()), nil
					}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"cached data key is shared", "result not kept", func(k *keyring) {
			var cached []byte
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if cached != nil {
					return cached, nil
				}
				cached = dataKey
				return dataKey, err
			}
		}},
		{"stops at another's data key", "foreign skipped", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					if edk.ProviderID != "good" {
						return nil, &esdk.NoDataKeyError{Errors: []error{errors.New("not mine")}}
					}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"reports another's data key", "foreign skipped", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					err = &esdk.NoDataKeyError{Errors: []error{errors.New("not mine")}}
				}
				return dataKey, err
			}
		}},
		{"provider id as a prefix", "foreign skipped", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				edks := cloneDataKeys(req.EncryptedDataKeys)
				for i := range edks {
					if strings.HasPrefix(edks[i].ProviderID, "good") {
						edks[i].ProviderID = "good"
					}
				}
				return k.Keyring.Unwrap(ctx, &esdk.UnwrapRequest{Suite: req.Suite, EncryptionContext: req.EncryptionContext, EncryptedDataKeys: edks})
			}
		}},
		{"stops at another key's name", "other provider info", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				for _, edk := range req.EncryptedDataKeys {
					if bytes.HasSuffix(edk.ProviderInfo, []byte("x")) {
						return nil, &esdk.NoDataKeyError{}
					}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"tries only the first", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				first := *req
				first.EncryptedDataKeys = req.EncryptedDataKeys[:min(1, len(req.EncryptedDataKeys))]
				return k.Keyring.Unwrap(ctx, &first)
			}
		}},
		{"error of another kind", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					err = errors.New("failed")
				}
				return dataKey, err
			}
		}},
		{"loses the errors", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					err = &esdk.NoDataKeyError{}
				}
				return dataKey, err
			}
		}},
		{"an error as of a failing service", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if none := new(esdk.NoDataKeyError); errors.As(err, &none) {
					for i := range none.Errors {
						none.Errors[i] = errors.New("the key service answered 500")
					}
				}
				return dataKey, err
			}
		}},
		{"no integrity", "corrupted", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := k.Keyring.Unwrap(ctx, req)
				if err != nil {
					return randomBytes(req.Suite.DataKeyLength()), nil
				}
				return dataKey, err
			}
		}},
		{"any length", "wrong length", anyLength},
		{"key in an error", "no key in errors", func(k *keyring) {
			anyLength(k)
			lenient := k.unwrap
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := lenient(ctx, req)
				if err == nil && len(dataKey) != req.Suite.DataKeyLength() {
					return nil, &esdk.NoDataKeyError{Errors: []error{fmt.Errorf("data key %x has the wrong length", dataKey)}}
				}
				return dataKey, err
			}
		}},
		{"key in an error of Wrap", "no key in errors", func(k *keyring) {
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				if len(req.DataKey) > 0 && len(req.DataKey) != req.Suite.DataKeyLength() {
					return nil, fmt.Errorf("data key %q has the wrong length", req.DataKey)
				}
				return k.Keyring.Wrap(ctx, req)
			}
		}},
		{"key in an error about the context", "no key in errors", func(k *keyring) {
			ignoring := newKeyringLike(k)
			withContext(func(esdk.EncryptionContext) esdk.EncryptionContext { return nil })(ignoring)
			k.wrap = ignoring.wrap
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				dataKey, err := ignoring.unwrap(ctx, req)
				if err == nil && len(req.EncryptionContext) == 0 {
					return nil, fmt.Errorf("%x is not of this context", dataKey)
				}
				return dataKey, err
			}
		}},
		{"hides the cancellation", "cancelled context", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				if ctx.Err() != nil {
					return nil, &esdk.NoDataKeyError{Errors: []error{errors.New("no answer")}}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"blames the message for the cancellation", "cancelled context", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				if err := ctx.Err(); err != nil {
					return nil, &esdk.NoDataKeyError{Errors: []error{fmt.Errorf("%w: %w", esdk.ErrAuthentication, err)}}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
		{"one at a time", "concurrent use", func(k *keyring) {
			busy := make(chan struct{}, 1)
			k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
				select {
				case busy <- struct{}{}:
				default:
					return nil, errors.New("busy")
				}
				defer func() { <-busy }()
				// Let another call start while this one works.
				for range 100 {
					runtime.Gosched()
				}
				return k.Keyring.Wrap(ctx, req)
			}
		}},
		{"changes its request for a while", "concurrent use", func(k *keyring) {
			var lock sync.Mutex
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				lock.Lock()
				own := *req
				own.EncryptedDataKeys = cloneDataKeys(req.EncryptedDataKeys)
				ciphertext := req.EncryptedDataKeys[0].Ciphertext
				ciphertext[0]++
				lock.Unlock()
				for range 100 {
					runtime.Gosched()
				}
				lock.Lock()
				ciphertext[0]--
				lock.Unlock()
				return k.Keyring.Unwrap(ctx, &own)
			}
		}},
		{"no data key of a signed message", "messages", func(k *keyring) {
			k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
				if _, ours := req.EncryptionContext["aws-crypto-public-key"]; ours {
					return nil, &esdk.NoDataKeyError{}
				}
				return k.Keyring.Unwrap(ctx, req)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k := newKeyring(t)
			c.spoil(k)
			expect(t, c.check, (&KeyringTest{Encrypt: k, Decrypt: k}).named())
		})
	}
}

func newKeyringLike(k *keyring) *keyring { return &keyring{k.Keyring, k.wrap, k.unwrap} }

// withContext makes the keyring bind the result of bound instead of the
// context.
func withContext(bound func(esdk.EncryptionContext) esdk.EncryptionContext) func(k *keyring) {
	return func(k *keyring) {
		k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			inner := *req
			inner.EncryptionContext = bound(req.EncryptionContext)
			return k.Keyring.Wrap(ctx, &inner)
		}
		k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
			inner := *req
			inner.EncryptionContext = bound(req.EncryptionContext)
			return k.Keyring.Unwrap(ctx, &inner)
		}
	}
}

// lookup makes the keyring store contexts, and bind data keys to them by
// comparison.
func lookup(same func(stored, asked esdk.EncryptionContext) bool) func(k *keyring) {
	return func(k *keyring) {
		stored := make(map[string]esdk.EncryptionContext)
		withContext(func(esdk.EncryptionContext) esdk.EncryptionContext { return nil })(k)
		wrap, unwrap := k.wrap, k.unwrap
		k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			r, err := wrap(ctx, req)
			if err == nil {
				stored[string(r.EncryptedDataKeys[0].Ciphertext)] = maps.Clone(req.EncryptionContext)
			}
			return r, err
		}
		k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
			if !same(stored[string(req.EncryptedDataKeys[0].Ciphertext)], req.EncryptionContext) {
				return nil, &esdk.NoDataKeyError{Errors: []error{errors.New("another context")}}
			}
			return unwrap(ctx, req)
		}
	}
}

// contains reports whether a context has all pairs of another.
func contains(ec, pairs esdk.EncryptionContext) bool {
	for key, value := range pairs {
		if got, ok := ec[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// noDataKey makes the keyring return a result instead of each error.
func noDataKey(k *keyring, result []byte) {
	k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		dataKey, err := k.Keyring.Unwrap(ctx, req)
		if err != nil {
			return result, nil
		}
		return dataKey, nil
	}
}

// rename makes the keyring write another provider ID.
func rename(to, from string) func(k *keyring) {
	replace := func(edks []esdk.EncryptedDataKey, to, from string) []esdk.EncryptedDataKey {
		edks = cloneDataKeys(edks)
		for i := range edks {
			if edks[i].ProviderID == from {
				edks[i].ProviderID = to
			}
		}
		return edks
	}
	return func(k *keyring) {
		k.wrap = func(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
			r, err := k.Keyring.Wrap(ctx, req)
			if err == nil {
				r.EncryptedDataKeys = replace(r.EncryptedDataKeys, to, from)
			}
			return r, err
		}
		k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
			inner := *req
			inner.EncryptedDataKeys = replace(req.EncryptedDataKeys, from, to)
			return k.Keyring.Unwrap(ctx, &inner)
		}
	}
}

// clearText makes the keyring encrypt nothing.
func clearText(k *keyring) {
	k.wrap = func(_ context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
		r := new(esdk.WrapResult)
		dataKey := req.DataKey
		if dataKey == nil {
			dataKey = randomBytes(req.Suite.DataKeyLength())
			r.DataKey = dataKey
		}
		r.EncryptedDataKeys = []esdk.EncryptedDataKey{{ProviderID: "clear", Ciphertext: bytes.Clone(dataKey)}}
		return r, nil
	}
	k.unwrap = func(_ context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		for _, edk := range req.EncryptedDataKeys {
			if edk.ProviderID == "clear" {
				return edk.Ciphertext, nil
			}
		}
		return nil, &esdk.NoDataKeyError{}
	}
}

// anyLength makes the keyring unwrap data keys of any length.
func anyLength(k *keyring) {
	k.unwrap = func(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
		var err error
		for _, id := range []esdk.SuiteID{req.Suite, esdk.AES128GCM, esdk.AES192GCM, esdk.AES256GCM} {
			other := *req
			other.Suite = id
			var dataKey []byte
			if dataKey, err = k.Keyring.Unwrap(ctx, &other); err == nil {
				return dataKey, nil
			}
		}
		return nil, err
	}
}

// A keyring that promises less is checked against its promises.
func TestLooserKeyrings(t *testing.T) {
	k := newKeyring(t)
	for check, test := range map[string]KeyringTest{
		"new data key":        {NoGenerate: true},
		"given data key":      {NoWrap: true},
		"encrypted data keys": {ProviderIDs: []string{"aws-kms"}},
		"bound context":       {NoContext: true},
	} {
		test.Encrypt, test.Decrypt = k, k
		expect(t, check, test.named())
	}
	withContext(func(esdk.EncryptionContext) esdk.EncryptionContext { return nil })(k)
	expect(t, "", (&KeyringTest{Encrypt: k, Decrypt: k, NoContext: true}).named())
}

// cmm is a correct CMM whose parts can be replaced.
type cmm struct {
	esdk.CMM
	encryption func(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error)
	decryption func(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error)
}

func (c *cmm) EncryptionMaterials(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
	return c.encryption(ctx, req)
}

func (c *cmm) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	return c.decryption(ctx, req)
}

func newCMM(t testing.TB) *cmm {
	good, err := esdk.NewDefaultCMM(newKeyring(t))
	if err != nil {
		t.Fatal(err)
	}
	return &cmm{good, good.EncryptionMaterials, good.DecryptionMaterials}
}

// encrypting makes a CMM change a copy of the request before, and the materials
// after.
func encrypting(before func(*esdk.EncryptionRequest), after func(*esdk.EncryptionMaterials)) func(c *cmm) {
	return func(c *cmm) {
		c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
			inner := *req
			if before != nil {
				before(&inner)
			}
			m, err := c.CMM.EncryptionMaterials(ctx, &inner)
			if err == nil && after != nil {
				after(m)
			}
			return m, err
		}
	}
}

func decrypting(before func(*esdk.DecryptionRequest), after func(*esdk.DecryptionMaterials)) func(c *cmm) {
	return func(c *cmm) {
		c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
			inner := *req
			if before != nil {
				before(&inner)
			}
			m, err := c.CMM.DecryptionMaterials(ctx, &inner)
			if err == nil && after != nil {
				after(m)
			}
			return m, err
		}
	}
}

func noMaterials(c *cmm) {
	c.decryption = func(context.Context, *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) { return nil, nil }
}

// Each CMM breaks one rule, and the check of that rule must find it.
func TestBrokenCMMs(t *testing.T) {
	cases := []struct {
		name  string
		check string
		spoil func(c *cmm)
	}{
		{"none", "", func(*cmm) {}},
		{"no signing key", "encryption materials", encrypting(nil, func(m *esdk.EncryptionMaterials) { m.SigningKey = nil })},
		{"public key where nothing is signed", "encryption materials", encrypting(nil, func(m *esdk.EncryptionMaterials) {
			m.EncryptionContext[publicKeyKey] = "A"
		})},
		{"data key too short", "encryption materials", encrypting(nil, func(m *esdk.EncryptionMaterials) { m.DataKey = m.DataKey[1:] })},
		{"other signing key", "decryption materials", encrypting(nil, func(m *esdk.EncryptionMaterials) {
			if m.SigningKey != nil {
				m.SigningKey, _ = ecdsa.GenerateKey(m.SigningKey.Curve, rand.Reader)
			}
		})},
		{"no materials to encrypt", "encryption materials", func(c *cmm) {
			c.encryption = func(context.Context, *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) { return nil, nil }
		}},
		{"no materials to decrypt", "decryption materials", noMaterials},
		{"no materials to decrypt a second time", "materials not kept", noMaterials},
		{"drops a pair", "decryption materials", encrypting(func(req *esdk.EncryptionRequest) {
			req.EncryptionContext = maps.Clone(req.EncryptionContext)
			delete(req.EncryptionContext, "Stage")
		}, nil)},
		{"no context to decrypt", "decryption materials", decrypting(nil, func(m *esdk.DecryptionMaterials) { m.EncryptionContext = nil })},
		{"only reproduced pairs to decrypt", "decryption materials", func(c *cmm) {
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if err == nil {
					m.EncryptionContext = maps.Clone(req.ReproducedContext)
				}
				return m, err
			}
		}},
		{"data key of another length to decrypt", "decryption materials", decrypting(nil, func(m *esdk.DecryptionMaterials) {
			m.DataKey = append(m.DataKey, 0)
		})},
		{"returns the context that it was given", "request unchanged", func(c *cmm) {
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if err == nil && maps.Equal(m.EncryptionContext, req.ReproducedContext) {
					m.EncryptionContext = req.ReproducedContext
				}
				return m, err
			}
		}},
		{"returns the context that it was given to encrypt", "request unchanged", func(c *cmm) {
			c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
				m, err := c.CMM.EncryptionMaterials(ctx, req)
				if err == nil && maps.Equal(m.EncryptionContext, req.EncryptionContext) {
					m.EncryptionContext = req.EncryptionContext
				}
				return m, err
			}
		}},
		{"loses reproduced pairs", "required keys", decrypting(nil, func(m *esdk.DecryptionMaterials) {
			for _, k := range m.RequiredContextKeys {
				delete(m.EncryptionContext, k)
			}
		})},
		{"forgets what is required to decrypt", "required keys", decrypting(nil, func(m *esdk.DecryptionMaterials) { m.RequiredContextKeys = nil })},
		{"forgets what is required to encrypt", "required keys", encrypting(nil, func(m *esdk.EncryptionMaterials) { m.RequiredContextKeys = nil })},
		{"needs a length", "plaintext length", func(c *cmm) {
			c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
				if req.PlaintextLength < 0 {
					return nil, errors.New("how long?")
				}
				return c.CMM.EncryptionMaterials(ctx, req)
			}
		}},
		{"own policy to encrypt", "commitment policy", encrypting(func(req *esdk.EncryptionRequest) {
			if req.Suite != 0 {
				req.CommitmentPolicy = policyFor(req.Suite)
			}
		}, nil)},
		{"own policy to decrypt", "commitment policy", decrypting(func(req *esdk.DecryptionRequest) {
			req.CommitmentPolicy = esdk.RequireEncryptAllowDecrypt
		}, nil)},
		{"believes the message", "reproduced context", decrypting(func(req *esdk.DecryptionRequest) {
			reproduced := esdk.EncryptionContext{}
			for k, v := range req.ReproducedContext {
				if _, stored := req.EncryptionContext[k]; !stored {
					reproduced[k] = v
				}
			}
			req.ReproducedContext = reproduced
		}, nil)},
		{"accepts a message without its signature", "public key", func(c *cmm) {
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if err != nil && req.Suite.Signed() && req.EncryptionContext[publicKeyKey] == "" {
					return new(esdk.DecryptionMaterials), nil
				}
				return m, err
			}
		}},
		{"makes up a data key", "no data key", func(c *cmm) {
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if errors.Is(err, esdk.ErrNoDataKey) {
					return new(esdk.DecryptionMaterials), nil
				}
				return m, err
			}
		}},
		{"adds to the context it was given", "request unchanged", encrypting(func(req *esdk.EncryptionRequest) {
			req.EncryptionContext["stage"] = "production"
		}, nil)},
		{"appends to a slice it was given", "request unchanged", encrypting(func(req *esdk.EncryptionRequest) {
			if _, ok := req.EncryptionContext["Stage"]; ok {
				req.RequiredContextKeys = append(req.RequiredContextKeys, "Stage")
			}
		}, nil)},
		{"caches materials without copying", "materials not kept", func(c *cmm) {
			cache := make(map[esdk.SuiteID]*esdk.EncryptionMaterials)
			c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
				if m := cache[req.Suite]; m != nil && len(req.RequiredContextKeys) == 0 && ctx.Err() == nil {
					return m, nil
				}
				m, err := c.CMM.EncryptionMaterials(ctx, req)
				if len(cache) == 0 && err == nil && req.CommitmentPolicy == policyFor(req.Suite) {
					cache[req.Suite] = m
				}
				return m, err
			}
		}},
		{"caches a data key without copying", "materials not kept", func(c *cmm) {
			var last *esdk.DecryptionMaterials
			var ciphertext []byte
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				if len(req.EncryptedDataKeys) > 0 && bytes.Equal(ciphertext, req.EncryptedDataKeys[0].Ciphertext) {
					return last, nil
				}
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if err == nil {
					last, ciphertext = m, req.EncryptedDataKeys[0].Ciphertext
				}
				return m, err
			}
		}},
		{"key in an error", "no key in errors", func(c *cmm) {
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				m, err := c.CMM.DecryptionMaterials(ctx, req)
				if err == nil && len(req.ReproducedContext) == 0 {
					return nil, fmt.Errorf("will not use key %v: %w", m.DataKey, esdk.ErrEncryptionContext)
				}
				return m, err
			}
		}},
		{"hides the cancellation", "cancelled context", func(c *cmm) {
			c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
				if ctx.Err() != nil {
					return nil, errors.New("no answer")
				}
				return c.CMM.EncryptionMaterials(ctx, req)
			}
		}},
		{"one at a time", "concurrent use", func(c *cmm) {
			busy := make(chan struct{}, 1)
			c.encryption = func(ctx context.Context, req *esdk.EncryptionRequest) (*esdk.EncryptionMaterials, error) {
				select {
				case busy <- struct{}{}:
				default:
					return nil, errors.New("busy")
				}
				defer func() { <-busy }()
				for range 100 {
					runtime.Gosched()
				}
				return c.CMM.EncryptionMaterials(ctx, req)
			}
		}},
		{"changes its request for a while", "concurrent use", func(c *cmm) {
			var lock sync.Mutex
			c.decryption = func(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
				lock.Lock()
				own := *req
				own.EncryptedDataKeys = cloneDataKeys(req.EncryptedDataKeys)
				own.EncryptionContext, own.ReproducedContext = maps.Clone(req.EncryptionContext), maps.Clone(req.ReproducedContext)
				ciphertext := req.EncryptedDataKeys[0].Ciphertext
				ciphertext[0]++
				lock.Unlock()
				for range 100 {
					runtime.Gosched()
				}
				lock.Lock()
				ciphertext[0]--
				lock.Unlock()
				return c.CMM.DecryptionMaterials(ctx, &own)
			}
		}},
		{"two public keys", "messages", encrypting(nil, func(m *esdk.EncryptionMaterials) {
			if m.SigningKey != nil {
				m.EncryptionContext[publicKeyKey] = "AmZvcmdlZA=="
			}
		})},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			broken := newCMM(t)
			c.spoil(broken)
			expect(t, c.check, (&CMMTest{Encrypt: broken, Decrypt: broken}).named())
		})
	}
}
