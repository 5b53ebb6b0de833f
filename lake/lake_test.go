package lake_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"esdk/lake"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// startArgs returns the arguments that start a rotation of a directory in small
// chunks.
func (w *world) startArgs(folder string, more ...string) []string {
	args := append([]string{"start", "--results", w.url("audit", "rotations/"), "--lease", "3s"}, more...)
	return append(append(args, w.url(w.bucket, folder), "--"), flags...)
}

// TestRotation rotates a directory while a worker is killed, the server is
// restarted, and the store refuses requests for a while: each object is rotated
// once. The second run has nothing to do.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	begun := time.Now()
	all := w.fill("data/", *count)
	t.Logf("%d objects were made in %s", len(all), time.Since(begun).Round(time.Second))
	w.fill("database/", 3)
	sum := w.fillBig()
	if sum != nil {
		all[bigKey] = object{key: "@old", message: true}
	}
	var workers []*process
	for range *numWorkers {
		workers = append(workers, w.worker())
	}
	w.audit(all, workers, "before")
	begun = time.Now()
	w.door.counts()
	trouble := w.door.expect(*count, *refused)
	id := strings.TrimSpace(w.esdkLake(0, w.startArgs("data", "--objects", strconv.Itoa(*count/40), "--parallel", "6", "--run-chunks", "7")...))
	killed := w.disturb(id, workers, trouble)
	var report lake.Report
	w.check(json.Unmarshal([]byte(w.esdkLake(3, "report", "--json", id)), &report))
	passed, denied := w.door.counts()
	t.Logf("rotated in %s, with %d kills, %d requests passed and %d refused: %+v", time.Since(begun).Round(time.Second), killed, passed, denied, report.Counts)
	if denied != *refused {
		t.Errorf("%d requests were refused, not %d", denied, *refused)
	}
	if sum != nil {
		w.checkBig(sum)
	}
	w.checkReport(&report, all)
	w.checkRotated(all)
	w.checkVersions(all)
	for _, p := range workers {
		m := p.memory()
		t.Logf("a worker had %d MiB", m)
		if m > 256 {
			t.Errorf("a worker had %d MiB", m)
		}
	}
	w.replay(id)
	rotated := maps.Clone(all)
	for key, o := range all {
		if o.key == "@old" && o.message {
			rotated[key] = object{key: "@new", message: true}
		}
	}
	w.audit(rotated, workers, "after")
	begun = time.Now()
	second := w.esdkLake(3, w.startArgs("data", "--wait", "--json", "--id", "again")...)
	w.check(json.Unmarshal([]byte(second), &report))
	t.Logf("the second time took %s: %+v", time.Since(begun).Round(time.Second), report.Counts)
	if report.OK != 0 || report.Objects != len(all) {
		t.Errorf("the second time: %+v", report)
	}
	w.checkVersions(all)
	workers[1].end(syscall.SIGTERM)
	if code := workers[1].ProcessState.ExitCode(); code != 0 {
		t.Errorf("a worker that is stopped has exit code %d", code)
	}
}

// disturb kills workers when the store's trouble begins, and restarts the
// server while a rotation runs.
func (w *world) disturb(id string, workers []*process, trouble <-chan struct{}) (killed int) {
	w.t.Helper()
	kill := func() {
		workers[0].end(syscall.SIGKILL)
		workers[0] = w.worker()
		killed++
	}
	select {
	case <-trouble:
	case <-time.After(5 * time.Minute):
		w.t.Fatal("the workers ask the store for nothing")
	}
	kill()
	w.await(id, func(state string, s *lake.Status) bool { return state != "running" || s.Done() >= *count/2 })
	_, port, err := net.SplitHostPort(w.temporal)
	w.check(err)
	w.script("temporal", "end")
	w.script("temporal", "start", port)
	for *kills > 0 {
		time.Sleep(*kills)
		if state, _, err := w.status(id); err == nil && state != "running" {
			break
		}
		kill()
	}
	return killed
}

// checkReport recomputes the digest and the counts from the files in the
// bucket.
func (w *world) checkReport(report *lake.Report, all map[string]object) {
	w.t.Helper()
	skipped, foreign, noMessage := 0, 0, 0
	for _, o := range all {
		switch {
		case !o.message:
			noMessage++
		case o.key == "@other":
			foreign++
		case o.key == "@new":
			skipped++
		}
	}
	if report.Failed != foreign+noMessage || report.Kinds["no-key"] != foreign || report.Kinds["not-a-message"] != noMessage || report.Objects != len(all) || report.End != "complete" {
		w.t.Errorf("the report: %+v", report)
	}
	// Objects rotated by a worker just before it was killed are found to be
	// done.
	if report.OK+report.Skipped != len(all)-report.Failed || report.Skipped < skipped {
		w.t.Errorf("%d ok and %d skipped of %d", report.OK, report.Skipped, len(all))
	}
	folder, names := resultsKey(report), w.checkChunks(report, all)
	var written lake.Report
	w.check(json.Unmarshal(w.read("audit", folder+"report.json"), &written))
	if written.Digest != report.Digest || len(w.list("audit", folder+"parts/")) > 0 && report.Skipped == skipped {
		w.t.Errorf("report.json: %+v", written)
	}
	failed := w.listed("failures", report)
	for _, name := range failed {
		if key := keyOf(name); all[key].key != "@other" && all[key].message || !names[name] {
			w.t.Errorf("%s failed", name)
		}
	}
	if len(failed) != report.Failed {
		w.t.Errorf("%d failures are listed, want %d", len(failed), report.Failed)
	}
}

// resultsKey returns the key of a job's results in their bucket.
func resultsKey(report *lake.Report) string {
	return strings.TrimPrefix(strings.TrimSuffix(report.Results, "?use_path_style=true"), "s3://audit/")
}

func keyOf(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "s3://lake/"), "?use_path_style=true")
}

// checkChunks recomputes the digest, and returns the names in the results: all
// objects, each once.
func (w *world) checkChunks(report *lake.Report, all map[string]object) map[string]bool {
	w.t.Helper()
	folder, sums, names := resultsKey(report), sha256.New(), make(map[string]bool)
	for _, key := range w.list("audit", folder+"chunks/") {
		content := w.read("audit", key)
		fmt.Fprintf(sums, "%x  %s\n", sha256.Sum256(content), strings.TrimPrefix(key, folder))
		for line := range bytes.Lines(content) {
			var l lake.Line
			w.check(json.Unmarshal(line, &l))
			if names[l.Name] || (l.Result == "ok") != (l.Version != "" || l.Finding != nil) {
				w.t.Errorf("twice, or without a version: %s", line)
			}
			names[l.Name] = true
		}
	}
	if got := hex.EncodeToString(sums.Sum(nil)); got != report.Digest || len(names) != len(all) {
		w.t.Errorf("digest %s of %d objects, want %s", got, len(names), report.Digest)
	}
	return names
}

// listed returns the names of failed or matching objects, as the command prints
// them.
func (w *world) listed(command string, report *lake.Report) (names []string) {
	w.t.Helper()
	for name := range strings.SplitSeq(w.esdkLake(0, command, "--print0", report.Results), "\x00") {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// audit looks for objects under the old key, while a worker is killed.
func (w *world) audit(all map[string]object, workers []*process, id string) {
	w.t.Helper()
	begun := time.Now()
	args := append([]string{"audit", "--results", w.url("audit", "audits/"), "--lease", "3s", "--id", id, "--objects", strconv.Itoa(*count / 40), "--run-chunks", "7"},
		w.url(w.bucket, "data"), "--", "--under", "@old", "-k", "@old", "-k", "@new")
	w.esdkLake(0, args...)
	w.await(id, func(state string, s *lake.Status) bool { return state != "running" || s.Done() >= *count/10 })
	workers[0].end(syscall.SIGKILL)
	workers[0] = w.worker()
	matches, opened, noMessage := 0, 0, 0
	for _, o := range all {
		switch {
		case !o.message:
			noMessage++
		case o.key == "@old":
			matches++
			opened++
		case o.key == "@new":
			opened++
		}
	}
	code := 0
	if matches > 0 {
		code = 3
	}
	var report lake.Report
	w.check(json.Unmarshal([]byte(w.esdkLake(code, "report", "--fail-if", "--json", id)), &report))
	w.t.Logf("audit %s took %s: %+v", id, time.Since(begun).Round(time.Second), report.Counts)
	if report.OK != len(all) || report.Matches != matches || report.Failed+report.Skipped > 0 || report.End != "complete" {
		w.t.Errorf("the report: %+v; want %d objects, %d match", report, len(all), matches)
	}
	w.checkChunks(&report, all)
	for _, name := range w.listed("matches", &report) {
		if o := all[keyOf(name)]; o.key != "@old" || !o.message {
			w.t.Errorf("%s matches", name)
		}
		matches--
	}
	var summary struct {
		Inputs, Matches int
		NotMessages     struct{ Messages int } `json:"not_messages"`
		Verification    struct{ Opened int }
	}
	w.check(json.Unmarshal(w.read("audit", resultsKey(&report)+"summary.json"), &summary))
	if matches != 0 || summary.Inputs != len(all) || summary.Matches != report.Matches || summary.NotMessages.Messages != noMessage || summary.Verification.Opened != opened {
		w.t.Errorf("%d matches are not listed; the summary: %+v", matches, summary)
	}
	if page := w.read("audit", resultsKey(&report)+"report.html"); !bytes.Contains(page, []byte("s3://lake/data")) || !bytes.Contains(page, []byte(report.Digest)) {
		w.t.Errorf("the page: %.1000s", page)
	}
	w.replay(id)
}

// checkVersions checks that each object was replaced once, or not at all if
// there was nothing to do.
func (w *world) checkVersions(all map[string]object) {
	w.t.Helper()
	versions := w.versions("data")
	for key, o := range all {
		want := 1
		if o.key == "@old" && o.message {
			want = 2
		}
		if versions[key] != want {
			w.t.Errorf("%s has %d versions, want %d", key, versions[key], want)
		}
	}
	for key, n := range versions {
		if strings.HasPrefix(key, "database/") && n != 1 {
			w.t.Errorf("%s, which is beside the folder, has %d versions", key, n)
		}
	}
}

func (w *world) list(bucket, prefix string) (keys []string) {
	w.t.Helper()
	for _, o := range w.objects(bucket, prefix) {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

func (w *world) objects(bucket, prefix string) (all []s3types.Object) {
	w.t.Helper()
	pages := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(background)
		w.check(err)
		all = append(all, page.Contents...)
	}
	return all
}

func (w *world) read(bucket, key string) []byte {
	w.t.Helper()
	out, err := w.s3.GetObject(background, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	w.check(err)
	defer out.Body.Close()
	content, err := io.ReadAll(out.Body)
	w.check(err)
	return content
}

// replay checks that the histories of all runs replay, and contain no keys.
func (w *world) replay(id string) {
	w.t.Helper()
	c, err := client.Dial(client.Options{HostPort: w.temporal})
	w.check(err)
	defer c.Close()
	runs := 0
	for run := ""; ; runs++ {
		history := new(historypb.History)
		events := c.GetWorkflowHistory(background, id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			w.check(err)
			history.Events = append(history.Events, e)
		}
		r := worker.NewWorkflowReplayer()
		r.RegisterWorkflow(lake.Rotate)
		r.RegisterWorkflow(lake.Audit)
		if err := r.ReplayWorkflowHistory(nil, history); err != nil {
			w.t.Errorf("run %q: %v", run, err)
		}
		text, err := json.Marshal(history)
		w.check(err)
		for _, name := range []string{"old", "new"} {
			if secret, err := os.ReadFile(filepath.Join(w.home, name+".key")); err != nil || bytes.Contains(text, secret) {
				w.t.Errorf("a key is in the history: %v", err)
			}
		}
		if run = history.Events[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId(); run == "" {
			break
		}
	}
	if runs < 1 {
		w.t.Errorf("%d runs before the last one, want some", runs)
	}
}

// TestControl pauses, resumes and cancels a rotation. Its report describes the
// finished part.
func TestControl(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	all := w.fill("data/", 400)
	id := strings.TrimSpace(w.esdkLake(0, append(w.startArgs("data", "--objects", "50", "--parallel", "2", "--id", "control"), "--rate", "objects=25")...))
	w.esdkLake(0, "pause", id)
	w.worker()
	s := w.await(id, func(_ string, s *lake.Status) bool { return s.Paused && s.Running == 0 })
	time.Sleep(time.Second)
	if _, again, err := w.status(id); err != nil || again.Done() != s.Done() {
		t.Errorf("paused, it goes on from %d to %d objects, %v", s.Done(), again.Done(), err)
	}
	w.esdkLake(0, "resume", id)
	w.await(id, func(_ string, s *lake.Status) bool { return s.Done() >= 100 })
	w.esdkLake(1, "start", "--id", id, "--results", w.url("audit", "others/"), w.url(w.bucket, "data"), "--", "--from-key", "@old", "-k", "@new", "--rate", "objects=25")
	w.esdkLake(1, "audit", "--id", id, "--wait", "--results", w.url("audit", "rotations/"), w.url(w.bucket, "data"))
	w.esdkLake(2, "report", "--fail-if", id)
	w.esdkLake(0, "cancel", id)
	s = w.await(id, func(state string, s *lake.Status) bool { return state == "cancelled" })
	folder := strings.TrimPrefix(strings.TrimSuffix(s.Results, "?use_path_style=true"), "s3://audit/")
	var report lake.Report
	w.check(json.Unmarshal(w.read("audit", folder+"report.json"), &report))
	var printed lake.Report
	w.check(json.Unmarshal([]byte(w.esdkLake(1, "report", "--json", id)), &printed))
	if !reflect.DeepEqual(printed, report) {
		t.Errorf("report prints %+v, want %+v", printed, report)
	}
	w.esdkLake(1, "cancel", id)
	w.esdkLake(1, "pause", id)
	w.esdkLake(3, "failures", s.Results)
	w.esdkLake(2, "matches", s.Results)
	w.esdkLake(1, "failures", w.url("audit", "rotations/"))
	replaced := 0
	for _, n := range w.versions("data") {
		replaced += n - 1
	}
	if report.End != "cancelled" || report.OK != replaced || report.Objects == len(all) {
		t.Errorf("the report: %+v; %d were replaced", report, replaced)
	}
}

// TestWaiting: a waiting command prints the reason: no worker, and then
// unreachable results.
func TestWaiting(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	w.fill("data/", 3)
	cmd := exec.Command(w.program, "start", "--id", "waiting", "--wait", "--results", "s3://audit/?use_path_style=true&endpoint=http://127.0.0.1:1", w.url(w.bucket, "data"), "--", "--from-key", "@old", "-k", "@new")
	stderr, err := cmd.StderrPipe()
	w.check(err)
	w.check(cmd.Start())
	defer cmd.Process.Kill()
	notes := bufio.NewScanner(stderr)
	for _, want := range []string{"waiting waits: no worker takes from the task queue esdk-lake", "waiting waits: DoChunk: "} {
		if !notes.Scan() || !strings.Contains(notes.Text(), want) {
			t.Fatalf("it says %q, want %q", notes.Text(), want)
		}
		w.worker()
	}
	if out := w.esdkLake(0, "status", "waiting"); !strings.Contains(out, "waiting       1 DoChunk: ") || !strings.Contains(out, "127.0.0.1:1") {
		t.Errorf("the status: %s", out)
	}
}

// TestEncryptedHistory: the server's file contains neither names nor flags.
func TestEncryptedHistory(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	w.fill("data/veryspecial", 30)
	encrypted := []string{"--encrypt-history", "@history"}
	w.worker(encrypted...)
	w.esdkLake(0, append(encrypted, w.startArgs("data", "--wait", "--id", "encrypted", "--objects", "7")...)...)
	visible := func() (found bool) {
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(filepath.Join(w.run, "temporal.db"+suffix))
			if err != nil && suffix == "" {
				t.Fatal(err)
			}
			found = found || bytes.Contains(content, []byte("veryspecial")) || bytes.Contains(content, []byte("--from-key"))
		}
		return found
	}
	if visible() {
		t.Error("a name is in the server's file")
	}
	w.worker("--task-queue", "plain")
	w.esdkLake(0, append([]string{"--task-queue", "plain"}, w.startArgs("data", "--wait", "--id", "plain", "--objects", "7")...)...)
	if !visible() {
		t.Error("without encryption, no name is found either")
	}
}

// TestLocal: one command does everything, and resumes after it was killed.
func TestLocal(t *testing.T) {
	w := newWorld(t)
	t.Setenv("PATH", filepath.Dir(w.script("temporal", "program"))+":"+os.Getenv("PATH"))
	all := w.fill("data/", 300)
	dir := t.TempDir()
	args := w.startArgs("data", "--local", dir, "--json", "--objects", "20", "--parallel", "2")
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		p := w.start(args...)
		before := w.replaced()
		w.try(func() error {
			if w.replaced() < before+30 {
				return errors.New("it does not begin")
			}
			return nil
		})
		p.end(end)
		if w.replaced() >= len(all)*9/10 {
			t.Error("it was done before it was ended")
		}
	}
	out := w.esdkLake(3, args...)
	var report lake.Report
	w.check(json.Unmarshal([]byte(out), &report))
	w.checkReport(&report, all)
	w.checkRotated(all)
	w.checkVersions(all)
}

// TestInventory rotates exactly the objects in an inventory, although its
// worker is killed.
func TestInventory(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	all := w.fill("data/", 400)
	listed := maps.Clone(all)
	for key := range all {
		if len(listed) == 350 {
			break
		}
		delete(listed, key)
	}
	manifest := w.writeInventory(listed, 130)
	p := w.worker()
	args := []string{"start", "--results", w.url("audit", "rotations/"), "--lease", "3s", "--objects", "20", "--parallel", "3", "--run-chunks", "5", "--inventory", manifest, "--"}
	id := strings.TrimSpace(w.esdkLake(0, append(args, flags...)...))
	w.await(id, func(_ string, s *lake.Status) bool { return s.Done() > 50 })
	p.end(syscall.SIGKILL)
	w.worker()
	code := 0
	for _, o := range listed {
		if o.key == "@other" || !o.message {
			code = 3
		}
	}
	var report lake.Report
	w.check(json.Unmarshal([]byte(w.esdkLake(code, "report", "--json", id)), &report))
	w.checkReport(&report, listed)
	w.checkRotated(listed)
	w.checkVersions(listed)
	versions := w.versions("data")
	for key := range all {
		if _, ok := listed[key]; !ok && versions[key] != 1 {
			t.Errorf("%s, which is not listed, has %d versions", key, versions[key])
		}
	}
}

// TestResume kills a worker in a chunk, and another one resumes it: written
// results stay, and nothing is there twice.
func TestResume(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	for _, from := range []string{"data", "inventory"} {
		all := w.fill("data/"+from+"/", 300)
		source := []string{w.url(w.bucket, "data/"+from)}
		if from == "inventory" {
			source = []string{"--inventory", w.writeInventory(all, 1000)}
		}
		p := w.worker()
		args := append([]string{"start", "--results", w.url("audit", "rotations/"), "--lease", "3s", "--id", from}, source...)
		w.esdkLake(0, append(append(args, "--", "--rate", "objects=40"), flags...)...)
		marked := 0
		w.try(func() error {
			out, err := exec.Command(w.program, "status", "--json", from).Output()
			var s struct {
				UnderWay int `json:"under_way"`
			}
			if err == nil {
				err = json.Unmarshal(out, &s)
			}
			if marked = s.UnderWay; err == nil && marked < 160 {
				err = errors.New("it is not there yet")
			}
			return err
		})
		p.end(syscall.SIGKILL)
		p = w.worker()
		var report lake.Report
		w.check(json.Unmarshal([]byte(w.esdkLake(3, "report", "--json", from)), &report))
		w.checkReport(&report, all)
		if report.OK < marked-2 || len(w.list("audit", strings.TrimPrefix(strings.TrimSuffix(report.Results, "?use_path_style=true"), "s3://audit/")+"parts/")) > 0 {
			t.Errorf("%s: %d objects were written down, and the report has %+v", from, marked, report.Counts)
		}
		p.end(syscall.SIGTERM)
	}
}

// writeInventory writes an inventory as S3 does, in several data files, and
// returns the URL of its manifest.
func (w *world) writeInventory(listed map[string]object, perFile int) string {
	w.t.Helper()
	put := func(key string, content []byte) {
		_, err := w.s3.PutObject(background, &s3.PutObjectInput{Bucket: aws.String("audit"), Key: &key, Body: bytes.NewReader(content)})
		w.check(err)
	}
	var files []map[string]any
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(listed)), perFile) {
		var data bytes.Buffer
		z := gzip.NewWriter(&data)
		for _, key := range chunk {
			fmt.Fprintf(z, "%q,%q\n", w.bucket, strings.ReplaceAll(url.QueryEscape(key), "%2F", "/"))
		}
		w.check(z.Close())
		key, sum := fmt.Sprintf("inventory/data/%d.csv.gz", len(files)), md5.Sum(data.Bytes())
		put(key, data.Bytes())
		files = append(files, map[string]any{"key": key, "size": data.Len(), "MD5checksum": hex.EncodeToString(sum[:])})
	}
	text, err := json.Marshal(map[string]any{
		"sourceBucket": w.bucket, "destinationBucket": "arn:aws:s3:::audit", "version": "2016-11-30",
		"fileFormat": "CSV", "fileSchema": "Bucket, Key", "files": files,
	})
	w.check(err)
	put("inventory/manifest.json", text)
	return w.url("audit", "inventory/manifest.json")
}

// TestTLS connects to Temporal by mutual TLS, configured in Temporal's own
// environment.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	w.fill("data/", 20)
	ca, cert, key := w.certificates()
	t.Setenv("TEMPORAL_ADDRESS", w.tlsProxy(ca, cert, key))
	t.Setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", ca)
	w.esdkLake(1, w.startArgs("data")...)
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", cert)
	t.Setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", key)
	w.worker()
	w.esdkLake(0, w.startArgs("data", "--wait")...)
}

// TestMissingKey: workers without a key end the rotation with a reason.
func TestMissingKey(t *testing.T) {
	w := newWorld(t)
	w.startTemporal()
	w.fill("data/", 20)
	w.worker()
	args := []string{"start", "--results", w.url("audit", "rotations/"), "--id", "missing", w.url(w.bucket, "data"), "--", "--from-key", "@old", "-k", "@nothere"}
	w.esdkLake(0, args...)
	cmd := exec.Command(w.program, "report", "missing")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("@nothere")) || w.replaced() > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRefused covers jobs that start rejects, before anything is in a history.
func TestRefused(t *testing.T) {
	for text, r := range map[string]lake.Job{
		"must be a URL":            {Task: lake.Task{Source: lake.Source{Folder: "data"}, Flags: flags}, Results: "s3://audit/"},
		"outside of the directory": {Task: lake.Task{Source: lake.Source{Folder: "s3://lake/data"}, Flags: flags}, Results: "s3://lake/data/results/"},
		"the results":              {Task: lake.Task{Source: lake.Source{Folder: "s3://lake/data"}, Flags: flags}},
		"unknown flag":             {Task: lake.Task{Source: lake.Source{Folder: "s3://lake/data"}, Flags: []string{"--in-place"}}, Results: "s3://audit/"},
		"unknown kind of key":      {Task: lake.Task{Source: lake.Source{Folder: "s3://lake/data"}, Flags: []string{"-k", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="}}, Results: "s3://audit/"},
	} {
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
