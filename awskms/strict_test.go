package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// aws-kms-keyring.md#initialization,
// aws-kms-multi-keyrings.md#aws-kms-multi-keyring.
func TestNewKeyring(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(west)
	for _, c := range []struct {
		name, generator string
		keys            []string
	}{
		{"no key", "", nil},
		{"empty key", "", []string{""}},
		{"empty second key", arn, []string{arn, ""}},
		{"generator not a key", "arn:aws:kms:us-west-2:1:queue/x", nil},
		{"key not of KMS", arn, []string{"arn:aws:s3:::bucket"}},
		{"not a resource", "key/1234", nil},
	} {
		for name, build := range map[string]func(awskms.Config, string, ...string) (esdk.Keyring, error){
			"strict": awskms.NewKeyring, "MRK": awskms.NewMRKKeyring,
		} {
			if kr, err := build(s.config(), c.generator, c.keys...); err == nil || kr != nil {
				t.Errorf("%s, %s: %v, %v", name, c.name, kr, err)
			}
		}
	}
	for _, client := range []awskms.Client{nil, (*kms.Client)(nil)} {
		if _, err := awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(client)}, arn); err == nil {
			t.Errorf("a keyring of the client %T(nil)", client)
		}
	}
	s.wantRequests(t) // no requests yet
}

// aws-kms-keyring.md#onencrypt, without a data key.
func TestStrictGenerate(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(east)
	token := s.CreateGrant(arn)
	s.CreateAlias(west, "alias/west", s.symmetric(west))
	for name, id := range map[string]string{"ARN": arn, "alias": "alias/west"} {
		t.Run(name, func(t *testing.T) {
			region := map[string]string{"ARN": east, "alias": west}[name]
			kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: s, GrantTokens: []string{token}}, id))
			for _, id2 := range []esdk.SuiteID{esdk.AES128GCM, esdk.AES192GCMHKDFSHA384ECDSAP384, signed} {
				r, err := kr.Wrap(t.Context(), &esdk.WrapRequest{Suite: id2, EncryptionContext: testContext})
				if err != nil {
					t.Fatal(err)
				}
				s.wantRequests(t, request{"GenerateDataKey", region, map[string]any{
					"KeyId": id, "NumberOfBytes": float64(id2.DataKeyLength()),
					"EncryptionContext": jsonContext, "GrantTokens": []any{token},
				}})
				if len(r.DataKey) != id2.DataKeyLength() || len(r.EncryptedDataKeys) != 1 {
					t.Fatalf("%v: data key of %d bytes, %d encrypted", id2, len(r.DataKey), len(r.EncryptedDataKeys))
				}
				edk := r.EncryptedDataKeys[0]
				if edk.ProviderID != "aws-kms" || !strings.HasPrefix(string(edk.ProviderInfo), "arn:aws:kms:"+region+":"+kmssim.Account+":key/") || len(edk.Ciphertext) == 0 {
					t.Errorf("encrypted data key %q %q %d", edk.ProviderID, edk.ProviderInfo, len(edk.Ciphertext))
				}
			}
		})
	}
}

// aws-kms-keyring.md#onencrypt: invalid answers.
func TestStrictGenerateFails(t *testing.T) {
	s := newSim(t)
	arn, other := s.symmetric(west), s.symmetric(west)
	alias := s.CreateAlias(west, "alias/test", arn)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arn))
	for name, c := range map[string]struct {
		member string
		value  any
		text   string
	}{
		"data key too short":  {"Plaintext", randomKey(31), "31 bytes"},
		"data key too long":   {"Plaintext", randomKey(33), "33 bytes"},
		"no data key":         {"Plaintext", nil, "0 bytes"},
		"no ciphertext":       {"CiphertextBlob", nil, "no ciphertext"},
		"no key id":           {"KeyId", nil, "does not name its key"},
		"key id not an ARN":   {"KeyId", "1234", "does not name its key"},
		"key id of an alias":  {"KeyId", alias, "ARN of an alias"},
		"key id of other key": {"KeyId", other, "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			s.edit("GenerateDataKey", c.member, c.value)
			r, err := tryWrap(t, kr, nil)
			wantText(t, err, c.text, arn, west)
			if r != nil {
				t.Error("there is a result")
			}
		})
	}
	s.fail("GenerateDataKey", "KMSInternalException")
	var apiError *types.KMSInternalException
	if _, err := tryWrap(t, kr, nil); !errors.As(err, &apiError) {
		t.Error(err)
	}
}

// aws-kms-keyring.md#onencrypt, with a data key.
func TestStrictEncrypt(t *testing.T) {
	s := newSim(t)
	arn, other := s.symmetric(east), s.symmetric(east)
	token := s.CreateGrant(arn)
	kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: s, GrantTokens: []string{token}}, arn))
	dataKey := randomKey(32)
	r := wrap(t, kr, dataKey)
	s.wantRequests(t, request{"Encrypt", east, map[string]any{
		"KeyId": arn, "Plaintext": base64Of(dataKey), "EncryptionContext": jsonContext, "GrantTokens": []any{token},
	}})
	if r.DataKey != nil || len(r.EncryptedDataKeys) != 1 {
		t.Fatalf("%+v", r)
	}
	if edk := r.EncryptedDataKeys[0]; edk.ProviderID != "aws-kms" || string(edk.ProviderInfo) != arn {
		t.Errorf("encrypted data key %q %q", edk.ProviderID, edk.ProviderInfo)
	}
	wantKey(t, kr, dataKey, r.EncryptedDataKeys...)

	for _, keyID := range []any{nil, "", "1234", "alias/x", other} {
		s.edit("Encrypt", "KeyId", keyID)
		_, err := tryWrap(t, kr, dataKey)
		wantText(t, err, "KMS key "+arn+" in "+east)
	}
	s.fail("Encrypt", "DisabledException")
	var disabled *types.DisabledException
	if _, err := tryWrap(t, kr, dataKey); !errors.As(err, &disabled) {
		t.Error(err)
	}
	s.Reset()
	for what, req := range map[string]*esdk.WrapRequest{
		"short data key":  {Suite: unsigned, DataKey: randomKey(31)},
		"unknown suite":   {Suite: 0x6701},
		"context not UTF": {Suite: unsigned, EncryptionContext: esdk.EncryptionContext{"k": "\xff"}},
	} {
		if _, err := kr.Wrap(t.Context(), req); err == nil {
			t.Errorf("%s: Wrap succeeded", what)
		}
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: esdk.EncryptionContext{"k": "\xff"}, EncryptedDataKeys: r.EncryptedDataKeys}); !errors.Is(err, esdk.ErrEncryptionContext) {
		t.Error(err)
	}
	if _, err := kr.Unwrap(t.Context(), &esdk.UnwrapRequest{Suite: 0x6701}); err == nil {
		t.Error("Unwrap for an unknown suite succeeded")
	}
	s.wantRequests(t)
}

// aws-kms-keyring.md#ondecrypt.
func TestStrictUnwrap(t *testing.T) {
	s := newSim(t)
	arn, other := s.symmetric(east), s.symmetric(east)
	token := s.CreateGrant(arn)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	kr := mustKeyring(t)(awskms.NewKeyring(config, arn))
	r := wrap(t, kr, nil)
	good := r.EncryptedDataKeys[0]
	decrypt := request{"Decrypt", east, map[string]any{
		"KeyId": arn, "CiphertextBlob": base64Of(good.Ciphertext), "EncryptionContext": jsonContext, "GrantTokens": []any{token},
	}}
	s.Reset()

	t.Run("success", func(t *testing.T) {
		wantKey(t, kr, r.DataKey, good, good) // the second is not tried
		s.wantRequests(t, decrypt)
	})
	t.Run("skip", func(t *testing.T) {
		otherProvider := good
		otherProvider.ProviderID = "aws-kms-"
		notText := esdk.EncryptedDataKey{ProviderID: "raw", ProviderInfo: []byte("\xff\x00"), Ciphertext: []byte{1}}
		wantKey(t, kr, r.DataKey, otherProvider, notText, kmsKey(other), good)
		s.wantRequests(t, decrypt)
		if none := wantNone(t, kr, otherProvider, notText, kmsKey(other)); len(none.Errors) > 0 {
			t.Error(none)
		}
		s.wantRequests(t)
	})
	t.Run("fail", func(t *testing.T) {
		for _, info := range []string{"", "alias/x", "1234", "arn:aws:kms:us-east-1:1:alias/x", "arn:aws:kms:us-east-1:1:key/", "\xff", arn + "\xff"} {
			for _, edks := range [][]esdk.EncryptedDataKey{{kmsKey(info), good}, {good, kmsKey(info)}} {
				none := wantNone(t, kr, edks...)
				wantText(t, none, "(aws-kms)")
				if len(none.Errors) != 1 {
					t.Error(none)
				}
			}
		}
		s.wantRequests(t)
	})
}

// aws-kms-keyring.md#ondecrypt: errors are collected, and the next data key is
// tried.
func TestStrictUnwrapCollects(t *testing.T) {
	s := newSim(t)
	arn, other := s.symmetric(west), s.symmetric(west)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arn))
	dataKey := randomKey(32)
	first, second := wrap(t, kr, dataKey).EncryptedDataKeys[0], wrap(t, kr, dataKey).EncryptedDataKeys[0]
	for name, c := range map[string]struct {
		fault kmssim.Fault
		text  string
	}{
		"call fails":         {kmssim.Fault{Code: "AccessDeniedException"}, "AccessDenied"},
		"other key":          {kmssim.Fault{Edit: func(a map[string]any) { a["KeyId"] = other }}, "another key, \"" + other},
		"no key":             {kmssim.Fault{Edit: func(a map[string]any) { delete(a, "KeyId") }}, "another key, \"\""},
		"truncated":          {kmssim.Fault{Edit: func(a map[string]any) { a["Plaintext"] = dataKey[:31] }}, "31 bytes"},
		"too long":           {kmssim.Fault{Edit: func(a map[string]any) { a["Plaintext"] = append(dataKey[:32:32], 0) }}, "33 bytes"},
		"empty":              {kmssim.Fault{Edit: func(a map[string]any) { delete(a, "Plaintext") }}, "0 bytes"},
		"garbage":            {kmssim.Fault{Garbage: []byte("<html>")}, "KMS key"},
		"half of the answer": {kmssim.Fault{Garbage: []byte(`{"Plaintext":"` + base64Of(dataKey))}, "KMS key"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Fault(func(r *kmssim.Request) *kmssim.Fault {
				if r.Input["CiphertextBlob"] == base64Of(first.Ciphertext) {
					return &c.fault
				}
				return nil
			})
			wantKey(t, kr, dataKey, first, second)
			none := wantNone(t, kr, first, first)
			wantText(t, none, c.text, "encrypted data key 1", "encrypted data key 2", arn, west)
			if len(none.Errors) != 2 {
				t.Error(none)
			}
			if strings.Contains(none.Error(), base64Of(dataKey[:9])) || strings.Contains(none.Error(), string(dataKey[:9])) {
				t.Error("the error has bytes of the data key")
			}
		})
	}
}

// An alias or a bare key id encrypts, but never matches the key in a message.
func TestStrictAliasDoesNotDecrypt(t *testing.T) {
	s := newSim(t)
	arn, child := s.symmetric(west), s.symmetric(west)
	aliasARN := s.CreateAlias(west, "alias/test", arn)
	_, keyID, _ := strings.Cut(arn, "/")
	for _, id := range []string{"alias/test", aliasARN, keyID} {
		kr := mustKeyring(t)(awskms.NewKeyring(s.config(), id))
		r := wrap(t, kr, nil)
		s.Reset()
		wantText(t, wantNone(t, kr, append(r.EncryptedDataKeys, r.EncryptedDataKeys...)...),
			"KMS key "+id+" encrypts but cannot decrypt", "configure the key's ARN", "names "+arn)
		s.wantRequests(t)
		// A message without data keys of KMS causes no error about the alias.
		if none := wantNone(t, kr, esdk.EncryptedDataKey{ProviderID: "raw"}); len(none.Errors) > 0 {
			t.Error(none)
		}

		// Other keys of the keyring still decrypt, and their errors are
		// reported, too.
		kr = mustKeyring(t)(awskms.NewKeyring(s.config(), id, child))
		r = wrap(t, kr, nil)
		wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
		s.fail("Decrypt", "AccessDeniedException")
		none := wantNone(t, kr, r.EncryptedDataKeys...)
		wantText(t, none, "AccessDenied", "cannot decrypt", arn+", "+child)
		if len(none.Errors) != 2 {
			t.Error(none)
		}
		s.Fault(nil)
	}
}

// aws-kms-multi-keyrings.md, multi-keyring.md: a generator and others.
func TestStrictMulti(t *testing.T) {
	s := newSim(t)
	var arns []string
	for _, region := range []string{west, east, eu, east, west} {
		arns = append(arns, s.symmetric(region))
	}
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arns[0], arns[1:]...))
	// Later keys answer sooner, but the result keeps the order of the keys.
	s.Fault(func(r *kmssim.Request) *kmssim.Fault {
		return &kmssim.Fault{Delay: 10 * time.Millisecond * time.Duration(len(arns)-slices.Index(arns, r.Input["KeyId"].(string)))}
	})
	r := wrap(t, kr, nil)
	s.Fault(nil)
	var infos []string
	for _, edk := range r.EncryptedDataKeys {
		infos = append(infos, string(edk.ProviderInfo))
	}
	if !slices.Equal(infos, arns) {
		t.Errorf("encrypted data keys of %q, want %q", infos, arns)
	}
	if counts := s.Counts(); counts["GenerateDataKey"] != 1 || counts["Encrypt"] != 4 {
		t.Error(counts)
	}
	for _, req := range s.Requests() {
		if arn := req.Input["KeyId"].(string); !strings.HasPrefix(arn, "arn:aws:kms:"+req.Region+":") {
			t.Errorf("%s of %s was asked of %s", req.Operation, arn, req.Region)
		}
	}
	for i, edk := range r.EncryptedDataKeys {
		one := mustKeyring(t)(awskms.NewKeyring(s.config(), arns[i]))
		wantKey(t, one, r.DataKey, r.EncryptedDataKeys...)
		wantKey(t, kr, r.DataKey, edk)
	}
	// The first key is tried first, wherever its data key is in the message.
	s.Reset()
	s.fail("Decrypt", "AccessDeniedException", arns[0])
	slices.Reverse(r.EncryptedDataKeys)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
	var tried []any
	for _, req := range s.Requests() {
		tried = append(tried, req.Input["KeyId"])
	}
	if !slices.Equal(tried, []any{arns[0], arns[1]}) {
		t.Errorf("tried %v", tried)
	}

	if _, err := tryWrap(t, kr, randomKey(32)); err == nil {
		t.Error("a generator and others wrap a data key that was given")
	}
	children := mustKeyring(t)(awskms.NewKeyring(s.config(), "", arns[1:3]...))
	if _, err := tryWrap(t, children, nil); err == nil {
		t.Error("a keyring without a generator made a data key")
	}
	dataKey := randomKey(32)
	r = wrap(t, children, dataKey)
	if len(r.EncryptedDataKeys) != 2 {
		t.Error(len(r.EncryptedDataKeys))
	}
	wantKey(t, children, dataKey, r.EncryptedDataKeys[1])
}

// All keys but the generator are called at the same time.
func TestStrictSideBySide(t *testing.T) {
	s := newSim(t)
	const children = 8
	var arns []string
	for range 1 + children {
		arns = append(arns, s.symmetric(west))
	}
	var arrived sync.WaitGroup
	arrived.Add(children)
	s.Fault(func(r *kmssim.Request) *kmssim.Fault {
		if r.Operation == "Encrypt" {
			arrived.Done()
			arrived.Wait() // blocks forever if the calls are sequential
		}
		return nil
	})
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arns[0], arns[1:]...))
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
}

// If one key fails, the call fails without waiting for the others.
func TestStrictMultiFails(t *testing.T) {
	s := newSim(t)
	slow, bad, generator := s.symmetric(west), s.symmetric(east), s.symmetric(west)
	s.Fault(func(r *kmssim.Request) *kmssim.Fault {
		switch r.Input["KeyId"] {
		case slow:
			return &kmssim.Fault{Delay: time.Hour}
		case bad:
			return &kmssim.Fault{Code: "AccessDeniedException", Delay: 20 * time.Millisecond}
		}
		return nil
	})
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), generator, slow, bad, slow))
	r, err := tryWrap(t, kr, nil)
	wantText(t, err, bad, east, "AccessDenied")
	if errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("the error is that of a key that was only cancelled: %v", err)
	}
	s.Reset()
	s.fail("GenerateDataKey", "AccessDeniedException")
	if _, err := tryWrap(t, kr, nil); err == nil || s.Count("Encrypt") > 0 {
		t.Errorf("the generator failed, and then: %v, %v", err, s.Counts())
	}
}

// aws-kms-mrk-keyring.md, aws-kms-mrk-multi-keyrings.md.
func TestMRK(t *testing.T) {
	s := newSim(t)
	primary, replica := s.mrk()
	single := s.symmetric(west)
	otherPrimary, _ := s.mrk()
	token := s.CreateGrant(primary)
	config := awskms.Config{Clients: s, GrantTokens: []string{token}}
	inWest := mustKeyring(t)(awskms.NewMRKKeyring(config, primary))
	inEast := mustKeyring(t)(awskms.NewMRKKeyring(config, replica))
	strict := mustKeyring(t)(awskms.NewKeyring(config, replica))

	r := wrap(t, inWest, nil)
	s.wantRequests(t, request{"GenerateDataKey", west, map[string]any{
		"KeyId": primary, "NumberOfBytes": 32.0, "EncryptionContext": jsonContext, "GrantTokens": []any{token},
	}})
	edk := r.EncryptedDataKeys[0]
	if string(edk.ProviderInfo) != primary {
		t.Errorf("%s", edk.ProviderInfo)
	}
	// The request names the configured key, in its Region.
	wantKey(t, inEast, r.DataKey, edk)
	s.wantRequests(t, request{"Decrypt", east, map[string]any{
		"KeyId": replica, "CiphertextBlob": base64Of(edk.Ciphertext), "EncryptionContext": jsonContext, "GrantTokens": []any{token},
	}})
	wantKey(t, inWest, r.DataKey, edk)
	if none := wantNone(t, strict, edk); len(none.Errors) > 0 {
		t.Error(none)
	}
	s.Reset()
	for _, info := range []string{otherPrimary, single, strings.Replace(single, west, east, 1), strings.Replace(primary, kmssim.Account, "444455556666", 1)} {
		if none := wantNone(t, inEast, kmsKey(info)); len(none.Errors) > 0 {
			t.Error(none)
		}
	}
	for _, info := range []string{"alias/x", "mrk-1234", "arn:aws:kms:us-east-1:1:alias/mrk-x"} {
		wantText(t, wantNone(t, inEast, kmsKey(info), edk), "encrypted data key 1")
	}
	s.wantRequests(t)

	// The answer must be of the requested replica.
	s.edit("Decrypt", "KeyId", primary)
	wantText(t, wantNone(t, inEast, edk), "another key")
	s.edit("Decrypt", "Plaintext", randomKey(16))
	wantText(t, wantNone(t, inEast, edk), "16 bytes")
	s.Fault(nil)

	multi := mustKeyring(t)(awskms.NewMRKKeyring(config, single, replica, otherPrimary))
	r = wrap(t, multi, nil)
	wantKey(t, inWest, r.DataKey, r.EncryptedDataKeys...)
	given := randomKey(32)
	wantKey(t, inEast, given, wrap(t, inWest, given).EncryptedDataKeys...)
	if !bytes.Equal(r.EncryptedDataKeys[1].ProviderInfo, []byte(replica)) {
		t.Errorf("%s", r.EncryptedDataKeys[1].ProviderInfo)
	}

	_, mrkID, _ := strings.Cut(primary, "/")
	for _, c := range [][]string{{primary, replica}, {"", primary, replica}, {single, primary, mrkID}, {primary, single, primary}} {
		kr, err := awskms.NewMRKKeyring(config, c[0], c[1:]...)
		wantText(t, err, primary)
		if kr != nil {
			t.Errorf("%q: there is a keyring", c)
		}
	}
	mustKeyring(t)(awskms.NewMRKKeyring(config, single, single, primary))
	mustKeyring(t)(awskms.NewKeyring(config, primary, replica)) // only MRK-aware keyrings check

	// A bare id of a multi-Region key lacks the account, so it doesn't match.
	bare := mustKeyring(t)(awskms.NewMRKKeyring(s.config(), mrkID))
	wantText(t, wantNone(t, bare, wrap(t, bare, nil).EncryptedDataKeys...), mrkID+" encrypts but cannot decrypt", primary)
}

// A keyring without a generator neither makes a data key nor asks KMS for one.
func TestStrictWithoutGenerator(t *testing.T) {
	s := newSim(t)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), "", s.symmetric(west), s.symmetric(west)))
	s.Reset()
	r, err := tryWrap(t, kr, nil)
	wantText(t, err, "no generator")
	if r != nil {
		t.Errorf("result %+v", r)
	}
	s.wantRequests(t)
}
