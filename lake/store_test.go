package lake_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// A door is a proxy in front of a store, which answers some requests with 503.
type door struct {
	*httptest.Server
	perMille atomic.Int64 // of the requests
	refused  atomic.Int64
	passed   atomic.Int64
}

func newDoor(t *testing.T, store string) *door {
	t.Helper()
	target, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	d := new(door)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) } // of a killed worker
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mathrand.Int64N(1000) < d.perMille.Load() {
			d.refused.Add(1)
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
			return
		}
		d.passed.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

const bigKey = "data/big"

// esdk runs the command on the store, bypassing the door, and copies its output
// to output.
func (w *world) esdk(input io.Reader, output io.Writer, args ...string) {
	w.t.Helper()
	program, err := mainCommand()
	w.check(err)
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, output, os.Stderr
	w.check(cmd.Run())
}

var mainCommand = sync.OnceValues(func() (string, error) {
	program := filepath.Join(built, "esdk")
	cmd := exec.Command("go", "build", "-tags", "grpcnotrace", "-o", program, ".")
	cmd.Dir = "../cmd/esdk"
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return program, err
})

// fillBig writes the long object, if requested, and returns the sum of its
// plaintext.
func (w *world) fillBig() []byte {
	w.t.Helper()
	if *bigSize == 0 {
		return nil
	}
	sum := sha256.New()
	random := mathrand.NewChaCha8([32]byte{})
	w.esdk(io.TeeReader(io.LimitReader(random, *bigSize), sum), nil, "encrypt", "-q", "-k", "@old", "-o", w.url(w.bucket, bigKey))
	return sum.Sum(nil)
}

func (w *world) checkBig(want []byte) {
	w.t.Helper()
	sum := sha256.New()
	w.esdk(nil, sum, "decrypt", "-q", "--release", "frames", "-k", "@new", "-o", "-", w.url(w.bucket, bigKey))
	if !bytes.Equal(sum.Sum(nil), want) {
		w.t.Error("the long object has another plaintext")
	}
}
