package kmssim_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"esdk/esdktest/kmssim"
)

// The calls in calls_test.go are made to the simulator and to moto, another
// emulator of AWS. Both must match the table, which includes moto's known
// differences.

// west has the keys; east has only replicas.
const (
	west = "us-west-2"
	east = "eu-west-1"
)

// A backend is a KMS with the keys that the calls use.
type backend struct {
	t          *testing.T
	west, east *kms.Client
	names      map[string]string // placeholders for IDs, ARNs and blobs in outcomes
	suffix     string            // of aliases, since moto keeps them until it exits
}

func TestCallsToSimulator(t *testing.T) {
	server := kmssim.New()
	t.Cleanup(server.Close)
	b := newBackend(t, server.URL())
	for _, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			if got := b.outcome(c.call(b)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCallsToMoto(t *testing.T) {
	endpoint := os.Getenv("ESDK_MOTO_URL")
	if endpoint == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatal("ESDK_MOTO_URL is not set: the calls cannot be made to moto")
		}
		t.Skip("NOT RUN against moto, only against the simulator: set ESDK_MOTO_URL, see interop/backends/moto.sh")
	}
	checkLoopbackURL(t, endpoint)
	b := newBackend(t, endpoint)
	for _, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			want := withoutOmitted(c.want)
			if c.moto != "" {
				want = c.moto
			}
			if got := b.outcome(c.call(b)); got != want {
				t.Errorf("got  %s\nwant %s %s", got, want, c.why)
			}
		})
	}
}

// TestDifferences checks the table: each difference is real and has a reason.
func TestDifferences(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range calls() {
		if seen[c.name] {
			t.Errorf("%s: twice", c.name)
		}
		seen[c.name] = true
		if (c.moto == "") != (c.why == "") {
			t.Errorf("%s: a difference without a reason, or a reason without one", c.name)
		}
		if c.moto == withoutOmitted(c.want) {
			t.Errorf("%s: no difference", c.name)
		}
	}
}

// checkLoopbackURL keeps the tests from calling anything but a local emulator.
func checkLoopbackURL(t *testing.T, endpoint string) {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if host := u.Hostname(); host != "localhost" && !strings.HasPrefix(host, "127.") && host != "::1" {
		t.Fatalf("ESDK_MOTO_URL is %s, which is not on this machine", endpoint)
	}
}

// motoOmits are the fields that moto's answers never have.
var motoOmits = []string{
	"CurrentKeyMaterialId",
	"DestinationEncryptionAlgorithm",
	"DestinationKeyMaterialId",
	"EncryptionAlgorithm",
	"KeyMaterialId",
	"SourceEncryptionAlgorithm",
	"SourceKeyMaterialId",
}

// withoutOmitted removes the fields that moto doesn't have from an outcome.
func withoutOmitted(outcome string) string {
	fields := slices.DeleteFunc(strings.Fields(outcome), func(field string) bool {
		name, _, _ := strings.Cut(field, "=")
		return slices.Contains(motoOmits, name[strings.LastIndex(name, ".")+1:])
	})
	return join(fields)
}

func client(endpoint, region string) *kms.Client {
	return kms.New(kms.Options{
		Region:       region,
		BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
		Retryer: aws.NopRetryer{},
	})
}

func newBackend(t *testing.T, endpoint string) *backend {
	b := &backend{
		t:     t,
		west:  client(endpoint, west),
		east:  client(endpoint, east),
		names: map[string]string{},
	}
	suffix := make([]byte, 8)
	rand.Read(suffix)
	b.suffix = hex.EncodeToString(suffix)
	b.names[b.suffix] = "SUFFIX"
	return b
}

// key makes a key and names its ARN and ID in outcomes.
func (b *backend) key(name string, in kms.CreateKeyInput) types.KeyMetadata {
	b.t.Helper()
	out, err := b.west.CreateKey(b.t.Context(), &in)
	if err != nil {
		b.t.Fatalf("cannot make the key %s: %v", name, err)
	}
	m := *out.KeyMetadata
	b.names[*m.Arn] = name + ".arn"
	b.names[*m.KeyId] = name + ".id"
	b.names[*m.AWSAccountId] = "ACCOUNT"
	return m
}

func (b *backend) symmetric(name string) types.KeyMetadata {
	return b.key(name, kms.CreateKeyInput{})
}

// alias gives a key another name.
func (b *backend) alias(name string, key types.KeyMetadata) string {
	b.t.Helper()
	alias := "alias/" + name + "-" + b.suffix
	_, err := b.west.CreateAlias(b.t.Context(), &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: key.KeyId})
	if err != nil {
		b.t.Fatalf("cannot make the alias %s: %v", name, err)
	}
	return alias
}

// blob encrypts the plaintext "secret" under a key.
func (b *backend) blob(key types.KeyMetadata, ec map[string]string) []byte {
	b.t.Helper()
	b.names["secret"] = "SECRET"
	out, err := b.west.Encrypt(b.t.Context(), &kms.EncryptInput{KeyId: key.Arn, Plaintext: []byte("secret"), EncryptionContext: ec})
	if err != nil {
		b.t.Fatalf("cannot encrypt: %v", err)
	}
	return out.CiphertextBlob
}

// outcome describes a call's answer or error in one line: the code of an error,
// or the fields of the answer, with names in place of IDs.
func (b *backend) outcome(out any, err error) string {
	var e smithy.APIError
	var status *smithyhttp.ResponseError // its body isn't JSON
	switch {
	case errors.As(err, &e):
		return e.ErrorCode()
	case errors.As(err, &status):
		return fmt.Sprintf("status %d", status.HTTPStatusCode())
	case err != nil:
		return "error: " + err.Error()
	}
	fields := b.fields("", reflect.ValueOf(out))
	return join(fields)
}

// join makes an outcome of fields.
func join(fields []string) string {
	slices.Sort(fields)
	return strings.Join(fields, " ")
}

// fields lists the fields of a struct that are set.
func (b *backend) fields(prefix string, v reflect.Value) []string {
	v = reflect.Indirect(v)
	if !v.IsValid() {
		return nil
	}
	var all []string
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if !field.IsExported() || field.Name == "ResultMetadata" || value.IsZero() {
			continue
		}
		name := prefix + field.Name
		switch inner := reflect.Indirect(value); {
		case inner.Kind() == reflect.Struct && inner.NumField() > 0 && inner.Type().Name() != "Time":
			all = append(all, b.fields(name+".", inner)...)
		case inner.Kind() == reflect.Slice && inner.Type().Elem().Kind() == reflect.Struct:
			for i := range inner.Len() {
				all = append(all, b.fields(fmt.Sprintf("%s[%d].", name, i), inner.Index(i))...)
			}
		default:
			all = append(all, name+b.value(field.Name, inner.Interface()))
		}
	}
	return all
}

// value describes a field's value, as far as it's the same in each run.
func (b *backend) value(field string, v any) string {
	switch v := v.(type) {
	case []byte:
		if name, ok := b.names[string(v)]; ok {
			return "=" + name
		}
		if field == "CiphertextBlob" {
			return ""
		}
		return fmt.Sprintf("[%d]", len(v))
	case string:
		if strings.HasSuffix(field, "MaterialId") || field == "GrantId" || field == "GrantToken" || field == "ReplicaPolicy" {
			return ""
		}
		return "=" + b.rename(v)
	case fmt.Stringer: // a time
		return ""
	}
	return "=" + strings.ReplaceAll(fmt.Sprint(v), " ", ",")
}

// rename replaces text that differs between runs, ARNs before the IDs in them.
func (b *backend) rename(s string) string {
	olds := make([]string, 0, len(b.names))
	for old := range b.names {
		olds = append(olds, old)
	}
	slices.SortFunc(olds, func(x, y string) int { return len(y) - len(x) })
	for _, old := range olds {
		s = strings.ReplaceAll(s, old, b.names[old])
	}
	return s
}
