package kmssim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"esdk/esdktest/kmssim"
)

func newServer(t *testing.T) *kmssim.Server {
	s := kmssim.New()
	t.Cleanup(s.Close)
	return s
}

// code returns the code of AWS's error, or else the error's text.
func code(err error) string {
	var e smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrorCode()
	}
	return err.Error()
}

func wantCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// encrypt encrypts a byte and returns the ciphertext.
func encrypt(t *testing.T, client *kms.Client, keyID string) ([]byte, error) {
	t.Helper()
	out, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &keyID, Plaintext: []byte("x")})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

func TestRequests(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	_, err := s.Client(west).GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{
		KeyId: &arn, NumberOfBytes: aws.Int32(24), EncryptionContext: map[string]string{"a": "b"}, GrantTokens: []string{s.CreateGrant(arn)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Client(east).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")})
	wantCode(t, "decrypt", err, "InvalidCiphertextException")

	requests := s.Requests()
	if len(requests) != 2 {
		t.Fatalf("got %d requests, want 2", len(requests))
	}
	for token := range s.Grants() {
		want := map[string]any{"KeyId": arn, "NumberOfBytes": 24.0, "EncryptionContext": map[string]any{"a": "b"}, "GrantTokens": []any{token}}
		if r := requests[0]; r.Operation != "GenerateDataKey" || r.Region != west || !reflect.DeepEqual(r.Input, want) || r.Error != "" {
			t.Errorf("got %+v", r)
		}
	}
	want := map[string]any{"CiphertextBlob": "eA=="}
	if r := requests[1]; r.Operation != "Decrypt" || r.Region != east || !reflect.DeepEqual(r.Input, want) || r.Error != "InvalidCiphertextException" {
		t.Errorf("got %+v", r)
	}
	if !strings.Contains(requests[0].Header.Get("User-Agent"), "aws-sdk-go-v2") {
		t.Errorf("got the headers %v", requests[0].Header)
	}
	if got := s.Counts(); !reflect.DeepEqual(got, map[string]int{"GenerateDataKey": 1, "Decrypt": 1}) {
		t.Errorf("got the counts %v", got)
	}
	s.Reset()
	if len(s.Requests()) != 0 || len(s.Counts()) != 0 || s.Count("Decrypt") != 0 {
		t.Error("Reset left something")
	}
	if _, err := encrypt(t, s.Client(west), arn); err != nil {
		t.Errorf("Reset lost the key: %v", err)
	}
}

func TestFaultCodes(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	client := s.Client(west)
	for _, test := range []struct {
		code     string
		attempts int // of the AWS SDK
		status   int
	}{
		{"ThrottlingException", 3, 400},
		{"KMSInternalException", 3, 500},
		{"DependencyTimeoutException", 3, 500},
		{"KeyUnavailableException", 3, 500},
		{"AccessDeniedException", 1, 400},
		{"KMSInvalidStateException", 1, 400},
	} {
		s.Reset()
		s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Code: test.code, Message: "on purpose"} })
		_, err := encrypt(t, client, arn)
		wantCode(t, test.code, err, test.code)
		var status interface{ HTTPStatusCode() int }
		if !errors.As(err, &status) || status.HTTPStatusCode() != test.status || !strings.Contains(err.Error(), "on purpose") {
			t.Errorf("%s: got %v", test.code, err)
		}
		if got := s.Count("Encrypt"); got != test.attempts {
			t.Errorf("%s: got %d attempts, want %d", test.code, got, test.attempts)
		}
	}
	s.Fault(nil)
	if _, err := encrypt(t, client, arn); err != nil {
		t.Errorf("after all faults: %v", err)
	}
}

func TestFaultOnce(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	for _, fault := range []kmssim.Fault{{Code: "ThrottlingException"}, {Reset: true}} {
		s.Reset()
		var once sync.Once
		s.Fault(func(r *kmssim.Request) (f *kmssim.Fault) {
			once.Do(func() { f = &fault })
			return f
		})
		if _, err := encrypt(t, s.Client(west), arn); err != nil {
			t.Errorf("%+v: %v", fault, err)
		}
		if got := s.Count("Encrypt"); got != 2 {
			t.Errorf("%+v: got %d attempts, want 2", fault, got)
		}
	}
}

func TestFaultConnection(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Reset: true} })
	if _, err := encrypt(t, s.Client(west), arn); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("reset: got %v", err)
	}
	s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Garbage: []byte("<html>")} })
	if _, err := encrypt(t, s.Client(west), arn); err == nil || !strings.Contains(err.Error(), "deserialization") {
		t.Errorf("garbage: got %v", err)
	}
}

func TestFaultEdit(t *testing.T) {
	s := newServer(t)
	arn, other := s.CreateKey(west, types.KeySpecSymmetricDefault), s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.Fault(func(r *kmssim.Request) *kmssim.Fault {
		if r.Operation != "GenerateDataKey" {
			return nil
		}
		return &kmssim.Fault{Edit: func(answer map[string]any) {
			answer["KeyId"] = other
			answer["Plaintext"] = answer["Plaintext"].([]byte)[:31]
			delete(answer, "KeyMaterialId")
		}}
	})
	out, err := s.Client(west).GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &arn, KeySpec: types.DataKeySpecAes256})
	if err != nil {
		t.Fatal(err)
	}
	if *out.KeyId != other || len(out.Plaintext) != 31 || out.KeyMaterialId != nil {
		t.Errorf("got %+v", out)
	}
	if _, err := encrypt(t, s.Client(west), arn); err != nil {
		t.Errorf("another operation: %v", err)
	}
}

func TestLatency(t *testing.T) {
	s := newServer(t)
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.SetLatency(20 * time.Millisecond)
	s.Fault(func(*kmssim.Request) *kmssim.Fault { return &kmssim.Fault{Delay: 10 * time.Millisecond} })
	began := time.Now()
	if _, err := encrypt(t, s.Client(west), arn); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// TestCancel gives up on requests that take forever; the server records them
// anyway.
func TestCancel(t *testing.T) {
	s := kmssim.New()
	arn := s.CreateKey(west, types.KeySpecSymmetricDefault)
	s.SetLatency(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 2)
	for _, ctx := range []context.Context{ctx, t.Context()} {
		client := s.Client(west)
		go func() {
			_, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &arn, Plaintext: []byte("x")}, func(o *kms.Options) { o.Retryer = aws.NopRetryer{} })
			failed <- err
		}()
	}
	for s.Count("Encrypt") < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Close() // aborts the other request
	if err := <-failed; err == nil {
		t.Error("Close let a request succeed")
	}
	s.Close()
}

func TestProtocol(t *testing.T) {
	s := newServer(t)
	const authorization = "AWS4-HMAC-SHA256 Credential=x/20260101/us-west-2/kms/aws4_request, SignedHeaders=host, Signature=x"
	for _, test := range []struct{ name, authorization, target, body, want string }{
		{"good", authorization, "TrentService.ListKeys", `{}`, `{"Keys":[],"Truncated":false}`},
		{"no credentials", "", "TrentService.ListKeys", `{}`, "MissingAuthenticationTokenException"},
		{"another service's credentials", strings.Replace(authorization, "kms", "s3", 1), "TrentService.ListKeys", `{}`, "MissingAuthenticationTokenException"},
		{"no operation", authorization, "", `{}`, "UnknownOperationException"},
		{"another service", authorization, "DynamoDB.ListKeys", `{}`, "UnknownOperationException"},
		{"an operation we lack", authorization, "TrentService.GenerateMac", `{}`, "UnknownOperationException"},
		{"not JSON", authorization, "TrentService.ListKeys", `<xml>`, "SerializationException"},
		{"not an object", authorization, "TrentService.ListKeys", `[]`, "SerializationException"},
		{"a number for a string", authorization, "TrentService.DescribeKey", `{"KeyId":1}`, "SerializationException"},
		{"bad base64", authorization, "TrentService.Decrypt", `{"CiphertextBlob":"*"}`, "SerializationException"},
		{"no key", authorization, "TrentService.DescribeKey", `{}`, "ValidationException"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", s.URL(), strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", test.authorization)
		request.Header.Set("X-Amz-Target", test.target)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		good := response.StatusCode == 200
		if err != nil || !bytes.Contains(body, []byte(test.want)) || good != (test.name == "good") {
			t.Errorf("%s: got %d %s %v", test.name, response.StatusCode, body, err)
		}
		if got := response.Header.Get("Content-Type"); got != "application/x-amz-json-1.1" {
			t.Errorf("%s: got the type %s", test.name, got)
		}
	}
}

func TestListen(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "127.0.0.1:x"} {
		if s, err := kmssim.Listen(addr); err == nil {
			s.Close()
			t.Errorf("listens on %q", addr)
		}
	}
}

func TestConcurrent(t *testing.T) {
	s := newServer(t)
	arn := s.CreateMultiRegionKey(west, types.KeySpecSymmetricDefault)
	s.Replicate(arn, east)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := s.Client(west)
			for range 10 {
				blob, err := encrypt(t, client, arn)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Client(east).Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob}); err != nil {
					t.Error(err)
				}
				own := s.CreateKey(west, types.KeySpecSymmetricDefault)
				s.Disable(own)
				_, err = encrypt(t, client, own)
				wantCode(t, "disabled", err, "DisabledException")
				client.ListKeys(t.Context(), &kms.ListKeysInput{})
				client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &arn})
				s.Requests()
			}
		})
	}
	wg.Wait()
	if got := s.Count("Encrypt"); got != 160 {
		t.Errorf("got %d calls, want 160", got)
	}
}
