package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest"
)

// moto provides clients of the emulator moto, which is independent of the
// simulator that the other tests use. It can serve only keyrings with
// single-Region symmetric keys: its ciphertexts lose part of the ids of
// multi-Region keys, it doesn't decrypt RSA ciphertexts made elsewhere, and it
// doesn't derive shared secrets.
type moto struct{ endpoint string }

func newMoto(t testing.TB) moto {
	t.Helper()
	endpoint := os.Getenv("ESDK_MOTO_URL")
	if endpoint == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal("ESDK_MOTO_URL is not set: the keyrings cannot be run on moto")
		}
		t.Skip("NOT RUN on moto, only on the simulator: set ESDK_MOTO_URL, see interop/backends/moto.sh")
	}
	u, err := url.Parse(endpoint)
	if err != nil || !net.ParseIP(u.Hostname()).IsLoopback() {
		t.Fatalf("ESDK_MOTO_URL is %q, not a URL with a loopback address", endpoint)
	}
	return moto{endpoint}
}

func (m moto) client(region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: &m.endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

func (m moto) Client(_ context.Context, region string) (awskms.Client, error) {
	if region == "" {
		region = west
	}
	return m.client(region), nil
}

func (m moto) createKey(t testing.TB, region string) (arn, account string) {
	t.Helper()
	out, err := m.client(region).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *out.KeyMetadata.Arn, *out.KeyMetadata.AWSAccountId
}

func TestMoto(t *testing.T) {
	m := newMoto(t)
	c := awskms.Config{Clients: m}
	one, account := m.createKey(t, west)
	two, _ := m.createKey(t, east)
	filter := &awskms.Filter{Partition: "aws", Accounts: []string{account}}
	keyring := mustKeyring(t)
	strict := keyring(awskms.NewKeyring(c, one))
	multi := keyring(awskms.NewKeyring(c, one, two))
	mrk := keyring(awskms.NewMRKKeyring(c, one))
	inEast := keyring(awskms.NewKeyring(c, two))
	for name, k := range map[string]pair{
		"strict":        {encrypt: strict, decrypt: strict},
		"multi":         {encrypt: multi, decrypt: multi, noWrap: true},
		"MRK":           {encrypt: mrk, decrypt: mrk},
		"discovery":     {encrypt: strict, decrypt: keyring(awskms.NewDiscoveryKeyring(c, filter))},
		"MRK discovery": {encrypt: mrk, decrypt: keyring(awskms.NewMRKDiscoveryKeyring(c, filter, west))},
		"of a Region":   {encrypt: inEast, decrypt: keyring(awskms.NewMRKDiscoveryKeyring(c, nil, eu, east))},
	} {
		t.Run(name, func(t *testing.T) {
			esdktest.KeyringTest{
				Encrypt: k.encrypt, Decrypt: k.decrypt, ProviderIDs: []string{"aws-kms"}, NoWrap: k.noWrap,
				Suites: []esdk.SuiteID{signed, unsigned, esdk.AES192GCM, esdk.AES128GCM},
				// moto joins pairs without their lengths, unlike AWS KMS: it
				// takes "ab" and "c" for "a" and "bc". The simulator passes the
				// complete check.
				NoContext: true,
			}.Run(t)
		})
	}
}

// This is a typical use: an alias, resolved once, and grant tokens.
func TestMotoAlias(t *testing.T) {
	m := newMoto(t)
	arn, _ := m.createKey(t, west)
	alias := "alias/test-" + arn[len(arn)-12:]
	if _, err := m.client(west).CreateAlias(t.Context(), &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: &arn}); err != nil {
		t.Fatal(err)
	}
	c := awskms.Config{Clients: m, GrantTokens: []string{"token"}}
	byAlias := mustKeyring(t)(awskms.NewKeyring(c, alias))
	r := wrap(t, byAlias, nil)
	if info := string(r.EncryptedDataKeys[0].ProviderInfo); info != arn {
		t.Errorf("the message names %s, not %s", info, arn)
	}
	wantText(t, wantNone(t, byAlias, r.EncryptedDataKeys...), alias, "cannot decrypt", arn)
	resolved := must[string](t)(awskms.ResolveAlias(t.Context(), c, alias))
	if resolved != arn {
		t.Errorf("the alias is of %s, not %s", resolved, arn)
	}
	wantKey(t, mustKeyring(t)(awskms.NewKeyring(c, resolved)), r.DataKey, r.EncryptedDataKeys...)
}

// Failures at AWS KMS are reported with the key, the Region and AWS's error.
func TestMotoErrors(t *testing.T) {
	m := newMoto(t)
	c := awskms.Config{Clients: m}
	arn, _ := m.createKey(t, east)
	none := arn[:len(arn)-12] + "000000000000"
	_, err := tryWrap(t, mustKeyring(t)(awskms.NewKeyring(c, none)), nil)
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "NotFoundException" {
		t.Errorf("with a key that is not there: %v", err)
	}
	wantText(t, err, none, east)

	kr := mustKeyring(t)(awskms.NewKeyring(c, arn))
	edk := wrap(t, kr, nil).EncryptedDataKeys[0]
	edk.Ciphertext = bytes.Clone(edk.Ciphertext)
	edk.Ciphertext[len(edk.Ciphertext)-1] ^= 1
	fails := wantNone(t, kr, edk)
	if !errors.As(fails, &api) || api.ErrorCode() != "InvalidCiphertextException" {
		t.Errorf("with another ciphertext: %v", fails)
	}
	wantText(t, fails, arn, east)
}
