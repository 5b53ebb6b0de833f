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
	"testing"
)

// A door is a proxy in front of a store, which answers some requests with 503.
// Which ones depends on the number of requests alone: a fast machine has as
// many as a slow one.
type door struct {
	*httptest.Server
	mu      sync.Mutex
	passed  int
	refused int
	calm    int           // requests until trouble begins
	trouble int           // requests that will be refused, one of 20
	begun   chan struct{} // closed when trouble begins
}

// expect has the door refuse one of 20 requests, n in all, after calm more
// requests. The channel is closed when that begins.
func (d *door) expect(calm, n int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calm, d.trouble, d.begun = calm, n, make(chan struct{})
	return d.begun
}

// refuses counts a request, and reports whether to refuse it.
func (d *door) refuses() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calm--
	if d.calm == 0 && d.begun != nil {
		close(d.begun)
	}
	if d.trouble > 0 && d.calm <= 0 && d.calm%20 == 0 {
		d.trouble--
		d.refused++
		return true
	}
	d.passed++
	return false
}

// counts returns the numbers of passed and refused requests since the last
// call.
func (d *door) counts() (passed, refused int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	passed, refused = d.passed, d.refused
	d.passed, d.refused = 0, 0
	return passed, refused
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
		if d.refuses() {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
			return
		}
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
