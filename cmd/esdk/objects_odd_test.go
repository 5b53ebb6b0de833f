//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/cli"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// newOddStore makes a bucket with messages under the old key, and returns a
// function that re-encrypts them in place.
func newOddStore(t *testing.T, keys ...string) (s *testStore, again func(status int, more ...string) string) {
	t.Helper()
	s = newTestStore(t, "ESDK_S3_URL")
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(100))
	s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/k@key", "plain")
	message, err := os.ReadFile(filepath.Join(dir, "plain.encrypted"))
	if err != nil {
		t.Fatal(err)
	}
	client, name := s.s3(t)
	for _, key := range keys {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: name, Key: &key, Body: bytes.NewReader(message)}); err != nil {
			t.Fatal(err)
		}
	}
	return s, func(status int, more ...string) string {
		t.Helper()
		return s.run(t, dir, status, append([]string{"reencrypt", "-r", "--in-place", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key"}, more...)...)
	}
}

// TestObjectsOddKeys checks that no object is mistaken for another because the
// Go CDK unescapes its key to the other's. A key that the CDK can't write is
// reported as such.
func TestObjectsOddKeys(t *testing.T) {
	s, again := newOddStore(t, "in/A", "in/__0x41__", "in/a__0xa__b", "in/y", "in/zz")
	dir := t.TempDir()
	s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if r.URL.Query().Has("list-type") { // moto doesn't accept such a key
			answer.Body = bytes.NewBufferString(strings.Replace(answer.Body.String(), "<Key>in/y<", "<Key>in/y&#10;<", 1))
			answer.Header().Del("Content-Length")
		}
		copyAnswer(w, answer)
	})
	report := filepath.Join(dir, "report")
	if said := again(cli.ExitSomeFailed, "--report", report, s.url+"/in/"); !strings.Contains(said, "2 of 5 inputs failed") || strings.Count(said, "are not supported") != 2 {
		t.Errorf("stderr %q", said)
	}
	s.runFailed(t, report, again)
	client, name := s.s3(t)
	for key, want := range map[string]int{"in/A": 0, "in/__0x41__": cli.ExitNoKey, "in/a__0xa__b": 0, "in/zz": 0, "in/y": cli.ExitNoKey} {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		message, err := io.ReadAll(out.Body)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "message", message)
		s.run(t, dir, want, "verify", "-q", "-k", "aes:n/k2@key", "message")
	}
	s.run(t, dir, cli.ExitSomeFailed, "decrypt", "-q", "-r", "-k", "aes:n/k2@key", "-o", "out", s.url+"/in/")
	for _, file := range []string{"A.decrypted", "a\nb.decrypted", "zz.decrypted"} {
		if _, err := os.Stat(filepath.Join(dir, "out", file)); err != nil {
			t.Error(err)
		}
	}
}

// runFailed runs the failed inputs of a report again. Each must fail as
// unreachable, and its name must not lead to another object.
func (s *testStore) runFailed(t *testing.T, report string, again func(status int, more ...string) string) {
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for line := range strings.Lines(string(text)) {
		var r struct{ Name, Result string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Result == "failed" {
			failed = append(failed, r.Name)
		}
	}
	dir := t.TempDir()
	writeFile(t, dir, "list", []byte(strings.Join(failed, "\x00")))
	report = filepath.Join(dir, "again")
	again(cli.ExitSomeFailed, "--report", report, "--files-from0", filepath.Join(dir, "list"))
	if got := results(t, report); len(got) != 1 || got["failed unreachable"] != 2 {
		t.Errorf("%q: %v", failed, got)
	}
}

// TestObjectsNoParts checks that a resumed read fails if the server ignores the
// range and sends the whole object.
func TestObjectsNoParts(t *testing.T) {
	s, dir := newTestStore(t, "ESDK_S3_URL"), t.TempDir()
	s.put(t, "plain", pattern(3<<20))
	s.gate.set(0, 0, func(r *http.Request) bool {
		if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			r.Header.Del("Range")
		}
		return false
	})
	var cuts atomic.Int64
	s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if r.Method == http.MethodGet && cuts.Add(1) == 1 {
			cut(w, r, answer)
		}
		copyAnswer(w, answer)
	})
	if said := s.run(t, dir, cli.ExitError, "encrypt", "-k", "aes:n/k@key", "-o", "message", s.url+"/plain"); !strings.Contains(said, "does not support reading parts") {
		t.Errorf("stderr %q", said)
	}
}

// TestObjectsNoETag checks that without an ETag to compare, nothing is replaced
// unless the user declares to be the only writer.
func TestObjectsNoETag(t *testing.T) {
	s, again := newOddStore(t, "in/a")
	s.proxy.Spoil(func(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Del("ETag")
		copyAnswer(w, answer)
	})
	if said := again(cli.ExitError, s.url+"/in/a"); !strings.Contains(said, "conditional-writes=false") {
		t.Errorf("stderr %q", said)
	}
	again(cli.ExitOK, s.url+"/in/a?conditional-writes=false")
}

// TestObjectsUpdatedPlain checks that an update of a store without versions or
// conditional writes needs conditional-writes=false in the URL.
func TestObjectsUpdatedPlain(t *testing.T) {
	s, _ := newOddStore(t)
	dir := t.TempDir()
	writeFile(t, dir, "a", pattern(10))
	s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/out/", "a")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a"), later, later); err != nil {
		t.Fatal(err)
	}
	update := func(status int, parameters string) {
		t.Helper()
		said := s.run(t, dir, status, "encrypt", "--update", "-k", "aes:n/k@key", "-o", s.url+"/out/"+parameters, "a")
		if status != cli.ExitOK && !strings.Contains(said, "add ?conditional-writes=false") {
			t.Errorf("stderr %q", said)
		}
	}
	s.gate.set(always, http.StatusNotImplemented, func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.Header.Get("If-None-Match")+r.Header.Get("If-Match") != ""
	})
	update(cli.ExitError, "")
	update(cli.ExitOK, "?conditional-writes=false")
	s.proxy.Spoil(func(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Del("ETag")
		copyAnswer(w, answer)
	})
	s.gate.set(0, 0, func(*http.Request) bool { return false })
	update(cli.ExitError, "")
	update(cli.ExitOK, "?conditional-writes=false")
}

// TestObjectsConflict checks that a write that conflicts with another is
// repeated.
func TestObjectsConflict(t *testing.T) {
	s, again := newOddStore(t, "in/a")
	var puts atomic.Int64
	s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if r.Method == http.MethodPut && puts.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, "<Error><Code>ConditionalRequestConflict</Code></Error>")
			return
		}
		copyAnswer(w, answer)
	})
	again(cli.ExitOK, s.url+"/in/a")
	dir := t.TempDir()
	writeFile(t, dir, "plain", pattern(10))
	puts.Store(1)
	s.run(t, dir, cli.ExitOK, "encrypt", "-k", "aes:n/k@key", "-o", s.url+"/new", "plain")
}

// TestObjectsListedEmpty checks that an object listed as empty is read anyway.
func TestObjectsListedEmpty(t *testing.T) {
	s, again := newOddStore(t, "in/a")
	s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if r.URL.Query().Has("list-type") {
			body := regexp.MustCompile(`<Size>\d+</Size>`).ReplaceAllString(answer.Body.String(), "<Size>0</Size>")
			answer.Body = bytes.NewBufferString(body)
			answer.Header().Del("Content-Length")
		}
		copyAnswer(w, answer)
	})
	again(cli.ExitOK, s.url+"/in/")
	s.run(t, t.TempDir(), cli.ExitOK, "verify", "-k", "aes:n/k2@key", s.url+"/in/a")
}

// TestObjectsKMSKey checks that a KMS key in the URL is used for server-side
// encryption, although the URL doesn't give the encryption's type.
func TestObjectsKMSKey(t *testing.T) {
	s, again := newOddStore(t, "in/a")
	client, name := s.s3(t)
	if _, err := client.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: name, Key: aws.String("in/a"), CopySource: aws.String(*name + "/in/a"), ServerSideEncryption: s3types.ServerSideEncryptionAes256}); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Pointer[string]
	s.gate.set(0, 0, func(r *http.Request) bool {
		if r.Method == http.MethodPut {
			asked.Store(aws.String(r.Header.Get("X-Amz-Server-Side-Encryption") + " " + r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")))
		}
		return false
	})
	again(cli.ExitOK, s.url+"/in/a?kmskeyid=NEW")
	if got := aws.ToString(asked.Load()); got != "aws:kms NEW" {
		t.Errorf("asked for %q", got)
	}
}

// TestObjectsShardsUnlisted checks that every shard reports that listing
// failed.
func TestObjectsShardsUnlisted(t *testing.T) {
	s, again := newOddStore(t, "in/a")
	s.gate.set(always, http.StatusForbidden, func(r *http.Request) bool { return r.URL.Query().Has("list-type") })
	dir := t.TempDir()
	writeFile(t, dir, "list", []byte(s.url+"/in/"))
	for i := range 3 {
		again(cli.ExitSomeFailed, "--shard", fmt.Sprintf("%d/3", i), "--files-from0", filepath.Join(dir, "list"))
	}
}
