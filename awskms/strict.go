package awskms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"esdk"
)

// strictKeyring uses the keys that it was given, and no others.
type strictKeyring struct {
	generator *key // may be nil
	children  []key
	matches   func(configured, arn string) bool
}

// NewKeyring returns a keyring that wraps data keys under symmetric keys of AWS
// KMS. The generator makes the data key and wraps it, and then each of the other
// keys wraps it too, all at the same time; the encrypted data keys have the order
// of the arguments. If one fails, so does the call, and the others are cancelled.
// To decrypt, those keys are tried, in that order, that the message names.
//
// The generator may be empty, and then the keyring only wraps a data key that
// another keyring made, as a child of [esdk.NewMultiKeyring]. A generator alone
// also wraps a data key that it is given; a generator and others do not.
//
// Keys are best named by their ARN. An alias, its ARN or a bare key id encrypts,
// in the default Region unless it has one, but does not decrypt; the error then
// says so. It needs the permissions kms:GenerateDataKey for the generator,
// kms:Encrypt for the others, and kms:Decrypt.
// Specification: framework/aws-kms/aws-kms-keyring.md and aws-kms-multi-keyrings.md.
func NewKeyring(c Config, generator string, keys ...string) (esdk.Keyring, error) {
	return newStrictKeyring(c, generator, keys, func(configured, arn string) bool { return configured == arn })
}

// NewMRKKeyring returns a keyring as [NewKeyring] does, which also decrypts what
// another replica of one of its multi-Region keys encrypted, in the Region of
// its own. It fails if two of the keys are replicas of one.
// Specification: framework/aws-kms/aws-kms-mrk-keyring.md and aws-kms-mrk-multi-keyrings.md.
func NewMRKKeyring(c Config, generator string, keys ...string) (esdk.Keyring, error) {
	all := slices.Clone(keys)
	if generator != "" {
		all = append([]string{generator}, all...)
	}
	if err := checkMRKsUnique(all); err != nil {
		return nil, err
	}
	return newStrictKeyring(c, generator, keys, matchMRK)
}

func newStrictKeyring(c Config, generator string, keys []string, matches func(configured, arn string) bool) (esdk.Keyring, error) {
	if generator == "" && len(keys) == 0 {
		return nil, errors.New("awskms: keyring needs a key")
	}
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	kr := &strictKeyring{matches: matches}
	if generator != "" {
		k, err := c.newKey(generator)
		if err != nil {
			return nil, err
		}
		kr.generator = &k
	}
	for _, id := range keys {
		k, err := c.newKey(id)
		if err != nil {
			return nil, err
		}
		kr.children = append(kr.children, k)
	}
	return kr, nil
}

func (kr *strictKeyring) Wrap(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	if _, err := checkWrap(req); err != nil {
		return nil, err
	}
	switch {
	case req.DataKey == nil && kr.generator != nil:
		return kr.generate(ctx, req)
	case req.DataKey == nil:
		return nil, errors.New("awskms: keyring has no generator and was given no data key")
	case kr.generator != nil && len(kr.children) > 0:
		return nil, errors.New("awskms: keyring with a generator and other keys was given a data key")
	case kr.generator != nil:
		return kr.encrypt(ctx, req, req.DataKey, *kr.generator)
	}
	return kr.encrypt(ctx, req, req.DataKey, kr.children...)
}

func (kr *strictKeyring) generate(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	dataKey, edk, err := kr.generator.generate(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("awskms: %w", err)
	}
	result, err := kr.encrypt(ctx, req, dataKey, kr.children...)
	if err != nil {
		clear(dataKey)
		return nil, err
	}
	result.DataKey = dataKey
	result.EncryptedDataKeys = append([]esdk.EncryptedDataKey{edk}, result.EncryptedDataKeys...)
	return result, nil
}

// encrypt wraps a data key under several keys side by side. When it returns, no
// request is under way any more, so that the data key may be cleared.
func (kr *strictKeyring) encrypt(ctx context.Context, req *esdk.WrapRequest, dataKey []byte, keys ...key) (*esdk.WrapResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := &esdk.WrapResult{EncryptedDataKeys: make([]esdk.EncryptedDataKey, len(keys))}
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	for i, k := range keys {
		wg.Go(func() {
			edk, err := k.encrypt(ctx, req, dataKey)
			if err != nil {
				// The first is the cause; the others are only cancelled.
				once.Do(func() { failed = fmt.Errorf("awskms: %w", err) })
				cancel()
			}
			result.EncryptedDataKeys[i] = edk
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	for i, edk := range result.EncryptedDataKeys {
		// A client that ends its goroutine returns no error.
		if edk.ProviderID == "" {
			return nil, fmt.Errorf("awskms: KMS key %s: the client ended the goroutine of its request", keys[i].id)
		}
	}
	return result, nil
}

func (kr *strictKeyring) keys() []key {
	if kr.generator == nil {
		return kr.children
	}
	return append([]key{*kr.generator}, kr.children...)
}

func (kr *strictKeyring) Unwrap(ctx context.Context, req *esdk.UnwrapRequest) ([]byte, error) {
	all, _, err := candidates(req, kmsProvider)
	if err != nil {
		return nil, err
	}
	var attempts []attempt
	for _, k := range kr.keys() {
		for _, c := range all {
			if kr.matches(k.id, string(c.ProviderInfo)) {
				attempts = append(attempts, attempt{c, func() ([]byte, error) {
					return k.decryptSymmetric(ctx, req, c.EncryptedDataKey)
				}})
			}
		}
	}
	dataKey, err := unwrapFirst(ctx, attempts)
	if none, ok := err.(*esdk.NoDataKeyError); ok {
		none.Errors = append(none.Errors, kr.unusable(all)...)
	}
	return dataKey, err
}

// unusable returns an error for each key that cannot decrypt for the way it was
// named, if the message may have been encrypted by it.
func (kr *strictKeyring) unusable(all []candidate) (errs []error) {
	if len(all) == 0 {
		return nil
	}
	var arns []string
	for _, c := range all {
		if arn := c.arn.String(); !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	for _, k := range kr.keys() {
		if !isKeyARN(k.id) {
			errs = append(errs, fmt.Errorf("KMS key %s encrypts but cannot decrypt, since messages name keys by ARN: "+
				"configure the key's ARN; this message names %s", k.id, strings.Join(arns, ", ")))
		}
	}
	return errs
}
