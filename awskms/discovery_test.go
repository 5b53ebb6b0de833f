package awskms_test

import (
	"slices"
	"strings"
	"testing"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// aws-kms-discovery-keyring.md#initialization and the multi-keyrings.
func TestNewDiscoveryKeyring(t *testing.T) {
	s := newSim(t)
	for name, f := range map[string]*awskms.Filter{
		"no partition":  {Accounts: []string{"1"}},
		"no accounts":   {Partition: "aws"},
		"empty account": {Partition: "aws", Accounts: []string{"1", ""}},
	} {
		if _, err := awskms.NewDiscoveryKeyring(s.config(), f); err == nil {
			t.Errorf("filter with %s: no error", name)
		}
		if _, err := awskms.NewMRKDiscoveryKeyring(s.config(), f, west); err == nil {
			t.Errorf("MRK, filter with %s: no error", name)
		}
	}
	for _, regions := range [][]string{{""}, {west, ""}} {
		if _, err := awskms.NewDiscoveryKeyring(s.config(), nil, regions...); err == nil {
			t.Errorf("Regions %q: no error", regions)
		}
		if _, err := awskms.NewMRKDiscoveryKeyring(s.config(), nil, regions...); err == nil {
			t.Errorf("MRK, Regions %q: no error", regions)
		}
	}
	if _, err := awskms.NewMRKDiscoveryKeyring(s.config(), nil); err == nil {
		t.Error("MRK without a Region: no error")
	}
	fixed := awskms.Config{Clients: awskms.FixedClient(s.Server.Client(west))}
	_, err := awskms.NewMRKDiscoveryKeyring(fixed, nil, west, east)
	wantText(t, err, "of Region "+west+", not of "+east)
	mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(fixed, nil, west))
	none := awskms.Config{Clients: awskms.FixedClient(nil)}
	if _, err := awskms.NewMRKDiscoveryKeyring(none, nil, west); err == nil {
		t.Error("without a client: no error")
	}
	if _, err := awskms.NewDiscoveryKeyring(none, nil); err == nil {
		t.Error("without a client: no error")
	}
}

func TestDiscoveryCannotWrap(t *testing.T) {
	s := newSim(t)
	for _, kr := range []esdk.Keyring{
		mustKeyring(t)(awskms.NewDiscoveryKeyring(s.config(), nil)),
		mustKeyring(t)(awskms.NewDiscoveryKeyring(s.config(), nil, west, east)),
		mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(s.config(), nil, west)),
	} {
		for _, dataKey := range [][]byte{nil, randomKey(32)} {
			r, err := tryWrap(t, kr, dataKey)
			if wantText(t, err, "cannot encrypt"); r != nil {
				t.Error("there is a result")
			}
		}
	}
	s.wantRequests(t)
}

// aws-kms-discovery-keyring.md#ondecrypt.
func TestDiscoveryUnwrap(t *testing.T) {
	s := newSim(t)
	arn, other := s.symmetric(west), s.symmetric(west)
	token := s.CreateGrant(arn)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	r := wrap(t, mustKeyring(t)(awskms.NewKeyring(config, arn)), nil)
	edk := r.EncryptedDataKeys[0]
	decrypt := request{"Decrypt", west, map[string]any{
		"KeyId": arn, "CiphertextBlob": base64Of(edk.Ciphertext), "EncryptionContext": jsonContext, "GrantTokens": []any{token},
	}}
	mine := &awskms.Filter{Partition: "aws", Accounts: []string{"444455556666", kmssim.Account}}
	for name, filter := range map[string]*awskms.Filter{"no filter": nil, "filter": mine} {
		t.Run(name, func(t *testing.T) {
			kr := mustKeyring(t)(awskms.NewDiscoveryKeyring(config, filter))
			s.Reset()
			wantKey(t, kr, r.DataKey, edk, edk)
			s.wantRequests(t, decrypt)
			// Data keys of other providers are ignored.
			wantKey(t, kr, r.DataKey, esdk.EncryptedDataKey{ProviderID: "raw", ProviderInfo: []byte("\xff")}, edk)
			s.wantRequests(t, decrypt)
			if none := wantNone(t, kr); len(none.Errors) > 0 {
				t.Error(none)
			}
			for _, info := range []string{"", "alias/x", "arn:aws:kms:us-west-2:1:alias/x", "\xff"} {
				wantText(t, wantNone(t, kr, edk, kmsKey(info)), "encrypted data key 2 (aws-kms)")
			}
			s.wantRequests(t)

			s.edit("Decrypt", "KeyId", other)
			wantText(t, wantNone(t, kr, edk), "another key")
			s.edit("Decrypt", "Plaintext", randomKey(31))
			none := wantNone(t, kr, edk, edk)
			wantText(t, none, "31 bytes", arn, west)
			if len(none.Errors) != 2 {
				t.Error(none)
			}
			s.fail("Decrypt", "AccessDeniedException")
			wantText(t, wantNone(t, kr, edk), "AccessDenied")
			s.Fault(nil)
			wantKey(t, kr, r.DataKey, kmsKey(other), edk) // the first isn't a ciphertext
		})
	}
	for name, filter := range map[string]*awskms.Filter{
		"partition": {Partition: "aws-cn", Accounts: mine.Accounts},
		"account":   {Partition: "aws", Accounts: []string{"444455556666"}},
	} {
		t.Run("other "+name, func(t *testing.T) {
			kr := mustKeyring(t)(awskms.NewDiscoveryKeyring(config, filter))
			mrk := mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(config, filter, west))
			s.Reset()
			for _, kr := range []esdk.Keyring{kr, mrk} {
				if none := wantNone(t, kr, edk); len(none.Errors) > 0 {
					t.Error(none)
				}
			}
			s.wantRequests(t)
		})
	}
}

// The caller may change the filter and the Regions later.
func TestDiscoveryKeepsItsOwn(t *testing.T) {
	s := newSim(t)
	r := wrap(t, mustKeyring(t)(awskms.NewKeyring(s.config(), s.symmetric(west))), nil)
	filter := &awskms.Filter{Partition: "aws", Accounts: []string{kmssim.Account}}
	regions := []string{west}
	config := s.config()
	config.GrantTokens = []string{s.CreateGrant(s.symmetric(west))}
	kr := mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(config, filter, regions...))
	filter.Partition, filter.Accounts[0], regions[0], config.GrantTokens[0] = "x", "x", "x", "x"
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
}

// aws-kms-multi-keyrings.md#aws-kms-discovery-multi-keyring.
func TestDiscoveryRegions(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(east)
	r := wrap(t, mustKeyring(t)(awskms.NewKeyring(s.config(), arn)), nil)
	kr := mustKeyring(t)(awskms.NewDiscoveryKeyring(s.config(), nil, west, east, eu))
	s.Reset()
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
	var asked []string
	for _, req := range s.Requests() {
		asked = append(asked, req.Region)
		if req.Input["KeyId"] != arn {
			t.Error(req.Input)
		}
	}
	if !slices.Equal(asked, []string{west, east}) {
		t.Errorf("asked %q", asked)
	}
	s.fail("Decrypt", "AccessDeniedException")
	none := wantNone(t, kr, r.EncryptedDataKeys...)
	wantText(t, none, arn+" in "+west, arn+" in "+east, arn+" in "+eu)
	if len(none.Errors) != 3 {
		t.Error(none)
	}
}

// aws-kms-mrk-discovery-keyring.md#ondecrypt.
func TestMRKDiscoveryUnwrap(t *testing.T) {
	s := newSim(t)
	primary, replica := s.mrk()
	single, far := s.symmetric(west), s.symmetric(eu)
	token := s.CreateGrant(primary)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	strict := func(arn string) *esdk.WrapResult {
		return wrap(t, mustKeyring(t)(awskms.NewKeyring(config, arn)), nil)
	}
	inWest := mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(config, nil, west))
	decrypt := func(keyID string, edk esdk.EncryptedDataKey) request {
		return request{"Decrypt", west, map[string]any{
			"KeyId": keyID, "CiphertextBlob": base64Of(edk.Ciphertext), "EncryptionContext": jsonContext, "GrantTokens": []any{token},
		}}
	}
	// Only the Region of a multi-Region key is replaced.
	for _, c := range []struct{ encrypt, ask string }{{primary, primary}, {replica, primary}, {single, single}} {
		r := strict(c.encrypt)
		s.Reset()
		wantKey(t, inWest, r.DataKey, r.EncryptedDataKeys...)
		s.wantRequests(t, decrypt(c.ask, r.EncryptedDataKeys[0]))
	}
	r := strict(far)
	s.Reset()
	if none := wantNone(t, inWest, r.EncryptedDataKeys...); len(none.Errors) > 0 {
		t.Error(none)
	}
	wantText(t, wantNone(t, inWest, kmsKey("arn:aws:kms:us-west-2:1:alias/mrk-x")), "ARN of an alias")
	s.wantRequests(t)

	// The answer must be of the requested key, not of the key that the message
	// names.
	r = strict(replica)
	s.edit("Decrypt", "KeyId", replica)
	wantText(t, wantNone(t, inWest, r.EncryptedDataKeys...), "another key", primary+" in "+west)
	s.edit("Decrypt", "Plaintext", randomKey(33))
	wantText(t, wantNone(t, inWest, r.EncryptedDataKeys...), "33 bytes")
	s.Fault(nil)

	// If a Region has no replica, the next one is tried.
	regions := mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(config, nil, eu, east))
	s.Reset()
	wantKey(t, regions, r.DataKey, r.EncryptedDataKeys...)
	requests := s.Requests()
	if len(requests) != 2 || requests[0].Input["KeyId"] != strings.Replace(replica, east, eu, 1) || requests[0].Error != "NotFoundException" {
		t.Errorf("%v", requests)
	}
	// A single-Region key is tried in its own Region only.
	r = strict(far)
	s.Reset()
	both := mustKeyring(t)(awskms.NewMRKDiscoveryKeyring(config, nil, west, eu))
	wantKey(t, both, r.DataKey, r.EncryptedDataKeys...)
	if requests := s.Requests(); len(requests) != 1 || requests[0].Region != eu {
		t.Errorf("%v", requests)
	}
}
