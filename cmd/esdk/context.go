package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// contextFlags are what -c and --require-context say.
type contextFlags struct {
	pairs    []string // K=V, or K to decrypt
	required []string // keys that are authenticated but not stored
}

// parse returns the pairs, and the keys that were given without a value.
func (f *contextFlags) parse() (ec esdk.EncryptionContext, present []string, err error) {
	ec = make(esdk.EncryptionContext)
	seen := make(map[string]bool)
	for _, pair := range f.pairs {
		k, v, hasValue := strings.Cut(pair, "=")
		if k == "" {
			return nil, nil, cli.UsageError("-c %s: want KEY=VALUE", cli.Printable(pair))
		}
		if seen[k] {
			return nil, nil, cli.UsageError("-c: key %s twice", cli.Printable(k))
		}
		seen[k] = true
		if hasValue {
			ec[k] = v
		} else {
			present = append(present, k)
		}
	}
	return ec, present, nil
}

// wrap puts the checks of the flags around a keyring.
func (f *contextFlags) wrap(a *app, kr esdk.Keyring, given esdk.EncryptionContext, present []string) (esdk.CMM, error) {
	cmm, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		return nil, err
	}
	if len(f.required) > 0 {
		for _, k := range f.required {
			if _, ok := given[k]; !ok {
				return nil, cli.UsageError("--require-context %s: no -c %s=VALUE", cli.Printable(k), cli.Printable(k))
			}
		}
		if cmm, err = esdk.NewRequiredContextCMM(cmm, f.required...); err != nil {
			return nil, err
		}
	}
	return &contextCMM{CMM: cmm, names: a.names, profile: a.profile, required: f.required, present: present}, nil
}

// contextCMM refuses a message that does not store what -c says, before any key
// is used. The SDK itself takes a pair that is not stored for one that was
// required at encryption, and fails only at the key; here --require-context
// tells the two apart. And when no key fits, it tells which would.
type contextCMM struct {
	esdk.CMM
	names             *optionNames
	profile           *appliedProfile
	required, present []string
}

func (c *contextCMM) DecryptionMaterials(ctx context.Context, req *esdk.DecryptionRequest) (*esdk.DecryptionMaterials, error) {
	for _, k := range slices.Sorted(maps.Keys(req.ReproducedContext)) {
		if _, ok := req.EncryptionContext[k]; !ok && !slices.Contains(c.required, k) {
			err := cli.Errorf("%w: the message does not store key %q", esdk.ErrEncryptionContext, k)
			return nil, c.profile.blameContext(k, cli.Hinted(err, c.names.requireContext, k))
		}
	}
	for _, k := range c.present {
		if _, ok := req.EncryptionContext[k]; !ok {
			return nil, cli.Errorf("%w: the message does not store key %q", esdk.ErrEncryptionContext, k)
		}
	}
	m, err := c.CMM.DecryptionMaterials(ctx, req)
	if errors.Is(err, esdk.ErrEncryptionContext) {
		for _, k := range slices.Sorted(maps.Keys(req.ReproducedContext)) {
			if stored, ok := req.EncryptionContext[k]; ok && stored != req.ReproducedContext[k] {
				return nil, c.profile.blameContext(k, err)
			}
		}
	}
	if errors.Is(err, esdk.ErrNoDataKey) {
		var names []string
		for _, k := range req.EncryptedDataKeys {
			names = append(names, dataKeyName(&k))
		}
		err = cli.Hinted(err, "the message names these keys: %s", joinSome(names))
	}
	return m, err
}
