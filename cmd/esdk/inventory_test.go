//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/inventory"
	"esdk/cmd/esdk/internal/inventory/inventorytest"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// enableVersions enables versioning on a bucket.
func (s *testStore) enableVersions(t *testing.T) {
	t.Helper()
	client, name := s.s3(t)
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
}

// entries returns the entries of an inventory taken now.
func (s *testStore) entries(t *testing.T) (all []inventory.Entry) {
	t.Helper()
	client, name := s.s3(t)
	list, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: name})
	if err != nil || aws.ToBool(list.IsTruncated) {
		t.Fatal(err)
	}
	for _, v := range list.Versions {
		all = append(all, inventory.Entry{Key: aws.ToString(v.Key), VersionID: aws.ToString(v.VersionId), Latest: aws.ToBool(v.IsLatest), Size: aws.ToInt64(v.Size), Modified: aws.ToTime(v.LastModified)})
	}
	for _, m := range list.DeleteMarkers {
		all = append(all, inventory.Entry{Key: aws.ToString(m.Key), VersionID: aws.ToString(m.VersionId), Latest: aws.ToBool(m.IsLatest), DeleteMarker: true, Modified: aws.ToTime(m.LastModified)})
	}
	return all
}

// writeInventory writes an inventory of the bucket into another bucket and into
// a directory, and returns the URL and the path of the manifest.
func (s *testStore) writeInventory(t *testing.T, dir, format string) (url, path string) {
	t.Helper()
	client, name := s.s3(t)
	other := bucketName()
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &other}); err != nil {
		t.Fatal(err)
	}
	i := inventorytest.Inventory{Bucket: *name, Format: format, Versions: true, PerFile: 7, Prefix: "some/prefix/"}
	for key, b := range i.Write(t, s.entries(t)) {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &other, Key: &key, Body: strings.NewReader(string(b))}); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, format, key)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "s3://" + other + "/" + i.ManifestKey(), filepath.Join(dir, format, i.ManifestKey())
}

// results counts the lines of a report by result, with the reason or the kind
// of error.
func results(t *testing.T, report string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		var r struct{ Result, Reason, Kind string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSpace(r.Result+" "+r.Reason+r.Kind)]++
	}
	return all
}

// TestObjectsInventory processes an inventory in shards, each object once. A
// second run finds nothing left to do, though the lengths in the inventory are
// outdated by then. Objects that are only read cost no HEAD request.
func TestObjectsInventory(t *testing.T) {
	for _, format := range inventorytest.Formats {
		t.Run(format, func(t *testing.T) { testObjectsInventory(t, newTestStore(t, "ESDK_S3_URL"), format) })
	}
}

func testObjectsInventory(t *testing.T, s *testStore, format string) {
	s.enableVersions(t)
	client, bucket := s.s3(t)
	dir := t.TempDir()
	var keys []string
	for i, odd := range []string{"plain", "a b", "a+b", "%2B", "ö/日本", "quo\"te", "com,ma", "a'b", "a?b=c&d#e", "back\\slash"} {
		key := fmt.Sprintf("%s/%d", odd, i)
		keys = append(keys, key)
		writeFile(t, dir, "plain", pattern(3000*i))
		s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/old@key", "-o", "m", "plain")
		b, err := os.ReadFile(filepath.Join(dir, "m"))
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + i%2 { // every other object has two versions
			if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(string(b))}); err != nil {
				t.Fatal(err)
			}
		}
		os.Remove(filepath.Join(dir, "m"))
	}
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: &keys[9]}); err != nil {
		t.Fatal(err)
	}
	url, path := s.writeInventory(t, dir, format)
	url += "?use_path_style=true"

	s.run(t, dir, cli.ExitOK, "verify", "-k", "aes:n/old@key", "--all-versions", "--inventory", url)
	for index := range 3 {
		s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/old@key", "-k", "aes:n/another@key", "--in-place", "--report", "log", "--inventory", url, "--shard", fmt.Sprintf("%d/3", index))
	}
	want := "map[ok:9 skipped delete marker:1 skipped not the latest version:6]"
	if got := fmt.Sprint(results(t, filepath.Join(dir, "log"))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	versions := make(map[string]int)
	for _, e := range s.entries(t) {
		versions[e.Key]++
	}
	for i, key := range keys[:9] {
		if versions[key] != 2+i%2 {
			t.Errorf("%s: %d versions, want one more than %d", key, versions[key], 1+i%2)
		}
	}

	var asked, requests, read atomic.Int64
	s.proxy.Spoil(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		if strings.HasPrefix(r.URL.Path, "/"+*bucket+"/") {
			if r.Method == http.MethodHead {
				asked.Add(1)
			}
			requests.Add(1)
			read.Add(int64(answer.Body.Len()))
		}
		copyAnswer(w, answer)
	})
	for _, name := range []string{url, path} {
		log := filepath.Join(dir, "log2")
		os.Remove(log)
		requests.Store(0)
		s.run(t, dir, cli.ExitOK, "reencrypt", "--from-key", "aes:n/old@key", "-k", "aes:n/another@key", "--in-place", "--report", "log2", "--inventory", name)
		want := "map[skipped already as requested:9 skipped delete marker:1 skipped not the latest version:6]"
		if got := fmt.Sprint(results(t, log)); got != want || asked.Load() > 0 || requests.Load() != 9 {
			t.Errorf("%s: %s, want %s; %d requests, of which %d ask what there is", name, got, want, requests.Load(), asked.Load())
		}
	}
	read.Store(0)
	s.run(t, dir, cli.ExitOK, "inspect", "--all-versions", "--inventory", url)
	t.Logf("%d bytes read of 15 versions", read.Load())
	if read.Load() > 15*(5<<10) {
		t.Errorf("%d bytes read", read.Load())
	}
	s.proxy.Spoil(nil)
	s.run(t, dir, cli.ExitOK, "decrypt", "-q", "-k", "aes:n/another@key", "--inventory", url, "--include", "plain", "-o", "back")
	if got, err := os.ReadFile(filepath.Join(dir, "back", "plain", "0.decrypted")); err != nil || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	// An object deleted since the inventory fails on its own. A modified data
	// file ends the run.
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: bucket, Key: &keys[0]}); err != nil {
		t.Fatal(err)
	}
	s.run(t, dir, cli.ExitSomeFailed, "verify", "-k", "aes:n/another@key", "--report", "log3", "--inventory", url)
	if got := results(t, filepath.Join(dir, "log3")); got["failed not-found"] != 1 || got["ok"] != 8 {
		t.Errorf("%v", got)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "..", "data", "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	slices.Sort(files)
	writeFile(t, filepath.Dir(files[1]), filepath.Base(files[1]), []byte("changed"))
	if said := s.run(t, dir, cli.ExitError, "verify", "-k", "aes:n/another@key", "--inventory", path); !strings.Contains(said, "inventory file 1.") {
		t.Errorf("stderr %q", said)
	}
}
