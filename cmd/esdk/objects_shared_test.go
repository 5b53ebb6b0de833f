//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"esdk/cmd/esdk/internal/batch"
	"esdk/cmd/esdk/internal/cli"
	"esdk/cmd/esdk/internal/place"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// newVersionedStore makes a versioned bucket on SeaweedFS. Like S3, SeaweedFS
// lets one of several conditional writes win.
func newVersionedStore(t *testing.T) *testStore {
	t.Helper()
	const variable = "ESDK_SEAWEEDFS_URL"
	s := newTestStoreOf(t, variable, true, func(t testing.TB, server, proxy string) *testStore {
		name := bucketName()
		environment := func(url string) map[string]string {
			return map[string]string{
				"AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
				"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
			}
		}
		return openStore(t, "s3://"+name+"?use_path_style=true", environment(server), environment(proxy))
	})
	client, name := s.s3(t)
	ready := func() error {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name}); err != nil && !strings.Contains(err.Error(), "BucketAlready") {
			return err
		}
		if err := s.WriteAll(t.Context(), "ready", nil, nil); err != nil {
			return err
		}
		return s.Delete(t.Context(), "ready")
	}
	for try := 0; ; try++ { // SeaweedFS answers before it is ready
		err := ready()
		if err == nil {
			break
		}
		if try == 60 {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	_, err := client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// versions returns the versions of each key, newest first.
func (s *testStore) versions(t *testing.T) map[string][]string {
	t.Helper()
	client, name := s.s3(t)
	all := make(map[string][]string)
	pages := s3.NewListObjectVersionsPaginator(client, &s3.ListObjectVersionsInput{Bucket: name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			all[aws.ToString(v.Key)] = append(all[aws.ToString(v.Key)], aws.ToString(v.VersionId))
		}
	}
	return all
}

// given returns the name of an object or prefix for the command, and key the
// key in such a name, with or without parameters.
func (s *testStore) given(key string) string {
	bucket, query, _ := strings.Cut(s.url, "?")
	return bucket + "/" + key + "?" + query
}

func (s *testStore) key(name string) string {
	bucket, _, _ := strings.Cut(s.url, "?")
	key, _, _ := strings.Cut(strings.TrimPrefix(name, bucket+"/"), "?")
	return key
}

// fill makes messages under a prefix.
func (s *testStore) fill(t *testing.T, dir, folder string, count int) {
	t.Helper()
	in := makeRoot(t, filepath.Join(dir, "in")).Name()
	for i := range count {
		writeFile(t, in, fmt.Sprintf("f%04d", i), manyText(fmt.Sprint(i)))
	}
	s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-r", "-k", "aes:n/k@key", "-o", s.given(folder), "in")
}

// readReport returns the lines of a report, without a truncated last line.
func readReport(t *testing.T, path string) (lines []batch.Record) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(bytes.NewReader(data[:bytes.LastIndexByte(data, '\n')+1]))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var r batch.Record
		if err := json.Unmarshal(scanner.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r)
	}
	return lines
}

// again returns a command that re-encrypts all messages under a prefix in
// place, under another key.
func (s *testStore) again(t *testing.T, dir, report string, more ...string) *exec.Cmd {
	t.Helper()
	c := command(t, dir, append([]string{"reencrypt", "-r", "--in-place", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key", "--report", report}, more...)...)
	c.Env = s.environ()
	return c
}

// TestObjectsTwoProcesses starts two runs on the same objects. Each object is
// replaced once, by one of them, and the other reports it as already done. The
// report has the versions, and names that can be used as arguments.
func TestObjectsTwoProcesses(t *testing.T) {
	const count = 200
	s, dir := newVersionedStore(t), t.TempDir()
	s.fill(t, dir, "in/", count)
	before := s.versions(t)
	var runs []*exec.Cmd
	for _, report := range []string{"one", "two"} {
		c := s.again(t, dir, report, s.given("in/"))
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, c)
	}
	for _, c := range runs {
		checkStatus(t, c, c.Wait(), cli.ExitOK)
	}
	lines := append(readReport(t, filepath.Join(dir, "one")), readReport(t, filepath.Join(dir, "two"))...)
	replaced := make(map[string]bool)
	for _, l := range lines {
		key := s.key(l.Input)
		switch {
		case l.Name != s.given(key):
			t.Errorf("name %s, want %s", l.Name, s.given(key))
		case l.Result == "skipped" && l.Reason == place.SkipDone:
		case l.Result != "ok" || replaced[key] || !slices.Equal(before[key], []string{l.InputVersion}) || !slices.Equal(s.versionsOf(t, key), []string{l.OutputVersion, l.InputVersion}):
			t.Errorf("%+v; versions %v, before %v", l, s.versionsOf(t, key), before[key])
		default:
			replaced[key] = true
		}
	}
	if len(lines) != 2*count || len(replaced) != count {
		t.Errorf("%d lines, %d objects replaced, want %d", len(lines), len(replaced), count)
	}
	s.run(t, dir, cli.ExitOK, "verify", "-q", "-r", "-k", "aes:n/k2@key", s.given("in/"))
}

func (s *testStore) versionsOf(t *testing.T, key string) (ids []string) {
	t.Helper()
	client, name := s.s3(t)
	out, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: name, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		ids = append(ids, aws.ToString(v.VersionId))
	}
	return ids
}

// TestObjectsKilled checks that after kill -9, the number of replaced objects
// missing from the report is at most the number of jobs in flight, although the
// first object takes long. Another run reports those as already done, and
// replaces the rest.
func TestObjectsKilled(t *testing.T) {
	const count, jobs = 300, 4
	s, dir := newVersionedStore(t), t.TempDir()
	s.fill(t, dir, "in/", count)
	first := "in/f0000.encrypted"
	killed := make(chan struct{})
	s.gate.set(0, 0, func(r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, first) {
			<-killed
		}
		return false
	})
	c := s.again(t, dir, "report", "--jobs", fmt.Sprint(jobs), s.given("in/"))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if data, err := os.ReadFile(filepath.Join(dir, "report")); err == nil && bytes.Count(data, []byte("\n")) > count/2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Process.Kill()
	c.Wait()
	close(killed)
	reported := make(map[string]bool)
	for _, l := range readReport(t, filepath.Join(dir, "report")) {
		reported[s.key(l.Name)] = true
	}
	replaced, untold := 0, 0
	for key, versions := range s.versions(t) {
		if len(versions) == 2 {
			replaced++
			if !reported[key] {
				untold++
			}
		}
	}
	if replaced < count/2 || untold > jobs {
		t.Errorf("%d replaced, of which %d are not in the report", replaced, untold)
	}
	t.Logf("%d replaced, %d of them not in the report", replaced, untold)
	rerun := s.again(t, dir, "rerun", s.given("in/"))
	checkStatus(t, rerun, rerun.Run(), cli.ExitOK)
	results := make(map[string]int)
	for _, l := range readReport(t, filepath.Join(dir, "rerun")) {
		results[l.Result+l.Reason]++
	}
	if results["skipped"+place.SkipDone] < replaced || results["ok"] > count-replaced || len(results) != 2 {
		t.Errorf("another run: %v", results)
	}
	for key, versions := range s.versions(t) {
		if len(versions) != 2 {
			t.Errorf("%s has %d versions", key, len(versions))
		}
	}
}

// TestObjectsLocked checks that a new version gets the object lock of the old
// one, written in one part or several.
func TestObjectsLocked(t *testing.T) {
	s := newTestStore(t, "ESDK_S3_URL")
	client, _ := s.s3(t)
	name := aws.String(bucketName())
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: name, ObjectLockEnabledForBucket: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	dir, url := t.TempDir(), "s3://"+*name+"/"
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	for key, length := range map[string]int{"short": 100, "long": 12 << 20, "free": 100} {
		writeFile(t, dir, key, pattern(length))
		s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/k@key", "-o", url+key, key)
		if key != "free" {
			if _, err := client.PutObjectRetention(t.Context(), &s3.PutObjectRetentionInput{Bucket: name, Key: &key, Retention: &s3types.ObjectLockRetention{Mode: s3types.ObjectLockRetentionModeGovernance, RetainUntilDate: &until}}); err != nil {
				t.Fatal(err)
			}
			if _, err := client.PutObjectLegalHold(t.Context(), &s3.PutObjectLegalHoldInput{Bucket: name, Key: &key, LegalHold: &s3types.ObjectLockLegalHold{Status: s3types.ObjectLockLegalHoldStatusOn}}); err != nil {
				t.Fatal(err)
			}
		}
		s.run(t, dir, cli.ExitOK, "reencrypt", "-q", "--in-place", "--from-key", "aes:n/k@key", "-k", "aes:n/k2@key", url+key+"?part-size=5M")
		s.run(t, dir, cli.ExitOK, "verify", "-q", "-k", "aes:n/k2@key", url+key)
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		locked := head.ObjectLockMode == s3types.ObjectLockModeGovernance && aws.ToTime(head.ObjectLockRetainUntilDate).Equal(until) && head.ObjectLockLegalHoldStatus == s3types.ObjectLockLegalHoldStatusOn
		if locked != (key != "free") {
			t.Errorf("%s: %q until %v, hold %q", key, head.ObjectLockMode, head.ObjectLockRetainUntilDate, head.ObjectLockLegalHoldStatus)
		}
	}
}

// TestObjectsKept checks that all metadata of an object in S3 is kept, at three
// requests an object in addition to the list requests, and one request for an
// object that is skipped.
func TestObjectsKept(t *testing.T) {
	s, dir := newTestStore(t, "ESDK_S3_URL"), t.TempDir()
	client, name := s.s3(t)
	writeFile(t, dir, "plain", pattern(5000))
	s.run(t, dir, cli.ExitOK, "encrypt", "-q", "-k", "aes:n/k@key", "plain")
	message, err := os.ReadFile(filepath.Join(dir, "plain.encrypted"))
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Date(2031, time.May, 6, 7, 8, 9, 0, time.UTC)
	const count = 5
	for i := range count {
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: name, Key: aws.String(fmt.Sprint("in/", i)), Body: bytes.NewReader(message),
			ContentType: aws.String("x/y; z=1"), CacheControl: aws.String("no-store"), ContentDisposition: aws.String(`attachment; filename="a b"`),
			ContentEncoding: aws.String("identity"), ContentLanguage: aws.String("de, en"), Expires: &expires, StorageClass: s3types.StorageClassStandardIa,
			Metadata: map[string]string{"team": "blue sky", "odd_key-1": "50% %20 a__0x20__b"}, Tagging: aws.String("a=1&b=2%203"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list := ""
	for i := range count {
		list += fmt.Sprint(s.url, "/in/", i, "\x00")
	}
	writeFile(t, dir, "list", []byte(list))
	requests := make(map[string]int)
	var mu sync.Mutex
	s.gate.set(0, 0, func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		what := r.Method
		for _, parameter := range []string{"list-type", "tagging"} {
			if r.URL.Query().Has(parameter) {
				what += " " + parameter
			}
		}
		requests[what]++
		return false
	})
	all := map[string]int{"GET": count, "GET tagging": count, "PUT": count}
	for _, run := range []struct {
		old, key string
		inputs   []string
		want     map[string]int
	}{
		{"k", "k1", []string{"-r", s.url + "/in/"}, map[string]int{"GET": count, "GET list-type": 1, "GET tagging": count, "PUT": count}},
		{"k", "k1", []string{"-r", s.url + "/in/"}, map[string]int{"GET": count, "GET list-type": 1}},
		{"k1", "k2", []string{"--files-from0", "list"}, all},
		{"k1", "k2", []string{"--files-from0", "list"}, map[string]int{"GET": count}},
		{"k2", "k2", []string{"--files-from0", "list", "--skip-done", "never"}, all},
		{"k2", "k2", []string{"-r", s.url + "/in/", "--skip-done", "never"}, map[string]int{"GET": count, "GET list-type": 1, "GET tagging": count, "PUT": count}},
	} {
		clear(requests)
		s.run(t, dir, cli.ExitOK, append([]string{"reencrypt", "-q", "--in-place", "--from-key", "aes:n/" + run.old + "@key", "-k", "aes:n/" + run.key + "@key"}, run.inputs...)...)
		if !maps.Equal(requests, run.want) {
			t.Errorf("%s: requests %v, want %v", run.inputs, requests, run.want)
		}
	}
	s.run(t, dir, cli.ExitOK, "verify", "-q", "-r", "-k", "aes:n/k2@key", s.url+"/in/")
	for i := range count {
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: name, Key: aws.String(fmt.Sprint("in/", i))})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(aws.ToString(head.ContentType), aws.ToString(head.CacheControl), aws.ToString(head.ContentDisposition), aws.ToString(head.ContentEncoding), aws.ToString(head.ContentLanguage), aws.ToString(head.ExpiresString), head.StorageClass, head.Metadata, aws.ToInt32(head.TagCount))
		if want := `x/y; z=1no-storeattachment; filename="a b"identityde, enTue, 06 May 2031 07:08:09 GMTSTANDARD_IAmap[odd_key-1:50% %20 a__0x20__b team:blue sky] 2`; got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

// TestObjectsUpdated checks that --update replaces only the version it has
// seen. An object that somebody else writes between the look and the write
// stays.
func TestObjectsUpdated(t *testing.T) {
	eachStore(t, testObjectsUpdated)
	t.Run("versions", func(t *testing.T) { testObjectsUpdated(t, newVersionedStore(t)) })
}

func testObjectsUpdated(t *testing.T, s *testStore) {
	dir := t.TempDir()
	in := makeRoot(t, filepath.Join(dir, "in")).Name()
	for _, file := range []string{"a", "b"} {
		writeFile(t, in, file, pattern(100))
	}
	later := time.Now()
	update := func(status int, more ...string) string {
		t.Helper()
		later = later.Add(time.Hour) // make the sources newer than their results
		for _, file := range []string{"a", "b"} {
			if err := os.Chtimes(filepath.Join(in, file), later, later); err != nil {
				t.Fatal(err)
			}
		}
		return s.run(t, dir, status, append([]string{"encrypt", "--update", "-k", "aes:n/k@key"}, more...)...)
	}
	update(cli.ExitOK, "-r", "-o", s.given("out/"), "in")
	before, err := s.ReadAll(t.Context(), "out/a.encrypted")
	if err != nil {
		t.Fatal(err)
	}
	update(cli.ExitOK, "-r", "-o", s.given("out/"), "in")
	update(cli.ExitOK, "-o", s.given("out/a.encrypted"), "in/a")
	if after, err := s.ReadAll(t.Context(), "out/a.encrypted"); err != nil || bytes.Equal(before, after) {
		t.Errorf("it was not replaced, %v", err)
	}

	theirs := func(key string) {
		var once sync.Once
		s.gate.set(0, 0, func(r *http.Request) bool {
			if r.Method == http.MethodPut || r.Method == http.MethodPost {
				once.Do(func() { s.put(t, key, []byte("theirs")) })
			}
			return false
		})
	}
	for _, test := range []struct {
		key    string
		status int
		args   []string
	}{
		{"out/a.encrypted", cli.ExitSomeFailed, []string{"-r", "-o", s.given("out/"), "in"}},
		{"out/b.encrypted", cli.ExitNotWritten, []string{"-o", s.given("out/b.encrypted"), "in/b"}},
		{"new/a.encrypted", cli.ExitSomeFailed, []string{"-r", "-o", s.given("new/"), "in"}},
		{"new", cli.ExitNotWritten, []string{"-o", s.given("new"), "in/a"}},
	} {
		theirs(test.key)
		said := update(test.status, append([]string{"--report", "log"}, test.args...)...)
		if got, err := s.ReadAll(t.Context(), test.key); err != nil || string(got) != "theirs" {
			t.Errorf("%s: %d bytes, %v", test.key, len(got), err)
		}
		lines := readReport(t, filepath.Join(dir, "log"))
		kinds := make(map[string]int)
		for _, l := range lines {
			kinds[l.Kind]++
		}
		if !strings.Contains(said, "changed in the meantime") || kinds[cli.KindChanged] != 1 || kinds[""] != len(lines)-1 {
			t.Errorf("%s: kinds %v, stderr %q", test.key, kinds, said)
		}
		os.Remove(filepath.Join(dir, "log"))
	}
	s.gate.set(0, 0, func(*http.Request) bool { return false })

	// A deletion counts as a change, too.
	var once sync.Once
	s.gate.set(0, 0, func(r *http.Request) bool {
		if r.Method == http.MethodPut || r.Method == http.MethodPost {
			once.Do(func() {
				if err := s.Delete(t.Context(), "new"); err != nil {
					t.Error(err)
				}
			})
		}
		return false
	})
	if said := update(cli.ExitNotWritten, "-o", s.given("new"), "in/a"); !strings.Contains(said, "changed in the meantime") {
		t.Errorf("stderr %q", said)
	}
}
