package httpfiles

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"esdk"
)

const maxLength = 4 << 20

// A site is a server and the directory of its files.
type site struct {
	*httptest.Server
	dir   string
	files *Files
	log   *bytes.Buffer
}

func keyring(t testing.TB, key byte) esdk.Keyring {
	kr, err := esdk.NewRawAESKeyring(esdk.RawAESConfig{Namespace: "recipes", Name: "http", Key: bytes.Repeat([]byte{key}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func newSite(t testing.TB) *site {
	s := &site{dir: t.TempDir(), log: new(bytes.Buffer)}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if s.files, err = New(keyring(t, 1), root, maxLength, slog.New(slog.NewTextHandler(s.log, nil))); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(s.files.Handler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(s.Close)
	return s
}

// do sends a request and returns the response and its body. If the body is cut
// short, do returns the part that arrived, with an error.
func (s *site) do(t testing.TB, method, path string, body io.Reader, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	return answer, got, err
}

func (s *site) put(t testing.TB, name string, content []byte) {
	t.Helper()
	if answer, _, err := s.do(t, "PUT", "/"+name, bytes.NewReader(content)); err != nil || answer.StatusCode != http.StatusCreated {
		t.Errorf("PUT %s: %v, %v", name, answer, err)
	}
}

// names lists the directory.
func (s *site) names(t testing.TB) (names []string) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// pattern returns n bytes of text that contains its own offsets, so that its
// parts are recognizable.
func pattern(n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "plaintext %08d\n", b.Len())
	}
	return b.Bytes()[:n]
}

func TestUpAndDown(t *testing.T) {
	s := newSite(t)
	for _, n := range []int{0, 1, 4096, 1_000_000, maxLength} {
		content := pattern(n)
		s.put(t, "file", content)
		answer, got, err := s.do(t, "GET", "/file", nil)
		if err != nil || answer.StatusCode != 200 || !bytes.Equal(got, content) || answer.ContentLength != int64(n) {
			t.Errorf("%d bytes: %v, %d bytes, %v", n, answer, len(got), err)
		}
		answer, got, err = s.do(t, "HEAD", "/file", nil)
		if err != nil || answer.StatusCode != 200 || answer.ContentLength != int64(n) || len(got) > 0 {
			t.Errorf("HEAD, %d bytes: %v, %v", n, answer, err)
		}
		disk, err := os.ReadFile(filepath.Join(s.dir, "file"))
		if err != nil || bytes.Contains(disk, []byte("plaintext")) || len(disk) <= n {
			t.Errorf("%d bytes are on the disk, %v", len(disk), err)
		}
	}
	if names := s.names(t); fmt.Sprint(names) != "[file]" {
		t.Errorf("%v are there", names)
	}
}

func TestParts(t *testing.T) {
	s := newSite(t)
	content := pattern(1_000_000)
	s.put(t, "file", content)
	for _, c := range []struct {
		header     string
		status     int
		begin, end int
	}{
		{"bytes=0-0", 206, 0, 1},
		{"bytes=4095-4096", 206, 4095, 4097},
		{"bytes=500000-", 206, 500000, 1_000_000},
		{"bytes=-1", 206, 999_999, 1_000_000},
		{"bytes=1000000-", 416, 0, 0},
		{"bytes=0-999999999", 206, 0, 1_000_000},
		{"lines=1-2", 416, 0, 0},
	} {
		answer, got, err := s.do(t, "GET", "/file", nil, "Range", c.header)
		if err != nil || answer.StatusCode != c.status || c.status == 206 && !bytes.Equal(got, content[c.begin:c.end]) {
			t.Errorf("%s: %v, %d bytes, %v", c.header, answer, len(got), err)
		}
	}
	answer, got, err := s.do(t, "GET", "/file", nil, "Range", "bytes=0-9,999990-")
	if err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(got, content[999_990:]) {
		t.Errorf("two parts: %v, %q, %v", answer, got, err)
	}
}

func TestConditions(t *testing.T) {
	s := newSite(t)
	content := pattern(10_000)
	s.put(t, "file", content)
	first, _, err := s.do(t, "GET", "/file", nil)
	if err != nil {
		t.Fatal(err)
	}
	tag, time := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
	status := func(header ...string) int {
		answer, _, err := s.do(t, "GET", "/file", nil, header...)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	if n := status("If-None-Match", tag); n != 304 {
		t.Errorf("If-None-Match: %d", n)
	}
	if n := status("If-Modified-Since", time); n != 304 {
		t.Errorf("If-Modified-Since: %d", n)
	}
	if n := status("Range", "bytes=0-1", "If-Range", tag); n != 206 {
		t.Errorf("If-Range: %d", n)
	}
	s.put(t, "file", content) // the same content is another message
	if n := status("If-None-Match", tag); n != 200 {
		t.Errorf("If-None-Match, after another upload: %d", n)
	}
	if n := status("If-Match", tag); n != 412 {
		t.Errorf("If-Match, after another upload: %d", n)
	}
	if n := status("Range", "bytes=0-1", "If-Range", tag); n != 200 {
		t.Errorf("If-Range, after another upload: %d", n)
	}
	page := []byte("<script>alert(1)</script>")
	s.put(t, "file", page)
	answer, _, err := s.do(t, "GET", "/file", nil)
	if err != nil || answer.Header.Get("Content-Type") != "application/octet-stream" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("a page: %v, %v", answer.Header, err)
	}
}

// TestAbortedUpload checks that an upload that stops half-way or is too long
// leaves nothing, and that the old file stays. During the upload, no plaintext
// is on the disk.
func TestAbortedUpload(t *testing.T) {
	s := newSite(t)
	old := pattern(10)
	s.put(t, "file", old)
	stopped := errors.New("stopped")
	read, write := io.Pipe()
	sent := make(chan error)
	go func() {
		_, _, err := s.do(t, "PUT", "/file", read)
		sent <- err
	}()
	if _, err := write.Write(pattern(3 << 20)); err != nil {
		t.Fatal(err)
	}
	for arrived := false; !arrived; { // wait until a part is on the disk
		for _, name := range s.names(t) {
			disk, err := os.ReadFile(filepath.Join(s.dir, name))
			if err != nil || bytes.Contains(disk, []byte("plaintext")) {
				t.Fatalf("%s: plaintext is on the disk, %v", name, err)
			}
			arrived = arrived || name != "file" && len(disk) > 1<<20
		}
	}
	write.CloseWithError(stopped)
	if err := <-sent; !errors.Is(err, stopped) {
		t.Errorf("the client got %v", err)
	}
	for name, body := range map[string]io.Reader{
		"too long":            bytes.NewReader(pattern(maxLength + 1)),
		"too long, by pieces": io.MultiReader(bytes.NewReader(pattern(maxLength)), strings.NewReader("x")),
	} {
		answer, _, err := s.do(t, "PUT", "/file", body)
		if err == nil && answer.StatusCode != http.StatusRequestEntityTooLarge { // the server may hang up first
			t.Errorf("%s: %v", name, answer)
		}
	}
	s.Close() // waits for the handlers
	if names := s.names(t); fmt.Sprint(names) != "[file]" {
		t.Errorf("%v are there", names)
	}
	f, err := os.Open(filepath.Join(s.dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := s.files.client.NewReader(t.Context(), f, bound("file"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the old file has %q, %v", got, err)
	}
}

func TestBadFiles(t *testing.T) {
	s := newSite(t)
	content := pattern(1_000_000)
	s.put(t, "file", content)
	s.put(t, "other", content)
	path := filepath.Join(s.dir, "file")
	message, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(s.dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := esdk.New(esdk.Config{Keyring: keyring(t, 2), Suite: esdk.AES256GCMHKDFSHA512Commit})
	if err != nil {
		t.Fatal(err)
	}
	wrongKey, _, err := foreign.Encrypt(t.Context(), content, bound("file"))
	if err != nil {
		t.Fatal(err)
	}
	long, err := esdk.New(esdk.Config{Keyring: keyring(t, 1), Suite: esdk.AES256GCMHKDFSHA512Commit, FrameLength: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	longFrames, _, err := long.Encrypt(t.Context(), content, bound("file"))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int) []byte {
		m := bytes.Clone(message)
		m[at] ^= 1
		return m
	}
	for _, c := range []struct {
		name    string
		message []byte
		log     string
	}{
		{"of another name", other, "encryption context"},
		{"header changed", changed(100), ""},
		{"end changed", changed(len(message) - 1), "authentication failed"},
		{"truncated", message[:len(message)-5000], ""},
		{"continued", append(bytes.Clone(message), message[len(message)-5000:]...), ""},
		{"empty", nil, "unexpected EOF"},
		{"plaintext", content, ""},
		{"wrong key", wrongKey, "no encrypted data key"},
		{"long frames", longFrames, "limit"},
	} {
		if err := os.WriteFile(path, c.message, 0o600); err != nil {
			t.Fatal(err)
		}
		s.log.Reset()
		answer, got, err := s.do(t, "GET", "/file", nil)
		if err != nil || answer.StatusCode != http.StatusInternalServerError || string(got) != "file can't be read\n" {
			t.Errorf("%s: %v, %d bytes, %v", c.name, answer, len(got), err)
		}
		if log := s.log.String(); !strings.Contains(log, "file can't be read") || !strings.Contains(log, c.log) {
			t.Errorf("%s: logged %q", c.name, log)
		}
	}

	// A fault in the middle is found after the answer has begun. The client
	// sees that the answer is cut short. Parts without the fault are served.
	if err := os.WriteFile(path, changed(len(message)/2), 0o600); err != nil {
		t.Fatal(err)
	}
	s.log.Reset()
	answer, got, err := s.do(t, "GET", "/file", nil)
	if err == nil || answer == nil || answer.StatusCode != 200 || len(got) == 0 || !bytes.HasPrefix(content, got) {
		t.Errorf("changed in the middle: %v, %d bytes, %v", answer, len(got), err)
	}
	if answer, got, err = s.do(t, "GET", "/file", nil, "Range", "bytes=900000-900009"); err != nil || string(got) != string(content[900000:900010]) {
		t.Errorf("a part without the fault: %v, %q, %v", answer, got, err)
	}

	// With Content-Encoding, http.ServeContent doesn't send the length. Even
	// then, the answer must not look complete.
	encoded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "identity")
		s.files.Handler().ServeHTTP(w, r)
	}))
	encoded.Config.ErrorLog = s.Config.ErrorLog
	defer encoded.Close()
	here := &site{Server: encoded}
	if answer, got, err = here.do(t, "GET", "/file", nil); err == nil || len(got) == len(content) {
		t.Errorf("of unknown length: %v, %d bytes, %v", answer, len(got), err)
	}
	s.Close()
	if log := s.log.String(); !strings.Contains(log, "download cut short") {
		t.Errorf("logged %q", log)
	}
}

func TestNames(t *testing.T) {
	s := newSite(t)
	if f, err := New(nil, s.files.dir, 0, s.files.log); err == nil || f != nil {
		t.Error("New takes no keyring")
	}
	if err := os.WriteFile(filepath.Join(s.dir, ".hidden"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/.hidden", "/%2e%2e%2ffile", "/a%2fb", "/a%5cb", "/" + strings.Repeat("x", 201)} {
		for _, method := range []string{"GET", "PUT"} {
			if answer, _, err := s.do(t, method, path, nil); err != nil || answer.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s: %v, %v", method, path, answer, err)
			}
		}
	}
	if answer, _, err := s.do(t, "GET", "/nothing", nil); err != nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", answer, err)
	}
	if names := s.names(t); fmt.Sprint(names) != "[.hidden]" {
		t.Errorf("%v are there", names)
	}
}

// TestSigned checks that a signed message up to the maximum length is verified
// completely before any part is served.
func TestSigned(t *testing.T) {
	s := newSite(t)
	signing, err := esdk.New(esdk.Config{Keyring: keyring(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	content := pattern(100_000)
	message, _, err := signing.Encrypt(t.Context(), content, bound("file"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(m []byte) {
		if err := os.WriteFile(filepath.Join(s.dir, "file"), m, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(message)
	answer, got, err := s.do(t, "GET", "/file", nil, "Range", "bytes=50000-50009")
	if err != nil || answer.StatusCode != 206 || string(got) != string(content[50000:50010]) {
		t.Errorf("%v, %q, %v", answer, got, err)
	}
	changed := bytes.Clone(message)
	changed[len(changed)/2] ^= 1 // far from the requested part
	write(changed)
	if answer, _, err = s.do(t, "GET", "/file", nil, "Range", "bytes=0-9"); err != nil || answer.StatusCode != 500 {
		t.Errorf("changed: %v, %v", answer, err)
	}
	write(message)
	s.files.maxSignedWhole = int64(len(message) - 1)
	if answer, _, err = s.do(t, "GET", "/file", nil); err != nil || answer.StatusCode != 500 {
		t.Errorf("too long to be verified for each answer: %v, %v", answer, err)
	}
}

// TestConcurrent reads a file while others replace it. Each read returns one
// complete version.
func TestConcurrent(t *testing.T) {
	s := newSite(t)
	versions := make(map[[32]byte]bool)
	contents := make([][]byte, 4)
	for n := range contents {
		contents[n] = bytes.Repeat([]byte{byte(n)}, 300_000)
		versions[sha256.Sum256(contents[n])] = true
	}
	s.put(t, "file", contents[0])
	var all sync.WaitGroup
	for _, content := range contents {
		all.Go(func() {
			for range 5 {
				s.put(t, "file", content)
			}
		})
		all.Go(func() {
			for range 5 {
				if answer, got, err := s.do(t, "GET", "/file", nil); err != nil || !versions[sha256.Sum256(got)] {
					t.Errorf("%v, %d bytes, %v", answer, len(got), err)
				}
			}
		})
	}
	all.Wait()
	if names := s.names(t); fmt.Sprint(names) != "[file]" {
		t.Errorf("%v are there", names)
	}
}

func BenchmarkFile(b *testing.B) {
	s := newSite(b)
	content := pattern(1 << 20)
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"put 1 MiB", func() error { s.put(b, "file", content); return nil }},
		{"get 1 MiB", func() error { _, _, err := s.do(b, "GET", "/file", nil); return err }},
		{"get 1 KiB of it", func() error { _, _, err := s.do(b, "GET", "/file", nil, "Range", "bytes=500000-501023"); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.do(); err != nil {
					b.Fatal(err)
				}
			}
			if info, err := os.Stat(filepath.Join(s.dir, "file")); err == nil {
				b.ReportMetric(float64(info.Size()-int64(len(content))), "bytes-added/file")
			}
		})
	}
}
