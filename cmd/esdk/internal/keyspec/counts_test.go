package keyspec

import (
	"net"
	"testing"

	"esdk"
	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/calls"
	"esdk/cmd/esdk/internal/cli"
	"esdk/esdktest/kmssim"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// TestCountRequests checks that each attempt counts that is sent, and that no
// other does.
func TestCountRequests(t *testing.T) {
	for name, value := range map[string]string{"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "2"} {
		t.Setenv(name, value)
	}
	s := kmssim.New()
	defer s.Close()
	arn := s.CreateKey("us-west-2", types.KeySpecSymmetricDefault)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		name, url string
		fault     *kmssim.Fault
		want      int64
	}{
		{"success", s.URL(), nil, 1},
		{"failures", s.URL(), &kmssim.Fault{Code: "KMSInternalException"}, 2},
		{"resets", s.URL(), &kmssim.Fault{Reset: true}, 2},
		{"no server", "http://" + closed.Addr().String(), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_KMS", c.url)
			s.Fault(func(*kmssim.Request) *kmssim.Fault { return c.fault })
			ctx, counter := calls.New(t.Context())
			ks := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected))
			kr, err := ks.Keyring(ctx, "-k", []string{arn}, true)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := esdk.Encrypt(ctx, kr, nil, nil); (err == nil) != (c.name == "success") {
				t.Errorf("error %v", err)
			}
			if got := counter.Counts().KMS["GenerateDataKey"]; got != c.want || ks.KMSRequests() != c.want {
				t.Errorf("%d and %d requests, want %d", got, ks.KMSRequests(), c.want)
			}
		})
	}
}
