package settings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"esdk"
	"esdk/cmd/esdk/internal/cli"
)

// Context holds the values of -c and --require-context.
type Context struct {
	Pairs    []string // K=V, or K to decrypt
	Required []string // keys that are authenticated but not stored
}

// Parse returns the pairs, and the keys that were given without a value.
func (f *Context) Parse() (ec esdk.EncryptionContext, present []string, err error) {
	ec = make(esdk.EncryptionContext)
	seen := make(map[string]bool)
	for _, pair := range f.Pairs {
		k, v, hasValue := strings.Cut(pair, "=")
		if k == "" {
			return nil, nil, cli.UsageError("-c %s: must be KEY=VALUE", cli.Printable(pair))
		}
		if seen[k] {
			return nil, nil, cli.UsageError("-c: key %s is given twice", cli.Printable(k))
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

// IsReserved reports whether a key of the encryption context is for the
// library.
func IsReserved(key string) bool { return strings.HasPrefix(key, "aws-crypto-") }

// wrap adds the checks of the flags to a keyring.
func (s *Settings) wrap(f *Context, kr esdk.Keyring, given esdk.EncryptionContext, present []string) (esdk.CMM, error) {
	cmm, err := esdk.NewDefaultCMM(kr)
	if err != nil {
		return nil, err
	}
	if len(f.Required) > 0 {
		for _, k := range f.Required {
			if _, ok := given[k]; !ok {
				return nil, cli.UsageError("--require-context %s: needs -c %s=VALUE", cli.Printable(k), cli.Printable(k))
			}
		}
		if cmm, err = esdk.NewRequiredContextCMM(cmm, f.Required...); err != nil {
			return nil, err
		}
	}
	return &contextCMM{CMM: cmm, names: s.Names, profile: s.Profile, required: f.Required, present: present}, nil
}

// contextCMM rejects a message that doesn't store the pairs of -c, before any
// key is used. The library itself treats a pair that isn't stored as a required
// one, and fails only at the key; here --require-context distinguishes the two.
// If no key fits, contextCMM adds a hint that lists the keys in the message.
type contextCMM struct {
	esdk.CMM
	names             *Names
	profile           *Profile
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
			names = append(names, cli.DataKeyName(&k))
		}
		err = cli.Hinted(err, "%s", cmp.Or(adviceOnBranchKey(err), "the message has data keys under: "+joinSome(names)))
	}
	return m, err
}

// joinSome joins the first names.
func joinSome(names []string) string {
	const most = 8
	text := ""
	for i, name := range names {
		if i == most {
			return text + fmt.Sprintf(", and %d more", len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}
