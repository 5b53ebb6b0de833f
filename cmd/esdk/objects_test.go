//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/object"
	"esdk/internal/faulttest"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/rogpeppe/go-internal/testscript"
	"gocloud.dev/blob"
)

// A testStore is a new bucket of a server of an object store, behind a proxy.
type testStore struct {
	*blob.Bucket // opened with the Go CDK, to check the command's results
	url          string
	env          map[string]string
	proxy        *faulttest.Proxy
	gate         *gate
}

// A gate passes or refuses requests to a server.
type gate struct {
	server http.Handler
	refuse atomic.Pointer[func(*http.Request) bool]
	status atomic.Int64
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refuse := g.refuse.Load(); refuse == nil || !(*refuse)(r) {
		g.server.ServeHTTP(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	status := int(g.status.Load())
	w.WriteHeader(status)
	code := map[int]string{http.StatusForbidden: "AccessDenied", http.StatusServiceUnavailable: "SlowDown", http.StatusNotImplemented: "NotImplemented"}[status]
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

// set makes the gate refuse the first n requests that match, with the given
// status.
func (g *gate) set(n, status int, which func(*http.Request) bool) {
	g.status.Store(int64(status))
	var seen atomic.Int64
	refuse := func(r *http.Request) bool { return which(r) && seen.Add(1) <= int64(n) }
	g.refuse.Store(&refuse)
}

// storeKinds has a function for each kind of store, by the variable with the
// address of its server.
var storeKinds = map[string]func(t testing.TB, server, proxy string) *testStore{"ESDK_S3_URL": newS3Store}

// eachStore runs a test on each kind of store in this build.
func eachStore(t *testing.T, run func(*testing.T, *testStore)) {
	for _, variable := range slices.Sorted(maps.Keys(storeKinds)) {
		t.Run(variable, func(t *testing.T) { run(t, newTestStore(t, variable)) })
	}
}

func newTestStore(t testing.TB, variable string) *testStore {
	t.Helper()
	return newTestStoreOf(t, variable, false, storeKinds[variable])
}

// newTestStoreOf makes a bucket on a server that may verify the signatures of
// requests.
func newTestStoreOf(t testing.TB, variable string, signed bool, open func(t testing.TB, server, proxy string) *testStore) *testStore {
	t.Helper()
	server := os.Getenv(variable)
	if server == "" {
		if os.Getenv("ESDK_REQUIRE_BACKENDS") != "" {
			t.Fatalf("%s is not set", variable)
		}
		t.Skipf("NOT RUN on a server: set %s, see interop/backends/clouds-test.sh", variable)
	}
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	door := &gate{server: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if signed {
			r.Out.Host = r.In.Host
		}
	}}}
	proxy := &faulttest.Proxy{Handler: door}
	listener := httptest.NewServer(proxy)
	t.Cleanup(listener.Close)
	s := open(t, server, listener.URL)
	s.proxy, s.gate = proxy, door
	t.Cleanup(func() { s.Close() })
	return s
}

// bucketNumber distinguishes the buckets of a run.
var bucketNumber atomic.Int64

func bucketName() string {
	return fmt.Sprintf("esdk-%d-%d-%d", os.Getpid(), time.Now().UnixMilli(), bucketNumber.Add(1))
}

func newS3Store(t testing.TB, server, proxy string) *testStore {
	t.Helper()
	name := bucketName()
	request, err := http.NewRequest("PUT", server+"/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("make a bucket: %v, %v", response, err)
	}
	response.Body.Close()
	environment := func(url string) map[string]string {
		return map[string]string{
			"AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
			"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		}
	}
	return openStore(t, "s3://"+name, environment(server), environment(proxy))
}

// openStore opens a bucket with one environment, and sets another one for the
// command.
func openStore(t testing.TB, url string, own, env map[string]string) *testStore {
	t.Helper()
	for k, v := range own {
		os.Setenv(k, v)
	}
	b, err := blob.OpenBucket(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return &testStore{Bucket: b, url: url, env: env}
}

// keys returns the keys of all objects in their order.
func (s *testStore) keys(t testing.TB) (keys []string) {
	t.Helper()
	entries := s.List(nil)
	for {
		e, err := entries.Next(context.Background())
		if err == io.EOF {
			return keys
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
}

func (s *testStore) put(t testing.TB, key string, data []byte) {
	t.Helper()
	if err := s.WriteAll(context.Background(), key, data, nil); err != nil {
		t.Fatal(err)
	}
}

// checkUploads fails if S3 keeps parts of an unfinished upload.
func (s *testStore) checkUploads(t testing.TB) {
	t.Helper()
	var client *s3.Client
	if !s.As(&client) {
		return
	}
	name := strings.TrimPrefix(s.url, "s3://")
	uploads, err := client.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		t.Errorf("the upload of %s was not given up", aws.ToString(u.Key))
	}
}

// wantObjects checks the keys of all objects, and that no unfinished upload is
// left.
func (s *testStore) wantObjects(t testing.TB, want ...string) {
	t.Helper()
	if got := s.keys(t); !slices.Equal(got, want) {
		t.Errorf("objects %q, want %q", got, want)
	}
	s.checkUploads(t)
}

// run runs the command, checks its exit status, and returns its standard error.
func (s *testStore) run(t *testing.T, dir string, status int, args ...string) string {
	t.Helper()
	c := command(t, dir, args...)
	c.Env = s.environ()
	checkStatus(t, c, c.Run(), status)
	return fmt.Sprint(c.Stderr)
}

func (s *testStore) environ() []string {
	env := os.Environ()
	for k, v := range s.env {
		env = append(env, k+"="+v)
	}
	return env
}

// TestObjects runs the scripts in testdata/objects on each store.
func TestObjects(t *testing.T) {
	eachStore(t, func(t *testing.T, _ *testStore) {
		variable := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		params := scriptParams(t, "testdata/objects")
		setup := params.Setup
		params.Setup = func(env *testscript.Env) error {
			s := newTestStore(t, variable)
			for k, v := range s.env {
				env.Setenv(k, v)
			}
			env.Setenv("BUCKET", s.url)
			env.Values[storeKey{}] = s
			return setup(env)
		}
		params.Cmds["objects"] = cmdObjects
		params.Cmds["put"] = cmdPut
		params.Cmds["remove"] = cmdRemove
		params.Cmds["get"] = cmdGet
		testscript.Run(t, params)
	})
}

type storeKey struct{}

func storeOf(ts *testscript.TestScript) *testStore { return ts.Value(storeKey{}).(*testStore) }

// cmdObjects checks the keys of all objects: objects KEY...
func cmdObjects(ts *testscript.TestScript, _ bool, args []string) {
	t := &scriptTB{ts: ts}
	storeOf(ts).wantObjects(t, args...)
}

// cmdPut makes an object from a file, or an empty one: put KEY [FILE].
func cmdPut(ts *testscript.TestScript, _ bool, args []string) {
	var data []byte
	if len(args) > 1 {
		data = []byte(ts.ReadFile(args[1]))
	}
	ts.Check(storeOf(ts).WriteAll(context.Background(), args[0], data, nil))
}

// cmdRemove removes an object: remove KEY.
func cmdRemove(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(storeOf(ts).Delete(context.Background(), args[0]))
}

// cmdGet writes an object to a file: get KEY FILE.
func cmdGet(ts *testscript.TestScript, _ bool, args []string) {
	data, err := storeOf(ts).ReadAll(context.Background(), args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

// scriptTB fails a script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (t *scriptTB) Helper()                           {}
func (t *scriptTB) Fatal(args ...any)                 { t.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (t *scriptTB) Errorf(format string, args ...any) { t.ts.Fatalf(format, args...) }

// TestObjectsInterrupted interrupts the command in the middle of an upload.
func TestObjectsInterrupted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
			handled := make(chan os.Signal, 1) // under nohup, child processes would inherit an ignored SIGHUP
			signal.Notify(handled, sig)
			defer signal.Stop(handled)
			var puts sync.Once
			began := make(chan struct{})
			s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				copyAnswer(w, answer)
				if r.Method == http.MethodPut || r.Method == http.MethodPost {
					puts.Do(func() { close(began) })
				}
			})
			c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x?part-size=5M")
			c.Env = s.environ()
			source, stdin, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			c.Stdin = source
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			source.Close()
			go stdin.Write(pattern(40 << 20)) // not the whole input
			<-began
			c.Process.Signal(sig)
			checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
			stdin.Close()
			s.wantObjects(t)
		}
	})
}

// TestObjectsInterruptedStalled interrupts the command while the store accepts
// no more of an upload.
func TestObjectsInterruptedStalled(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		writeFile(t, dir, "long", pattern(40<<20))
		var seen atomic.Int64
		var once sync.Once
		passed := int64(1)
		if strings.HasPrefix(s.url, "gs:") {
			passed = 0 // the emulator makes the rest bypass the proxy
		}
		began, done := make(chan struct{}), make(chan struct{})
		defer close(done)
		s.gate.set(0, 0, func(r *http.Request) bool {
			if (r.Method == http.MethodPut || r.Method == http.MethodPost) && seen.Add(1) > passed {
				once.Do(func() { close(began) })
				<-done
			}
			return false
		})
		c := command(t, dir, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x?part-size=5M", "long")
		c.Env = s.environ()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-began
		start := time.Now()
		c.Process.Signal(os.Interrupt)
		checkStatus(t, c, c.Wait(), cli.ExitInterrupted)
		if took := time.Since(start); took > object.CleanUpTime/2 {
			t.Errorf("it took %v to end", took)
		}
		s.wantObjects(t)
	})
}

// TestObjectsStalled makes a store stop sending, once or for good.
func TestObjectsStalled(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	for k, v := range s.env {
		t.Setenv(k, v) // the command runs in this process
	}
	content := pattern(1 << 20)
	s.put(t, "x", content)
	buckets := object.NewBuckets()
	buckets.StallTime = 100 * time.Millisecond
	named, err := buckets.Parse(t.Context(), s.url+"/x")
	if err != nil {
		t.Fatal(err)
	}
	for stalls, want := range map[int]error{1: nil, always: object.ErrStalled} {
		s.proxy.Spoil(sometimes(stalls, func(r *http.Request) bool { return r.Method == http.MethodGet }, stall))
		in, err := named.Open(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(in)
		if !errors.Is(err, want) || !bytes.HasPrefix(content, got) || (want == nil) != (len(got) == len(content)) {
			t.Errorf("%d stalls: %d bytes, %v", stalls, len(got), err)
		}
		in.Close()
	}
}

// stall sends headers but no body.
func stall(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// TestObjectsRequests counts how often a store is asked for parts of an object.
func TestObjectsRequests(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		writeFile(t, dir, "long", pattern(20<<20))
		s.run(t, dir, cli.ExitOK, "encrypt", "--unsigned", "-k", "aes:n/k@key", "-o", s.url+"/long", "long")
		for part, most := range map[string]int64{"10M:64K": 4, "1M:": 12, "0:": 12} {
			var seen atomic.Int64
			s.gate.set(0, 0, func(*http.Request) bool { seen.Add(1); return false })
			s.run(t, dir, cli.ExitOK, "decrypt", "--force", "-k", "aes:n/k@key", "--range", part, "-o", "part", s.url+"/long")
			if n := seen.Load(); n > most {
				t.Errorf("%s: %d requests, want at most %d", part, n, most)
			}
		}
		var seen atomic.Int64
		s.gate.set(0, 0, func(*http.Request) bool { seen.Add(1); return false })
		s.run(t, dir, cli.ExitOK, "decrypt", "-k", "aes:n/k@key", "-o", "copy", s.url+"/long")
		if n := seen.Load(); n > 2 {
			t.Errorf("%d requests for all of it, want 2", n)
		}
	})
}

// copyAnswer passes an answer on unchanged.
func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	answer.Body.WriteTo(w)
}

// sometimes spoils the answers to the first n matching requests.
func sometimes(n int, which func(*http.Request) bool, spoil faulttest.Spoiler) faulttest.Spoiler {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if which(r) && seen.Add(1) <= int64(n) {
			spoil(w, r, answer)
			return
		}
		copyAnswer(w, answer)
	}
}

const always = 1 << 30

// cut sends half of the body of a full or partial answer, and closes the
// connection.
func cut(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	body := answer.Body.Bytes()
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(answer.Code)
	w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

// TestObjectsFaults makes a store refuse requests and break off answers.
func TestObjectsFaults(t *testing.T) {
	reads := func(r *http.Request) bool { return r.Method == http.MethodGet }
	writes := func(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }
	nobody := func(*http.Request) bool { return false }
	for name, test := range map[string]struct {
		refused     int
		which       func(*http.Request) bool
		spoil       faulttest.Spoiler
		read, write int // exit statuses
		stderr      string
	}{
		"two reads refused":  {refused: 2, which: reads},
		"reads refused":      {refused: always, which: reads, read: cli.ExitUnavailable, stderr: "SlowDown"},
		"two writes refused": {refused: 2, which: writes},
		"ten writes refused": {refused: 10, which: writes, stderr: "the run slows down"}, // more than a client retries
		"writes refused":     {refused: always, which: writes, write: cli.ExitUnavailable, stderr: "SlowDown"},
		"three reads cut":    {which: nobody, spoil: sometimes(3, reads, cut)},
		"reads cut":          {which: nobody, spoil: sometimes(always, reads, cut), read: cli.ExitError, stderr: "EOF"},
		"a read reset":       {which: nobody, spoil: sometimes(1, reads, faulttest.Reset)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestStore(t, "ESDK_S3_URL")
			dir := t.TempDir()
			plaintext := pattern(18 << 20)
			writeFile(t, dir, "plain", plaintext)
			patience := "5m"
			if test.refused == always {
				patience = "0"
			}
			s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/message", "plain")
			s.proxy.Spoil(test.spoil)
			s.gate.set(test.refused, http.StatusServiceUnavailable, test.which)
			said := s.run(t, dir, test.read, "decrypt", "--retry-for", patience, "-k", "aes:n/k@key", "-o", "copy", s.url+"/message")
			data, err := os.ReadFile(filepath.Join(dir, "copy"))
			if exists := err == nil; exists != (test.read == cli.ExitOK) || exists && !bytes.Equal(data, plaintext) {
				t.Errorf("read: %d bytes, %v", len(data), err)
			}
			checkNames(t, dir, test.read == cli.ExitOK)
			s.gate.set(test.refused, http.StatusServiceUnavailable, test.which)
			said += s.run(t, dir, test.write, "encrypt", "--retry-for", patience, "-k", "aes:n/k@key", "-o", s.url+"/new?part-size=5M", "plain")
			s.proxy.Spoil(nil)
			s.gate.set(0, http.StatusOK, nobody)
			if !strings.Contains(said, test.stderr) {
				t.Errorf("stderr %q", said)
			}
			if test.write != cli.ExitOK {
				s.wantObjects(t, "message")
				return
			}
			s.wantObjects(t, "message", "new")
			s.run(t, dir, cli.ExitOK, "verify", "-k", "aes:n/k@key", s.url+"/new")
		})
	}
}

// TestObjectsWriteOnly checks that write-only credentials are enough to write,
// and that nothing is replaced.
func TestObjectsWriteOnly(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "docs"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "docs/plain", pattern(100))
		s.gate.set(always, http.StatusForbidden, func(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead })
		for _, status := range []struct{ file, folder int }{{cli.ExitOK, cli.ExitOK}, {cli.ExitNotWritten, cli.ExitSomeFailed}} {
			s.run(t, dir, status.file, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/one", "docs/plain")
			s.run(t, dir, status.folder, "encrypt", "-r", "-k", "aes:n/k@key", "-o", s.url+"/tree", "docs")
		}
		if !strings.HasPrefix(s.url, "gs:") { // the Go CDK reports no object in this case
			s.run(t, dir, cli.ExitError, "encrypt", "--no-clobber", "-k", "aes:n/k@key", "-o", s.url+"/one", "docs/plain")
		}
		s.run(t, dir, cli.ExitError, "verify", "-k", "aes:n/k@key", s.url+"/one")
		s.wantObjects(t, "one", "tree/plain.encrypted")
	})
}

// checkNames fails if there is a temporary file.
func checkNames(t *testing.T, dir string, copied bool) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left", e.Name())
		}
	}
	if want := map[bool]int{false: 2, true: 3}[copied]; len(entries) != want {
		t.Errorf("%d files, want %d", len(entries), want)
	}
}

// TestObjectsReplaced replaces an object while it is read, and creates one
// where the command writes.
func TestObjectsReplaced(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		s.put(t, "plain", pattern(12<<20))
		// The answer to a request for the object is cut off, and the object is
		// replaced. The command doesn't resume the read with the new object but
		// starts over, unless that keeps happening.
		replaced := func(times int64) {
			var seen atomic.Int64
			s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				if n := int64(0); r.Method == http.MethodGet && answer.Body.Len() > 1<<20 {
					if n = seen.Add(1); n <= times {
						s.put(t, "plain", bytes.Repeat([]byte(fmt.Sprint(n%10)), 12<<20))
						cut(w, r, answer)
					}
				}
				copyAnswer(w, answer)
			})
		}
		replaced(3)
		s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", "new", s.url+"/plain")
		s.run(t, dir, cli.ExitOK, "decrypt", "-k", "aes:n/k@key", "-o", "copy", "new")
		if got, err := os.ReadFile(filepath.Join(dir, "copy")); err != nil || string(got) != strings.Repeat("3", 12<<20) {
			t.Errorf("%d bytes, %v; they begin with %.9q", len(got), err, got)
		}
		replaced(always)
		said := s.run(t, dir, cli.ExitError, "encrypt", "-k", "aes:n/k@key", "-o", "message", s.url+"/plain")
		if !strings.Contains(said, "the object was replaced while it was read") {
			t.Errorf("stderr %q", said)
		}
		s.wantObjects(t, "plain")

		for _, length := range []int{100, 20 << 20} {
			writeFile(t, dir, "long", pattern(length))
			var once sync.Once
			s.proxy.Spoil(func(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
				once.Do(func() { s.put(t, "x", []byte("theirs")) }) // after the first request, which checks whether the object exists
				copyAnswer(w, answer)
			})
			said := s.run(t, dir, cli.ExitNotWritten, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x", "long")
			if !strings.Contains(said, "/x: file already exists") {
				t.Errorf("stderr %q", said)
			}
			if got, err := s.ReadAll(t.Context(), "x"); err != nil || string(got) != "theirs" {
				t.Errorf("%q, %v", got, err)
			}
			s.wantObjects(t, "plain", "x")
			s.proxy.Spoil(nil)
			if err := s.Delete(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestObjectsReplacedInPlace replaces an object while it is re-encrypted in
// place.
func TestObjectsReplacedInPlace(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		for _, length := range []int{100, 20 << 20} {
			if length > 100 && strings.HasPrefix(s.url, "s3:") {
				continue // moto (5.2.5) ignores If-Match when a multipart upload is completed
			}
			dir := t.TempDir()
			writeFile(t, dir, "plain", pattern(length))
			s.gate.set(0, 0, func(*http.Request) bool { return false })
			s.run(t, dir, cli.ExitOK, "encrypt", "--force", "-k", "aes:n/k@key", "-o", s.url+"/x", "plain")
			var once sync.Once
			s.gate.set(0, 0, func(r *http.Request) bool {
				if r.Method == http.MethodPut || r.Method == http.MethodPost {
					once.Do(func() { s.put(t, "x", []byte("theirs")) })
				}
				return false
			})
			s.wantTheirs(t, dir)
			s.wantObjects(t, "x")
		}
	})
}

// TestObjectsReplacedAfterLook replaces an object between the look at a
// message, which reads all of it, and the first request for its result.
func TestObjectsReplacedAfterLook(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(100))
	s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x", "plain")
	var looked atomic.Bool
	var once sync.Once
	s.gate.set(0, 0, func(r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/x") && !r.URL.Query().Has("tagging") {
			looked.Store(true)
		}
		if r.URL.Query().Has("tagging") && looked.Load() {
			once.Do(func() { s.put(t, "x", []byte("theirs")) })
		}
		return false
	})
	s.wantTheirs(t, dir)
}

// wantTheirs re-encrypts an object in place while somebody else replaces it.
// The replacement must stay, since it isn't a message.
func (s *testStore) wantTheirs(t *testing.T, dir string) {
	t.Helper()
	said := s.run(t, dir, cli.ExitNotAuthentic, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key", "--in-place", s.url+"/x")
	if !strings.Contains(said, "this isn't a message of the AWS Encryption SDK") {
		t.Errorf("stderr %q", said)
	}
	if got, err := s.ReadAll(t.Context(), "x"); err != nil || string(got) != "theirs" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestObjectsMemory streams more data through the command than it may hold in
// memory.
func TestObjectsMemory(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		const length, most = 400 << 20, 256 << 10 // KiB: five parts of 16 MiB, and garbage of the first one
		dir := t.TempDir()
		c := command(t, dir, "encrypt", "--unsigned", "-k", "aes:n/k@key", "-o", s.url+"/long")
		c.Env = s.environ()
		c.Stdin = io.LimitReader(zeros{}, length)
		rss := measured(t, c)
		checkStatus(t, c, c.Run(), cli.ExitOK)
		t.Logf("encrypt: %d KiB", rss())
		if rss() > most {
			t.Errorf("encrypt: %d KiB, at most %d are allowed", rss(), most)
		}
		c = command(t, dir, "decrypt", "-k", "aes:n/k@key", "-o", "-", s.url+"/long")
		c.Env = s.environ()
		out := new(counter)
		c.Stdout = out
		rss = measured(t, c)
		checkStatus(t, c, c.Run(), cli.ExitOK)
		if t.Logf("decrypt: %d KiB", rss()); out.n != length || rss() > most {
			t.Errorf("decrypt: %d bytes, %d KiB, at most %d are allowed", out.n, rss(), most)
		}
	})
}

// s3 returns a client of S3, and the name of the bucket.
func (s *testStore) s3(t *testing.T) (client *s3.Client, bucket *string) {
	t.Helper()
	if !s.As(&client) {
		t.Fatal("no client")
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(s.url, "s3://"), "?")
	return client, &name
}

// TestObjectsDescribed checks that the metadata of an object in S3 is kept when
// it is re-encrypted in place, and is set from the URL for a new object.
func TestObjectsDescribed(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	client, name := s.s3(t)
	describe := func(key string) (class, tags string) {
		t.Helper()
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		list, err := client.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range list.TagSet {
			tags += aws.ToString(tag.Key) + "=" + aws.ToString(tag.Value) + ";"
		}
		return string(head.StorageClass), tags
	}
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(100))
	s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x?storageclass=STANDARD_IA&tags=team%3Dblue%20sky%26x%3D1", "plain")
	if class, tags := describe("x"); class != "STANDARD_IA" || tags != "team=blue sky;x=1;" {
		t.Errorf("made: %s, %s", class, tags)
	}
	s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/x")
	if class, tags := describe("x"); class != "STANDARD_IA" || tags != "team=blue sky;x=1;" {
		t.Errorf("in place: %s, %s", class, tags)
	}
	s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/x?tags=new%3D2&storageclass=STANDARD")
	if class, tags := describe("x"); class == "STANDARD_IA" || tags != "new=2;" {
		t.Errorf("in place, with parameters: %s, %s", class, tags)
	}
	for _, bad := range []string{"?storageclass=NONE", "?tags=%25zz", "?conditional-writes=perhaps"} {
		s.run(t, dir, cli.ExitUsage, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/y"+bad, "plain")
	}

	// Without permission to read tags, re-encryption fails, since the tags
	// would be lost.
	s.gate.set(1<<30, http.StatusForbidden, func(r *http.Request) bool { return r.URL.Query().Has("tagging") })
	if said := s.run(t, dir, cli.ExitError, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/x"); !strings.Contains(said, "tags would be lost") || !strings.Contains(said, "?tags=") {
		t.Errorf("stderr %q", said)
	}
	s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/x?tags=new%3D2")

	// Some stores have no conditional writes.
	s.gate.set(1<<30, http.StatusNotImplemented, func(r *http.Request) bool {
		return r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Match") != "" && r.Method == http.MethodPut
	})
	if said := s.run(t, dir, cli.ExitError, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/z", "plain"); !strings.Contains(said, "?conditional-writes=false") {
		t.Errorf("stderr %q", said)
	}
	s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/z?conditional-writes=false", "plain")
	s.run(t, dir, cli.ExitNotWritten, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/z?conditional-writes=false", "plain")
	s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/z?conditional-writes=false&tags=")
}

// TestObjectsVersion reads a version that isn't the latest.
func TestObjectsVersion(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	client, name := s.s3(t)
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var versions []string
	for _, text := range []string{"first", "second one"} {
		writeFile(t, dir, "plain", []byte(text))
		s.run(t, dir, cli.ExitOK, "encrypt", "--force", "-k", "aes:n/k@key", "-o", s.url+"/x", "plain")
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: aws.String("x")})
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, aws.ToString(head.VersionId))
	}
	s.run(t, dir, cli.ExitOK, "decrypt", "-k", "aes:n/k@key", "-o", "old", s.url+"/x?versionId="+versions[0])
	s.run(t, dir, cli.ExitOK, "decrypt", "-k", "aes:n/k@key", "-o", "new", s.url+"/x?versionId="+versions[1])
	for file, want := range map[string]string{"old": "first", "new": "second one"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
	s.run(t, dir, cli.ExitError, "decrypt", "-k", "aes:n/k@key", "-o", "none", s.url+"/x?versionId=no-such")
	if err := os.Mkdir(filepath.Join(dir, "both"), 0o755); err != nil {
		t.Fatal(err)
	}
	if said := s.run(t, dir, cli.ExitNotWritten, "decrypt", "-k", "aes:n/k@key", "-o", "both", s.url+"/x?versionId="+versions[0], s.url+"/x?versionId="+versions[1]); !strings.Contains(said, "would both be written to") {
		t.Errorf("two versions: stderr %q", said)
	}
	s.run(t, dir, cli.ExitNotWritten, "encrypt", "--force", "-k", "aes:n/k@key", "-o", s.url+"/x?versionId="+versions[0], "plain")
	s.run(t, dir, cli.ExitNotWritten, "reencrypt", "--from-key", "aes:n/k@key", "-k", "aes:n/k@key", "--in-place", "--skip-done", "never", s.url+"/x?versionId="+versions[0])
}

// TestObjectsInspected reads little of a long object.
func TestObjectsInspected(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		writeFile(t, dir, "plain", pattern(20<<20))
		s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/x", "plain")
		var read atomic.Int64
		s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet {
				read.Add(int64(answer.Body.Len()))
			}
			copyAnswer(w, answer)
		})
		s.run(t, dir, cli.ExitOK, "inspect", s.url+"/x")
		if n := read.Load(); n == 0 || n > 64<<10 {
			t.Errorf("%d bytes were read", n)
		}
	})
}

// TestObjectsDone checks that a second run writes nothing, and reads only
// headers.
func TestObjectsDone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		writeFile(t, dir, "short", pattern(1000))
		writeFile(t, dir, "long", pattern(20<<20))
		s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/in/", "short", "long")
		again := []string{"reencrypt", "-r", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key", "--in-place", s.url + "/in/"}
		if said := s.run(t, dir, cli.ExitOK, again...); strings.Contains(said, "skipped") {
			t.Errorf("stderr %q", said)
		}
		var read, written atomic.Int64
		s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
			switch r.Method {
			case http.MethodGet:
				read.Add(int64(answer.Body.Len()))
			case http.MethodPut, http.MethodPost:
				written.Add(1)
			}
			copyAnswer(w, answer)
		})
		if said := s.run(t, dir, cli.ExitOK, again...); !strings.Contains(said, "2 inputs: 2 skipped: already as requested (2)") {
			t.Errorf("stderr %q", said)
		}
		if written.Load() != 0 || read.Load() > 32<<10 {
			t.Errorf("%d requests to write, %d bytes read", written.Load(), read.Load())
		}
		s.proxy.Spoil(nil)
		s.run(t, dir, cli.ExitOK, "verify", "-r", "-k", "aes:n/k2@key", s.url+"/in/")
	})
}

// TestObjectsAudit counts the requests of an audit: one for the start of each
// object, another one if its header is longer, and the list requests.
func TestObjectsAudit(t *testing.T) {
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		writeFile(t, dir, "short", pattern(1000))
		writeFile(t, dir, "long", pattern(20<<20))
		s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/in/", "short", "long")
		s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-c", "long="+strings.Repeat("l", 20_000), "-o", s.url+"/in/header", "short")
		s.put(t, "in/plain", pattern(30_000))
		list := ""
		for _, key := range s.keys(t) {
			list += s.url + "/" + key + "\x00"
		}
		writeFile(t, dir, "list", []byte(list))
		var gets, others, read atomic.Int64
		s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
			if ofObject := strings.Contains(r.URL.Path, "/in/") || strings.Contains(r.URL.Path, "/in%2F"); r.Method == http.MethodGet && ofObject {
				gets.Add(1)
				read.Add(int64(answer.Body.Len()))
			} else {
				others.Add(1)
			}
			copyAnswer(w, answer)
		})
		for _, c := range []struct {
			args        []string
			mostOthers  int64 // lists
			description string
		}{{[]string{"-r", s.url + "/in/"}, 1, "a folder"}, {[]string{"--files-from0", "list"}, 0, "a list"}} {
			gets.Store(0)
			others.Store(0)
			read.Store(0)
			s.run(t, dir, cli.ExitSomeFailed, append([]string{"audit", "-k", "aes:n/k@key", "--fail-if", "--under", "n/k"}, c.args...)...)
			if gets.Load() != 5 || others.Load() > c.mostOthers || read.Load() > 5*4<<10+32<<10 {
				t.Errorf("%s: %d requests for objects, %d others, %d bytes; want 5, %d", c.description, gets.Load(), others.Load(), read.Load(), c.mostOthers)
			}
		}
	})
}

// TestObjectsFewDescriptors checks that concurrent work on objects stays within
// the limit on open files.
func TestObjectsFewDescriptors(t *testing.T) {
	const files = 300
	eachStore(t, func(t *testing.T, s *testStore) {
		dir := t.TempDir()
		in := makeRoot(t, filepath.Join(dir, "in")).Name()
		for i := range files {
			writeFile(t, in, fmt.Sprintf("f%04d", i), manyText(fmt.Sprint(i)))
		}
		for _, run := range []string{
			"encrypt -q --unsigned --jobs 100 -r -k aes:n/k@key -o " + s.url + "/enc/ in",
			"reencrypt -q --unsigned --in-place --skip-done never --jobs 100 -r --from-key aes:n/k@key -k aes:n/k@key " + s.url + "/enc/",
			"decrypt -q -r --jobs 100 -k aes:n/k@key -o back " + s.url + "/enc/",
		} {
			c := command(t, dir)
			c.Env = s.environ()
			c.Args = []string{"sh", "-c", `ulimit -n 64; exec "$0" ` + run, c.Path}
			c.Path = "/bin/sh"
			if err := c.Run(); err != nil {
				t.Fatalf("%s: %v: %.500s", run, err, c.Stderr)
			}
		}
		checkSame(t, readTree(t, in), readTree(t, filepath.Join(dir, "back")), files)
	})
}
