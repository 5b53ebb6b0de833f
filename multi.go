package esdk

import (
	"context"
	"sync"

	"esdk/internal/errtext"
	"esdk/internal/isnil"
)

var errEnded = errtext.Errorf("the keyring ended the goroutine of its call")

type multiKeyring struct {
	generator Keyring
	children  []Keyring
}

// NewMultiKeyring returns a keyring that encrypts a data key under each of
// several keyrings, so that any one of them decrypts it. The generator makes
// the data key. If the generator is nil, the keyring only wraps data keys made
// by a [CMM] or another keyring. A multi-keyring with a generator refuses to
// wrap such a data key, so it can be the generator of another multi-keyring,
// but not a child.
//
// Encryption fails unless all keyrings succeed. The generator goes first, then
// the children run in parallel. The first failure cancels the others. The
// encrypted data keys keep the order of the arguments. Decryption tries the
// keyrings in order until one succeeds. A keyring fails if it returns nothing
// or a data key that doesn't have the suite's length. In encryption, it also
// fails if it returns no encrypted data key, or another data key than it was
// given.
//
// Specification: [framework/multi-keyring.md].
//
// [framework/multi-keyring.md]: https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/multi-keyring.md
func NewMultiKeyring(generator Keyring, children ...Keyring) (Keyring, error) {
	if generator == nil && len(children) == 0 {
		return nil, errtext.Errorf("multi-keyring needs a generator or a child")
	}
	if generator != nil && isnil.Value(generator) {
		return nil, errtext.Errorf("multi-keyring: the generator is a nil pointer")
	}
	for i, c := range children {
		if isnil.Value(c) {
			return nil, errtext.Errorf("multi-keyring: child %d is nil", i)
		}
	}
	return &multiKeyring{generator, append([]Keyring(nil), children...)}, nil
}

func (m *multiKeyring) Wrap(ctx context.Context, req *WrapRequest) (*WrapResult, error) {
	result := new(WrapResult)
	child := *req
	if m.generator != nil {
		if req.DataKey != nil {
			return nil, errtext.Errorf("multi-keyring with a generator was given a data key")
		}
		generated, err := wrap(ctx, m.generator, req)
		if err != nil {
			return nil, err
		}
		result = generated
		child.DataKey = generated.DataKey
	}
	if child.DataKey == nil {
		return nil, errtext.Errorf("multi-keyring has no generator and was given no data key")
	}
	wrapped, err := wrapAll(ctx, m.children, child)
	if err != nil {
		clear(result.DataKey)
		return nil, err
	}
	for _, r := range wrapped {
		result.EncryptedDataKeys = append(result.EncryptedDataKeys, r.EncryptedDataKeys...)
	}
	return result, nil
}

// wrapAll asks keyrings in parallel. When it returns, no call is still running,
// so the data key may be cleared. A panic in a keyring continues in the caller.
func wrapAll(ctx context.Context, keyrings []Keyring, req WrapRequest) ([]*WrapResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]*WrapResult, len(keyrings))
	var once sync.Once
	var failed error
	var panicked any
	fail := func(err error, p any) {
		// The first failure is the cause; the others may only be cancelled.
		once.Do(func() { failed, panicked = err, p })
		cancel()
	}
	var wg sync.WaitGroup
	for i, kr := range keyrings {
		wg.Go(func() {
			err := errEnded
			defer func() {
				if p := recover(); p != nil || err != nil {
					fail(errtext.Errorf("child keyring %d: %w", i, err), p)
				}
			}()
			results[i], err = wrapGiven(ctx, kr, req)
		})
	}
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
	return results, failed
}

func (m *multiKeyring) Unwrap(ctx context.Context, req *UnwrapRequest) ([]byte, error) {
	keyrings := m.children
	if m.generator != nil {
		keyrings = append([]Keyring{m.generator}, keyrings...)
	}
	failed := new(NoDataKeyError)
	for _, kr := range keyrings {
		dataKey, err := unwrap(ctx, kr, req)
		if err == nil {
			return dataKey, nil
		}
		if none, ok := err.(*NoDataKeyError); ok {
			failed.Errors = append(failed.Errors, none.Errors...)
		} else {
			failed.Errors = append(failed.Errors, err)
		}
		// The caller no longer waits for an answer.
		if failed.stops(ctx) {
			break
		}
	}
	return nil, failed
}
