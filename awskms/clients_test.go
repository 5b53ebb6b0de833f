package awskms_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"esdk"
	"esdk/awskms"
	"esdk/esdktest/kmssim"
)

// environment points the AWS SDK's default configuration at a simulated KMS,
// and away from any configuration of the machine.
func environment(t *testing.T, s sim, region string) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": empty, "AWS_SHARED_CREDENTIALS_FILE": empty, "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "",
		"AWS_REGION": region, "AWS_DEFAULT_REGION": "", "AWS_SDK_UA_APP_ID": "the-users-app",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_KMS": s.URL(),
	} {
		t.Setenv(name, value)
	}
}

// The zero Config follows the environment. The Region is the Region of the key,
// or the default Region for an alias.
func TestDefaultClients(t *testing.T) {
	s := newSim(t)
	environment(t, s, eu)
	inEast := s.symmetric(east)
	s.CreateAlias(eu, "alias/test", s.symmetric(eu))
	kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{}, inEast, "alias/test"))
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
	wantKey(t, mustKeyring(t)(awskms.NewDiscoveryKeyring(awskms.Config{}, nil)), r.DataKey, r.EncryptedDataKeys[1])
	requests := s.Requests()
	for i, region := range []string{east, eu, east, eu} {
		if requests[i].Region != region {
			t.Errorf("%s was asked of %s, want %s", requests[i].Operation, requests[i].Region, region)
		}
	}
	for _, req := range requests {
		if agent := req.Header.Get("User-Agent"); !strings.Contains(agent, " esdk") || !strings.Contains(agent, "app/the-users-app") {
			t.Errorf("user agent %q", agent)
		}
	}
	s.fail("Encrypt", "AccessDeniedException")
	_, err := tryWrap(t, kr, nil)
	wantText(t, err, "KMS key alias/test in "+eu)
}

func TestDefaultClientsKept(t *testing.T) {
	s := newSim(t)
	environment(t, s, west)
	loads := 0
	clients := awskms.DefaultClients(func(*config.LoadOptions) error { loads++; return nil })
	if loads > 0 {
		t.Error("the configuration is read before it is needed")
	}
	first := must[awskms.Client](t)(clients.Client(t.Context(), east))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for _, region := range []string{east, west, "", eu} {
				if c, err := clients.Client(t.Context(), region); err != nil || region == east && c != first {
					t.Errorf("%s: another client, or none: %v", region, err)
				}
			}
		})
	}
	all.Wait()
	if loads != 1 {
		t.Errorf("the configuration was read %d times", loads)
	}
	if a, b := must[awskms.Client](t)(clients.Client(t.Context(), "")), must[awskms.Client](t)(clients.Client(t.Context(), west)); a != b {
		t.Error("the default Region has a client of its own")
	}
}

func TestDefaultClientsFail(t *testing.T) {
	s := newSim(t)
	environment(t, s, "")
	kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{}, "alias/test"))
	_, err := tryWrap(t, kr, nil)
	wantText(t, err, "KMS key alias/test in the default Region", "AWS_REGION")

	// A failure is not cached.
	broken := errors.New("broken")
	fails := true
	clients := awskms.DefaultClients(func(*config.LoadOptions) error {
		if fails {
			return broken
		}
		return nil
	})
	arn := s.symmetric(west)
	kr = mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: clients}, arn))
	if _, err := tryWrap(t, kr, nil); !errors.Is(err, broken) {
		t.Error(err)
	}
	if none := wantNone(t, kr, kmsKey(arn)); !errors.Is(none, broken) {
		t.Error(none)
	}
	fails = false
	if _, err := tryWrap(t, kr, nil); err != nil {
		t.Error(err)
	}
}

// A caller that waits while another reads the configuration can still be
// cancelled.
func TestDefaultClientsCancelled(t *testing.T) {
	environment(t, newSim(t), west)
	reading, read := make(chan struct{}), make(chan struct{})
	clients := awskms.DefaultClients(func(*config.LoadOptions) error {
		close(reading)
		<-read
		return nil
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		clients.Client(t.Context(), west)
	}()
	<-reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clients.Client(ctx, west); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(read)
	<-done
}

// FixedClient uses the caller's client for every Region.
func TestFixedClient(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(west)
	kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(s.Server.Client(west))}, arn))
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
	far := mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: awskms.FixedClient(s.Server.Client(east))}, arn))
	if none := wantNone(t, far, r.EncryptedDataKeys...); len(none.Errors) != 1 {
		t.Error(none)
	}
}

type clientsFunc func(region string) (awskms.Client, error)

func (f clientsFunc) Client(_ context.Context, region string) (awskms.Client, error) {
	return f(region)
}

// mute is a client that returns neither answers nor errors.
type mute struct{ awskms.Client }

func (mute) Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error) {
	return nil, nil
}

func TestBrokenClients(t *testing.T) {
	arn := "arn:aws:kms:us-west-2:111122223333:key/1"
	for want, f := range map[string]clientsFunc{
		"no client for the Region": func(string) (awskms.Client, error) { return nil, nil },
		"returned no answer":       func(string) (awskms.Client, error) { return mute{}, nil },
		"no such Region":           func(region string) (awskms.Client, error) { return nil, errors.New("no such Region") },
	} {
		kr := mustKeyring(t)(awskms.NewKeyring(awskms.Config{Clients: f}, arn))
		_, err := tryWrap(t, kr, randomKey(32))
		wantText(t, err, want, arn, west)
	}
}

func TestResolveAlias(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(west)
	aliasARN := s.CreateAlias(west, "alias/test", arn)
	token := s.CreateGrant(arn)
	c := awskms.Config{Clients: s, GrantTokens: []string{token}}
	_, keyID, _ := strings.Cut(arn, "/")
	for _, id := range []string{"alias/test", aliasARN, keyID} {
		if got, err := awskms.ResolveAlias(t.Context(), c, id); got != arn || err != nil {
			t.Errorf("%s: %q, %v", id, got, err)
		}
		s.wantRequests(t, request{"DescribeKey", west, map[string]any{"KeyId": id, "GrantTokens": []any{token}}})
	}
	if got, err := awskms.ResolveAlias(t.Context(), c, arn); got != arn || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s.wantRequests(t)

	_, err := awskms.ResolveAlias(t.Context(), c, "alias/none")
	wantText(t, err, "alias/none", west, "NotFound")
	for _, id := range []string{"", "alias/", "arn:aws:kms:x"} {
		if _, err := awskms.ResolveAlias(t.Context(), c, id); err == nil {
			t.Errorf("%q: no error", id)
		}
	}
	for _, metadata := range []any{nil, map[string]any{"KeyId": keyID}, map[string]any{"KeyId": keyID, "Arn": aliasARN}} {
		s.edit("DescribeKey", "KeyMetadata", metadata)
		if got, err := awskms.ResolveAlias(t.Context(), c, "alias/test"); err == nil || got != "" {
			t.Errorf("%v: %q, %v", metadata, got, err)
		}
	}
	s.Fault(nil)
	// A client may lack the method and still serve the keyrings.
	narrow := awskms.Config{Clients: awskms.FixedClient(struct{ awskms.Client }{s.Server.Client(west)})}
	_, err = awskms.ResolveAlias(t.Context(), narrow, "alias/test")
	wantText(t, err, "no method DescribeKey")
	if _, err := awskms.ResolveAlias(t.Context(), awskms.Config{Clients: awskms.FixedClient(nil)}, "alias/test"); err == nil {
		t.Error("without a client: no error")
	}
	kr := mustKeyring(t)(awskms.NewKeyring(narrow, arn))
	r := wrap(t, kr, nil)
	wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
}

// These tests make AWS KMS or the connection to it fail, for each keyring.

func TestFaults(t *testing.T) {
	s := newSim(t)
	arn := s.symmetric(west)
	kr := mustKeyring(t)(awskms.NewKeyring(s.config(), arn))
	r := wrap(t, kr, nil)

	// The AWS SDK retries after throttling and resets, and then gives up.
	for name, fault := range map[string]kmssim.Fault{"throttled": {Code: "ThrottlingException"}, "reset": {Reset: true}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			left := 2
			s.Fault(func(*kmssim.Request) *kmssim.Fault {
				mu.Lock()
				defer mu.Unlock()
				if left--; left >= 0 {
					return &fault
				}
				return nil
			})
			wantKey(t, kr, r.DataKey, r.EncryptedDataKeys...)
			left = 2
			wrap(t, kr, nil)
			left = 1000
			wantText(t, wantNone(t, kr, r.EncryptedDataKeys...), arn, west)
			_, err := tryWrap(t, kr, nil)
			wantText(t, err, arn, west)
			if name == "throttled" {
				var api interface{ ErrorCode() string }
				if !errors.As(err, &api) || api.ErrorCode() != "ThrottlingException" {
					t.Error(err)
				}
			}
		})
	}
	for _, code := range []string{"AccessDeniedException", "IncorrectKeyException", "InvalidCiphertextException", "KMSInternalException"} {
		s.fail("Decrypt", code)
		var api interface{ ErrorCode() string }
		if none := wantNone(t, kr, r.EncryptedDataKeys...); !errors.As(none, &api) || api.ErrorCode() != code {
			t.Errorf("%s: %v", code, none)
		}
	}
	s.Fault(nil)
	s.Disable(arn)
	wantText(t, wantNone(t, kr, r.EncryptedDataKeys...), "DisabledException", arn)
	_, err := tryWrap(t, kr, nil)
	wantText(t, err, "DisabledException", arn)
	s.Enable(arn)
	s.ScheduleDeletion(arn)
	wantText(t, wantNone(t, kr, r.EncryptedDataKeys...), "KMSInvalidStateException")
}

// Cancelling the context during a request ends the request, and there are no
// more requests.
func TestCancelledMidCall(t *testing.T) {
	s := newSim(t)
	keyrings := allKeyrings(t, s)
	for name, k := range keyrings {
		t.Run(name, func(t *testing.T) {
			s.Fault(nil)
			r := wrap(t, k.encrypt, nil)
			s.Reset()
			edks := append(r.EncryptedDataKeys, r.EncryptedDataKeys...)
			_, err := k.decrypt.Unwrap(s.cancelled(t), &esdk.UnwrapRequest{Suite: unsigned, EncryptionContext: testContext, EncryptedDataKeys: edks})
			none, ok := err.(*esdk.NoDataKeyError)
			if !ok || len(none.Errors) != 1 || !errors.Is(err, context.Canceled) {
				t.Errorf("the second was tried too: %v", err)
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
			if k.offline {
				return
			}
			if _, err := k.encrypt.Wrap(s.cancelled(t), &esdk.WrapRequest{Suite: unsigned}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// cancelled returns a context that the next request cancels; the request gets
// no answer.
func (s sim) cancelled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s.Fault(func(*kmssim.Request) *kmssim.Fault {
		cancel()
		return &kmssim.Fault{Delay: time.Hour}
	})
	return ctx
}
