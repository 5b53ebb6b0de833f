package esdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"esdk"
)

// TestKeyring checks a keyring that encrypts and decrypts, and binds each data
// key to its encryption context. Use [KeyringTest] for a keyring with limits.
func TestKeyring(t *testing.T, kr esdk.Keyring) {
	KeyringTest{Encrypt: kr, Decrypt: kr}.Run(t)
}

// A KeyringTest checks a keyring, or a pair of keyrings. Each field but the
// first two says how the keyring differs from others, and belongs in the
// keyring's documentation. The difference is checked too: a keyring fails if it
// can do something that NoGenerate, NoWrap or NoContext says it can't.
type KeyringTest struct {
	// Encrypt wraps data keys, and Decrypt unwraps them. Both must be set; for
	// most keyrings they are the same.
	Encrypt, Decrypt esdk.Keyring

	// Suites are the suites that the keyring supports; nil means all.
	Suites []esdk.SuiteID

	// ProviderIDs are the only provider IDs that the encrypted data keys may
	// have. Nil means any that doesn't start with "aws-kms", which is reserved
	// for AWS.
	ProviderIDs []string

	// NoGenerate says that the keyring never makes a data key, and NoWrap that
	// it wraps only data keys that it made. It must then reject the other kind
	// of request.
	NoGenerate, NoWrap bool

	// NoContext says that the keyring can't bind a data key to the encryption
	// context. Examples are RSA, or a key service that takes no context. The
	// context is then bound to the message alone: anyone who can change an
	// encrypted data key can move it to a message with another context. A
	// keyring that does bind the context fails with NoContext set.
	NoContext bool

	// NoIntegrity says that the keyring can't tell that a ciphertext of the
	// right length was changed. With RSA and PKCS #1 v1.5 padding, it must not.
	// The message then doesn't decrypt.
	NoIntegrity bool
}

// Run runs the checks as subtests of t.
func (k KeyringTest) Run(t *testing.T) {
	t.Helper()
	if k.Encrypt == nil || k.Decrypt == nil {
		t.Fatal("esdktest: KeyringTest needs a keyring to encrypt and one to decrypt")
	}
	for _, c := range keyringChecks {
		t.Run(c.name, func(t *testing.T) { c.run(&k, t) })
	}
}

// Each check takes a testing.TB, so that the tests of this package can record
// its findings for a broken keyring.
var keyringChecks = []struct {
	name string
	run  func(*KeyringTest, testing.TB)
}{
	{"new data key", (*KeyringTest).newDataKey},
	{"given data key", (*KeyringTest).givenDataKey},
	{"encrypted data keys", (*KeyringTest).encryptedDataKeys},
	{"empty context", (*KeyringTest).emptyContext},
	{"bound context", (*KeyringTest).boundContext},
	{"request unchanged", (*KeyringTest).requestUnchanged},
	{"request not kept", (*KeyringTest).requestNotKept},
	{"result not kept", (*KeyringTest).resultNotKept},
	{"foreign skipped", (*KeyringTest).foreignSkipped},
	{"other provider info", (*KeyringTest).otherProviderInfo},
	{"malformed provider info", (*KeyringTest).malformedProviderInfo},
	{"corrupted", (*KeyringTest).corrupted},
	{"wrong length", (*KeyringTest).wrongLength},
	{"no key in errors", (*KeyringTest).noKeyInErrors},
	{"cancelled context", (*KeyringTest).cancelledContext},
	{"concurrent use", (*KeyringTest).concurrentUse},
	{"messages", (*KeyringTest).messages},
}

func (k *KeyringTest) suites() []esdk.SuiteID {
	if k.Suites == nil {
		return allSuites
	}
	return k.Suites
}

// request asks for a fresh data key if the keyring makes data keys.
func (k *KeyringTest) request(id esdk.SuiteID) *esdk.WrapRequest {
	req := &esdk.WrapRequest{Suite: id, EncryptionContext: sampleContext()}
	if k.NoGenerate {
		req.DataKey = randomBytes(id.DataKeyLength())
	}
	return req
}

// wrapOwned returns the keyring's own result, which is not nil without an
// error.
func (k *KeyringTest) wrapOwned(ctx context.Context, req *esdk.WrapRequest) (*esdk.WrapResult, error) {
	r, err := k.Encrypt.Wrap(ctx, req)
	if err == nil && r == nil {
		err = errNoResult
	}
	return r, err
}

// try wraps a data key and returns copies.
func (k *KeyringTest) try(ctx context.Context, req *esdk.WrapRequest) (dataKey []byte, edks []esdk.EncryptedDataKey, err error) {
	given := bytes.Clone(req.DataKey)
	r, err := k.wrapOwned(ctx, req)
	if err != nil {
		return nil, nil, fmt.Errorf("%v: Wrap: %w", req.Suite, err)
	}
	dataKey = given
	if dataKey == nil {
		dataKey = bytes.Clone(r.DataKey)
	}
	return dataKey, cloneDataKeys(r.EncryptedDataKeys), nil
}

func (k *KeyringTest) wrap(t testing.TB, req *esdk.WrapRequest) (dataKey []byte, edks []esdk.EncryptedDataKey) {
	t.Helper()
	dataKey, edks, err := k.try(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return dataKey, edks
}

var (
	errNoResult  = errors.New("its Wrap returned neither a result nor an error")
	errNoDataKey = errors.New("its Unwrap returned neither a data key nor an error")
)

func (k *KeyringTest) unwrap(ctx context.Context, id esdk.SuiteID, edks []esdk.EncryptedDataKey) ([]byte, error) {
	return k.unwrapUnder(ctx, id, sampleContext(), edks)
}

func (k *KeyringTest) unwrapUnder(ctx context.Context, id esdk.SuiteID, ec esdk.EncryptionContext, edks []esdk.EncryptedDataKey) ([]byte, error) {
	dataKey, err := k.Decrypt.Unwrap(ctx, &esdk.UnwrapRequest{
		Suite: id, EncryptionContext: ec, EncryptedDataKeys: cloneDataKeys(edks),
	})
	if err == nil && len(dataKey) == 0 {
		err = errNoDataKey
	}
	return dataKey, err
}

// mustUnwrap checks that encrypted data keys yield the data key.
func (k *KeyringTest) mustUnwrap(t testing.TB, what string, id esdk.SuiteID, edks []esdk.EncryptedDataKey, want []byte) {
	t.Helper()
	if got, err := k.unwrap(t.Context(), id, edks); err != nil {
		t.Errorf("%v: Unwrap of %s: %v", id, what, err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%v: Unwrap of %s returned another data key than was wrapped", id, what)
	}
}

// mustFail checks that encrypted data keys yield nothing but the right error,
// which it returns.
func (k *KeyringTest) mustFail(t testing.TB, what string, id esdk.SuiteID, edks []esdk.EncryptedDataKey) *esdk.NoDataKeyError {
	t.Helper()
	dataKey, err := k.unwrap(t.Context(), id, edks)
	if err == nil {
		t.Errorf("%v: Unwrap of %s succeeded", id, what)
		return new(esdk.NoDataKeyError)
	}
	if dataKey != nil {
		t.Errorf("%v: Unwrap of %s returned both a data key and an error", id, what)
	}
	none := new(esdk.NoDataKeyError)
	if !errors.As(err, &none) {
		t.Errorf("%v: Unwrap of %s fails with %q, which is not a *NoDataKeyError", id, what, err)
	}
	return none
}

func (k *KeyringTest) newDataKey(t testing.TB) {
	for _, id := range k.suites() {
		req := &esdk.WrapRequest{Suite: id, EncryptionContext: sampleContext()}
		if k.NoGenerate {
			if _, err := k.Encrypt.Wrap(t.Context(), req); err == nil {
				t.Errorf("%v: Wrap without a data key succeeded, though the keyring makes none", id)
			}
			continue
		}
		first, edks := k.wrap(t, req)
		if len(first) != id.DataKeyLength() {
			t.Errorf("%v: Wrap made a data key of %d bytes, need %d", id, len(first), id.DataKeyLength())
		}
		if bytes.Equal(first, make([]byte, len(first))) {
			t.Errorf("%v: Wrap made a data key of zeros", id)
		}
		if second, _ := k.wrap(t, req); bytes.Equal(first, second) {
			t.Errorf("%v: Wrap made the same data key twice", id)
		}
		k.mustUnwrap(t, "a new data key", id, edks, first)
	}
}

func (k *KeyringTest) givenDataKey(t testing.TB) {
	for _, id := range k.suites() {
		given := randomBytes(id.DataKeyLength())
		req := &esdk.WrapRequest{Suite: id, EncryptionContext: sampleContext(), DataKey: bytes.Clone(given)}
		r, err := k.wrapOwned(t.Context(), req)
		if k.NoWrap {
			if err == nil {
				t.Errorf("%v: Wrap of a given data key succeeded, though the keyring wraps only its own", id)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: Wrap of a given data key: %v", id, err)
			continue
		}
		if !bytes.Equal(req.DataKey, given) {
			t.Errorf("%v: Wrap changed the data key that it was given", id)
		}
		if r.DataKey != nil && !bytes.Equal(r.DataKey, given) {
			t.Errorf("%v: Wrap returned another data key than it was given", id)
		}
		if fill(r.DataKey); !bytes.Equal(req.DataKey, given) {
			t.Errorf("%v: Wrap returned the slice that it was given", id)
		}
		k.mustUnwrap(t, "a given data key", id, r.EncryptedDataKeys, given)
	}
}

func (k *KeyringTest) encryptedDataKeys(t testing.TB) {
	for _, id := range k.suites() {
		dataKey, edks := k.wrap(t, k.request(id))
		checkDataKeys(t, edks, dataKey)
		for i, edk := range edks {
			if k.ProviderIDs == nil && strings.HasPrefix(edk.ProviderID, "aws-kms") {
				t.Errorf("provider id %q is reserved", edk.ProviderID)
			}
			if k.ProviderIDs != nil && !slices.Contains(k.ProviderIDs, edk.ProviderID) {
				t.Errorf("provider id %q is none of %q", edk.ProviderID, k.ProviderIDs)
			}
			k.mustUnwrap(t, fmt.Sprintf("encrypted data key %d alone", i), id, edks[i:i+1], dataKey)
		}
	}
}

// An empty context is the same as none.
func (k *KeyringTest) emptyContext(t testing.TB) {
	contexts := []esdk.EncryptionContext{nil, {}}
	for i, ec := range contexts {
		req := k.request(k.suites()[0])
		req.EncryptionContext = ec
		dataKey, edks := k.wrap(t, req)
		got, err := k.Decrypt.Unwrap(t.Context(), &esdk.UnwrapRequest{
			Suite: req.Suite, EncryptionContext: contexts[1-i], EncryptedDataKeys: edks,
		})
		if err != nil || !bytes.Equal(got, dataKey) {
			t.Errorf("an empty context and a nil one are not the same: %v", err)
		}
	}
}

// otherContexts are contexts that differ from the sample, each in its own way.
func otherContexts() map[string]esdk.EncryptionContext {
	contexts := map[string]esdk.EncryptionContext{"without pairs": nil}
	with := func(name string, change func(esdk.EncryptionContext)) {
		ec := sampleContext()
		change(ec)
		contexts[name] = ec
	}
	for k := range sampleContext() {
		with(fmt.Sprintf("without the pair of %q", k), func(ec esdk.EncryptionContext) { delete(ec, k) })
		with(fmt.Sprintf("with another value of %q", k), func(ec esdk.EncryptionContext) { ec[k] += "x" })
		with(fmt.Sprintf("with another key than %q", k), func(ec esdk.EncryptionContext) {
			ec[k+"x"] = ec[k]
			delete(ec, k)
		})
	}
	with("with one more pair", func(ec esdk.EncryptionContext) { ec["more"] = "" })
	with("with values that changed places", func(ec esdk.EncryptionContext) {
		ec["Stage"], ec["purpose"] = ec["purpose"], ec["Stage"]
	})
	with("with a letter moved from a value to its key", func(ec esdk.EncryptionContext) {
		ec["Stage"+ec["Stage"][:1]] = ec["Stage"][1:]
		delete(ec, "Stage")
	})
	return contexts
}

// If a data key unwrapped under another context than it was wrapped under, an
// attacker could move it to a message with that context.
func (k *KeyringTest) boundContext(t testing.TB) {
	id := k.suites()[0]
	dataKey, edks := k.wrap(t, k.request(id))
	var ignored []string
	try := func(what string, ec esdk.EncryptionContext, edks []esdk.EncryptedDataKey, dataKey []byte) {
		got, err := k.unwrapUnder(t.Context(), id, ec, edks)
		switch {
		case errors.Is(err, errNoDataKey):
			t.Errorf("another context, %s: %v", what, err)
		case err == nil && (!k.NoIntegrity || bytes.Equal(got, dataKey)):
			ignored = append(ignored, what)
		}
	}
	for what, ec := range otherContexts() {
		try(what, ec, edks, dataKey)
	}
	req := k.request(id)
	req.EncryptionContext = nil
	dataKey, edks = k.wrap(t, req)
	try("with pairs where there were none", sampleContext(), edks, dataKey)
	slices.Sort(ignored)
	if !k.NoContext && len(ignored) > 0 {
		t.Errorf("the data key isn't bound to the encryption context: it unwraps under %d other ones, such as one %s; see NoContext", len(ignored), ignored[0])
	}
	if k.NoContext && len(ignored) == 0 {
		t.Error("the data key is bound to the encryption context, though NoContext says that it isn't")
	}
}

// spare is the content behind a slice, in the same array.
const spare = "not the keyring's"

// withSpare returns a copy in a longer array, and a function that reports
// whether the rest of the array is unchanged.
func withSpare(b []byte) (longer []byte, intact func() bool) {
	all := append(bytes.Clone(b), spare...)
	return all[:len(b)], func() bool { return string(all[len(b):]) == spare }
}

func (k *KeyringTest) requestUnchanged(t testing.TB) {
	req := k.request(k.suites()[0])
	intact := func() bool { return true }
	if !k.NoWrap {
		req.DataKey, intact = withSpare(randomBytes(req.Suite.DataKeyLength()))
	}
	before := *req
	before.EncryptionContext, before.DataKey = maps.Clone(req.EncryptionContext), bytes.Clone(req.DataKey)
	_, edks := k.wrap(t, req)
	if !reflect.DeepEqual(*req, before) || !intact() {
		t.Error("Wrap changed its request")
	}
	bad := changeAll(cloneDataKeys(edks), flipLast)
	for _, list := range [][]esdk.EncryptedDataKey{edks, bad} {
		req := &esdk.UnwrapRequest{Suite: req.Suite, EncryptionContext: sampleContext(), EncryptedDataKeys: list}
		before := esdk.UnwrapRequest{Suite: req.Suite, EncryptionContext: sampleContext(), EncryptedDataKeys: cloneDataKeys(list)}
		// In a message, the next field follows each field.
		var intact []func() bool
		for i := range list {
			for _, field := range []*[]byte{&list[i].ProviderInfo, &list[i].Ciphertext} {
				longer, same := withSpare(*field)
				*field, intact = longer, append(intact, same)
			}
		}
		k.Decrypt.Unwrap(t.Context(), req)
		if !reflect.DeepEqual(*req, before) || slices.ContainsFunc(intact, func(same func() bool) bool { return !same() }) {
			t.Error("Unwrap changed its request")
		}
	}
}

// After a call has returned, its caller may reuse the arguments.
func (k *KeyringTest) requestNotKept(t testing.TB) {
	id := k.suites()[0]
	req := k.request(id)
	if !k.NoWrap {
		req.DataKey = randomBytes(id.DataKeyLength())
	}
	dataKey := bytes.Clone(req.DataKey)
	r, err := k.wrapOwned(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if dataKey == nil {
		dataKey = bytes.Clone(r.DataKey)
	}
	fill(req.DataKey)
	clear(req.EncryptionContext)
	k.mustUnwrap(t, "what was wrapped before the request was overwritten", id, r.EncryptedDataKeys, dataKey)

	unwrap := &esdk.UnwrapRequest{Suite: id, EncryptionContext: sampleContext(), EncryptedDataKeys: cloneDataKeys(r.EncryptedDataKeys)}
	got, err := k.Decrypt.Unwrap(t.Context(), unwrap)
	if err != nil {
		t.Fatal(err)
	}
	scribble(unwrap.EncryptedDataKeys)
	clear(unwrap.EncryptionContext)
	if !bytes.Equal(got, dataKey) {
		t.Error("the unwrapped data key is a part of the request")
	}
	k.mustUnwrap(t, "the same data keys, after a request for them was overwritten", id, r.EncryptedDataKeys, dataKey)
}

// The caller clears the data key, and may clear the whole result. Until then,
// no later call changes it.
func (k *KeyringTest) resultNotKept(t testing.TB) {
	id := k.suites()[0]
	r, err := k.wrapOwned(t.Context(), k.request(id))
	if err != nil {
		t.Fatal(err)
	}
	before := esdk.WrapResult{DataKey: bytes.Clone(r.DataKey), EncryptedDataKeys: cloneDataKeys(r.EncryptedDataKeys)}
	k.wrap(t, k.request(id))
	if !bytes.Equal(r.DataKey, before.DataKey) || !reflect.DeepEqual(cloneDataKeys(r.EncryptedDataKeys), before.EncryptedDataKeys) {
		t.Error("a later Wrap changed the result of an earlier one")
	}
	fill(r.DataKey)
	scribble(r.EncryptedDataKeys)
	dataKey, edks := k.wrap(t, k.request(id))
	checkDataKeys(t, edks, dataKey)
	k.mustUnwrap(t, "what was wrapped after another result was overwritten", id, edks, dataKey)

	got, err := k.unwrap(t.Context(), id, edks)
	if err != nil {
		t.Fatal(err)
	}
	other, otherEDKs := k.wrap(t, k.request(id))
	k.mustUnwrap(t, "another data key", id, otherEDKs, other)
	if !bytes.Equal(got, dataKey) {
		t.Error("a later Unwrap changed the result of an earlier one")
	}
	fill(got)
	k.mustUnwrap(t, "the same data keys, after the data key was overwritten", id, edks, dataKey)
}

func (k *KeyringTest) foreignSkipped(t testing.TB) {
	id := k.suites()[0]
	dataKey, edks := k.wrap(t, k.request(id))
	foreign := []esdk.EncryptedDataKey{
		{ProviderID: "esdktest", ProviderInfo: []byte("\xff not text"), Ciphertext: randomBytes(40)},
		{ProviderID: "\xff\xfe", ProviderInfo: nil, Ciphertext: randomBytes(256)},
		{ProviderID: "esdktest"},
	}
	// A provider ID is compared as a whole.
	for _, edk := range cloneDataKeys(edks) {
		edk.ProviderID += "-"
		foreign = append(foreign, edk)
	}
	k.mustUnwrap(t, "data keys behind those of others", id, slices.Concat(foreign, edks), dataKey)
	for what, list := range map[string][]esdk.EncryptedDataKey{"data keys of others": foreign, "no data keys": nil} {
		if none := k.mustFail(t, what, id, list); len(none.Errors) > 0 {
			t.Errorf("Unwrap of %s reports errors, and should pass over them: %v", what, none)
		}
	}
}

// A data key that names another wrapping key of the provider must not stop the
// keyring from finding its own.
func (k *KeyringTest) otherProviderInfo(t testing.TB) {
	id := k.suites()[0]
	dataKey, edks := k.wrap(t, k.request(id))
	other := cloneDataKeys(edks)
	for i := range other {
		other[i].ProviderInfo = append(other[i].ProviderInfo, 'x')
	}
	k.mustUnwrap(t, "data keys behind those of another wrapping key", id, slices.Concat(other, edks), dataKey)
	// A keyring may ignore the provider info.
	if got, err := k.unwrap(t.Context(), id, other); err != nil {
		k.mustFail(t, "data keys of another wrapping key", id, other)
	} else if !k.NoIntegrity && !bytes.Equal(got, dataKey) {
		t.Error("Unwrap of data keys of another wrapping key returned something")
	}
}

// Messages come from strangers, and their provider infos have any length. A
// keyring may end its search at an invalid one, as the AWS KMS keyrings must.
func (k *KeyringTest) malformedProviderInfo(t testing.TB) {
	id := k.suites()[0]
	dataKey, edks := k.wrap(t, k.request(id))
	longest := 0
	for _, edk := range edks {
		longest = max(longest, len(edk.ProviderInfo))
	}
	for _, n := range []int{0, 1, 2, 3, longest / 2, longest - 1} { // only a few, since a key service may answer each
		cut := changeAll(cloneDataKeys(edks), func(edk *esdk.EncryptedDataKey) {
			edk.ProviderInfo = edk.ProviderInfo[:max(0, min(n, len(edk.ProviderInfo)))]
		})
		for _, list := range [][]esdk.EncryptedDataKey{cut, slices.Concat(cut, edks)} {
			got, err := k.tolerant(t, id, list)
			if err == nil && !k.NoIntegrity && !bytes.Equal(got, dataKey) {
				t.Errorf("Unwrap of data keys whose provider info is cut to %d bytes returned another data key than was wrapped", n)
			}
		}
	}
}

// tolerant turns a panic of the keyring into a finding.
func (k *KeyringTest) tolerant(t testing.TB, id esdk.SuiteID, edks []esdk.EncryptedDataKey) (dataKey []byte, err error) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("Unwrap panics: %v", p)
		}
	}()
	return k.unwrap(t.Context(), id, edks)
}

// These functions accept an empty ciphertext, since nothing forbids one.

func flipFirst(edk *esdk.EncryptedDataKey) {
	if len(edk.Ciphertext) > 0 {
		edk.Ciphertext[0] ^= 1
	}
}

func flipLast(edk *esdk.EncryptedDataKey) {
	if n := len(edk.Ciphertext); n > 0 {
		edk.Ciphertext[n-1] ^= 1
	}
}

func cutShort(edk *esdk.EncryptedDataKey) {
	edk.Ciphertext = edk.Ciphertext[:max(0, len(edk.Ciphertext)-1)]
}

func lengthen(edk *esdk.EncryptedDataKey) { edk.Ciphertext = append(edk.Ciphertext, 0) }

func empty(edk *esdk.EncryptedDataKey) { edk.Ciphertext = nil }

func changeAll(edks []esdk.EncryptedDataKey, change func(*esdk.EncryptedDataKey)) []esdk.EncryptedDataKey {
	for i := range edks {
		change(&edks[i])
	}
	return edks
}

func (k *KeyringTest) corrupted(t testing.TB) {
	id := k.suites()[0]
	dataKey, edks := k.wrap(t, k.request(id))
	corruptions := []struct {
		name       string
		sameLength bool
		tellsKey   bool // a service may read which key it is there, and not find it
		corrupt    func(*esdk.EncryptedDataKey)
	}{
		{"changed at its end", true, false, flipLast},
		{"changed at its start", true, true, flipFirst},
		{"cut short", false, false, cutShort},
		{"one byte longer", false, false, lengthen},
		{"empty", false, true, empty},
	}
	for _, c := range corruptions {
		bad := changeAll(cloneDataKeys(edks), c.corrupt)
		if k.NoIntegrity && c.sameLength {
			if got, err := k.unwrap(t.Context(), id, bad); err == nil && bytes.Equal(got, dataKey) {
				t.Errorf("a data key that is %s unwraps as before", c.name)
			}
			continue
		}
		k.mustUnwrap(t, "data keys behind one that is "+c.name, id, slices.Concat(bad, edks), dataKey)
		none := k.mustFail(t, "a data key that is "+c.name, id, bad)
		if len(none.Errors) < len(bad) {
			t.Errorf("Unwrap of %d data keys that are %s reports %d errors, and should report each", len(bad), c.name, len(none.Errors))
		} else if !c.tellsKey && !errors.Is(none, esdk.ErrAuthentication) {
			t.Errorf("Unwrap of a data key that is %s fails with %q, which doesn't match ErrAuthentication", c.name, none)
		}
	}
}

// A data key of one suite's length must not be returned for another suite.
func (k *KeyringTest) wrongLength(t testing.TB) {
	for _, made := range k.suites() {
		for _, asked := range k.suites() {
			if made.DataKeyLength() == asked.DataKeyLength() {
				continue
			}
			dataKey, edks := k.wrap(t, k.request(made))
			if k.NoIntegrity {
				// Some such keyrings return another data key of the right
				// length, but they must not return this one.
				got, err := k.unwrap(t.Context(), asked, edks)
				if err == nil && (len(got) != asked.DataKeyLength() || bytes.HasPrefix(got, dataKey) || bytes.HasPrefix(dataKey, got)) {
					t.Errorf("Unwrap for %v returned a data key made for %v", asked, made)
				}
			} else {
				k.mustFail(t, fmt.Sprintf("a data key made for %v", made), asked, edks)
			}
			break
		}
	}
}

func (k *KeyringTest) noKeyInErrors(t testing.TB) {
	check := func(what string, err error, dataKey []byte) {
		if err != nil && leaks(err.Error(), dataKey) {
			t.Errorf("the error for %s has bytes of the data key", what)
		}
	}
	for _, id := range k.suites() {
		dataKey, edks := k.wrap(t, k.request(id))
		for _, other := range k.suites() {
			_, err := k.unwrap(t.Context(), other, edks)
			check("another suite", err, dataKey)
		}
		_, err := k.unwrap(t.Context(), id, changeAll(cloneDataKeys(edks), flipLast))
		check("a changed data key", err, dataKey)
		_, err = k.unwrapUnder(t.Context(), id, nil, edks)
		check("another context", err, dataKey)

		given := randomBytes(id.DataKeyLength())
		_, err = k.Encrypt.Wrap(t.Context(), &esdk.WrapRequest{
			Suite: id, DataKey: given, EncryptionContext: esdk.EncryptionContext{"not UTF-8": "\xff"},
		})
		check("a context that is not UTF-8", err, given)
		_, err = k.Encrypt.Wrap(t.Context(), &esdk.WrapRequest{Suite: id, DataKey: given[1:], EncryptionContext: sampleContext()})
		check("a data key of the wrong length", err, given[1:])
	}
}

func (k *KeyringTest) cancelledContext(t testing.TB) {
	id := k.suites()[0]
	_, edks := k.wrap(t, k.request(id))
	_, _, err := k.try(cancelled(t), k.request(id))
	checkCancelled(t, "Wrap", err)
	_, err = k.unwrap(cancelled(t), id, edks)
	checkCancelled(t, "Unwrap", err)
}

func (k *KeyringTest) concurrentUse(t testing.TB) {
	id := k.suites()[0]
	// Several concurrent calls may share an unchanged request.
	sharedKey, edks := k.wrap(t, k.request(id))
	shared := &esdk.UnwrapRequest{Suite: id, EncryptionContext: sampleContext(), EncryptedDataKeys: edks}
	concurrently(t, func() error {
		if got, err := k.Decrypt.Unwrap(t.Context(), shared); err != nil {
			return fmt.Errorf("of a shared request: %w", err)
		} else if !bytes.Equal(got, sharedKey) {
			return errors.New("its Unwrap of a shared request returned another data key than was wrapped")
		}
		dataKey, edks, err := k.try(t.Context(), k.request(id))
		if err != nil {
			return err
		}
		got, err := k.unwrap(t.Context(), id, edks)
		if err == nil && !bytes.Equal(got, dataKey) {
			err = errors.New("its Unwrap returned another data key than was wrapped")
		}
		return err
	})
}

func (k *KeyringTest) messages(t testing.TB) {
	if k.NoGenerate {
		return // it needs its own CMM
	}
	for _, id := range k.suites() {
		c := esdk.Config{Suite: id, CommitmentPolicy: policyFor(id)}
		encrypt, decrypt := c, c
		encrypt.Keyring, decrypt.Keyring = k.Encrypt, k.Decrypt
		checkMessages(t, encrypt, decrypt, sampleContext())
	}
}
