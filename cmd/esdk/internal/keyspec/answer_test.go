package keyspec

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"esdk"
	"esdk/cmd/esdk/internal/atomicfile"
	"esdk/cmd/esdk/internal/cli"
)

// Requests to services that accept connections and never answer are repeated,
// and then given up.
func TestNoAnswer(t *testing.T) {
	var asked atomic.Int64
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body) // otherwise the server doesn't notice that the client is gone
		<-r.Context().Done()
	}))
	defer silent.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // doesn't even read
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, value := range map[string]string{"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"} {
		t.Setenv(name, value)
	}
	const arn = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, url := range []string{silent.URL, "http://" + mute.Addr().String()} {
		t.Setenv("AWS_ENDPOINT_URL_KMS", url)
		t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
		for _, key := range []string{arn, "branch:table/id?kms=" + arn} {
			asked.Store(0)
			ks := New(cli.NewUI(), atomicfile.NewPending(), new(atomicfile.Protected))
			ks.AnswerTimeout = 50 * time.Millisecond
			kr, err := ks.Keyring(context.Background(), "-k", []string{key}, true)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = esdk.Encrypt(context.Background(), kr, nil, nil)
			if cli.ExitStatus(err) != cli.ExitUnavailable || time.Since(start) > time.Minute {
				t.Errorf("%s: %v, after %v", key, err, time.Since(start))
			}
			if url == silent.URL && asked.Load() < 2 {
				t.Errorf("%s: asked %d times", key, asked.Load())
			}
		}
	}
	if got := New(cli.NewUI(), nil, nil).AnswerTimeout; got != time.Minute {
		t.Errorf("the usual time is %v", got)
	}
}
